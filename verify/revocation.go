package verify

import (
	"encoding/hex"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

func (c *chain) addRevocation(e *Evidence) {
	r, ok := e.statement.Predicate.(*attest.Revocation)
	if !ok {
		return
	}
	for _, what := range r.Revokes {
		switch what.Kind {
		case attest.RevokedStatement:
			if d, err := attest.ParseDigest(what.Digest); err == nil {
				c.statements[d] = append(c.statements[d], e)
			}
		case attest.RevokedKey:
			if b, err := hex.DecodeString(what.Digest); err == nil && len(b) == len(roster.KeyID{}) {
				c.keys[roster.KeyID(b)] = append(c.keys[roster.KeyID(b)], e)
			}
		case attest.RevokedPerson:
			c.people[what.Person] = append(c.people[what.Person], e)
		}
	}
}

// revoked returns the first revocation in the log that takes a piece of evidence
// back: of the statement, of the key that signed it, or of the person whose key
// it is; for keys and people from the revocation's effectiveFrom on, by the log's
// time. Only those with authority count: who signed the statement or holds the
// key, the operator of an agent, and the owners of the policy. Nothing takes a
// revocation back.
func (g *Gathered) revoked(e *Evidence) (*Evidence, bool) {
	holder, _, known := g.v.rosterAt(e).ByKey(e.signer)
	lists := [][]*Evidence{g.chain.statements[e.digest], g.chain.keys[e.signer]}
	if known {
		lists = append(lists, g.chain.people[holder.ID])
	} else {
		holder = nil // the trusted service's key: owners decide
	}
	var first *Evidence
	for i, list := range lists {
		for _, r := range list {
			by := r.statement.Predicate.(*attest.Revocation)
			late := i > 0 && by.EffectiveFrom != nil && e.time.Before(by.EffectiveFrom.Time)
			if late || r.index >= g.View.Size || !g.v.mayRevoke(r, holder) {
				continue
			}
			if first == nil || r.index < first.index {
				first = r
			}
		}
	}
	return first, first != nil
}

// rosterAt is the roster in force where a piece of evidence was logged.
func (v *Verifier) rosterAt(e *Evidence) *roster.Roster {
	if v.roll == nil {
		return v.roster
	}
	return v.roll.RosterAt(e.index, e.time)
}

// mayRevoke asks every roster that there is or was: what is in force for the decision is
// not known here, and a range that is walked further than needed only holds more.
func (v *Verifier) mayRevoke(rev *Evidence, holder *roster.Principal) bool {
	all := []*roster.Roster{v.roster}
	if v.roll != nil {
		all = v.roll.Rosters()
	}
	by, _, known := v.rosterAt(rev).ByKey(rev.signer)
	return known && slices.ContainsFunc(all, func(r *roster.Roster) bool { return r.MayRevoke(by, holder) })
}
