package sigstoreroot_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

var since = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func trust(t testing.TB) *verify.Trust {
	t.Helper()
	told, err := scenario.Tell(scenario.Story{Text: "commit h1 alice src/a.go"}, scenario.Harmless)
	must(t, err)
	return told.Input.Trust
}

// withAuthority adds a certificate authority, whose certificates a log promises.
func withAuthority(t testing.TB, tr *verify.Trust) *verify.Trust {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA", Organization: []string{"example"}},
		NotBefore: since, NotAfter: since.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	must(t, err)
	c, err := x509.ParseCertificate(der)
	must(t, err)
	tr.Authorities = []verify.CertificateAuthority{{
		Certificates: []*x509.Certificate{c}, Validity: roster.Validity{From: since, Until: since.AddDate(1, 0, 0)},
		TransparencyLogs: []crypto.PublicKey{&key.PublicKey},
	}}
	must(t, tr.Check())
	return tr
}

var services = sigstoreroot.Services{
	URL: "http://127.0.0.1:7391", Operator: "the tests", Fulcio: []string{"http://127.0.0.1:5555"}, OIDC: []string{"http://127.0.0.1:5556"},
}

// Sigstore's own reader finds in the trusted root what the trust folder says.
func TestTheTrustedRootSaysWhatTheTrustFolderSays(t *testing.T) {
	tr, s := withAuthority(t, trust(t)), services
	text, err := sigstoreroot.TrustedRoot(tr, s)
	must(t, err)
	again, err := sigstoreroot.TrustedRoot(tr, s)
	must(t, err)
	if !bytes.Equal(text, again) {
		t.Error("the same facts give other bytes")
	}
	got, err := root.NewTrustedRootFromJSON(text)
	must(t, err)
	id := tr.Log.LogID()
	log, ok := got.RekorLogs()[hex.EncodeToString(id[:])]
	if !ok {
		t.Fatalf("log %x is not there: %s", id, text)
	}
	if log.BaseURL != "https://"+tr.Log.Origin() || !log.ValidityPeriodStart.Equal(tr.LogValid.From) || !tr.Log.PublicKey().Equal(log.PublicKey) {
		t.Errorf("the log is %+v", log)
	}
	if n := strings.Count(string(text), "KeyId\": {"); n != 1 {
		t.Errorf("%d logs with a checkpointKeyId", n)
	}
	stamps := got.TimestampingAuthorities()
	if len(stamps) != 1 {
		t.Fatalf("%d timestamp authorities", len(stamps))
	}
	if a := stamps[0].(*root.SigstoreTimestampingAuthority); !a.Leaf.Equal(tr.Timestamps[0]) || !a.Root.Equal(tr.Timestamps[len(tr.Timestamps)-1]) {
		t.Error("the timestamp authority is another")
	}
	if ca := got.FulcioCertificateAuthorities(); len(ca) != 1 || !ca[0].(*root.FulcioCertificateAuthority).Root.Equal(tr.Authorities[0].Certificates[0]) {
		t.Errorf("certificate authorities: %v", ca)
	}
	if len(got.CTLogs()) != 1 {
		t.Errorf("%d CT logs", len(got.CTLogs()))
	}
}

// Where the ledger's host has the log's name, monitors find the log by its base URL.
func TestTheBaseURLHasTheOriginForItsHost(t *testing.T) {
	tr := trust(t)
	for url, want := range map[string]string{
		"http://127.0.0.1:7391":                         "https://" + tr.Log.Origin(),
		"http://" + tr.Log.Origin() + ":7391":           "http://" + tr.Log.Origin() + ":7391",
		"http://user:secret@" + tr.Log.Origin() + ":80": "http://" + tr.Log.Origin() + ":80",
	} {
		text, err := sigstoreroot.TrustedRoot(tr, sigstoreroot.Services{URL: url})
		must(t, err)
		got, err := root.NewTrustedRootFromJSON(text)
		must(t, err)
		for _, l := range got.RekorLogs() {
			if l.BaseURL != want {
				t.Errorf("at %s: base URL %s, want %s", url, l.BaseURL, want)
			}
		}
	}
}

// Sigstore's own selection takes this log, its timestamps and its authorities.
func TestTheSigningConfigurationIsSelected(t *testing.T) {
	tr, s := trust(t), services
	text, err := sigstoreroot.SigningConfig(tr, s)
	must(t, err)
	c, err := root.NewSigningConfigFromJSON(text)
	must(t, err)
	now := tr.LogValid.From.Add(time.Hour)
	for _, k := range []struct {
		what     string
		services []root.Service
		version  uint32
		at       time.Time
		want     string
	}{
		{"log", c.RekorLogURLs(), 2, now, "http://127.0.0.1:7391"},
		{"timestamps", c.TimestampAuthorityURLs(), 1, now, "http://127.0.0.1:7391/api/v1/timestamp"},
		{"fulcio", c.FulcioCertificateAuthorityURLs(), 1, now, "http://127.0.0.1:5555"},
		{"oidc", c.OIDCProviderURLs(), 1, now, "http://127.0.0.1:5556"},
	} {
		if got, err := root.SelectService(k.services, []uint32{k.version}, k.at); err != nil || got.URL != k.want {
			t.Errorf("%s: %+v, %v", k.what, got, err)
		}
		if _, err := root.SelectService(k.services, []uint32{k.version}, now.AddDate(-20, 0, 0)); err == nil {
			t.Errorf("%s is selected before it was there", k.what)
		}
	}
}

// A key that clients would not read is refused here, not by them.
func TestAKeyOfACertificateLogIsRefused(t *testing.T) {
	tr := withAuthority(t, trust(t))
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	tr.Authorities[0].TransparencyLogs = []crypto.PublicKey{&key.PublicKey}
	if _, err := sigstoreroot.TrustedRoot(tr, services); err == nil || !strings.Contains(err.Error(), "certificateAuthorities: number 1: transparency") {
		t.Errorf("a P-384 key: %v", err)
	}
}

func TestServicesReadAsTheyWereWritten(t *testing.T) {
	dir, s := t.TempDir(), services
	if _, err := sigstoreroot.Load(dir); !errors.Is(err, sigstoreroot.ErrNoServices) {
		t.Errorf("an empty folder: %v", err)
	}
	must(t, sigstoreroot.Write(dir, s))
	got, err := sigstoreroot.Load(dir)
	must(t, err)
	if diff := cmp.Diff(s, got); diff != "" {
		t.Error(diff)
	}
	s.Fulcio, s.Operator = nil, ""
	must(t, sigstoreroot.Write(dir, s)) // replaces
	got, err = sigstoreroot.Load(dir)
	must(t, err)
	if diff := cmp.Diff(s, got); diff != "" {
		t.Error(diff)
	}
}

func TestServicesThatAreRefused(t *testing.T) {
	good := t.TempDir()
	must(t, sigstoreroot.Write(good, services))
	text, err := os.ReadFile(filepath.Join(good, sigstoreroot.File))
	must(t, err)
	for _, c := range []struct{ name, old, new, says string }{
		{"nothing at all", string(text), "{}", "url"},
		{"no scheme", `url: "http://127.0.0.1:7391"`, `url: "127.0.0.1"`, "url"},
		{"a slash at the end", `:7391"`, `:7391/"`, "slash"},
		{"a query", `:7391"`, `:7391?"`, "query"},
		{"credentials", "http://127.0.0.1:7391", "http://a:b@127.0.0.1:7391", "credentials"},
		{"an unknown field", "operator:", "operater:", "operator"},
		{"a Fulcio without a scheme", "http://127.0.0.1:5555", "127.0.0.1:5555", "fulcio"},
		{"a Fulcio with credentials", "http://127.0.0.1:5555", "http://a:b@127.0.0.1:5555", "credentials"},
		{"an identity provider twice as a list", "oidc:", "oidc: []\noidc:", "oidc"},
		{"an operator of two lines", `"the tests"`, `"the\ntests"`, "operator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			edited := strings.Replace(string(text), c.old, c.new, 1)
			if edited == string(text) {
				t.Fatalf("the case edits nothing:\n%s", text)
			}
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, sigstoreroot.File), []byte(edited), 0o644))
			if _, err := sigstoreroot.Load(dir); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), sigstoreroot.File) {
				t.Errorf("%v does not name %s and %q", err, sigstoreroot.File, c.says)
			}
		})
	}
}

// What loads can be written, and then loads as the same.
func FuzzLoad(f *testing.F) {
	dir := f.TempDir()
	must(f, sigstoreroot.Write(dir, services))
	text, err := os.ReadFile(filepath.Join(dir, sigstoreroot.File))
	must(f, err)
	f.Add(text)
	f.Add([]byte("url: http://x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		must(t, os.WriteFile(filepath.Join(dir, sigstoreroot.File), text, 0o644))
		s, err := sigstoreroot.Load(dir)
		if err != nil {
			return
		}
		again := t.TempDir()
		must(t, sigstoreroot.Write(again, s))
		got, err := sigstoreroot.Load(again)
		must(t, err)
		if diff := cmp.Diff(s, got); diff != "" {
			t.Error(diff)
		}
	})
}
