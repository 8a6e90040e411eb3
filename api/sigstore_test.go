package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/tuf"
)

// Where reads need a token, which Sigstore's clients do not have, what is public
// anyway needs none; and what TUF says goes before what the server was started with.
func TestTrustDocumentsNeedNoToken(t *testing.T) {
	repository := tuf.At(t.TempDir())
	f := start(t, setup{api: func(c *api.Config) {
		c.OpenReads, c.TUF = false, repository
		c.Sigstore = api.Sigstore{TrustedRoot: []byte(`{"from":"start"}`)}
	}})
	expect := func(path string, status int, says string) {
		t.Helper()
		got, header, text := f.get(path, "")
		if got != status || !strings.Contains(string(text), says) {
			t.Errorf("%s: %d %s; want %d and %q", path, got, text, status, says)
		}
		if status == http.StatusOK && header.Get("Content-Type") != "application/json" {
			t.Errorf("%s is %s", path, header.Get("Content-Type"))
		}
	}
	expect("/trusted_root.json", http.StatusOK, "start")
	expect("/signing_config.v0.2.json", http.StatusNotFound, "signing_config")
	expect("/tuf/timestamp.json", http.StatusNotFound, "timestamp.json")
	expect("/checkpoint", http.StatusUnauthorized, "token")

	var k tuf.Keys
	for _, key := range []*ed25519.PrivateKey{&k.Root, &k.Targets, &k.Online} {
		var err error
		if _, *key, err = ed25519.GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := repository.Create(k, map[string][]byte{"trusted_root.json": []byte(`{"from":"tuf"}`)}, f.clock.now()); err != nil {
		t.Fatal(err)
	}
	expect("/trusted_root.json", http.StatusOK, "tuf")
	expect("/tuf/timestamp.json", http.StatusOK, "snapshot.json")
	expect("/tuf/1.root.json", http.StatusOK, "consistent_snapshot")
	expect("/tuf/2.root.json", http.StatusNotFound, "2.root.json")
	expect("/tuf/lock", http.StatusNotFound, "lock")
	expect("/tuf/", http.StatusNotFound, "")
}
