package api_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/digitorus/timestamp"

	"github.com/countersign-dev/countersign/api/tsa"
)

// ask posts an RFC 3161 request.
func (f *fixture) ask(contentType string, request []byte) (int, []byte) {
	f.t.Helper()
	resp, err := http.Post(f.url+"/api/v1/timestamp", contentType, bytes.NewReader(request))
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, text
}

const timestampQuery = "application/timestamp-query"

func TestTimestampsForEverybody(t *testing.T) {
	f := start(t, setup{})
	request, err := timestamp.CreateRequest(strings.NewReader("mine"), &timestamp.RequestOptions{Hash: crypto.SHA384, Certificates: true})
	if err != nil {
		t.Fatal(err)
	}
	status, response := f.ask(timestampQuery, request)
	ts, err := timestamp.ParseResponse(response)
	if status != http.StatusOK || err != nil {
		t.Fatalf("%d %v", status, err)
	}
	if !ts.Policy.Equal(tsa.PublicPolicy) || ts.HashAlgorithm != crypto.SHA384 || !ts.Time.Equal(f.clock.now().Truncate(1e9)) {
		t.Errorf("%+v", ts)
	}
	// The log's own receipts have another policy, and a token of this endpoint is none.
	note := f.ledger.Head().Note
	request, err = timestamp.CreateRequest(bytes.NewReader(note), &timestamp.RequestOptions{Hash: crypto.SHA256, Certificates: true})
	if err != nil {
		t.Fatal(err)
	}
	_, token := f.ask(timestampQuery, request)
	if _, err := f.trust.OpenView(note, token); err == nil {
		t.Error("anybody can date the log's checkpoints")
	}
	if _, err := f.trust.OpenView(note, f.ledger.Head().Token); err != nil {
		t.Errorf("the twin: %v", err)
	}
	for name, c := range map[string]struct {
		contentType string
		request     []byte
		status      int
	}{
		"no request":         {timestampQuery, nil, http.StatusOK}, // refused in the response
		"another type":       {"text/plain", request, http.StatusBadRequest},
		"no type":            {"", request, http.StatusBadRequest},
		"more than is read":  {timestampQuery, make([]byte, tsa.MaxRequest+1), http.StatusRequestEntityTooLarge},
		"what nobody parses": {timestampQuery, []byte("stamp this"), http.StatusOK},
	} {
		status, response := f.ask(c.contentType, c.request)
		if _, err := timestamp.ParseResponse(response); status != c.status || err == nil {
			t.Errorf("%s: %d %v", name, status, err)
		}
	}
	status, _, chain := f.get("/api/v1/timestamp/certchain", "")
	first, rest := pem.Decode(chain)
	if status != http.StatusOK || first == nil || !bytes.Equal(first.Bytes, f.trust.Timestamps[0].Raw) || !bytes.Contains(rest, []byte("CERTIFICATE")) {
		t.Errorf("the chain is answered with %d, %d bytes", status, len(chain))
	}
}

// sigstore-js asks in JSON. Each refusal differs from the request that is granted in
// one member.
func TestTimestampsInJSON(t *testing.T) {
	f := start(t, setup{})
	sum := sha256.Sum256([]byte("mine"))
	hash := base64.StdEncoding.EncodeToString(sum[:])
	good := `{"artifactHash":"` + hash + `","hashAlgorithm":"sha256"}`
	for _, request := range []string{good, strings.Replace(good, "}", `,"certificates":true,"nonce":7}`, 1)} {
		status, response := f.ask("application/json", []byte(request))
		ts, err := timestamp.ParseResponse(response)
		if status != http.StatusOK || err != nil || !bytes.Equal(ts.HashedMessage, sum[:]) || !ts.Policy.Equal(tsa.PublicPolicy) {
			t.Errorf("%s: %d %v", request, status, err)
		} else if full := request != good; full != (len(ts.Certificates) == 1) || full != (ts.Nonce != nil && ts.Nonce.Int64() == 7) {
			t.Errorf("%s: %d certificates, nonce %v", request, len(ts.Certificates), ts.Nonce)
		}
	}
	for _, edit := range [][2]string{
		{"sha256", "sha1"}, {"sha256", "sha512"}, {hash, hash[1:]}, {`{`, `{"artifactHash":"",`}, {"}", `,"tsaPolicyOID":"1.2.3"}`}, {"}", `,"nonce":-1}`}, {good, "[]"},
	} {
		request := strings.Replace(good, edit[0], edit[1], 1)
		if status, response := f.ask("application/json", []byte(request)); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", request, status, response)
		}
	}
}

// OpenSSL makes the request, and verifies what comes back.
func TestOpenSSLGetsATimestamp(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	f := start(t, setup{})
	dir := t.TempDir()
	openssl := func(args ...string) ([]byte, error) {
		c := exec.Command("openssl", append([]string{"ts"}, args...)...)
		c.Dir = dir
		return c.CombinedOutput()
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("data", []byte("mine"))
	_, _, chain := f.get("/api/v1/timestamp/certchain", "")
	write("chain.pem", chain)
	for _, with := range [][]string{{"-cert", "-sha512"}, {"-cert", "-sha256", "-no_nonce"}, {"-sha256"}} {
		if out, err := openssl(append([]string{"-query", "-data", "data", "-out", "query.tsq"}, with...)...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		query, err := os.ReadFile(filepath.Join(dir, "query.tsq"))
		if err != nil {
			t.Fatal(err)
		}
		_, reply := f.ask(timestampQuery, query)
		write("reply.tsr", reply)

		verify := []string{"-verify", "-queryfile", "query.tsq", "-in", "reply.tsr", "-CAfile", "chain.pem", "-untrusted", "chain.pem"}
		if out, err := openssl(verify...); err != nil {
			t.Errorf("%v: %v: %s", with, err, out)
		}
		write("other", []byte("not mine"))
		if out, err := openssl("-verify", "-data", "other", "-in", "reply.tsr", "-CAfile", "chain.pem", "-untrusted", "chain.pem"); err == nil {
			t.Errorf("%v: other data verify: %s", with, out)
		}
	}
}
