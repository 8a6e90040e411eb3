package policy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

const onceReviewed = "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\napprove bob h1\nadmit m1\nrelease m1\n"

const afterIncident = `
  - id: reviewed
    title: Somebody else approves every change
    require:
      approvals: [{count: 1}]
  - id: after-an-incident
    title: For a week after a Sev1, two people approve
    when: incidents.sev1("7d") > 0
    require:
      approvals: [{count: 2}]
`

// The verdict says because of which incident, and cites what made it what it is.
func TestAVerdictNamesTheIncidentThatItAsksMoreFor(t *testing.T) {
	story := scenario.Story{Text: onceReviewed + "i: incident pager INC-7 sev2 domains=source\nincident bob INC-7 sev1 domains=source over=i\nask", Rules: afterIncident}
	d := policy.Decide(tell(t, story, scenario.Attack).Input)
	if want := "asked because of INC-7 (sev1) #7 (source)"; !strings.Contains(d.Core.Why, want) {
		t.Errorf("%q does not say %q", d.Core.Why, want)
	}
	var cited []uint64
	for _, in := range d.Core.Inputs {
		if in.Type == attest.TypeIncident && in.Role == "incident INC-7 (sev1)" {
			cited = append(cited, in.Index)
		}
	}
	if diff := cmp.Diff([]uint64{7, 8}, cited); diff != "" {
		t.Error(diff)
	}
}

// Nobody can show a log, or a pack of it, and leave an incident out.
func TestNobodyLeavesAnIncidentOut(t *testing.T) {
	story := scenario.Story{Text: onceReviewed + "incident pager INC-7 sev1 domains=source\nask", Rules: afterIncident}
	told := tell(t, story, scenario.Attack)
	req := told.Input.Gathered.Request
	if !req.Incidents || len(told.Input.Gathered.Incidents) != 1 {
		t.Fatalf("gathered %d incidents", len(told.Input.Gathered.Incidents))
	}
	rec := verify.NewRecorder(told.Log)
	g, err := verify.Gather(t.Context(), rec, told.Verifier, req)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := verify.WritePack(t.Context(), &text, rec, told.Input.Trust, req); err != nil {
		t.Fatal(err)
	}
	p, err := verify.OpenPack(bytes.NewReader(text.Bytes()), told.Input.Trust)
	if err != nil {
		t.Fatal(err)
	}
	in := told.Input
	if in.Gathered, err = verify.Gather(t.Context(), p, told.Verifier, req); err != nil {
		t.Fatal(err)
	}
	if got := policy.Decide(in); got.Core.Kind != policy.Insufficient {
		t.Errorf("from the pack: %s %s", got.Core.Kind, got.Core.Why)
	}
	// A pack that was made for rules that ask for none is none for these.
	req.Incidents = false
	rec = verify.NewRecorder(told.Log)
	if _, err := verify.Gather(t.Context(), rec, told.Verifier, req); err != nil {
		t.Fatal(err)
	}
	text.Reset()
	if err := verify.WritePack(t.Context(), &text, rec, told.Input.Trust, req); err != nil {
		t.Fatal(err)
	}
	if p, err = verify.OpenPack(bytes.NewReader(text.Bytes()), told.Input.Trust); err != nil {
		t.Fatal(err)
	}
	req.Incidents = true
	if _, err := verify.Gather(t.Context(), p, told.Verifier, req); !errors.Is(err, verify.ErrNotInPack) {
		t.Errorf("a pack without incidents: %v", err)
	}
	// And the chain ties the entry: without its link there is no such state of the log.
	link := g.Incidents[0].Link
	if _, err := verify.Gather(t.Context(), linkless{told.Log, link.Index}, told.Verifier, req); !errors.As(err, new(*verify.CorruptError)) {
		t.Errorf("a log without the link: %v", err)
	}
}

// The window ends to the second, and an incident that lasts has none.
func TestTheWindowOfAnIncident(t *testing.T) {
	story := scenario.Story{Text: onceReviewed + "incident pager INC-7 sev1 domains=source\nask", Rules: afterIncident}
	in := tell(t, story, scenario.Attack).Input
	learned := in.Gathered.Incidents[0].Evidence.Time()
	in.MaxViewAge = 1000 * time.Hour
	for after, want := range map[time.Duration]policy.Verdict{
		7 * 24 * time.Hour:             policy.Deny,
		7*24*time.Hour + 1*time.Second: policy.Allow,
	} {
		in.Now = learned.Add(after)
		if d := policy.Decide(in); d.Core.Verdict != want {
			t.Errorf("%s after: %s, want %s (%s)", after, d.Core.Verdict, want, d.Core.Why)
		}
	}
}

const budgetRules = `
  - id: reviewed
    title: Somebody else approves every change
    require:
      approvals: [{count: 1}]
  - id: budget
    title: Nothing goes where the error budget is spent
    when: budget.remaining() <= 0.0
    forbid: true
`

// A budget is spent by the hours of incidents, each hour once.
func TestABudgetIsSpentOnce(t *testing.T) {
	for name, c := range map[string]struct {
		said string
		want policy.Verdict
	}{
		"nothing broke":              {"", policy.Allow},
		"less than it":               {"incident pager INC-7 sev2 domains=source for=119m", policy.Allow},
		"all of it":                  {"incident pager INC-7 sev2 domains=source for=120m", policy.Deny},
		"twice at once":              {"incident pager INC-7 sev2 domains=source for=80m\nincident pager INC-8 sev1 domains=source for=80m", policy.Allow},
		"one after another":          {"incident pager INC-7 sev2 domains=source for=80m\nwait 80m\nincident pager INC-8 sev1 domains=source for=80m", policy.Deny},
		"too mild":                   {"incident pager INC-7 sev3 domains=source for=300m", policy.Allow},
		"elsewhere":                  {"incident pager INC-7 sev1 domains=docs for=300m", policy.Allow},
		"before the window":          {"incident pager INC-7 sev1 domains=source for=300m\nwait 700h", policy.Allow},
		"it lasts since the window":  {"incident pager INC-7 sev1 domains=source for=1m open=yes\nwait 3h", policy.Deny},
		"of any domain":              {"incident pager INC-7 sev1 for=300m", policy.Deny},
		"it began before the window": {"incident pager INC-7 sev1 domains=source for=800h", policy.Deny},
	} {
		story := scenario.Story{Text: onceReviewed + c.said + "\nask", Rules: budgetRules, Settings: "budgets:\n  - {domain: source, window: 28d, allowed: 2h}\n"}
		d := policy.Decide(tell(t, story, scenario.Attack).Input)
		if d.Core.Verdict != c.want {
			t.Errorf("%s: %s, want %s (%s)", name, d.Core.Verdict, c.want, d.Core.Why)
		}
		if c.want == policy.Deny && !strings.Contains(d.Core.Why, "because of INC-") {
			t.Errorf("%s: %q names no incident", name, d.Core.Why)
		}
	}
}

// linkless is a log whose chain leaves one entry out.
type linkless struct {
	*scenario.Log
	without uint64
}

func (l linkless) Negative(ctx context.Context) ([]verify.Link, error) {
	all, err := l.Log.Negative(ctx)
	return slices.DeleteFunc(slices.Clone(all), func(k verify.Link) bool { return k.Index == l.without }), err
}

// Whatever one person, a service, an agent and a stranger say about incidents, in any
// order: what is denied stays denied. It takes two people to make less of one.
func TestOneVoiceNeverTurnsADenyIntoAnAllow(t *testing.T) {
	rules := afterIncident + `
  - id: dives
    title: Reviews
    require: {deepDives: sev1}
`
	r := rand.New(rand.NewPCG(7, 8))
	severities, who := []string{"sev1", "sev2", "sev3", "sev4"}, []string{"bob", "pager", "claude", "stranger"}
	denied := 0
	for round := range 60 {
		var b strings.Builder
		b.WriteString(onceReviewed)
		b.WriteString("i0: incident pager INC-7 " + severities[r.IntN(4)] + " domains=source\n")
		was := policy.Verdict("")
		for n := 1; n <= 5; n++ {
			d := policy.Decide(tell(t, scenario.Story{Text: b.String() + "ask", Rules: rules}, scenario.Attack).Input)
			if was == policy.Deny && d.Core.Verdict == policy.Allow {
				t.Fatalf("round %d: allowed after\n%s", round, &b)
			}
			if was = d.Core.Verdict; was == policy.Deny {
				denied++
			}
			switch r.IntN(4) {
			case 0:
				fmt.Fprintf(&b, "d%d: dive %s INC-7 of=i%d\n", n, who[r.IntN(4)], r.IntN(n))
				fmt.Fprintf(&b, "i%d: incident bob INC-8 sev4 domains=docs\n", n)
			default:
				domains := []string{"domains=source", "domains=docs", "domains=core,docs", ""}[r.IntN(4)]
				fmt.Fprintf(&b, "i%d: incident %s INC-7 %s %s over=i%d\n", n, who[r.IntN(4)], severities[r.IntN(4)], domains, r.IntN(n))
			}
		}
	}
	if denied < 50 {
		t.Errorf("only %d of the states denied", denied)
	}
}
