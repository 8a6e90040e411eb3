package policy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// Proposed is a change as it is under review.
type Proposed struct {
	ID, TargetRef string
	Base, Head    gitfacts.ID
}

// A Preview is what the rules say of a change that is under review, as if it were merged
// now, as it was reviewed, by as many services as a rule asks for, and judged by a gate that
// follows the log. It is no verdict, and nobody signs it: a gate judges what
// was merged, with what is in the log then.
type Preview struct {
	Change ChangeResult
	// Enough: no enforced rule asks for anything that is not there.
	Enough bool
	// Kind and Why are the first thing that is missing; empty where it is enough.
	Kind Kind
	Why  string
	// Awaiting is what approvals would make it enough, together with the reviews of incidents
	// that are owed; empty where approvals would not help.
	Awaiting []Awaiting
	Commits  []*gitfacts.Commit // that the review holds, as far as they are proven
	Paths    []gitfacts.Path    // that differ between base and head; with names alone where they are claimed
	Claimed  bool               // commits and paths are what its signer says
	// Merged is the commit as which this very head was admitted, and MergedAt the index
	// of the entry that says so; Merged is empty while it was not.
	Merged   gitfacts.ID
	MergedAt uint64
	Ignored  []Ignored
	Policy   PolicyRef
	Log      LogRef
}

// PreviewChange gathers what a source holds of a change under review, and holds the rules
// against it. Errors are as those of Judge, where no preview can be given at all.
func PreviewChange(ctx context.Context, src verify.Source, v *verify.Verifier, in Input, c Proposed) (*Preview, error) {
	if in.Set == nil && in.History != nil {
		in.Set = in.History.InForce(in.Now)
	}
	if in.Set == nil {
		return nil, fmt.Errorf("%w: there is none", ErrInvalid)
	}
	if in.Trust == nil {
		in.Trust = v.Trust()
	}
	in.Request.Commit, in.Request.Plan, in.Request.Artifact = c.Head, nil, nil
	var bases []gitfacts.ID
	if c.Base != "" {
		bases = []gitfacts.ID{c.Base}
	}
	g, err := verify.Gather(ctx, src, v, verify.Request{
		Commit: c.Head, Repository: in.Request.Repository, Environment: in.Request.Environment, Baselines: bases,
		Incidents: in.Set.AsksIncidents(), Snapshots: in.Set.AsksSnapshots(),
	})
	if err != nil {
		return nil, fmt.Errorf("gather evidence: %w", err)
	}
	in.Gathered = g
	return preview(in, c), nil
}

func preview(in Input, c Proposed) *Preview {
	j := &judge{in: in, d: &Decision{Core: Core{Verdict: Deny}}, view: &in.Gathered.View, reviewing: true}
	j.describe()
	j.posture()
	p := &Preview{Policy: j.d.Core.Policy, Log: j.d.Core.Log}
	for _, step := range []func(){j.checkPolicy, j.checkRequest, j.checkView, j.checkWitnesses, j.readEvidence, j.checkNegatives, func() { j.judgeProposed(c, p) }} {
		if step(); j.denied {
			break
		}
	}
	// No glass is broken for a review.
	switch {
	case j.denied:
	case len(j.bentStudies()) > 0:
		j.denyForRules()
		j.await()
	default:
		p.Enough = true
	}
	j.sortIgnored()
	core := &j.d.Core
	p.Kind, p.Why, p.Awaiting, p.Ignored = core.Kind, core.Why, core.Awaiting, j.d.Annex.Ignored
	if len(core.Changes) > 0 {
		p.Change = core.Changes[0]
	}
	return p
}

// judgeProposed asks the rules about a head as if it were its own merge.
func (j *judge) judgeProposed(c Proposed, p *Preview) {
	j.signs, j.proposing = j.in.Set.Signs(), true
	j.below = make(map[gitfacts.ID]bool)
	if c.Base != "" {
		j.reach(c.Base, j.below)
	}
	m := j.proposed(c, p)
	st := j.studyMerge(m)
	review := j.above(c.Head, c.Base)
	p.Commits, p.Paths, p.Claimed = review.commits, st.paths, st.vars.Claimed
	if p.Claimed {
		p.Paths = j.claimedPaths(m)
	}
	release := ReleaseVars{Repository: j.in.Request.Repository, Changes: 1, Domains: st.class.Domains, Critical: j.in.Set.Domains.Critical(st.class.Domains)}
	if st.vars.AIAssisted {
		release.AIChanges = 1
	}
	j.applyRules(st, &release)
	j.d.Core.Changes, j.studies = []ChangeResult{st.result}, []*study{st}
}

// proposed is a merge of the head onto its base that is as clean as can be. Where the
// head was admitted already, what is logged later is late.
func (j *judge) proposed(c Proposed, p *Preview) *merge {
	head, ok := j.in.Gathered.Commit(c.Head)
	if !ok {
		head = &gitfacts.Commit{ID: c.Head}
	}
	m := &merge{
		Commit: head, target: c.Base, head: c.Head, change: c.ID, targetRef: c.TargetRef,
		claim: attest.BindingIdentity, replay: true, proposedAt: j.in.Now,
	}
	var admitted []item
	for _, list := range j.admissions {
		for _, it := range list {
			if a := it.Statement().Predicate.(*attest.Admission); gitfacts.ID(a.ReviewedHead) == c.Head && a.Change.ID == c.ID {
				admitted = append(admitted, it)
			}
		}
	}
	if len(admitted) == 0 {
		return m
	}
	slices.SortFunc(admitted, func(a, b item) int { return cmp.Compare(a.Index(), b.Index()) })
	a := admitted[0].Statement().Predicate.(*attest.Admission)
	j.admissions[c.Head], m.first, m.mergedBy, m.proposedAt = admitted, admitted[0].Index(), a.MergedBy, time.Time{}
	m.admissions = j.credit(admitted, c.ID)
	p.Merged, p.MergedAt = gitfacts.ID(a.Merged), m.first
	return m
}

// claimedPaths are those that the change attestation names, where nothing proves them.
func (j *judge) claimedPaths(m *merge) []gitfacts.Path {
	var out []gitfacts.Path
	for _, it := range j.changes[m.head] {
		for _, path := range it.Statement().Predicate.(*attest.Change).Paths {
			out = append(out, gitfacts.Path{Path: clean(path)})
		}
	}
	return out
}

// Asks is the most that a slot of a rule asks an approval to prove; zero where there is no
// such rule, or it asks nothing.
func (s *Set) Asks(rule string) (least roster.Assurance) {
	for i := range s.Rules {
		if s.Rules[i].ID != rule {
			continue
		}
		for _, slot := range s.Rules[i].Require.Slots {
			least = max(least, slot.Assurance)
		}
	}
	return least
}
