package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
)

// claimedCore is what a verdict on a real release says, with bindings as they are.
func claimedCore(t *testing.T) *policy.Core {
	t.Helper()
	ctx := context.Background()
	repo, err := gitfacts.Open(ctx, historyDir(t))
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	resolve := func(rev string) gitfacts.ID {
		id, err := repo.Resolve(ctx, rev)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	core := &policy.Core{From: string(resolve("v0.5.7")), To: string(resolve("v0.5.8"))}
	commits, err := repo.Range(ctx, gitfacts.ID(core.From), gitfacts.ID(core.To))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range commits {
		c, err := repo.Commit(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		number := strings.TrimSuffix(c.Title()[strings.LastIndex(c.Title(), "#")+1:], ")")
		head := resolve("refs/pull/" + number + "/head")
		o, err := repo.Bind(ctx, id, head)
		if err != nil {
			t.Fatal(err)
		}
		core.Changes = append(core.Changes, policy.ChangeResult{Change: number, Commit: string(id), Head: string(head), Binding: string(o.Binding), BoundBy: "ci"})
	}
	return core
}

func TestRecomputeFindsWhatIsFalse(t *testing.T) {
	good := claimedCore(t)
	replayed := slices.IndexFunc(good.Changes, func(c policy.ChangeResult) bool { return c.Binding == "replay" })
	for name, c := range map[string]struct {
		spoil func(*policy.Core)
		code  int
		want  string
	}{
		"nothing":              {func(*policy.Core) {}, exitYes, ""},
		"a weaker claim":       {func(c *policy.Core) { c.Changes[replayed].Binding = "residual" }, exitYes, ""},
		"a commit left out":    {func(c *policy.Core) { c.Changes = c.Changes[1:] }, exitNo, "was not judged"},
		"a commit too many":    {func(c *policy.Core) { c.Changes[0].Commit = c.From }, exitNo, "is not on the branch"},
		"another order":        {func(c *policy.Core) { slices.Reverse(c.Changes) }, exitNo, "another order"},
		"identity for replay":  {func(c *policy.Core) { c.Changes[replayed].Binding = "identity" }, exitNo, "ci says"},
		"another head":         {func(c *policy.Core) { c.Changes[0].Head = c.Changes[1].Head }, exitNo, "change " + good.Changes[0].Change},
		"a head nobody has":    {func(c *policy.Core) { c.Changes[0].Head = strings.Repeat("9", 40) }, exitBroken, "not in the clone"},
		"a range from nowhere": {func(c *policy.Core) { c.From = strings.Repeat("9", 40) }, exitBroken, "not in the clone"},
		"no range":             {func(c *policy.Core) { c.From = "" }, exitBroken, "no range"},
	} {
		t.Run(name, func(t *testing.T) {
			core := *good
			core.Changes = slices.Clone(good.Changes)
			c.spoil(&core)
			cl := &client{t: t}
			a := &app{out: &cl.out, err: &cl.err, format: "text"}
			err := a.recompute(context.Background(), historyDir(t), &core)
			if got := a.exitCode(err); got != c.code || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("exit %d (%v), want %d about %q", got, err, c.code, c.want)
			}
		})
	}
}
