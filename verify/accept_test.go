package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/verify"
)

// What is accepted is what the verifier believes later, whatever the hint says.
func TestWhatIsAcceptedIsEvidenceLater(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	v := w.verifier()
	id := w.key("bob").Public().ID()
	for name, hint := range map[string]string{"ours": id.String(), "cosign's": base64.StdEncoding.EncodeToString(id[:]), "none": ""} {
		t.Run(name, func(t *testing.T) {
			b := w.sign("bob", w.approval("bob", "7", attest.Rejected), h.subject(head))
			b.Hint = hint
			text, err := b.Marshal()
			must(t, err)
			a, r := v.Accept(t.Context(), text, start)
			if r != nil {
				t.Fatal(r)
			}
			if a.Principal.ID != "bob" || a.Negative != attest.ChangeKey(repository, "7") || a.Signer != [32]byte(id) {
				t.Errorf("accepted as %+v", a)
			}
			e, r := w.open(w.append(ledger.Entry{Leaf: a.Leaf, Body: a.Body, Keys: a.Keys, Negative: a.Negative, Stamp: a.Stamp}))
			wantEvidence(t, e, r)
			if e.Digest() != a.Digest {
				t.Errorf("digest %s; accepted %s", e.Digest(), a.Digest)
			}
		})
	}
}

func TestWhatIsNotAccepted(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	base := h.commit("base", map[string]string{"a": "0"})
	head := h.commit("work", map[string]string{"a": "1"}, base)
	v := w.verifier()
	bundle := func(who string, p attest.Predicate, edit func(*attest.Bundle)) string {
		b := w.sign(who, p, h.subject(head))
		if edit != nil {
			edit(b)
		}
		text, err := b.Marshal()
		must(t, err)
		return string(text)
	}
	lie := w.change(h, "7", base, head)
	lie.Paths = []string{}
	ahead := w.approval("bob", "7", attest.Approved)
	ahead.ApprovedAt = attest.At(start.Add(2 * verify.Skew))
	bob := w.key("bob").Public().ID()
	for _, c := range []struct {
		name, text, check string
		kind              verify.Kind
	}{
		{"nothing", "", "format", verify.Malformed},
		{"too much", strings.Repeat(" ", attest.MaxBundle+1), "format", verify.TooLarge},
		{"a stranger", bundle("mallory", w.approval("mallory", "7", attest.Approved), nil), "signature", verify.UntrustedKey},
		{"a stranger without a hint", bundle("mallory", w.approval("mallory", "7", attest.Approved), func(b *attest.Bundle) { b.Hint = "" }), "signature", verify.UntrustedKey},
		{"a stranger under bob's name", bundle("mallory", w.approval("bob", "7", attest.Approved), func(b *attest.Bundle) { b.Hint = hex.EncodeToString(bob[:]) }), "signature", verify.BadSignature},
		{"in another's name", bundle("bob", w.approval("alice", "7", attest.Approved), nil), "signer", verify.UntrustedKey},
		{"what its signer may not say", bundle("bob", w.change(h, "7", base, head), nil), "signer", verify.WrongScope},
		{"a time that lies ahead", bundle("bob", ahead, nil), "time", verify.TimeUntrusted},
		{"a lying CI job", bundle("ci", lie, nil), "facts", verify.BadFacts},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, r := v.Accept(t.Context(), []byte(c.text), start)
			wantRefusal(t, r, c.check, c.kind)
		})
	}
	if _, r := v.Accept(t.Context(), []byte(bundle("ci", w.change(h, "7", base, head), nil)), start); r != nil {
		t.Errorf("the twin: %v", r)
	}
}

// The first policy set is at the log's beginning, and nowhere else.
func TestGenesisIsWhereTheLogBegins(t *testing.T) {
	w := newWorld(t)
	policy := func(name string) *attest.Policy {
		return &attest.Policy{Name: name, Version: 1, Files: attest.PolicyFiles{Policy: "p", People: "q", Domains: "d"}, PublishedAt: w.now()}
	}
	about := digestSubject(w.trust.Genesis.String())
	if _, err := verify.Genesis(t.Context(), w.source(), w.trust, false); err == nil {
		t.Error("an empty log has a policy")
	}
	w.say("olga", policy("blueprint"), about)
	w.say("oscar", policy("blueprint"), about)
	w.say("mallory", policy("another"), about)
	got, err := verify.Genesis(t.Context(), w.source(), w.trust, false)
	must(t, err)
	var signers []string
	for _, e := range got {
		p, _, _ := w.roster.ByKey(e.Signer())
		signers = append(signers, p.ID)
	}
	if diff := cmp.Diff([]string{"olga", "oscar"}, signers); diff != "" {
		t.Error(diff)
	}
	late := newWorld(t)
	h := newHistory()
	late.say("bob", late.approval("bob", "7", attest.Approved), h.subject(h.commit("work", nil)))
	late.say("olga", policy("blueprint"), about)
	if _, err := verify.Genesis(t.Context(), late.source(), late.trust, false); err == nil {
		t.Error("a policy set that was published later is the first one")
	}
}
