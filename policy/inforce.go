package policy

import (
	"context"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// InForce returns the policy set that a log runs under: the genesis that the trust
// folder pins, signed by its owners (TRUST T11). The set comes from the log, and
// nothing about it is believed but its digest: it must be the pinned one, and
// at least two distinct people who own the policy, by the trust folder and by the
// set itself, must have signed it; one only with the flag named unsafe.
//
// ownLog is as in verify.Config. Errors wrap ErrInvalid where the set or its
// signatures are at fault.
func InForce(ctx context.Context, src verify.Source, t *verify.Trust, ownLog bool) (*Set, error) {
	copies, err := verify.Genesis(ctx, src, t, ownLog)
	if err != nil {
		return nil, fmt.Errorf("find the policy in force: %w", err)
	}
	p, ok := copies[0].Statement().Predicate.(*attest.Policy)
	if !ok {
		return nil, fmt.Errorf("%w: entry 0 is %s", ErrInvalid, copies[0].Statement().Predicate.Type())
	}
	set, err := ParseSet(p.Files)
	if err != nil {
		return nil, fmt.Errorf("read the policy in force: %w", err)
	}
	if set.Digest() != t.Genesis {
		return nil, fmt.Errorf("%w: the log's first set has digest %s, and the trust folder names %s", ErrInvalid, set.Digest(), t.Genesis)
	}
	if p.Version != set.Version || p.Name != set.Name {
		return nil, fmt.Errorf("%w: published as %s version %d, and the set says %s version %d", ErrInvalid, p.Name, p.Version, set.Name, set.Version)
	}
	signed := ownersAmong(copies, set.Roster, t.Owners)
	if need := ownersNeeded(t); len(signed) < need {
		return nil, fmt.Errorf("%w: signed by %d of its owners %v, and %d are needed", ErrInvalid, len(signed), t.Owners, need)
	}
	return set, nil
}

// ownersNeeded is how many distinct people must stand behind a policy.
func ownersNeeded(t *verify.Trust) int {
	if t.UnsafeSingleOwner {
		return 1
	}
	return 2
}

// ownersAmong lists the people who signed, own the policy by both the set and the
// trust folder, and whose key was valid when the log took their copy.
func ownersAmong(copies []*verify.Evidence, r *roster.Roster, trusted []string) []string {
	var ids []string
	for _, e := range copies {
		p, key, ok := r.ByKey(e.Signer())
		if !ok || p.Kind != roster.Person || !p.Holds(e.Time()) || !key.Holds(e.Time()) {
			continue
		}
		if slices.Contains(r.Owners, p.ID) && slices.Contains(trusted, p.ID) && !slices.Contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}
