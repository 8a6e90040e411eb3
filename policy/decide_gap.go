package policy

import (
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// gap is one payload that owners signed, and their statements in log order.
type gap struct {
	*attest.Gap
	signed []item
}

// gaps are those of the log, in the order of their first statement.
type gaps []*gap

func (g *gaps) add(it item, p *attest.Gap) {
	at := slices.IndexFunc(*g, func(o *gap) bool { return o.signed[0].Digest() == it.Digest() })
	if at < 0 {
		*g = append(*g, &gap{Gap: p})
		at = len(*g) - 1
	}
	(*g)[at].signed = append((*g)[at].signed, it)
}

// startsAfterGaps adds, in log order, the commits where a range may begin because owners recorded a
// gap that ends there. A gap begins where the record ended: at another start.
func (j *judge) startsAfterGaps(out map[gitfacts.ID]start) {
	r := &j.in.Request
	for _, g := range j.gaps {
		switch _, trusted := out[gitfacts.ID(g.From)]; {
		case (g.Repository != r.Repository || !slices.Contains(g.Environments, r.Environment)) && j.on(checkGapScope):
			continue
		case !j.standsFor(g):
			continue
		case !trusted && j.on(checkGapFrom):
			j.ignore(g.signed[0], NoBaseline, "", "the gap begins at %s, which is neither a baseline nor was allowed here: more than it says would go unseen", short(gitfacts.ID(g.From)))
			continue
		}
		j.d.Annex.Posture.Gaps++
		if _, known := out[gitfacts.ID(g.To)]; !known {
			out[gitfacts.ID(g.To)] = start{because: fmt.Sprintf("gap #%d", g.signed[0].Index()), gap: g}
		}
	}
}

// standsFor reports whether enough owners of the policy signed a gap: each of them once,
// and an owner where the log took their word.
func (j *judge) standsFor(g *gap) bool {
	people := j.gapOwners(g)
	need := j.in.Set.ownersNeeded(j.in.Trust)
	if len(people) >= need || !j.on(checkGapOwners) && len(people) > 0 {
		return true
	}
	if len(people) > 0 {
		j.ignore(g.signed[0], Insufficient, "", "a gap takes %d owners of the policy, and %d signed it", need, len(people))
	}
	return false
}

func (j *judge) gapOwners(g *gap) []string {
	var people []string
	for _, it := range j.credit(g.signed, "") {
		switch {
		case it.by.Kind != roster.Person || !slices.Contains(j.rosterFor(it.Evidence).Owners, it.by.ID):
			j.ignore(it, verify.WrongScope, "", "%s owns no policy: who may not record a gap begins nothing", it.by.ID)
		case !slices.Contains(people, it.by.ID):
			people = append(people, it.by.ID)
		}
	}
	return people
}

// showGap puts the gap that the range begins after into the decision.
func (j *judge) showGap(g *gap) {
	j.d.Core.Gap = &GapResult{
		Index: g.signed[0].Index(), From: g.From, To: g.To, Commits: g.Commits, Reason: clean(g.Reason), Ticket: clean(g.Ticket), SignedBy: j.gapOwners(g),
	}
	for _, it := range g.signed {
		j.cite(it, "gap")
	}
}
