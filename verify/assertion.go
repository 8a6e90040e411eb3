package verify

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A Console is where people approve with an SSH key or a passkey. Its key signs around
// what they signed, and adds nothing to it.
type Console struct {
	Key   *attest.PublicKey
	Valid roster.Validity
	// Party is what passkeys answer for; without an ID there are none.
	Party credential.RelyingParty
}

func (c *Console) check(t *Trust) error {
	switch {
	case c.Key == nil:
		return errors.New("publicKey is missing")
	case c.Valid.From.IsZero():
		return errors.New("from is missing: since when is this key the console's?")
	case c.Key.ID() == t.Service.ID():
		return errors.New("publicKey is the service's: one key, one voice")
	case (c.Party.ID == "") != (len(c.Party.Origins) == 0):
		return errors.New("relyingParty and origins go together")
	}
	for _, o := range c.Party.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != o || u.Scheme != "https" && u.Hostname() != "localhost" {
			return fmt.Errorf("origins: %.200q is not https:// and a host, as browsers write it", o)
		}
	}
	return nil
}

// checkAssertion finds who made the assertion inside an approval, and checks it. That the
// console signed around it proves nothing: it only carries.
func (v *Verifier) checkAssertion(it *item) *Refusal {
	console := v.trust.Console
	a, ok := it.statement.Predicate.(*attest.Approval)
	if !ok || a.Assertion == nil {
		return refuse(WrongScope, "the console signs around what people signed themselves, and nothing else")
	}
	id, err := a.Assertion.KeyID()
	if err != nil {
		return refuse(Kind(attest.FaultOf(err)), "%v", err)
	}
	people := v.rosterFor(it)
	p, k, ok := people.ByKey(roster.KeyID(id))
	if !ok {
		return refuse(UntrustedKey, "key %s is nobody's in the roster", id)
	}
	it.principal, it.signer, it.validity = p, roster.KeyID(id), []roster.Validity{p.Validity, k.Validity, console.Valid}
	presented, err := attest.Presented(v.trust.Log.Origin(), it.statement)
	if err != nil {
		return refuse(Kind(attest.FaultOf(err)), "%v", err)
	}
	it.said = attest.DigestOf(presented)
	there, err := v.presence(a.Assertion, presented, k)
	if err != nil {
		return refuse(kindOfAssertion(err), "%s's assertion: %v", p.ID, err)
	}
	it.assurance = min(assuranceOf(there), k.Assurance)
	return v.checkSpeaker(it, people)
}

// presence verifies an assertion, and says what it says of the person.
func (v *Verifier) presence(a *attest.Assertion, presented []byte, k *roster.Key) (credential.Presence, error) {
	switch {
	case a.Passkey != nil && k.Passkey != nil:
		if v.trust.Console.Party.ID == "" {
			return credential.Presence{}, errors.New("the trust folder's console has no relyingParty, so passkeys do not count")
		}
		return a.Passkey.Verify(presented, v.trust.Console.Party, k.Passkey.SPKI)
	case a.SSH != nil:
		sig, err := credential.ParseSSH(a.SSH)
		if err != nil {
			return credential.Presence{}, err
		}
		return sig.Verify(attest.SSHNamespace, presented)
	}
	return credential.Presence{}, errors.New("it is of another kind than the key")
}

func assuranceOf(p credential.Presence) roster.Assurance {
	switch {
	case p.Touched && p.Verified:
		return roster.Verified
	case p.Touched:
		return roster.Present
	}
	return roster.ByKey
}

func kindOfAssertion(err error) Kind {
	switch {
	case errors.Is(err, credential.ErrSignature):
		return BadSignature
	case errors.Is(err, credential.ErrElsewhere):
		return WrongScope
	case errors.Is(err, credential.ErrSubject):
		return SubjectMismatch
	}
	return Malformed
}
