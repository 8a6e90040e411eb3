package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/attest"
)

// Who may not read learns nothing from a page that says so, in whatever way they ask.
func TestPagesTellStrangersNothing(t *testing.T) {
	f := start(t, withPages(underReview, func(c *api.Config) { c.OpenReads = false }))
	b := f.browser()
	secrets := []string{"alice", "carol", f.set.Name, f.ledger.Head().Root.String()[:12]}
	for _, token := range []string{"", "a guess"} {
		for _, path := range []string{"/console/", "/console/change?repository=x&id=1", "/console/nothing", "/console/static/style.css"} {
			b.token = token
			status, header, text := b.do(http.MethodGet, path, nil)
			if status != http.StatusUnauthorized || header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: %d", path, token, status)
			}
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("%s with %q tells a stranger %q", path, token, s)
				}
			}
		}
	}
	b.token = readerToken
	if status, _, text := b.do(http.MethodGet, "/console/", nil); status != http.StatusOK || !strings.Contains(text, secrets[0]) {
		t.Errorf("a reader: %d", status)
	}
}

// Where the operator asks for a credential before anything is logged, a page asks for one
// too: that of a reader, since a browser has only one.
func TestPagesWantACredentialToLog(t *testing.T) {
	f := start(t, withPages(underReview, func(c *api.Config) {
		c.OpenReads, c.Writers = true, []attest.Digest{attest.DigestOf([]byte(writerToken))}
	}))
	b := f.browser()
	for token, want := range map[string]int{"": http.StatusUnauthorized, "a guess": http.StatusUnauthorized, readerToken: http.StatusConflict, gateToken: http.StatusConflict} {
		b.token = token
		if status, _, text := b.do(http.MethodPost, "/console/answer", []byte("{}")); status != want {
			t.Errorf("with %q: %d %.200s", token, status, text)
		}
	}
	b.token = ""
	if status, _, _ := b.do(http.MethodGet, "/console/", nil); status != http.StatusOK {
		t.Errorf("reading is open: %d", status)
	}
}
