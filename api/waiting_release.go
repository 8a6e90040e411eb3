package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/api/console"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
)

// releases looks at the last decision about each artifact and commit, unless a later
// release of the repository was allowed there.
func (w *waiting) releases(ctx context.Context) error {
	seen, allowed := make(map[question]bool), make(map[string]bool)
	return w.newest(ctx, attest.TypeDecision, func(t told) (bool, error) {
		d, ok := t.st.Predicate.(*attest.Decision)
		if !ok || d.Plan != "" || w.q.Repository != "" && d.Repository != w.q.Repository || !slices.Contains(w.environments(), d.Environment) {
			return false, nil
		}
		place := d.Repository + " " + d.Environment
		if allowed[place] = allowed[place] || d.Verdict == string(policy.Allow); allowed[place] {
			return false, nil
		}
		q := question{repository: d.Repository, environment: d.Environment, dryRun: true, commit: gitfacts.ID(d.To)}
		if core, err := policy.Recorded(d); err == nil && core.Core.Artifact != "" {
			if q.artifact, err = attest.ParseDigest(core.Core.Artifact); err == nil {
				q.commit = ""
			}
		}
		if seen[q] {
			return false, nil
		}
		seen[q] = true
		v, err := w.judge(ctx, w.src, w.regime, q, "")
		if err != nil {
			return false, w.skip(ctx, "release "+d.To, err)
		}
		w.addRelease(t, d, &v.decision.Core)
		return len(seen) >= maxWaiting, nil
	})
}

// addRelease is one item for all changes of a release that wait: its tier is the highest
// of theirs.
func (w *waiting) addRelease(t told, d *attest.Decision, core *policy.Core) {
	i := console.Item{Kind: "release", Repository: d.Repository, Environment: d.Environment, Artifact: core.Artifact, Commit: d.To, Title: core.Release, Rank: -1, Index: t.index, At: t.at}
	for n := range core.Changes {
		c := &core.Changes[n]
		var mine []policy.Awaiting
		for _, a := range core.Awaiting {
			if a.Change == c.Change && a.Head == c.Head && (w.q.Person == "" || slices.Contains(a.Who, w.q.Person)) {
				mine = append(mine, a)
			}
		}
		if len(mine) == 0 {
			continue
		}
		i.Changes = append(i.Changes, c.Change)
		if rank := slices.Index(w.set.Tiers, c.Tier); rank > i.Rank {
			i.Rank, i.Tier = rank, c.Tier
		}
	}
	if len(i.Changes) > 0 {
		i.Need = append(i.Need, fmt.Sprintf("approvals of %d of its %d changes", len(i.Changes), len(core.Changes)))
		w.add(i, &policy.ChangeResult{}, core.Awaiting)
	}
}
