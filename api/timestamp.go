package api

import (
	"encoding/pem"
	"io"
	"mime"
	"net/http"

	"github.com/countersign-dev/countersign/api/tsa"
)

// timestamp answers RFC 3161 requests over HTTP (section 3.4), and those in JSON of
// Sigstore's clients. A request that the authority does not grant gets a 200 and a
// response that says why, as clients of timestamp authorities expect.
func (s *Server) timestamp(w http.ResponseWriter, r *http.Request) {
	form, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || form != "application/timestamp-query" && form != "application/json" {
		s.failPlain(w, r, malformed("Content-Type must be application/timestamp-query (RFC 3161 section 3.4) or application/json"))
		return
	}
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, tsa.MaxRequest))
	if err != nil {
		s.failPlain(w, r, tooLarge("the request has more than %d bytes, or was cut off", tsa.MaxRequest))
		return
	}
	if form == "application/json" {
		if request, err = tsa.RequestFromJSON(request); err != nil {
			s.failPlain(w, r, malformed("%v", err))
			return
		}
	}
	response, granted, err := s.config.Timestamps.Respond(request, s.config.Now())
	if err != nil {
		s.failPlain(w, r, err)
		return
	}
	s.metrics.timestamped(granted)
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Header().Set("Cache-Control", "no-store")
	serveBytes(w, response)
}

// certificates serves the authority's chain in PEM, the signer's first.
func (s *Server) certificates(w http.ResponseWriter, _ *http.Request) {
	var chain []byte
	for _, c := range s.config.Timestamps.Chain() {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	serveBytes(w, chain)
}
