package main

import (
	"context"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// approvedBefore is the entry in which somebody approved this head for all these environments
// with this key, and of which they have not spoken since; ok says that there is one.
func (a *app) approvedBefore(ctx context.Context, l *ledger, me *roster.Principal, ch *found, f *approving) (index uint64, ok bool, err error) {
	if f.again || f.offline || f.print || f.out != "" || f.decision != string(attest.Approved) {
		return 0, false, nil
	}
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{
		Repository: ch.change.Repository, Change: ch.change.Change.ID, PredicateType: attest.TypeApproval, PageSize: 1000, WithBundles: true,
	}, maxApprovals)
	if err != nil {
		return 0, false, err
	}
	for _, e := range entries {
		_, st, err := statement(e)
		if err != nil {
			return 0, false, err
		}
		p, is := st.Predicate.(*attest.Approval)
		if !is || p.Reviewer != me.ID || st.Subjects[0].Digest["gitCommit"] != ch.change.Head {
			continue
		}
		index, ok = e.Index, p.Decision == attest.Approved && e.Signer == f.pen.id().String() &&
			!slices.ContainsFunc(f.environments, func(name string) bool { return !slices.Contains(p.Scope.Environments, name) })
	}
	return index, ok, nil
}

// maxApprovals bounds how many approvals of a change are read.
const maxApprovals = 10_000
