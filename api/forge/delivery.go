package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// A Rejection is a delivery that is not taken.
type Rejection struct {
	Reason Reason
	Why    string
}

func (e *Rejection) Error() string { return e.Why }

// A Reason is why a delivery is not taken.
type Reason string

// The reasons.
const (
	Unknown         Reason = "unknown"         // no such connection
	Unauthenticated Reason = "unauthenticated" // no signature, or a wrong one
	Malformed       Reason = "malformed"
	TooLarge        Reason = "too-large"
	Foreign         Reason = "foreign"  // about a repository that is not the connection's
	Replayed        Reason = "replayed" // a body under another id, or an id with another body
	Full            Reason = "full"     // too much waits already
)

func reject(r Reason, format string, args ...any) error {
	return &Rejection{r, fmt.Sprintf(format, args...)}
}

// A delivery is a body whose signature holds. Nothing else of the request is signed, but
// for GitLab's id where it signs: an event is what its body says, and the header must
// agree with that.
type delivery struct {
	id     string // as the forge numbers it
	event  string
	body   []byte
	digest attest.Digest // of event and body
}

// maxName bounds a delivery's id and the name of its event.
const maxName = 128

// open checks who sent a delivery.
func (c *connection) open(h http.Header, body []byte) (*delivery, error) {
	d := &delivery{body: body}
	var err error
	switch c.Kind {
	case GitHub:
		d.id, d.event = h.Get("X-GitHub-Delivery"), h.Get("X-GitHub-Event")
		err = c.checkHex(strings.TrimPrefix(h.Get("X-Hub-Signature-256"), "sha256="), body, "X-Hub-Signature-256")
	case Gitea:
		d.id, d.event = either(h, "X-Gitea-Delivery", "X-Forgejo-Delivery"), either(h, "X-Gitea-Event", "X-Forgejo-Event")
		err = c.checkHex(either(h, "X-Gitea-Signature", "X-Forgejo-Signature"), body, "X-Gitea-Signature")
	case GitLab:
		d.event = h.Get("X-Gitlab-Event")
		if d.id = either(h, "webhook-id", "Idempotency-Key"); d.id == "" {
			d.id = h.Get("X-Gitlab-Event-UUID")
		}
		err = c.checkGitLab(h, body)
	}
	switch {
	case err != nil:
		return nil, err
	case d.id == "" || len(d.id) > maxName || d.event == "" || len(d.event) > maxName:
		return nil, reject(Malformed, "the delivery has no id, or says no event")
	}
	d.digest = attest.DigestOf(append([]byte(d.event+"\n"), body...))
	return d, nil
}

func either(h http.Header, names ...string) string {
	for _, n := range names {
		if v := h.Get(n); v != "" {
			return v
		}
	}
	return ""
}

func sum(secret []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, secret)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// checkHex checks an HMAC-SHA256 over the body, in hex.
func (c *connection) checkHex(signature string, body []byte, header string) error {
	got, err := hex.DecodeString(signature)
	if err != nil || !hmac.Equal(got, sum(c.Secret, body)) {
		return reject(Unauthenticated, "%s is not there, or does not fit the body and the secret of %s", header, c.ID)
	}
	return nil
}

// signing is how secrets begin that GitLab signs with (Standard Webhooks); it sends others
// along as they are.
const signing = "whsec_"

// maxAge is how far the time of a signed delivery may be from ours.
const maxAge = 5 * time.Minute

// checkGitLab checks the signature where the secret is one to sign with, and else the
// token, which everybody who reads one delivery knows.
func (c *connection) checkGitLab(h http.Header, body []byte) error {
	encoded, signs := strings.CutPrefix(string(c.Secret), signing)
	if !signs {
		if subtle.ConstantTimeCompare([]byte(h.Get("X-Gitlab-Token")), c.Secret) != 1 {
			return reject(Unauthenticated, "X-Gitlab-Token is not the secret of %s", c.ID)
		}
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return reject(Unauthenticated, "the secret of %s is no base64 behind %s", c.ID, signing)
	}
	id, at := h.Get("webhook-id"), h.Get("webhook-timestamp")
	want := sum(key, []byte(id), []byte("."), []byte(at), []byte("."), body)
	held := false
	for one := range strings.FieldsSeq(h.Get("webhook-signature")) {
		got, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "v1,"))
		held = held || err == nil && strings.HasPrefix(one, "v1,") && hmac.Equal(got, want)
	}
	if !held || id == "" {
		return reject(Unauthenticated, "webhook-signature is not there, or does not fit id, time, body and the secret of %s", c.ID)
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if off := c.now().Sub(time.Unix(seconds, 0)).Abs(); err != nil || off > maxAge {
		return reject(Unauthenticated, "the delivery was signed more than %s away from our time", maxAge)
	}
	return nil
}
