package verify

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// maxGuesses bounds how many keys are tried for a bundle whose hint names none.
const maxGuesses = 16

// Accepted is a bundle that a log may take.
type Accepted struct {
	attest.Logged
	Bundle *attest.Bundle // normalised
	// What it says, and who says it: where it carries another bundle, that one.
	Statement *attest.Statement
	Digest    attest.Digest // of the payload
	Signer    roster.KeyID
	Principal *roster.Principal // nil for the trusted service
	Assurance roster.Assurance
}

// freshChecks are the steps for a bundle that is offered to the log: those of an
// entry that need no log. A statement that any verifier would refuse is not logged.
var freshChecks = []check{
	{"format", (*Verifier).checkFresh},
	{"subject", (*Verifier).checkSubject},
	{"signature", (*Verifier).checkOffered},
	{"signer", (*Verifier).checkSigner},
	{"time", (*Verifier).checkNow},
	{"carried", (*Verifier).checkCarried},
	{"facts", (*Verifier).checkFacts},
}

// Accept checks a bundle that somebody offers to the log, as an entry of this
// time, with the functions that verify it later. A receipt in it is left out.
func (v *Verifier) Accept(_ context.Context, bundle []byte, now time.Time) (*Accepted, *Refusal) {
	it := &item{sealed: Sealed{Body: bundle, Time: now}, fresh: true}
	if r := v.run(freshChecks, it); r != nil {
		r.Corrupt = false // it is in no log
		return nil, r
	}
	offered := carrier{it.bundle, it.key, it.statement}
	if it.carrier != nil {
		offered = *it.carrier
	}
	logged, err := attest.Log(offered.bundle, offered.statement, offered.key)
	if err != nil {
		r := refuse(Kind(attest.FaultOf(err)), "%v", err)
		r.Check = "format"
		it.describe(r)
		return nil, r
	}
	return &Accepted{
		Logged: logged, Bundle: attest.Normal(offered.bundle, offered.key), Statement: it.statement, Digest: it.bundle.Digest(),
		Signer: roster.KeyID(attest.SignerOf(it.statement, it.key)), Principal: it.principal, Assurance: it.assurance,
	}, nil
}

// AcceptHash checks a leaf that somebody offers without the statement behind it: the
// signature, and that whoever made it may append at all. It counts for nothing until
// its statement is attached.
func (v *Verifier) AcceptHash(leaf attest.LeafParts, now time.Time) (*attest.Logged, *Refusal) {
	key, r := v.signedHash(leaf, inSeconds(now))
	if r != nil {
		return nil, r
	}
	logged := attest.LogHash(leaf, key)
	return &logged, nil
}

func (v *Verifier) signedHash(leaf attest.LeafParts, now time.Time) (*attest.PublicKey, *Refusal) {
	refused := func(check string, r *Refusal) (*attest.PublicKey, *Refusal) {
		r.Check = check
		return nil, r
	}
	key, err := v.publicKey(leaf)
	if err != nil {
		return refused("format", refuse(Kind(attest.FaultOf(err)), "%v", err))
	}
	if err := key.VerifyDigest(leaf.Digest, leaf.Signature); err != nil {
		return refused("signature", refuse(BadSignature, "%v over this digest with this key", err))
	}
	p, k, ok := v.rosterNow(now).ByKey(roster.KeyID(key.ID()))
	if !ok {
		return refused("signer", refuse(UntrustedKey, "%s is nobody's in the roster", nameOf(key)))
	}
	if r := checkClaims(key, k); r != nil {
		return refused("signer", r)
	}
	if r := v.checkCertificate(key, now); r != nil {
		return refused("time", r)
	}
	if !p.Holds(now) || !k.Holds(now) {
		return refused("time", refuse(KeyTime, "%s or the key is not valid now", p.ID))
	}
	return key, nil
}

// nameOf is how a key is called in messages.
func nameOf(key *attest.PublicKey) string {
	if id := key.Identity(); id != nil {
		return fmt.Sprintf("identity %.200q of %.200q", id.Subject, id.Issuer)
	}
	return "key " + key.ID().String()
}

// KeyOf finds whose signature a bundle has, and verifies it.
func (v *Verifier) KeyOf(b *attest.Bundle) (*attest.PublicKey, *Refusal) {
	it := &item{bundle: b}
	if r := v.checkOffered(it); r != nil {
		r.Check = "signature"
		return nil, r
	}
	return it.key, nil
}

func (v *Verifier) checkFresh(it *item) *Refusal {
	var err error
	if it.bundle, err = attest.ParseBundle(it.sealed.Body); err != nil {
		return refuse(Kind(attest.FaultOf(err)), "%v", err)
	}
	return nil
}

// checkOffered finds the key that made the signature: the one that the hint
// names, or, as a hint is no more than that, one of the first few of the roster.
func (v *Verifier) checkOffered(it *item) *Refusal {
	sum := it.bundle.PAEDigest()
	if it.bundle.Certificate != nil {
		key, err := attest.ParseCertificate(it.bundle.Certificate)
		if err != nil {
			return refuse(Kind(attest.FaultOf(err)), "%v", err)
		}
		if err := key.VerifyDigest(sum, it.bundle.Signature); err != nil {
			return refuse(BadSignature, "%v with the key of the certificate", err)
		}
		it.key = key
		return nil
	}
	if id, ok := hinted(it.bundle.Hint); ok {
		key, known := v.keys[id]
		if !known {
			return refuse(UntrustedKey, "key %x, which the bundle names, is nobody's in the roster", id)
		}
		if err := key.VerifyDigest(sum, it.bundle.Signature); err != nil {
			return refuse(BadSignature, "%v with the key that the bundle names", err)
		}
		it.key = key
		return nil
	}
	tried := 0
	for _, p := range v.roster.Principals() {
		for _, k := range p.Keys {
			if k.SPKI == nil {
				continue
			}
			if tried++; tried > maxGuesses {
				return refuse(UntrustedKey, "the bundle names no key (publicKey.hint), and none of the first %d of the roster signed it", maxGuesses)
			}
			if key := v.keys[k.ID]; key.VerifyDigest(sum, it.bundle.Signature) == nil {
				it.key = key
				return nil
			}
		}
	}
	return refuse(UntrustedKey, "the bundle names no key (publicKey.hint), and none of the roster signed it")
}

// hinted reads a hint: the key's id in hex, as we write it, or in base64, as
// cosign does.
func hinted(hint string) (roster.KeyID, bool) {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if b, err := decode(hint); err == nil && len(b) == len(roster.KeyID{}) {
			return roster.KeyID(b), true
		}
	}
	return roster.KeyID{}, false
}

func (v *Verifier) checkNow(it *item) *Refusal {
	it.time = inSeconds(it.sealed.Time)
	if r := v.checkCertificate(it.key, it.time); r != nil {
		return r
	}
	return it.judgeTime()
}
