package api

import (
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/klauspost/compress/gzip"

	"github.com/countersign-dev/countersign/api/console"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
)

// compressFrom is the size of a message, in bytes, from which on it is worth
// compressing, for clients that ask for it.
const compressFrom = 4 << 10

var serviceNames = []string{countersignv1connect.LedgerServiceName, countersignv1connect.VerifierServiceName}

func (s *Server) routes(log *ledgerService) http.Handler {
	options := connect.WithHandlerOptions(
		connect.WithReadMaxBytes(attest.MaxRequest),
		connect.WithCompressMinBytes(compressFrom),
		connect.WithCompression("gzip", newGunzip, newGzip),
	)
	mux := http.NewServeMux()
	mux.Handle(countersignv1connect.NewLedgerServiceHandler(log, options))
	mux.Handle(countersignv1connect.NewVerifierServiceHandler(&verifierService{s}, options))
	s.health = grpchealth.NewStaticChecker(serviceNames...)
	mux.Handle(grpchealth.NewHandler(s.health, options))
	reflector := grpcreflect.NewStaticReflector(serviceNames...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, options))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, options))

	mux.HandleFunc("POST /gate", s.gate)
	mux.HandleFunc("POST "+rekorPath, log.logEntry)
	for _, prefix := range []string{"", "/api/v2"} {
		mux.HandleFunc("GET "+prefix+"/checkpoint", s.checkpoint)
		mux.HandleFunc("GET "+prefix+"/tile/", func(w http.ResponseWriter, r *http.Request) {
			s.tile(w, r, strings.TrimPrefix(r.URL.Path, prefix+"/"))
		})
	}
	if s.config.Timestamps != nil {
		mux.HandleFunc("POST /api/v1/timestamp", s.timestamp)
		mux.HandleFunc("GET /api/v1/timestamp/certchain", s.certificates)
	}
	for name, otherwise := range s.config.Sigstore.documents() {
		mux.HandleFunc("GET /"+name, s.document(name, otherwise))
	}
	if s.config.Forges != nil {
		mux.HandleFunc("POST "+forgePrefix+"{forge}", s.deliver)
	}
	if s.config.TUF != nil {
		mux.HandleFunc("GET "+tufPrefix, s.tufFile)
	}
	if s.pages != nil {
		mux.Handle(console.Path, s.pages)
		mux.Handle("GET /{$}", http.RedirectHandler(console.Path, http.StatusSeeOther))
	}
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.Handle("GET /metrics", s.metrics.handler())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.failPlain(w, r, notFound("there is nothing at %.200q", r.URL.Path))
	})
	return s.guard(mux)
}

// open says which requests need no token to read: a write is authorised by its
// signature, a webhook by the secret of its forge, timestamps are for everybody, and which keys the server has and whether
// it lives is no secret.
func open(path string) bool {
	return writes(path) || tellsTrust(path) || strings.HasPrefix(path, forgePrefix) || path == "/healthz" || strings.HasPrefix(path, "/api/v1/timestamp") ||
		strings.HasPrefix(path, "/"+grpchealth.HealthV1ServiceName+"/")
}

// writes says which requests put something into the log for whoever sends them.
func writes(path string) bool {
	switch path {
	case countersignv1connect.LedgerServiceAppendProcedure, countersignv1connect.LedgerServiceAttachProcedure,
		countersignv1connect.LedgerServiceImportProcedure, countersignv1connect.LedgerServiceApproveProcedure, rekorPath:
		return true
	}
	return false
}

// staysFor says how long a request may hold its place.
func staysFor(path string) stay {
	switch path {
	case countersignv1connect.LedgerServiceRecordsProcedure, countersignv1connect.VerifierServiceEvidenceProcedure:
		return aFetch
	case countersignv1connect.LedgerServiceWatchProcedure, "/" + grpchealth.HealthV1ServiceName + "/Watch":
		return asLongAsAsked
	}
	if converses(path) {
		return asLongAsAsked
	}
	return anAnswer
}

// converses says which streams go in both directions.
func converses(path string) bool { return strings.HasPrefix(path, "/grpc.reflection.") }

// healthz answers 200 while the server takes requests and its ledger lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	status, text := http.StatusOK, "ok\n"
	if s.draining.Err() != nil {
		status, text = http.StatusServiceUnavailable, "stopping\n"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

// newGzip compresses at the fastest level: the bytes are mostly base64 of hashes
// and signatures, which no effort makes much smaller.
func newGzip() connect.Compressor {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}

func newGunzip() connect.Decompressor { return &gzip.Reader{} }
