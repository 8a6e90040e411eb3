package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// approvePlan shows what a plan does, by everything that is said of it and by what is
// in the file, and signs a word about exactly that file.
func (a *app) approvePlan(ctx context.Context, l *ledger, set *policy.Set, me *roster.Principal, f approving) error {
	digest, err := planSubject(f.plan)
	if err != nil {
		return err
	}
	said, err := a.saidOfPlan(ctx, l, digest, f)
	if err != nil {
		return err
	}
	if _, err := os.Stat(f.plan); err == nil {
		facts, read, err := a.derive(ctx, f.plan, f.deriving)
		switch {
		case err != nil:
			return err
		case facts == nil:
		case read != *digest:
			return refused("SUBJECT_MISMATCH: %s changed while it was looked at", f.plan)
		case attest.OperationsDigest(facts.Operations) != attest.OperationsDigest(said):
			return refused("BAD_FACTS: %s does something else than is said of it:\nit does   %s\nsaid      %s", f.plan, countsOf(facts.Operations), countsOf(said))
		}
	}
	if !a.json() {
		a.printf("%s  sha256:%s\n", a.bold("plan "+f.plan), digest)
		a.showOperations(set, said)
	}
	where := strings.Join(f.environments, " and ")
	if !f.yes {
		verb := map[string]string{"approved": "Approve", "rejected": "Reject", "withdrawn": "Withdraw your approval of"}[f.decision]
		ok, err := a.ask(fmt.Sprintf("%s plan %.12s for %s, as %s?", verb, digest, where, me.ID))
		if err != nil {
			return err
		}
		if !ok {
			return refused("nothing was signed")
		}
	}
	st := &attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"sha256": digest.String()}}},
		Predicate: &attest.Approval{
			Decision: attest.ApprovalDecision(f.decision), Reviewer: me.ID, Repository: f.repository, About: &attest.ApprovalAbout{Plan: digest.String()},
			Scope: attest.Scope{Environments: f.environments}, ApprovedAt: attest.At(a.now()), Comment: f.comment, ReviewLink: f.link,
		},
	}
	return f.pen.write(ctx, l, st, fmt.Sprintf("%s %s plan %.12s for %s", me.ID, f.decision, digest, where), f.signing)
}

// saidOfPlan puts together what the log holds of what a plan does to the environments.
func (a *app) saidOfPlan(ctx context.Context, l *ledger, digest *attest.Digest, f approving) ([]attest.ResourceOperation, error) {
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{
		Subject: "sha256:" + digest.String(), PredicateType: attest.TypeOperation, PageSize: 1000, WithBundles: true,
	}, 1000)
	if err != nil {
		return nil, err
	}
	var all []attest.ResourceOperation
	told := make(map[string]bool)
	for _, e := range entries {
		_, st, err := statement(e)
		if err != nil {
			return nil, err
		}
		o, ok := st.Predicate.(*attest.Operation)
		if !ok || st.Subjects[0].Digest["sha256"] != digest.String() {
			return nil, lied("the log gave entry %d for plan %s, and it is none", e.Index, digest)
		}
		if o.Repository == f.repository {
			told[o.Environment] = true
			all = union(all, o.Each())
		}
	}
	for _, env := range f.environments {
		if !told[env] {
			return nil, refused("NO_PLAN: nobody says what plan sha256:%.12s… of %s does to %s; whoever made it says so with: countersign attest plan", digest, f.repository, env)
		}
	}
	return all, nil
}
