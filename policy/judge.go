package policy

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/verify"
)

// Judge gathers from a source and decides: what server, client and tests do
// alike. in.Gathered is filled in here, in.Trust where it is nil, and in.Set where it
// is nil and there is a History.
//
// Where the source holds what no honest log does, or more than is allowed, or its
// checkpoint does not verify, the decision is a deny with the kind, and the error
// says more: a *verify.CorruptError, *verify.LimitError or *verify.Refusal. After
// any other error (the source could not be read) there is no decision.
func Judge(ctx context.Context, src verify.Source, v *verify.Verifier, in Input) (*Decision, *verify.Gathered, error) {
	if in.Set == nil && in.History != nil {
		in.Set = in.History.InForce(in.Now)
	}
	if in.Set == nil {
		return nil, nil, fmt.Errorf("%w: there is none", ErrInvalid)
	}
	if in.Trust == nil {
		in.Trust = v.Trust()
	}
	g, err := verify.Gather(ctx, src, v, verify.Request{
		Plan: in.Request.Plan, Artifact: in.Request.Artifact, Commit: in.Request.Commit,
		Repository: in.Request.Repository, Environment: in.Request.Environment, Baselines: in.Set.baselines(in.Request),
		Incidents:   in.Set.AsksIncidents(),
		Snapshots:   in.Set.AsksSnapshots(),
		Permissions: in.Set.HoldsAgents(), Links: in.Set.LinkRules(),
	})
	if err != nil {
		err = fmt.Errorf("gather evidence: %w", err)
		if kind := sourceFault(err); kind != "" {
			return unreadable(in, kind, err), nil, err
		}
		return nil, nil, err
	}
	in.Gathered = g
	return Decide(in), g, nil
}

// baselines are the commits that the policy takes as a start for a request.
func (s *Set) baselines(r Request) []gitfacts.ID {
	var out []gitfacts.ID
	for _, b := range s.Baselines {
		if b.Repository == r.Repository && b.Environment == r.Environment {
			out = append(out, gitfacts.ID(b.Commit))
		}
	}
	return out
}

// sourceFault is the kind of an error for which the source is to blame; "" for others.
func sourceFault(err error) Kind {
	var (
		corrupt *verify.CorruptError
		limit   *verify.LimitError
		refusal *verify.Refusal
	)
	switch {
	case errors.As(err, &corrupt):
		return corrupt.Kind
	case errors.As(err, &limit):
		return limit.Kind()
	case errors.As(err, &refusal):
		return refusal.Kind
	}
	return ""
}

// unreadable is the decision about a source that cannot be judged by.
func unreadable(in Input, kind Kind, err error) *Decision {
	j := &judge{in: in, d: &Decision{Core: Core{Verdict: Deny}}}
	j.describe()
	j.posture()
	j.deny(kind, "%v", err)
	return j.d
}
