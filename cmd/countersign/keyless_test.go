package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/scenario"
)

// The token that the scripts' CI gives, the bearer that it wants for it, and whom it names.
const (
	jobToken    = "eyJh.eyJz.token-of-the-job"
	tokenSecret = "bearer-of-the-job"
	jobIssuer   = "https://token.example.com"
	jobSubject  = "https://example.com/org/app/.ci/job.yml@refs/heads/main"
)

// cmdFulcio starts an authority of Fulcio's profile and a CI's token endpoint on
// loopback: fulcio. It writes fulcio.pem, and sets FULCIO and TOKENS.
func cmdFulcio(ts *testscript.TestScript, _ bool, _ []string) {
	a, err := scenario.NewAuthority(time.Now().Add(-time.Hour))
	ts.Check(err)
	var chain []byte
	for _, c := range a.Trusted().Certificates {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	ts.Check(os.WriteFile(ts.MkAbs("fulcio.pem"), chain, 0o644))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+tokenSecret || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("run") != "1" {
			http.Error(w, `{"message":"no"}`, http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"count":1,"value":"` + jobToken + `"}`)) // a client that went away
	})
	mux.HandleFunc("GET /elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/token", http.StatusFound) })
	mux.HandleFunc("POST /api/v2/signingCert", func(w http.ResponseWriter, r *http.Request) {
		answer, err := certify(a, r)
		if err != "" {
			w.WriteHeader(http.StatusBadRequest)
			answer = []byte(`{"code":3,"message":"` + err + `"}`)
		}
		_, _ = w.Write(answer)
	})
	srv := httptest.NewServer(mux)
	ts.Defer(srv.Close)
	ts.Setenv("FULCIO", srv.URL)
	ts.Setenv("TOKENS", srv.URL)
}

// certify does what Fulcio does with a request that holds a CSR.
func certify(a *scenario.Authority, r *http.Request) ([]byte, string) {
	var req struct {
		Credentials struct {
			Token string `json:"oidcIdentityToken"`
		} `json:"credentials"`
		CSR string `json:"certificateSigningRequest"`
	}
	if err := json.UnmarshalRead(r.Body, &req); err != nil || req.Credentials.Token != jobToken {
		return nil, "the identity token could not be verified"
	}
	text, err := base64.StdEncoding.DecodeString(req.CSR)
	block, _ := pem.Decode(text)
	if err != nil || block == nil {
		return nil, "no request"
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return nil, "the request is not signed by its key"
	}
	spki, err := x509.MarshalPKIXPublicKey(csr.PublicKey)
	if err != nil {
		return nil, "no key"
	}
	key, err := attest.ParsePublicKey(spki)
	if err != nil {
		return nil, "no key"
	}
	c, err := a.Issue(key, jobIssuer, jobSubject, time.Now().Add(-time.Second), nil, nil)
	if err != nil {
		return nil, "cannot issue"
	}
	out, err := json.Marshal(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{
		"certificates": []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))},
	}}})
	if err != nil {
		return nil, "cannot answer"
	}
	return out, ""
}
