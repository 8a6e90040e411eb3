package main

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// waitingChange is a change of a release, at the head that was merged.
type waitingChange struct{ id, head string }

// approveRelease approves every change of a release that waits for this reviewer. There is
// no approval of a release besides those of its changes.
func (a *app) approveRelease(ctx context.Context, l *ledger, set *policy.Set, me *roster.Principal, f approving) error {
	if f.decision != string(attest.Approved) || f.head != "" {
		return wrong("--release approves what waits in a release; reject or withdraw by change: countersign approve ID --decision %s", f.decision)
	}
	var all []waitingChange
	var last *policy.Core
	for _, env := range f.environments {
		core, err := a.askAbout(ctx, l, f, env)
		if err != nil {
			return err
		}
		for _, w := range core.Awaiting {
			c := waitingChange{w.Change, w.Head}
			if slices.Contains(w.Who, me.ID) && !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
		last = core
	}
	switch {
	case len(all) == 0 && last.Verdict == policy.Allow:
		a.notef("%s: nothing is missing\n", f.release)
		return nil
	case len(all) == 0:
		return refused("no approval of %s would help: %s: %s", me.ID, last.Kind, last.Why)
	}
	a.notef("%s of %s wait for %s\n", plural(len(all), "change"), f.release, me.ID)
	f.alone = len(all) == 1
	for _, c := range all {
		ch, err := a.findChange(ctx, l, f.repository, c.id, c.head)
		if err != nil {
			return err
		}
		if err := a.approveOne(ctx, l, set, me, ch, f); err != nil {
			return err
		}
	}
	return nil
}

// askAbout is what the ledger says of a release.
func (a *app) askAbout(ctx context.Context, l *ledger, f approving, environment string) (*policy.Core, error) {
	artifact, commit, err := parseSubject(f.release)
	if err != nil {
		return nil, err
	}
	req := &countersignv1.VerifyRequest{Repository: f.repository, Environment: environment}
	if artifact != nil {
		req.Subject = &countersignv1.VerifyRequest_ArtifactSha256{ArtifactSha256: artifact.String()}
	} else {
		req.Subject = &countersignv1.VerifyRequest_Commit{Commit: string(commit)}
	}
	resp, err := l.verifier.Verify(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	d, err := policy.ParseDecision(resp.Msg.Decision)
	if err != nil {
		return nil, broken("%v", err)
	}
	return &d.Core, nil
}
