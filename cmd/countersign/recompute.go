package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
)

// recompute reads a clone and finds again what a verdict took somebody's word
// for: which commits the range holds, and how each reviewed head became its merge.
// What contradicts the verdict is an error that exits with 1, and
// names who claimed it; a clone that lacks what is needed exits with 3.
func (a *app) recompute(ctx context.Context, dir string, core *policy.Core) error {
	if core.From == "" || len(core.Changes) == 0 {
		return broken("--repo: the decision names no range of commits, so there is nothing to recompute")
	}
	repo, err := gitfacts.Open(ctx, dir)
	if err != nil {
		return wrong("--repo: %v", err)
	}
	defer repo.Close()
	wrongs, err := recomputeRange(ctx, repo, core)
	if err != nil {
		return err
	}
	bar := a.progress(len(core.Changes), "replaying merges")
	for i := range core.Changes {
		why, err := recomputeBinding(ctx, repo, &core.Changes[i])
		if err != nil {
			return err
		}
		wrongs = append(wrongs, why...)
		bar.add(1)
	}
	bar.done()
	if len(wrongs) > 0 {
		return refused("BAD_FACTS: the clone %s contradicts what the verdict rests on:\n%s", dir, strings.Join(wrongs, "\n"))
	}
	if !a.json() {
		a.printf("recomputed from %s with git %s: the same %d commits, each merged as was claimed\n", dir, repo.Version(), len(core.Changes))
	}
	return nil
}

// recomputeRange compares the commits of the verdict with the first-parent line
// of the clone.
func recomputeRange(ctx context.Context, repo *gitfacts.Repo, core *policy.Core) ([]string, error) {
	for _, id := range []string{core.From, core.To} {
		if _, err := repo.Resolve(ctx, id); err != nil {
			return nil, notInClone(id, err)
		}
	}
	commits, err := repo.Range(ctx, gitfacts.ID(core.From), gitfacts.ID(core.To))
	if err != nil {
		return []string{err.Error()}, nil
	}
	var judged []gitfacts.ID
	for _, c := range core.Changes {
		judged = append(judged, gitfacts.ID(c.Commit))
	}
	var wrongs []string
	for _, id := range commits {
		if !slices.Contains(judged, id) {
			wrongs = append(wrongs, fmt.Sprintf("commit %.12s is on the branch, and was not judged", id))
		}
	}
	for _, id := range judged {
		if !slices.Contains(commits, id) {
			wrongs = append(wrongs, fmt.Sprintf("commit %.12s was judged, and is not on the branch", id))
		}
	}
	if len(wrongs) == 0 && !slices.Equal(commits, judged) {
		wrongs = append(wrongs, "the commits were judged in another order than the branch has them")
	}
	return wrongs, nil
}

// recomputeBinding merges the reviewed head again. Identity and replay must come
// out as they were claimed; a patch or a residual must be no better than it is.
func recomputeBinding(ctx context.Context, repo *gitfacts.Repo, c *policy.ChangeResult) ([]string, error) {
	claimed := attest.Binding(c.Binding)
	if c.Head == "" || claimed == attest.BindingUnverifiable {
		return nil, nil
	}
	for _, id := range []string{c.Commit, c.Head} {
		if _, err := repo.Resolve(ctx, id); err != nil {
			return nil, notInClone(id, err)
		}
	}
	found, err := repo.Bind(ctx, gitfacts.ID(c.Commit), gitfacts.ID(c.Head))
	if err != nil {
		return nil, broken("replay change %s: %v", c.Change, err)
	}
	if strength(found.Binding) <= strength(claimed) {
		return nil, nil
	}
	by := c.BoundBy
	if by == "" {
		by = "somebody"
	}
	why := fmt.Sprintf("change %s: %s says that commit %.12s is the %s of head %.12s; here it is %s", c.Change, by, c.Commit, claimed, c.Head, found.Binding)
	if len(found.ResidualPaths) > 0 {
		why += ", beyond the review in " + strings.Join(found.ResidualPaths, ", ")
	}
	return []string{why}, nil
}

// strength orders bindings, 0 the strongest; what is unknown is the weakest.
func strength(b attest.Binding) int {
	order := []attest.Binding{attest.BindingIdentity, attest.BindingReplay, attest.BindingPatch, attest.BindingResidual, attest.BindingUnverifiable}
	if i := slices.Index(order, b); i >= 0 {
		return i
	}
	return len(order)
}

func notInClone(id string, err error) error {
	if errors.Is(err, gitfacts.ErrNotFound) {
		return broken("--repo: commit %.12s is not in the clone; fetch it (git fetch origin 'refs/pull/*:refs/pull/*' brings reviewed heads)", id)
	}
	return err
}
