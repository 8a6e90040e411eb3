package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

const twoWithSenior = `
  - id: two
    title: Two people, one of them senior
    require:
      approvals: [{count: 1}, {count: 1, level: senior}]
    remedy: Ask them.
`

// hour passes first, and those of the cast who leave have left.
const hour = "wait 1h\n"

func TestADenySaysWhatItIsAwaiting(t *testing.T) {
	const begin = "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\n"
	for name, c := range map[string]struct {
		story string
		want  []policy.Awaiting
	}{
		"nobody approved": {
			begin + "admit m1\nrelease m1\nask env=staging",
			[]policy.Awaiting{
				{Change: "1", Rule: "two", Count: 1, Who: []string{"bob", "carol", "dave", "erin", "frank"}},
				{Change: "1", Rule: "two", Count: 1, Level: "senior", Who: []string{"carol", "dave", "erin"}},
			},
		},
		"somebody senior approved, and moves to their slot": {
			begin + "approve carol h1\nadmit m1\nrelease m1\nask env=staging",
			[]policy.Awaiting{{Change: "1", Rule: "two", Count: 1, Level: "senior", Who: []string{"dave", "erin"}}},
		},
		"an author is not authenticated": {
			"commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\napprove carol h1\napprove dave h1\nadmit m1\nrelease m1\nask env=staging",
			[]policy.Awaiting{{Change: "1", Rule: "two", Count: 1, Who: []string{"bob", "erin", "frank"}}},
		},
		"after the merge no approval helps":      {begin + "admit m1\nrelease m1\nask env=production", nil},
		"a rejection stands in the way":          {begin + "reject bob h1\nadmit m1\nrelease m1\nask env=staging", nil},
		"the binding stands in the way":          {begin + "admit m1 head=none\nrelease m1\nask env=staging", nil},
		"another change has no admission at all": {"commit h1 alice src/a.go\nsquash m1 of=h1\ncommit h2 alice src/b.go parent=m1\nsquash m2 of=h2\nchange h1\nchange h2\nadmit m2\nrelease m2\nask env=staging", nil},
		"allowed":                                {begin + "approve bob h1\napprove carol h1\nadmit m1\nrelease m1\nask env=staging", nil},
	} {
		t.Run(name, func(t *testing.T) {
			told := tell(t, scenario.Story{Text: hour + c.story, Rules: twoWithSenior}, scenario.Attack)
			d := policy.Decide(told.Input)
			for i := range c.want {
				c.want[i].Head = string(told.IDs["h1"])
			}
			if diff := cmp.Diff(c.want, d.Core.Awaiting); diff != "" {
				t.Errorf("%s %s\n%s", d.Core.Kind, d.Core.Why, diff)
			}
		})
	}
}

// What is awaited is exactly what turns the verdict.
func TestGivingWhatIsAwaitedAllows(t *testing.T) {
	const before = "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\napprove carol h1\nadmit m1\nrelease m1\n"
	d := policy.Decide(tell(t, scenario.Story{Text: hour + before + "ask env=staging", Rules: twoWithSenior}, scenario.Attack).Input)
	if len(d.Core.Awaiting) != 1 {
		t.Fatalf("awaiting %+v", d.Core.Awaiting)
	}
	for _, who := range d.Core.Awaiting[0].Who {
		d := policy.Decide(tell(t, scenario.Story{Text: hour + before + "approve " + who + " h1\nask env=staging", Rules: twoWithSenior}, scenario.Attack).Input)
		if d.Core.Verdict != policy.Allow || !d.Core.Changes[0].Approved[1].Late {
			t.Errorf("%s approved: %s %s %s", who, d.Core.Verdict, d.Core.Kind, d.Core.Why)
		}
	}
}

func TestReasonsSayWhatAPersonCanDo(t *testing.T) {
	d := policy.Decide(tell(t, scenario.Story{Text: hour + "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\napprove bob h1\nadmit m1\nrelease m1\nask env=staging", Rules: twoWithSenior}, scenario.Attack).Input)
	want := policy.Finding{
		Rule: "two", Kind: policy.Insufficient, Why: "1 approval counts (bob #4)",
		Need: "1 more approval by a person of level senior or above who did not write it", Who: []string{"carol", "dave", "erin"},
	}
	if diff := cmp.Diff(want, d.Core.Changes[0].Rules[0]); diff != "" {
		t.Error(diff)
	}
	if d.Core.Rules[0].Remedy != "Ask them." {
		t.Errorf("remedy %q", d.Core.Rules[0].Remedy)
	}
}
