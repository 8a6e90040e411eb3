package policy

import (
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// firstSet is the genesis that the trust folder pins, signed by its owners.
// The set comes from the log, and nothing about it is believed but its digest: it must
// be the pinned one, and at least two distinct people who own the policy, by the trust
// folder and by the set itself, must have signed it; one only with the flag named unsafe.
func firstSet(copies []*verify.Evidence, t *verify.Trust) (Epoch, error) {
	p, ok := copies[0].Statement().Predicate.(*attest.Policy)
	if !ok {
		return Epoch{}, fmt.Errorf("%w: entry 0 is %s", ErrInvalid, copies[0].Statement().Predicate.Type())
	}
	set, err := ParseSet(p.Files)
	if err != nil {
		return Epoch{}, fmt.Errorf("read the policy in force: %w", err)
	}
	if set.Digest() != t.Genesis {
		return Epoch{}, fmt.Errorf("%w: the log's first set has digest %s, and the trust folder names %s", ErrInvalid, set.Digest(), t.Genesis)
	}
	if err := publishes(p, copies[0].Statement(), set); err != nil {
		return Epoch{}, err
	}
	set.payload = copies[0].Digest()
	signed := ownersAmong(copies, set.Roster, t.Owners)
	if need := minOwners(t); len(signed) < need {
		return Epoch{}, fmt.Errorf("%w: signed by %d of its owners %v, and %d are needed", ErrInvalid, len(signed), t.Owners, need)
	}
	last := copies[len(copies)-1]
	return Epoch{Set: set, Signed: signed, Time: last.Time(), From: copies[0].Time()}, nil
}

// minOwners is how many distinct people must stand behind any policy.
func minOwners(t *verify.Trust) int {
	if t.UnsafeSingleOwner {
		return 1
	}
	return 2
}

// ownersNeeded is how many owners must sign the set that follows this one.
func (s *Set) ownersNeeded(t *verify.Trust) int { return max(s.Changes.Approvals, minOwners(t)) }

// ownersAmong lists the people who signed, own the policy by both the set and the
// trust folder, and whose key was valid when the log took their copy.
func ownersAmong(copies []*verify.Evidence, r *roster.Roster, trusted []string) []Signature {
	var signed []Signature
	for _, e := range copies {
		p, key, ok := r.ByKey(e.Signer())
		if !ok || p.Kind != roster.Person || !p.Holds(e.Time()) || !key.Holds(e.Time()) {
			continue
		}
		if slices.Contains(r.Owners, p.ID) && slices.Contains(trusted, p.ID) && !slices.ContainsFunc(signed, func(s Signature) bool { return s.Person == p.ID }) {
			signed = append(signed, Signature{p.ID, e.Index(), e.Time()})
		}
	}
	return signed
}
