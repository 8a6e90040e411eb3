package scenario

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

// Workflow is the identity of the release workflow, which is the builder's.
const (
	WorkflowIssuer = "https://token.forge.example.com"
	Workflow       = "https://forge.example.com/org/repo/.ci/release.yml@refs/heads/main"
	workflowSource = "https://forge.example.com/org/repo"
)

// authorities are two: the one that trust folders name, and a stranger's.
var authorities = sync.OnceValues(func() (two [2]*Authority, err error) {
	for i := range two {
		if two[i], err = NewAuthority(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			return two, err
		}
	}
	return two, nil
})

// A parcel is a bundle that is not logged as it is: its statement is attached later,
// or another log has it.
type parcel struct {
	bundle *attest.Bundle
	key    *attest.PublicKey
	index  uint64 // of the hash
}

// keyless signs with a certificate that is made for the purpose. Options: keyless is
// the subject ("me": the signer's address; "workflow"), and issuer, ca=other, since
// (when the certificate begins, against now) and source change what is honest.
func (t *teller) keyless(s *step, st *attest.Statement) (*attest.Bundle, *attest.PublicKey, error) {
	two, err := authorities()
	if err != nil {
		return nil, nil, err
	}
	by, subject, issuer := two[0], s.opts["keyless"], Issuer
	var claims map[int]string
	switch subject {
	case "me":
		subject = principal(s.arg(0)) + "@example.com"
	case "workflow":
		subject, issuer = s.opt("ref", Workflow), WorkflowIssuer
		claims = map[int]string{12: s.opt("source", workflowSource)}
	}
	if s.has("ca") {
		by = two[1]
	}
	since, err := time.ParseDuration(s.opt("since", "0s"))
	if err != nil {
		return nil, nil, err
	}
	key, err := attest.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	// The next entry is a minute from now.
	c, err := by.Issue(key.Public(), s.opt("issuer", issuer), subject, t.log.Clock.Add(since), claims, nil)
	if err != nil {
		return nil, nil, err
	}
	b, err := attest.Sign(st, key)
	if err != nil {
		return nil, nil, err
	}
	named, err := attest.ParseCertificate(c.Raw)
	if err != nil {
		return nil, nil, err
	}
	return attest.Normal(b, named), named, nil
}

// send logs a signed bundle as a step says: whole, as a hash whose statement may be
// attached later (hash=NAME), or in another log, from which it is imported
// (foreign=known, or foreign=unknown for one that nobody trusts).
func (t *teller) send(s *step, st *attest.Statement, b *attest.Bundle, key *attest.PublicKey) (uint64, error) {
	switch {
	case s.has("hash"):
		index, err := t.log.Put(attest.LogHash(attest.PartsOf(b, key), key))
		t.parcels[s.opts["hash"]] = parcel{b, key, index}
		return index, err
	case s.has("foreign"):
		return t.imported(s.opts["foreign"], st, b, key)
	}
	logged, err := attest.Log(b, st, key)
	if err != nil {
		return 0, err
	}
	return t.log.Put(logged)
}

// attach carries the statement of a hash, as the service does.
func (t *teller) attach(s *step) error {
	p, ok := t.parcels[s.arg(0)]
	if !ok {
		return fmt.Errorf("no hash is called %q", s.arg(0))
	}
	full, err := t.log.sealed(p)
	if err != nil {
		return err
	}
	st, err := attest.NewAttachment(full)
	if err != nil {
		return err
	}
	return t.sign(s, s.opt("by", "service"), st.Subjects, st.Predicate)
}

// sealed is a bundle with the receipt of its entry.
func (l *Log) sealed(p parcel) (*attest.Bundle, error) {
	view, err := l.View(context.Background())
	if err != nil {
		return nil, err
	}
	e, err := l.Entry(context.Background(), p.index)
	if err != nil {
		return nil, err
	}
	full := attest.Normal(p.bundle, p.key)
	full.Leaf = e.Leaf
	full.Receipt = &tlog.Receipt{LogID: l.signer.Verifier().LogID(), Index: p.index, Checkpoint: view.Note, Proof: e.Proof, Token: e.Token}
	return full, nil
}

// imported logs a bundle in another log, and imports it from there.
func (t *teller) imported(which string, st *attest.Statement, b *attest.Bundle, key *attest.PublicKey) (uint64, error) {
	other := t.foreign
	if which != "known" {
		other = newLog("unknown.example.com")
	}
	other.Clock = t.log.Clock
	logged, err := attest.Log(b, st, key)
	if err != nil {
		return 0, err
	}
	index, err := other.Put(logged)
	if err != nil {
		return 0, err
	}
	full, err := other.sealed(parcel{b, key, index})
	if err != nil {
		return 0, err
	}
	text, err := full.Marshal()
	if err != nil {
		return 0, err
	}
	carrier, err := attest.NewImport(text)
	if err != nil {
		return 0, err
	}
	return t.log.Append(carrier, Key("service"))
}

// issuers are whom a trust folder may believe others about.
var issuers = map[string]string{"people": Issuer, "workflow": WorkflowIssuer}

// trustOthers makes a trust folder name the authority and the foreign log.
func (t *teller) trustOthers() error {
	two, err := authorities()
	if err != nil {
		return err
	}
	t.trust.Authorities = []verify.CertificateAuthority{two[0].Trusted()}
	t.trust.Authorities[0].Issuers = t.certifies
	t.foreign = newLog("foreign.example.com")
	from := roster.Validity{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	root, err := sigstoreroot.TrustedRoot(&verify.Trust{
		Log: t.foreign.signer.Verifier(), LogValid: from, Timestamps: t.trust.Timestamps, Authorities: t.trust.Authorities,
	}, sigstoreroot.Services{URL: "https://foreign.example.com"})
	t.trust.Foreign = []verify.ForeignLog{{Name: "foreign", TrustedRoot: root, Issuers: t.speaks}}
	return err
}
