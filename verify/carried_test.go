package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// keyless is a world with an authority, in which carol and a workflow have no keys.
type keyless struct {
	*world
	authority *scenario.Authority
}

const workflow = "https://forge.example/org/app/.ci/release.yml@refs/heads/main"

// Row F13: the certificate of a real release, with and without the logs of certificates
// that promised to list it.
func TestCertificateLogsPromise(t *testing.T) {
	text, err := os.ReadFile("testdata/sigstore-js-2.0.0.sigstore.json")
	must(t, err)
	c, err := attest.ParseForeignBundle(text)
	must(t, err)
	leaf := c.Key.Certificate()
	authorities, _ := publicGood(t)
	a := authorities[0]
	must(t, a.Vouches(leaf, leaf.NotBefore))
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a.TransparencyLogs = []crypto.PublicKey{&other.PublicKey}
	if a.Vouches(leaf, leaf.NotBefore) == nil {
		t.Error("a log that promised nothing is believed")
	}
	a.TransparencyLogs = nil
	must(t, a.Vouches(leaf, leaf.NotBefore)) // where none is asked for
	if a.Vouches(leaf, leaf.NotAfter.Add(time.Second)) == nil {
		t.Error("a certificate speaks after its end")
	}
}

func newKeyless(t *testing.T) *keyless {
	t.Helper()
	w := newWorld(t)
	a, err := scenario.NewAuthority(epoch)
	must(t, err)
	w.trust.Authorities = []verify.CertificateAuthority{a.Trusted()}
	w.roster, err = roster.Parse("people.yaml", []byte(`
owners: [olga]
people:
  - id: olga
    level: senior
    from: 2020-01-01T00:00:00Z
    keys:
      - from: 2020-01-01T00:00:00Z
        publicKey: |
          `+strings.ReplaceAll(strings.TrimSpace(string(w.key("olga").Public().PEM())), "\n", "\n          ")+`
  - id: carol
    level: senior
    from: 2020-01-01T00:00:00Z
    identities:
      - {issuer: "`+scenario.Issuer+`", subject: carol@example.com, from: 2020-01-01T00:00:00Z}
  - id: former
    level: senior
    from: 2020-01-01T00:00:00Z
    identities:
      - {issuer: "`+scenario.Issuer+`", subject: former@example.com, from: 2020-01-01T00:00:00Z, until: 2020-06-01T00:00:00Z}
services:
  - id: release
    may: [release, slsa-provenance]
    from: 2020-01-01T00:00:00Z
    identities:
      - {issuer: "https://token.forge.example", subject: "`+workflow+`", claims: {sourceRepositoryURI: "https://forge.example/org/app"}, from: 2020-01-01T00:00:00Z}
  - id: sigstore-js
    may: [slsa-provenance, "https://slsa.dev/provenance/v0.2"]
    from: 2020-01-01T00:00:00Z
    identities:
      - {issuer: "https://token.actions.githubusercontent.com", subject: "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main", from: 2020-01-01T00:00:00Z}
`), roster.Terms{Levels: []string{"senior"}, Types: attest.ShortTypes, Claims: attest.ClaimNames(), IdentityID: func(i, s string) [32]byte { return attest.IdentityID(i, s) }})
	must(t, err)
	return &keyless{w, a}
}

// signer is how somebody signs without a key of their own; the zero edit is honest.
type signer struct {
	issuer, subject string
	from            time.Duration // of the certificate, against the log's clock
	claims          map[int]string
	edit            func(*x509.Certificate)
	by              *scenario.Authority
}

func carol() signer { return signer{issuer: scenario.Issuer, subject: "carol@example.com"} }

// sign makes a bundle with a certificate of a key that nobody will see again.
func (k *keyless) sign(s signer, p attest.Predicate, subjects ...attest.Subject) (*attest.Bundle, *attest.PublicKey) {
	k.t.Helper()
	key, err := attest.GenerateKey()
	must(k.t, err)
	if s.by == nil {
		s.by = k.authority
	}
	c, err := s.by.Issue(key.Public(), s.issuer, s.subject, k.clock.Now().Add(s.from), s.claims, s.edit)
	must(k.t, err)
	b, err := attest.Sign(&attest.Statement{Subjects: subjects, Predicate: p}, key)
	must(k.t, err)
	b.Hint, b.Certificate = "", c.Raw
	named, err := attest.ParseCertificate(c.Raw)
	if err != nil {
		return b, nil
	}
	return b, named
}

func (k *keyless) accept(b *attest.Bundle) (*verify.Accepted, *verify.Refusal) {
	k.t.Helper()
	text, err := b.Marshal()
	must(k.t, err)
	return k.verifier().Accept(k.t.Context(), text, k.clock.Now())
}

func TestACertificateSpeaksForItsIdentity(t *testing.T) {
	k := newKeyless(t)
	h := newHistory()
	head := h.commit("head", map[string]string{"a": "1"})
	b, key := k.sign(carol(), k.approval("carol", "7", attest.Approved), h.subject(head))
	a, r := k.accept(b)
	if r != nil {
		t.Fatal(r)
	}
	id := attest.IdentityID(scenario.Issuer, "carol@example.com")
	if a.Principal.ID != "carol" || a.Signer != roster.KeyID(id) {
		t.Errorf("%s signed with %x", a.Principal.ID, a.Signer)
	}
	e, r := k.open(k.log(b, key))
	if r != nil {
		t.Fatal(r)
	}
	if e.Signer() != roster.KeyID(id) {
		t.Errorf("the evidence is %x's", e.Signer())
	}
	// Two certificates of one identity are one signer (B06).
	again, _ := k.sign(carol(), k.approval("carol", "8", attest.Approved), h.subject(head))
	if a2, r := k.accept(again); r != nil || a2.Signer != a.Signer || string(again.Certificate) == string(b.Certificate) {
		t.Errorf("a second certificate of the same identity: %v", r)
	}
}

// Row F of the attacks, each beside its twin: the same bundle without the edit.
func TestCertificatesThatAreRefused(t *testing.T) {
	k := newKeyless(t)
	other, err := scenario.NewAuthority(epoch)
	must(t, err)
	h := newHistory()
	head := h.commit("head", map[string]string{"a": "1"})
	forge := func(s signer) signer { s.issuer, s.subject = "https://token.forge.example", workflow; return s }
	honest := map[int]string{12: "https://forge.example/org/app"}
	_, file := artifact("app")
	for _, c := range []struct {
		name string
		by   signer
		kind verify.Kind // "" where it is accepted
	}{
		{"the twin", carol(), ""},
		{"F01 another root", signer{issuer: scenario.Issuer, subject: "carol@example.com", by: other}, verify.UntrustedKey},
		{"F02 the certificate is over", signer{issuer: scenario.Issuer, subject: "carol@example.com", from: -11 * time.Minute}, verify.KeyTime},
		{"G06 its last second", signer{issuer: scenario.Issuer, subject: "carol@example.com", from: -10 * time.Minute}, ""},
		{"not yet valid", signer{issuer: scenario.Issuer, subject: "carol@example.com", from: time.Minute}, verify.KeyTime},
		{"F04 another issuer", signer{issuer: "https://accounts.example.org", subject: "carol@example.com"}, verify.UntrustedKey},
		{"F05 other letters", signer{issuer: scenario.Issuer, subject: "Carol@example.com"}, verify.UntrustedKey},
		{"F05 plus tag", signer{issuer: scenario.Issuer, subject: "carol+x@example.com"}, verify.UntrustedKey},
		{"a second name", signer{issuer: scenario.Issuer, subject: "carol@example.com", edit: func(c *x509.Certificate) { c.EmailAddresses = append(c.EmailAddresses, "olga@example.com") }}, verify.Unsupported},
		{"a name of another kind", signer{issuer: scenario.Issuer, subject: "carol@example.com", edit: func(c *x509.Certificate) { c.EmailAddresses, c.DNSNames = nil, []string{"example.com"} }}, verify.Unsupported},
		{"a leaf that is an authority", signer{issuer: scenario.Issuer, subject: "carol@example.com", edit: func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }}, verify.Unsupported},
		{"not for code signing", signer{issuer: scenario.Issuer, subject: "carol@example.com", edit: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }}, verify.UntrustedKey},
		{"two issuers", signer{issuer: scenario.Issuer, subject: "carol@example.com", edit: func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte("https://accounts.example.org")})
		}}, verify.Malformed},
		{"no issuer", signer{issuer: "", subject: "carol@example.com"}, verify.Malformed},
		{"F11 an identity that has ended", signer{issuer: scenario.Issuer, subject: "former@example.com"}, verify.KeyTime},
		{"F07 the workflow", forge(signer{claims: honest}), ""},
		{"F07 of another ref", signer{issuer: "https://token.forge.example", subject: "https://forge.example/org/app/.ci/release.yml@refs/pull/7/merge", claims: honest}, verify.UntrustedKey},
		{"F08 called from another repository", forge(signer{claims: map[int]string{12: "https://forge.example/mallory/app"}}), verify.WrongScope},
		{"F08 without the claim", forge(signer{}), verify.WrongScope},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b *attest.Bundle
			if strings.HasPrefix(c.by.subject, "https:") {
				b, _ = k.sign(c.by, k.release(head), file)
			} else {
				who, _, _ := strings.Cut(c.by.subject, "@")
				if who != "former" {
					who = "carol"
				}
				b, _ = k.sign(c.by, k.approval(who, "7", attest.Approved), h.subject(head))
			}
			a, r := k.accept(b)
			switch {
			case c.kind == "" && r != nil:
				t.Error(r)
			case c.kind != "" && (r == nil || r.Kind != c.kind):
				t.Errorf("%+v, %v; want %s", a, r, c.kind)
			}
		})
	}
	// F14: the certificate of another key.
	b, _ := k.sign(carol(), k.approval("carol", "7", attest.Approved), h.subject(head))
	c, _ := k.sign(carol(), k.approval("carol", "7", attest.Approved), h.subject(head))
	b.Certificate = c.Certificate
	if _, r := k.accept(b); r == nil || r.Kind != verify.BadSignature {
		t.Errorf("F14: %v", r)
	}
	k.trust.Authorities = nil
	if _, r := k.accept(c); r == nil || r.Kind != verify.UntrustedKey || !strings.Contains(r.Why, "certificateAuthorities") {
		t.Errorf("without an authority: %v", r)
	}
}

// hash logs what a client that keeps its statement to itself sends.
func (w *world) hash(b *attest.Bundle, key *attest.PublicKey) uint64 {
	w.t.Helper()
	l := attest.LogHash(attest.PartsOf(b, key), key)
	return w.append(ledger.Entry{Leaf: l.Leaf, Body: l.Body, Keys: l.Keys, Stamp: l.Stamp})
}

// attach carries the statement of an entry, as the service does.
func (w *world) attach(b *attest.Bundle, key *attest.PublicKey, index uint64, edit func(*attest.Bundle)) uint64 {
	w.t.Helper()
	receipt, err := w.ledger.Receipt(w.t.Context(), index)
	must(w.t, err)
	full := attest.Normal(b, key)
	full.Leaf, full.Receipt = attest.Leaf(b, key), receipt
	if edit != nil {
		edit(full)
	}
	st, err := attest.NewAttachment(full)
	must(w.t, err)
	return w.say("service", st.Predicate, st.Subjects...)
}

// A Statement v0.1 is read where another log vouches for it, and nowhere else (D01).
func TestTheOlderStatement(t *testing.T) {
	k := newKeyless(t)
	text, err := os.ReadFile("testdata/sigstore-js-1.3.0.sigstore.json")
	must(t, err)
	public, err := os.ReadFile("testdata/public-good.json")
	must(t, err)
	k.trust.Foreign = []verify.ForeignLog{{Name: "public-good", TrustedRoot: public}}
	st, err := attest.NewImport(text)
	must(t, err)
	index := k.say("service", st.Predicate, st.Subjects...)
	e, r := k.open(index)
	if r != nil {
		t.Fatal(r)
	}
	if typ := e.Statement().Predicate.Type(); typ != "https://slsa.dev/provenance/v0.2" {
		t.Errorf("read as %s", typ)
	}
	carried := attest.CarriedBy(st.Predicate)
	if _, err := attest.ParseStatement(carried.Bundle.Payload); err == nil || attest.FaultOf(err) != attest.Unsupported {
		t.Errorf("read without a log that vouches: %v", err)
	}
}

// An attached statement counts from where it was attached, whenever its hash was logged.
func TestAttachedStatements(t *testing.T) {
	k := newKeyless(t)
	h := newHistory()
	head := h.commit("head", map[string]string{"a": "1"})
	b, key := k.sign(carol(), k.approval("carol", "7", attest.Approved), h.subject(head))
	at := k.hash(b, key)
	if _, r := k.open(at); r == nil {
		t.Error("a hash is evidence")
	}
	k.clock.Set(k.clock.Now().Add(time.Hour)) // long after the certificate
	index := k.attach(b, key, at, nil)
	e, r := k.open(index)
	if r != nil {
		t.Fatal(r)
	}
	if e.Index() != index || e.Signer() != roster.KeyID(key.ID()) || e.Digest() != b.Digest() || !e.Time().Equal(k.clock.Now().Truncate(time.Second)) {
		t.Errorf("%+v", e)
	}
	if got, err := k.source().Find(t.Context(), attest.ChangeKey(repository, "7")); err != nil || len(got) != 1 || got[0] != index {
		t.Errorf("found at %v, %v", got, err)
	}
	another, anotherKey := k.sign(carol(), k.approval("carol", "9", attest.Approved), h.subject(head))
	k.hash(another, anotherKey)
	for name, edit := range map[string]func(*attest.Bundle){
		"another signature's time": func(b *attest.Bundle) { b.Receipt.Token = k.ledger.Head().Token },
		"another index":            func(b *attest.Bundle) { b.Receipt.Index++ },
		"half a proof":             func(b *attest.Bundle) { b.Receipt.Proof = b.Receipt.Proof[1:] },
		"another log":              func(b *attest.Bundle) { b.Receipt.LogID[0] ^= 1 },
	} {
		if e, r := k.open(k.attach(b, key, at, edit)); r == nil || r.Check != "carried" {
			t.Errorf("%s: %+v, %v", name, e, r)
		}
	}
	// The certificate was over when the hash was logged.
	late, lateKey := k.sign(signer{issuer: scenario.Issuer, subject: "carol@example.com", from: -time.Hour}, k.approval("carol", "8", attest.Approved), h.subject(head))
	if e, r := k.open(k.attach(late, lateKey, k.hash(late, lateKey), nil)); r == nil || r.Kind != verify.KeyTime {
		t.Errorf("%+v, %v", e, r)
	}
	// Only the service carries, and it carries no verdicts.
	st, err := attest.ParseStatement(bundleOfEntry(t, k.world, index).Payload)
	must(t, err)
	if e, r := k.open(k.say("olga", st.Predicate, st.Subjects...)); r == nil || r.Kind != verify.UntrustedKey {
		t.Errorf("%+v, %v", e, r)
	}
}

func bundleOfEntry(t *testing.T, w *world, index uint64) *attest.Bundle {
	t.Helper()
	_, s := w.sealed(index)
	return bundleOf(t, s)
}

// The provenance of a real release, which the public good instance logged in 2023,
// stands beside our own evidence; the same without that instance's root does not.
func TestForeignProvenance(t *testing.T) {
	k := newKeyless(t)
	text, err := os.ReadFile("testdata/sigstore-js-2.0.0.sigstore.json")
	must(t, err)
	st, err := attest.NewImport(text)
	must(t, err)
	index := k.say("service", st.Predicate, st.Subjects...)
	if _, r := k.open(index); r == nil || r.Kind != verify.NotLogged || !strings.Contains(r.Why, "foreignLogs") {
		t.Errorf("nobody vouches for it: %v", r)
	}
	public, err := os.ReadFile("testdata/public-good.json")
	must(t, err)
	k.trust.Foreign = []verify.ForeignLog{{Name: "public-good", TrustedRoot: public}}
	e, r := k.open(index)
	if r != nil {
		t.Fatal(r)
	}
	p, ok := e.Statement().Predicate.(*attest.SLSAProvenance)
	if !ok || e.VouchedBy() != "public-good" || e.Index() != index {
		t.Fatalf("%T, vouched by %q", e.Statement().Predicate, e.VouchedBy())
	}
	if repository, commit, ok := p.Source(); !ok || repository != "github.com/sigstore/sigstore-js" || len(commit) != 40 {
		t.Errorf("built from %s at %s, %v", repository, commit, ok)
	}
	subject := e.Statement().Subjects[0].Digest["sha512"]
	if got, err := k.source().Find(t.Context(), attest.SubjectKey("sha512", subject)); err != nil || len(got) != 1 {
		t.Errorf("by its subject: %v, %v", got, err)
	}
	// What was changed on the way is vouched for by nobody. The twin is above.
	for name, edit := range map[string][2]string{
		"another root":    {`"rootHash": "v+7g`, `"rootHash": "v+7h`},
		"another time":    {`"integratedTime": "1692374735`, `"integratedTime": "1692374736`},
		"another promise": {`"signedEntryTimestamp": "MEQCIBIG9T`, `"signedEntryTimestamp": "MEQCIBIG9U`},
		"another index":   {`"logIndex": "31821305"`, `"logIndex": "31821306"`},
	} {
		changed := strings.Replace(string(text), edit[0], edit[1], 1)
		if changed == string(text) {
			t.Fatalf("%s edits nothing", name)
		}
		st, err := attest.NewImport([]byte(changed))
		if err != nil {
			continue // refused even earlier
		}
		if _, r := k.open(k.say("service", st.Predicate, st.Subjects...)); r == nil || r.Kind != verify.NotLogged {
			t.Errorf("%s: %v", name, r)
		}
	}
}
