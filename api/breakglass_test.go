package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

const glassRules = `
  - id: reviewed
    title: Somebody else approves every change
    require:
      approvals: [{count: 1}]
breakGlass: {environments: [production], maxDuration: 4h, maxUses: 2, reviewWithin: 24h}
`

// glassStory grants one use for eight artifacts.
const glassStory = `
	commit h1 alice src/a.go
	squash m1 of=h1
	change h1
	authorship alice h1 human
	admit m1
	release m1 artifact=a0 first=a1
	release m1 artifact=a2 first=a3
	release m1 artifact=a4 first=a5
	release m1 artifact=a6 first=a7
	r: request bob artifacts=a0,a1,a2,a3,a4,a5,a6,a7
	grant carol r
`

// Eight gates ask at once about eight artifacts, and one use was granted.
func TestOneGateHasTheLastUse(t *testing.T) {
	f := start(t, setup{story: glassStory, rules: glassRules})
	f.tell()
	verdicts := make([]countersignv1.Verdict, 8)
	var all sync.WaitGroup
	for i := range verdicts {
		all.Go(func() {
			r, err := f.askFor(fmt.Sprintf("a%d", i), "first")
			if err != nil {
				t.Error(err)
				return
			}
			verdicts[i] = r.Verdict
		})
	}
	all.Wait()
	opened := 0
	for _, v := range verdicts {
		if v == countersignv1.Verdict_VERDICT_ALLOW_BREAK_GLASS {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("%d gates opened: %v", opened, verdicts)
	}
	// What is asked again about the one that went is the same use, and is no use for another.
	for i, v := range verdicts {
		r, err := f.askFor(fmt.Sprintf("a%d", i), "")
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != v {
			t.Errorf("artifact %d: %v, and then %v", i, v, r.Verdict)
		}
		d := f.decision(r)
		if v == countersignv1.Verdict_VERDICT_ALLOW_BREAK_GLASS && (d.Core.BreakGlass.Use != 1 || d.Core.Verdict != policy.AllowBreakGlass || r.DecisionBundle == nil) {
			t.Errorf("artifact %d: %+v", i, d.Core.BreakGlass)
		}
		if v == countersignv1.Verdict_VERDICT_DENY && !strings.Contains(string(r.Decision), "USED_UP") {
			t.Errorf("artifact %d: %s", i, r.Decision)
		}
	}
}

// A use that cannot be logged is none, and opens nothing.
func TestAUseThatCannotBeLoggedOpensNothing(t *testing.T) {
	full := &fullStore{}
	f := start(t, setup{story: glassStory, rules: glassRules, wrap: func(s ledger.Store) ledger.Store { full.Store = s; return full }})
	f.tell()
	full.on = true
	if r, err := f.askFor("a0", "one"); err == nil {
		t.Errorf("answered %v", r.Verdict)
	}
	full.on = false
	if r, err := f.askFor("a1", "two"); err != nil || r.Verdict != countersignv1.Verdict_VERDICT_ALLOW_BREAK_GLASS {
		t.Errorf("what was not logged was counted: %v, %v", r, err)
	}
}

// askFor asks as the gate whether an artifact may go to production.
func (f *fixture) askFor(name, nonce string) (*countersignv1.VerifyResponse, error) {
	req := connect.NewRequest(&countersignv1.VerifyRequest{
		Subject:    &countersignv1.VerifyRequest_ArtifactSha256{ArtifactSha256: attest.DigestOf([]byte(name)).String()},
		Repository: scenario.Repository, Environment: "production", Nonce: nonce,
	})
	req.Header().Set("Authorization", "Bearer "+gateToken)
	resp, err := f.verifier.Verify(context.Background(), req)
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}
