package policy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

const plain = "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\napprove bob h1\nadmit m1\nrelease m1\nask"

func TestADecisionSurvivesBeingRecorded(t *testing.T) {
	d := policy.Decide(tell(t, scenario.Story{Text: plain}, scenario.Attack).Input)
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := policy.ParseDecision(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := coreBytes(t, back); got != coreBytes(t, d) {
		t.Error(cmp.Diff(coreBytes(t, d), got))
	}
	for _, bad := range []string{"", "null", "{}", string(text) + " ", strings.Replace(string(text), `"core":{`, `"core":{"more":1,`, 1), strings.Replace(string(text), `"verdict":`, `"verdict":"deny","verdict":`, 1)} {
		if _, err := policy.ParseDecision([]byte(bad)); err == nil {
			t.Errorf("%.60s parses", bad)
		}
	}
	st, err := d.Statement()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := attest.ParseStatement(payload)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := policy.Recorded(parsed.Predicate.(*attest.Decision))
	if err != nil {
		t.Fatal(err)
	}
	if diff, err := policy.Differences(&recorded.Core, &d.Core); err != nil || len(diff) > 0 {
		t.Errorf("differs in %v, %v", diff, err)
	}
	lie := *parsed.Predicate.(*attest.Decision)
	lie.Verdict = "deny"
	if _, err := policy.Recorded(&lie); err == nil {
		t.Error("a predicate that contradicts its core is read")
	}
}

// K13: a recorded allow that the evidence does not support is found out.
func TestARecordedAllowIsNotBelieved(t *testing.T) {
	good := policy.Decide(tell(t, scenario.Story{Text: plain}, scenario.Attack).Input)
	now := policy.Decide(tell(t, scenario.Story{Text: strings.Replace(plain, "approve bob", "approve alice", 1)}, scenario.Attack).Input)
	diff, err := policy.Differences(&good.Core, &now.Core)
	if err != nil || len(diff) == 0 || diff[0] != "verdict" {
		t.Errorf("differs in %v, %v", diff, err)
	}
}

func TestASummaryPassesOnlyWhatHeld(t *testing.T) {
	for name, c := range map[string]struct {
		story, rules, want string
		dry                bool
	}{
		"allowed":        {plain, "", "PASSED", false},
		"denied":         {strings.Replace(plain, "approve bob", "approve alice", 1), "", "FAILED", false},
		"a dry run":      {plain, "", "FAILED", true},
		"audit had said": {plain, "  - {id: a, title: a, require: {approvals: [{count: 1}]}}\n  - {id: b, title: b, mode: audit, require: {approvals: [{count: 3}]}}\n", "FAILED", false},
	} {
		in := tell(t, scenario.Story{Text: c.story, Rules: c.rules}, scenario.Attack).Input
		in.DryRun = c.dry
		st, err := policy.Decide(in).Summary("https://gate.example.com", attest.DigestOf([]byte("decision")))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Predicate.(*attest.VSA).VerificationResult; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestADecisionWithoutACommitCannotBeRecorded(t *testing.T) {
	d := policy.Decide(tell(t, scenario.Story{Text: strings.Replace(plain, "release m1\n", "", 1)}, scenario.Attack).Input)
	if _, err := d.Statement(); err == nil || d.Core.Kind != policy.NoRelease {
		t.Errorf("%s %v", d.Core.Kind, err)
	}
}

func TestThePolicyInForceIsThePinnedOne(t *testing.T) {
	told := tell(t, scenario.Story{Text: plain}, scenario.Attack)
	ctx := context.Background()
	h, err := policy.ReadHistory(ctx, told.Log, told.Input.Trust, false)
	if err != nil {
		t.Fatal(err)
	}
	set := h.InForce(told.Input.Now)
	if set.Digest() != told.Set.Digest() {
		t.Error("another set is in force")
	}
	d, _, err := policy.Judge(ctx, told.Log, told.Verifier, policy.Input{Set: set, Request: told.Input.Request, Now: told.Input.Now})
	if err != nil || d.Core.Verdict != policy.Allow {
		t.Errorf("%v: %s %s", err, d.Core.Kind, d.Core.Why)
	}
	for name, owners := range map[string][]string{
		"one owner signed and is trusted, two are needed": {"dave", "carol"},
		"owners by trust, and not by the set":             {"carol", "bob"},
	} {
		trust := *told.Input.Trust
		trust.Owners = owners
		if _, err := policy.ReadHistory(ctx, told.Log, &trust, false); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	single := *told.Input.Trust
	single.Owners, single.UnsafeSingleOwner = []string{"dave"}, true
	if _, err := policy.ReadHistory(ctx, told.Log, &single, false); err != nil {
		t.Errorf("one owner, with the flag: %v", err)
	}
	other := *told.Input.Trust
	other.Genesis[0] ^= 1
	if _, err := policy.ReadHistory(ctx, told.Log, &other, false); err == nil {
		t.Error("a log that begins with another set is taken")
	}
}
