package main

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// anyAge lets a past decision be repeated that was made from the log's own view.
const anyAge = 100 * 365 * 24 * time.Hour

// verifyAsOf repeats a decision that the ledger logged: the same request, at the state of
// the log and the time that it names, under the policy that was in force then.
func (a *app) verifyAsOf(ctx context.Context, req policy.Request, trust *verify.Trust, f verifying) error {
	if trust == nil || f.pack != "" || f.baseline != "" || f.followed != "" || f.repo != "" || f.out != "" {
		return wrong("--as-of needs --trust and goes without --pack, --baseline, --followed, --repo and --out: it repeats what was decided, from what the log held")
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	index, err := a.pastDecision(ctx, l, req, f.asOf)
	if err != nil {
		return err
	}
	recorded, err := a.recordedDecision(ctx, l, trust, index)
	if err != nil {
		return err
	}
	req.Nonce = recorded.Core.Nonce
	if err := answers(&recorded.Core, req); err != nil {
		return wrong("entry %d: %v", index, err)
	}
	pack, err := a.fetchPack(ctx, l, req, recorded.Core.Log.Size)
	if err != nil {
		return err
	}
	again, err := decideThen(ctx, pack, trust, req, recorded.Core.DecidedAt.Time)
	if err != nil {
		return err
	}
	return a.sayRepeated(index, recorded, again, trust, f.verbose)
}

// pastDecision finds the decision that an index or a time means: the one that is there,
// or the last one about the request that was logged by then.
func (a *app) pastDecision(ctx context.Context, l *ledger, req policy.Request, asOf string) (uint64, error) {
	if index, err := strconv.ParseUint(asOf, 10, 64); err == nil {
		return index, nil
	}
	until, err := parseWhen("--as-of", asOf)
	if err != nil {
		return 0, wrong("--as-of %q is neither the index of a decision nor a time such as 2026-03-01T12:00:00Z", asOf)
	}
	subject := "gitCommit:" + string(req.Commit)
	if req.Artifact != nil {
		subject = "sha256:" + req.Artifact.String()
	}
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{
		Subject: subject, PredicateType: attest.TypeDecision, Repository: req.Repository, Until: until, PageSize: 1000, WithBundles: true,
	}, 1_000_000)
	if err != nil {
		return 0, err
	}
	for i := len(entries) - 1; i >= 0; i-- {
		_, st, err := statement(entries[i])
		if err != nil {
			return 0, err
		}
		if p, ok := st.Predicate.(*attest.Decision); ok && p.Environment == req.Environment && (req.Artifact != nil || len(st.Subjects) == 1) {
			return entries[i].Index, nil
		}
	}
	return 0, refused("no decision about this was logged by %s", asOf)
}

// recordedDecision reads a logged decision and checks its receipt and its signer.
func (a *app) recordedDecision(ctx context.Context, l *ledger, trust *verify.Trust, index uint64) (*policy.Decision, error) {
	e, err := a.entry(ctx, l, index)
	if err != nil {
		return nil, err
	}
	b, st, err := statement(e)
	if err != nil {
		return nil, err
	}
	p, ok := st.Predicate.(*attest.Decision)
	if !ok {
		return nil, wrong("entry %d is a %s, and no decision", index, shortType(st.Predicate.Type()))
	}
	if _, err := receiptAt(trust, b, index); err != nil {
		return nil, err
	}
	if err := trust.Service.Verify(b.PAE(), b.Signature); err != nil {
		return nil, lied("decision #%d is not signed by the service that the trust folder pins: %v", index, err)
	}
	d, err := policy.Recorded(p)
	if err != nil {
		return nil, broken("entry %d: %v", index, err)
	}
	return d, nil
}

// decideThen decides from a pack as somebody did at a time. Who had cosigned the
// checkpoint then is kept nowhere; that is left out here, and said.
func decideThen(ctx context.Context, pack []byte, trust *verify.Trust, req policy.Request, then time.Time) (*policy.Decision, error) {
	t := *trust
	t.Witnesses = nil
	src, err := verify.OpenPack(bytes.NewReader(pack), &t)
	if err != nil {
		return nil, classifyEvidence(err)
	}
	h, err := policy.ReadHistory(ctx, src, &t, false)
	if err != nil {
		return nil, classifyEvidence(err)
	}
	v, err := verify.New(verify.Config{Trust: &t, Roster: h.Latest().Set.Roster, Roll: h})
	if err != nil {
		return nil, broken("%v", err)
	}
	d, _, err := policy.Judge(ctx, src, v, policy.Input{History: h, Trust: &t, Request: req, Now: then, MaxViewAge: anyAge})
	if err != nil {
		return nil, classifyEvidence(err)
	}
	return d, nil
}

// sayRepeated shows the decision as it comes out now. Its exit code is that of a verdict
// only where both agree.
func (a *app) sayRepeated(index uint64, recorded, again *policy.Decision, trust *verify.Trust, verbose bool) error {
	witnessed := trust.Witnesses != nil && recorded.Core.Time == "witnessed"
	if witnessed {
		again.Core.Time = recorded.Core.Time
	}
	differs, err := policy.Differences(&recorded.Core, &again.Core)
	if err != nil {
		return broken("%v", err)
	}
	if a.json() {
		if err := a.writeJSON(map[string]any{"decision": again, "repeats": index, "same": len(differs) == 0, "differs": append([]string{}, differs...)}); err != nil {
			return err
		}
	} else {
		a.render(again, verbose)
		if len(differs) == 0 {
			a.printf("repeats #%d to the byte, as of %d entries and %s\n", index, recorded.Core.Log.Size, recorded.Core.DecidedAt.Format(time.RFC3339))
		}
		if witnessed {
			a.printf("%s\n", a.faint("that witnesses had cosigned the log then is the decision's word: cosignatures of the past are not kept"))
		}
	}
	switch {
	case len(differs) > 0 && recorded.Core.Verdict.Opens() && !again.Core.Verdict.Opens():
		return lied("decision #%d says allow, and the evidence of then does not give it", index)
	case len(differs) > 0:
		return broken("decision #%d cannot be repeated: it differs in %s", index, strings.Join(differs, ", "))
	case again.Core.Verdict.Opens():
		return nil
	}
	return silent(exitNo)
}
