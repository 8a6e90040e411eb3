package policy

import (
	"cmp"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// posture shows the organisation's own settings in every verdict.
func (j *judge) posture() {
	p, s := &j.d.Annex.Posture, j.in.Set
	p.ByLevel = make(map[string]int, len(s.Levels))
	for _, l := range s.Levels {
		p.ByLevel[l] = 0
	}
	for _, who := range s.Roster.Principals() {
		if who.Kind == roster.Person && who.Holds(j.in.Now) {
			p.People++
			p.ByLevel[who.Level]++
		}
	}
	for i := range s.Rules {
		if s.Rules[i].Mode == Audit {
			p.AuditRules = append(p.AuditRules, s.Rules[i].ID)
		}
	}
	for _, e := range s.Environments {
		if e.Mode != Enforced && e.Mode != "" {
			p.GateModes = append(p.GateModes, e.Name+": "+string(e.Mode))
		}
	}
	if j.in.Trust.UnsafeSingleOwner {
		p.Unsafe = append(p.Unsafe, "unsafeSingleOwner")
	}
	p.Exceptions = s.exceptionsAlive(attest.At(j.in.Now))
	p.DryRun = j.in.DryRun
}

// sumUp counts how each rule fared over the release, and what the tiers caught.
func (j *judge) sumUp() {
	c, p := &j.d.Core, &j.d.Annex.Posture
	for _, st := range j.studies {
		p.Paths += len(st.paths) + len(st.planned.Resources)
		p.LowestTier += st.class.Lowest
	}
	for i := range j.in.Set.Rules {
		r := &j.in.Set.Rules[i]
		if r.About != j.about() {
			continue
		}
		sum := RuleResult{Rule: r.ID, Title: r.Title, Mode: string(r.Mode), Controls: r.Controls}
		if _, from := j.watches(r); from != nil {
			sum.Mode = ruleUpcoming
		}
		for k := range c.Changes {
			for _, f := range c.Changes[k].Rules {
				if f.Rule != r.ID {
					continue
				}
				sum.Applied++
				if f.Exception != "" {
					sum.Excepted++
				}
				if !f.Held {
					sum.Failed++
					sum.Remedy = r.Remedy
				}
			}
		}
		c.Rules = append(c.Rules, sum)
	}
}

// sortIgnored gives what was ignored one order, whatever order it was found in.
func (j *judge) sortIgnored() {
	ig := j.d.Annex.Ignored
	slices.SortFunc(ig, func(a, b Ignored) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Change, b.Change), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Why, b.Why))
	})
	j.d.Annex.Ignored = slices.Compact(ig)
}

// ruleUpcoming is the mode of a rule before its date.
const ruleUpcoming = "upcoming"

// Passed reports whether the verdict may be repeated as PASSED: an allow for which
// no rule failed, those that only watch included; a rule whose date is
// still to come only warns. A dry run passes nothing.
func (d *Decision) Passed() bool {
	return d.Core.Verdict == Allow && !d.Annex.Posture.DryRun &&
		!slices.ContainsFunc(d.Core.Rules, func(r RuleResult) bool { return r.Failed > 0 && r.Mode != ruleUpcoming })
}
