package policy_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

// previewed is what the rules say of head h1 of change 1.
func previewed(t *testing.T, told *scenario.Told, environment string) *policy.Preview {
	t.Helper()
	in := told.Input
	in.Gathered, in.Request = nil, policy.Request{Repository: scenario.Repository, Environment: environment}
	p, err := policy.PreviewChange(t.Context(), told.Log, told.Verifier, in, policy.Proposed{
		ID: "1", TargetRef: "refs/heads/main", Base: told.IDs["base"], Head: told.IDs["h1"],
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPreviewSaysWhatAReviewIsMissing(t *testing.T) {
	const begin = "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\n"
	const own = "authorship alice h1 human\n"
	const merged = "admit m1\nrelease m1\n"
	const notMerger = "  - id: one\n    title: One who does not merge\n    require:\n      approvals: [{count: 1, exclude: [merger]}]\n    remedy: Ask them.\n"
	const strict = "  - id: strict\n    title: What only a gate and a merge can show\n    require:\n      approvals: [{count: 1}]\n      bindings: [identity]\n      followed: true\n      recomputers: 1\n    remedy: Ask somebody.\n"
	for name, c := range map[string]struct {
		story, rules, env string
		enough            bool
		kind              policy.Kind
		who               [][]string // of what is awaited
	}{
		"nobody approved":          {begin + own, "", "production", false, policy.Insufficient, [][]string{{"bob", "carol", "dave", "erin", "frank"}}},
		"somebody did":             {begin + own + "approve bob h1", "", "production", true, "", nil},
		"the author did":           {begin + own + "approve alice h1", "", "production", false, policy.Insufficient, [][]string{{"bob", "carol", "dave", "erin", "frank"}}},
		"an author is unknown":     {begin + "approve bob h1", "", "production", false, policy.Insufficient, [][]string{{"carol", "dave", "erin", "frank"}}},
		"rejected":                 {begin + own + "reject bob h1", "", "production", false, policy.Veto, nil},
		"for staging":              {begin + own + "approve bob h1 env=staging", "", "production", false, policy.Insufficient, [][]string{{"bob", "carol", "dave", "erin", "frank"}}},
		"late":                     {begin + own + merged + "approve bob h1", "", "production", false, policy.Late, nil},
		"late, where that is fine": {begin + own + merged + "approve bob h1", "", "staging", true, "", nil},
		"what is not there yet":    {begin + own + "approve bob h1", strict, "production", true, "", nil},
		"approvals all the same":   {begin + own, strict, "production", false, policy.Insufficient, [][]string{{"bob", "carol", "dave", "erin", "frank"}}},
		"merged by one alone":      {begin + own + "approve bob h1\n" + merged, strict, "production", false, policy.Unbound, nil},
		"nobody merged it yet":     {begin + own, notMerger, "production", false, policy.Insufficient, [][]string{{"bob", "carol", "dave", "erin", "frank"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := previewed(t, tell(t, scenario.Story{Text: hour + c.story + "\nask env=" + c.env, Rules: c.rules}, scenario.Attack), c.env)
			if p.Enough != c.enough || p.Kind != c.kind {
				t.Errorf("enough %v, %s: %s", p.Enough, p.Kind, p.Why)
			}
			var who [][]string
			for _, a := range p.Awaiting {
				who = append(who, a.Who)
			}
			if diff := cmp.Diff(c.who, who); diff != "" {
				t.Error(diff)
			}
			if p.Change.Binding != "identity" || p.Change.Tier != "medium" || len(p.Commits) != 1 || len(p.Paths) != 1 || p.Paths[0].Path != "src/a.go" || p.Claimed {
				t.Errorf("%+v", p)
			}
		})
	}
}

// A review of an incident that is owed keeps nobody from approving before the merge.
func TestAPreviewAwaitsApprovalsWhileADeepDiveIsOwed(t *testing.T) {
	for approvals, want := range map[string]int{"": 1, "approve bob h1\napprove carol h1\n": 0} {
		p := previewed(t, tell(t, scenario.Story{
			Text:  hour + "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\nincident pager INC-7 sev1 domains=source\n" + approvals + "ask env=production",
			Rules: "  - id: reviewed\n    title: One\n    require:\n      approvals: [{count: 1}]\n  - id: dives\n    title: After a Sev1\n    when: change.aiAssisted\n    require:\n      deepDives: sev1\n",
		}, scenario.Attack), "production")
		if p.Enough || len(p.Awaiting) != want {
			t.Errorf("%q: enough %v, %d awaited, %s: %s", approvals, p.Enough, len(p.Awaiting), p.Kind, p.Why)
		}
	}
}

// What was previewed is what the gate says of a clean merge.
func TestAPreviewAgreesWithTheGate(t *testing.T) {
	for _, approvals := range []string{"", "approve carol h1\n", "approve bob h1\napprove carol h1\n", "reject bob h1\n"} {
		told := tell(t, scenario.Story{
			Text:  hour + "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\n" + approvals + "admit m1\nrelease m1\nask env=staging",
			Rules: twoWithSenior,
		}, scenario.Attack)
		d, p := policy.Decide(told.Input), previewed(t, told, "staging")
		if p.Merged != told.IDs["m1"] {
			t.Errorf("merged as %q", p.Merged)
		}
		if p.Enough != (d.Core.Verdict == policy.Allow) || p.Kind != d.Core.Kind {
			t.Errorf("%q: preview %v %s, gate %s %s", approvals, p.Enough, p.Kind, d.Core.Verdict, d.Core.Kind)
		}
		if diff := cmp.Diff(d.Core.Changes[0].Rules, p.Change.Rules); diff != "" {
			t.Error(diff)
		}
		if !slices.EqualFunc(d.Core.Changes[0].Approved, p.Change.Approved, func(a, b policy.Voice) bool { return a == b }) {
			t.Errorf("%v, %v", d.Core.Changes[0].Approved, p.Change.Approved)
		}
	}
}
