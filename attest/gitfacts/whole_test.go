package gitfacts

import (
	"context"
	"os"
	"testing"

	"github.com/countersign-dev/countersign/attest"
)

// The whole history, counted: of 389 merged changes whose reviewed head is known,
// 378 replay, and 207 have the head's very tree. It takes about a minute, so it runs
// only when COUNTERSIGN_WHOLE_HISTORY is set.
func TestTheWholeHistoryIsBound(t *testing.T) {
	if os.Getenv("COUNTERSIGN_WHOLE_HISTORY") == "" {
		t.Skip("set COUNTERSIGN_WHOLE_HISTORY=1 to run it")
	}
	r := openHistory(t)
	ctx := context.Background()
	commits, err := r.Range(ctx, "", resolve(t, r, "HEAD"))
	if err != nil {
		t.Fatal(err)
	}
	heads, sameTree := 0, 0
	found := make(map[attest.Binding]int)
	for _, id := range commits {
		c, err := r.Commit(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		m := pullID.FindStringSubmatch(c.Title())
		if m == nil || len(c.Parents) != 1 {
			continue
		}
		head, err := r.Resolve(ctx, HeadRef("refs/pull/{id}/head", m[1]))
		if err != nil {
			continue
		}
		heads++
		h, err := r.Commit(ctx, head)
		if err != nil {
			t.Fatal(err)
		}
		if h.Tree == c.Tree {
			sameTree++
		}
		o, err := r.Bind(ctx, id, head)
		if err != nil {
			t.Fatal(err)
		}
		found[o.Binding]++
		if o.Binding == attest.BindingResidual && len(o.ResidualPaths) == 0 {
			t.Errorf("%s: residual without a path", id)
		}
	}
	replays := found[attest.BindingIdentity] + found[attest.BindingReplay]
	if heads != 389 || sameTree != 207 || replays != 378 {
		t.Errorf("%d heads, %d with the same tree, %d replay; want 389, 207, 378", heads, sameTree, replays)
	}
	t.Logf("%v", found)
}
