package verify

import (
	"bytes"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
)

// An item is an entry on its way through the checks: each adds what it found out.
type item struct {
	view   *LogView
	sealed Sealed
	place  place
	fresh  bool // offered to the log, and in it nowhere yet

	leaf      attest.LeafParts  // format
	bundle    *attest.Bundle    // format
	key       *attest.PublicKey // format
	statement *attest.Statement // subject
	principal *roster.Principal // signer; nil for the trusted service
	validity  []roster.Validity // signer: of the principal and of the key
	signer    roster.KeyID      // signer: of an assertion; else zeros
	said      attest.Digest     // signer: of what an assertion is over; else zeros
	assurance roster.Assurance  // signer
	time      time.Time         // time, or signer where that depends on it
	untimed   *Refusal          // signer: why there is no time
	carrier   *carrier          // carried: what was in the place of bundle, key and statement
	vouched   string            // carried: the foreign log that vouches for it
	facts     *gitfacts.Facts   // facts
}

// A check is one named step between an entry and evidence.
type check struct {
	name string
	run  func(*Verifier, *item) *Refusal
}

// entryChecks are the steps for an entry of a log, in order.
var entryChecks = []check{
	{"format", (*Verifier).checkFormat},
	{"subject", (*Verifier).checkSubject},
	{"signature", (*Verifier).checkSignature},
	{"signer", (*Verifier).checkSigner},
	{"time", (*Verifier).checkTime},
	{"inclusion", (*Verifier).checkInclusion},
	{"carried", (*Verifier).checkCarried},
	{"facts", (*Verifier).checkFacts},
}

// run stops at the first check that refuses, and fills in what is known.
func (v *Verifier) run(checks []check, it *item) *Refusal {
	for _, c := range checks {
		if r := c.run(v, it); r != nil {
			r.Check = c.name
			it.describe(r)
			return r
		}
	}
	return nil
}

// describe adds to a refusal what the checks before it found out.
func (it *item) describe(r *Refusal) {
	r.Index = it.sealed.Index
	if it.bundle != nil {
		r.Digest = it.bundle.Digest()
	}
	if it.statement != nil {
		r.PredicateType = it.statement.Predicate.Type()
	}
	switch {
	case it.principal != nil:
		r.Signer = it.principal.ID
	case it.key != nil:
		r.Signer = it.key.ID().String()
	}
}

func (it *item) evidence() *Evidence {
	signer := it.signer
	if signer == (roster.KeyID{}) {
		signer = roster.KeyID(it.key.ID())
	}
	return &Evidence{
		index: it.sealed.Index, leaf: it.place.leaf, digest: it.bundle.Digest(), said: it.said, statement: it.statement,
		signer: signer, assurance: it.assurance, time: it.time, facts: it.facts, identity: it.key.Identity(), vouched: it.vouched,
	}
}

func refuse(k Kind, format string, args ...any) *Refusal {
	return &Refusal{Kind: k, Why: fmt.Sprintf(format, args...)}
}

// corrupt is a refusal of what no honest log or pack holds.
func corrupt(k Kind, format string, args ...any) *Refusal {
	return &Refusal{Kind: k, Why: fmt.Sprintf(format, args...), Corrupt: true}
}

// checkFormat reads leaf and bundle, and requires the leaf to be exactly what
// the bundle's own is: a leaf is a pure function of the bundle and its key, and
// one that parses prints the same bytes, so its parts are all there is to compare.
func (v *Verifier) checkFormat(it *item) *Refusal {
	var err error
	if it.leaf, err = attest.ParseLeaf(it.sealed.Leaf); err != nil {
		return corrupt(Kind(attest.FaultOf(err)), "%v", err)
	}
	if it.bundle, err = attest.ParseBundle(it.sealed.Body); err != nil {
		return corrupt(Kind(attest.FaultOf(err)), "%v", err)
	}
	if it.key, err = v.publicKey(it.leaf); err != nil {
		return corrupt(Kind(attest.FaultOf(err)), "%v", err)
	}
	if !it.leaf.Equal(attest.PartsOf(it.bundle, it.key)) || !bytes.Equal(it.leaf.Certificate, it.bundle.Certificate) {
		return corrupt(NotLogged, "the leaf at this index is of another bundle")
	}
	return nil
}

// publicKey parses the key of a leaf, or finds the one that the roster has of it.
func (v *Verifier) publicKey(leaf attest.LeafParts) (*attest.PublicKey, error) {
	if k, ok := v.keys[roster.KeyID(attest.DigestOf(leaf.SPKI))]; ok {
		return k, nil
	}
	return leaf.Key()
}

// checkSubject parses the payload, once. What is interpreted later is this
// parsed statement, of the bytes whose signature is checked next.
func (v *Verifier) checkSubject(it *item) *Refusal {
	st, err := attest.ParseStatement(it.bundle.Payload)
	if err != nil {
		return refuse(Kind(attest.FaultOf(err)), "%v", err)
	}
	it.statement = st
	return nil
}

// checkSignature verifies over the digest of exactly these bytes, which
// checkFormat computed.
func (v *Verifier) checkSignature(it *item) *Refusal {
	if err := it.key.VerifyDigest(it.leaf.Digest, it.bundle.Signature); err != nil {
		return corrupt(BadSignature, "%v", err)
	}
	return nil
}

// checkInclusion requires the proof to lead from this leaf at exactly this index
// to the root that the log signed.
func (v *Verifier) checkInclusion(it *item) *Refusal {
	if err := tlog.VerifyInclusion(it.place.leaf, it.sealed.Index, it.sealed.Proof, it.view.Checkpoint); err != nil {
		return corrupt(BadProof, "%v", err)
	}
	return nil
}
