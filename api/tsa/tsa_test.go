package tsa

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/timestamp-authority/v2/pkg/verification"
)

// born lies so far back that the certificate has expired since: what was stamped
// while it held must stay good.
var born = time.Date(2012, 11, 23, 10, 0, 0, 0, time.UTC)

func authority(t testing.TB) (*Authority, []byte) {
	t.Helper()
	key, chain, err := Create("log.example", born)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Parse(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return a, chain
}

func stamp(t testing.TB, a *Authority, message string, at time.Time) []byte {
	t.Helper()
	token, err := a.Stamp([]byte(message), at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenSaysTimeAndMessage(t *testing.T) {
	a, _ := authority(t)
	at := born.Add(time.Hour + 789*time.Millisecond)
	ts, err := timestamp.ParseResponse(stamp(t, a, "message", at))
	if err != nil {
		t.Fatal(err)
	}
	if want := at.Truncate(time.Second); !ts.Time.Equal(want) || ts.Accuracy != Accuracy {
		t.Errorf("time %v ± %v, want %v ± %v", ts.Time, ts.Accuracy, want, Accuracy)
	}
	if !ts.Policy.Equal(Policy) || len(ts.Certificates) != 1 || ts.SerialNumber.Sign() <= 0 {
		t.Errorf("policy %v, %d certificates, serial %v", ts.Policy, len(ts.Certificates), ts.SerialNumber)
	}
	again, err := timestamp.ParseResponse(stamp(t, a, "message", at))
	if err != nil {
		t.Fatal(err)
	}
	if again.SerialNumber.Cmp(ts.SerialNumber) == 0 {
		t.Error("two tokens have one serial number")
	}
}

// Sigstore's own verifier, as sigstore-go calls it.
func TestSigstoreAcceptsTokens(t *testing.T) {
	a, _ := authority(t)
	opts := verification.VerifyOpts{TSACertificate: a.Chain()[0], Roots: a.Chain()[1:]}
	token := stamp(t, a, "message", born.Add(time.Minute))
	if _, err := verification.VerifyTimestampResponse(token, bytes.NewReader([]byte("message")), opts); err != nil {
		t.Error(err)
	}
	if _, err := verification.VerifyTimestampResponse(token, bytes.NewReader([]byte("massage")), opts); err == nil {
		t.Error("a token is good for another message")
	}
	b, _ := authority(t)
	foreign := verification.VerifyOpts{TSACertificate: b.Chain()[0], Roots: b.Chain()[1:]}
	if _, err := verification.VerifyTimestampResponse(token, bytes.NewReader([]byte("message")), foreign); err == nil {
		t.Error("another authority's root believes it")
	}
	sum := sha256.Sum256([]byte("message"))
	imprint := bytes.Index(token, sum[:])
	for _, i := range []int{len(token) - 1, len(token) - 40, imprint, imprint + 60} {
		bad := bytes.Clone(token)
		bad[i] ^= 1
		if _, err := verification.VerifyTimestampResponse(bad, bytes.NewReader([]byte("message")), opts); err == nil {
			t.Errorf("accepted with byte %d of %d flipped", i, len(token))
		}
	}
}

func TestOpenSSLAcceptsTokens(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	key, chain, err := Create("log.example", time.Now().Add(-time.Hour)) // openssl looks at its own clock
	if err != nil {
		t.Fatal(err)
	}
	a, err := Parse(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	root := file("root.pem", encode(pemCertificate, a.Chain()[1].Raw))
	token := file("token.tsr", stamp(t, a, "message", time.Now()))
	verify := func(message string) ([]byte, error) {
		return exec.Command("openssl", "ts", "-verify", "-data", file("data", []byte(message)), "-in", token, "-CAfile", root).CombinedOutput()
	}
	if out, err := verify("message"); err != nil {
		t.Errorf("openssl refuses: %v\n%s", err, out)
	}
	if out, err := verify("massage"); err == nil {
		t.Errorf("openssl accepts another message:\n%s", out)
	}
}

func TestNoTokenOutsideTheCertificate(t *testing.T) {
	a, _ := authority(t)
	for _, c := range []struct {
		at time.Time
		ok bool
	}{
		{born.Add(-time.Millisecond), false}, {born, true},
		{born.Add(Lifetime), true}, {born.Add(Lifetime + time.Second), false},
	} {
		_, err := a.Stamp([]byte("x"), c.at)
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, ErrExpired) {
			t.Errorf("at %v: %v", c.at, err)
		}
	}
}

func TestForeignCertificateIsRefused(t *testing.T) {
	a, _ := authority(t)
	b, _ := authority(t)
	if _, err := New(a.key, b.chain); err == nil {
		t.Error("a key goes with another's certificate")
	}
	if _, err := New(a.key, a.chain[1:]); err == nil {
		t.Error("a root is taken for a timestamp certificate")
	}
	if _, err := New(a.key, []*x509.Certificate{}); err == nil {
		t.Error("no certificate is enough")
	}
}

func BenchmarkStamp(b *testing.B) {
	a, _ := authority(b)
	message := make([]byte, 72)
	var n int
	for b.Loop() {
		token, err := a.Stamp(message, born)
		if err != nil {
			b.Fatal(err)
		}
		n = len(token)
	}
	b.ReportMetric(float64(n), "B/token")
}
