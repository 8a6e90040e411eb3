package policy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

const tightened = "set s2 rules=later\npublish dave s2\npublish erin s2\n"

var stricter = scenario.Story{
	Text: tightened + plain, Rules: "  - {id: reviewed, title: a, require: {approvals: [{count: 1}]}}\n", Later: "  - {id: reviewed, title: a, require: {approvals: [{count: 2}]}}\n",
}

// forgetful shows a log without the last links of its chain, or with other entries.
type forgetful struct {
	verify.Source
	without int
	honest  bool // its state says so too
	swap    map[uint64]uint64
}

func (f forgetful) Negative(ctx context.Context) ([]verify.Link, error) {
	links, err := f.Source.Negative(ctx)
	return links[:len(links)-f.without], err
}

func (f forgetful) View(ctx context.Context) (verify.LogView, error) {
	v, err := f.Source.View(ctx)
	if links, _ := f.Negative(ctx); f.honest {
		v.ChainLength, v.Chain = uint64(len(links)), tlog.Hash{}
		if n := len(links); n > 0 {
			v.Chain = links[n-1].Chain
		}
	}
	return v, err
}

func (f forgetful) Entry(ctx context.Context, index uint64) (verify.Sealed, error) {
	if to, ok := f.swap[index]; ok {
		index = to
	}
	return f.Source.Entry(ctx, index)
}

func TestNoPolicySetCanBeLeftOut(t *testing.T) {
	told := tell(t, stricter, scenario.Attack)
	if h := told.Input.History; len(h.Epochs()) != 2 || h.InForce(told.Input.Now).Version != 2 {
		t.Fatalf("%+v", h.Epochs())
	}
	for name, src := range map[string]verify.Source{
		"a link less than the state says": forgetful{Source: told.Log, without: 1},
		"another entry for a link":        forgetful{Source: told.Log, swap: map[uint64]uint64{3: 1}},
	} {
		var corrupt *verify.CorruptError
		if _, err := policy.ReadHistory(t.Context(), src, told.Input.Trust, false); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Where the state hides it as well, the evidence is of another log than the policy.
	hidden, err := policy.ReadHistory(t.Context(), forgetful{Source: told.Log, without: 2, honest: true}, told.Input.Trust, false)
	if err != nil {
		t.Fatal(err)
	}
	in := told.Input
	in.History, in.Set = hidden, hidden.InForce(in.Now)
	if d := policy.Decide(in); d.Core.Verdict != policy.Deny || d.Core.Kind != policy.PolicyInvalid {
		t.Errorf("%s %s", d.Core.Verdict, d.Core.Kind)
	}
	in = told.Input
	in.Set = told.Input.History.Epochs()[0].Set
	if d := policy.Decide(in); d.Core.Kind != policy.PolicyInvalid {
		t.Errorf("a set that is not in force: %s %s", d.Core.Verdict, d.Core.Kind)
	}
}

func TestAHistoryIsTheOneOfItsPlace(t *testing.T) {
	told := tell(t, stricter, scenario.Attack)
	h := told.Input.History
	second := h.Epochs()[1]
	for _, c := range []struct {
		index uint64
		want  int
	}{{0, 1}, {second.Index, 1}, {second.Index + 1, 2}} {
		if got := h.At(c.index, second.Time).Set.Version; got != c.want {
			t.Errorf("at %d: version %d, want %d", c.index, got, c.want)
		}
	}
	before, err := h.Before(second.Index)
	if err != nil || len(before.Epochs()) != 1 || len(before.Pending()) != 1 || len(before.Pending()[0].Signed) != 1 {
		t.Errorf("%+v %v", before, err)
	}
	if len(h.Pending()) != 0 || len(h.Refused()) != 0 {
		t.Errorf("%+v %+v", h.Pending(), h.Refused())
	}
}

// What tightens is on the list, and nothing else is.
func TestWhatTightens(t *testing.T) {
	told := tell(t, scenario.Story{Text: plain}, scenario.Attack)
	base := told.Set.Files()
	const rule = "  - id: reviewed\n    title: Somebody else approves every change\n    require:\n      approvals: [{count: 1}]\n    remedy: Ask somebody who did not write the change.\n"
	for name, c := range map[string]struct {
		from, to string
		people   bool
		want     policy.Effect
	}{
		"more people":                  {"[{count: 1}]", "[{count: 2}]", false, policy.Tighter},
		"one more slot":                {"[{count: 1}]", "[{count: 1}, {count: 1, level: senior}]", false, policy.Tighter},
		"a level":                      {"[{count: 1}]", "[{count: 1, level: senior}]", false, policy.Waits},
		"a team":                       {"[{count: 1}]", "[{count: 1, teams: [web]}]", false, policy.Waits},
		"somebody is excluded":         {"[{count: 1}]", "[{count: 1, exclude: [owner]}]", false, policy.Tighter},
		"younger approvals":            {"[{count: 1}]", "[{count: 1}]\n      maxAge: 24h", false, policy.Tighter},
		"fewer bindings":               {"[{count: 1}]", "[{count: 1}]\n      bindings: [replay]", false, policy.Tighter},
		"more bindings":                {"[{count: 1}]", "[{count: 1}]\n      bindings: [identity, replay, patch]", false, policy.Waits},
		"before the merge":             {"staging, approvals: beforeRelease", "staging, approvals: beforeMerge", false, policy.Tighter},
		"before the release":           {"production, approvals: beforeMerge", "production, approvals: beforeRelease", false, policy.Waits},
		"another rule":                 {rule, rule + "  - {id: more, title: more, require: {approvals: [{count: 2}]}}\n", false, policy.Tighter},
		"another rule with expression": {rule, rule + "  - {id: more, title: more, when: change.aiAssisted, forbid: true}\n", false, policy.Waits},
		"an expression":                {rule, rule + "  - {id: more, title: more, when: \"true\", require: {approvals: [{count: 1}]}}\n", false, policy.Waits},
		"a shorter verdict":            {"validFor: 15m", "validFor: 10m", false, policy.Tighter},
		"a longer verdict":             {"validFor: 15m", "validFor: 20m", false, policy.Waits},
		"a longer delay":               {"validFor: 15m", "validFor: 15m\nchanges: {delay: 48h}", false, policy.Tighter},
		"a shorter delay":              {"validFor: 15m", "validFor: 15m\nchanges: {delay: 1h}", false, policy.Waits},
		"another title":                {"Somebody else approves every change", "Four eyes", false, policy.Word},
		"a control":                    {"    title: Some", "    controls: [\"SOC2:CC8.1\"]\n    title: Some", false, policy.Word},
		"a date":                       {rule, rule + "  - {id: more, title: more, require: {approvals: [{count: 2}]}, effectiveFrom: 2027-01-01T00:00:00Z}\n", false, policy.Tighter},
		"a touch":                      {"[{count: 1}]", "[{count: 1, assurance: presence}]", false, policy.Tighter},
		"the first rule about plans":   {rule, rule + "  - {id: more, about: plan, title: more, require: {approvals: [{count: 2}]}}\n", false, policy.Waits},
		"the glass may be broken":      {"validFor: 15m", "validFor: 15m\nbreakGlass: {environments: [production], maxDuration: 1h, maxUses: 1, reviewWithin: 24h}", false, policy.Waits},
		"exceptions may be made":       {"validFor: 15m", "validFor: 15m\nchanges: {maxException: 24h}", false, policy.Waits},
		"exceptions wait less":         {"validFor: 15m", "validFor: 15m\nchanges: {exceptionDelay: 1h}", false, policy.Waits},
		"reviews are owed":             {"[{count: 1}]", "[{count: 1}]\n      deepDives: sev1", false, policy.Tighter},
		"an error budget":              {"validFor: 15m", "validFor: 15m\nbudgets:\n  - {domain: source, window: 28d, allowed: 40m}", false, policy.Waits},
		"younger figures":              {"validFor: 15m", "validFor: 15m\nsnapshots: {maxAge: 24h}", false, policy.Tighter},
		"older figures":                {"validFor: 15m", "validFor: 15m\nsnapshots: {maxAge: 72h}", false, policy.Waits},
		"a person less":                {"until: 2026-03-02T10:30:00Z", "until: 2026-03-02T10:20:00Z", true, policy.Waits},
	} {
		files := base
		at := &files.Policy
		if c.people {
			at = &files.People
		}
		if !strings.Contains(*at, c.from) {
			t.Fatalf("%s: %q is not there", name, c.from)
		}
		*at = strings.Replace(*at, c.from, c.to, 1)
		after, err := policy.ParseSet(files)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		changes := policy.Diff(told.Set, after)
		if len(changes) != 1 || changes[0].Effect != c.want {
			t.Errorf("%s: %+v, want %s", name, changes, c.want)
		}
		// The way back of what tightens waits.
		if back := policy.Diff(after, told.Set); c.want == policy.Tighter && policy.Tightens(back) {
			t.Errorf("%s: taken back at once: %+v", name, back)
		}
	}
	if changes := policy.Diff(told.Set, told.Set); len(changes) != 0 || !policy.Tightens(changes) {
		t.Errorf("nothing: %+v", changes)
	}
}

func TestASetThatCannotBeChangedIsRefused(t *testing.T) {
	files := tell(t, scenario.Story{Text: plain}, scenario.Attack).Set.Files()
	for text, good := range map[string]bool{
		"changes: {delay: 1h, approvals: 2}": true, "changes: {approvals: 3}": false, "changes: {approvals: 1}": false,
		"changes: {delay: 0s}": false, "changes: {delay: 2161h}": false, "changes: {wait: 1h}": false,
	} {
		f := files
		f.Policy = strings.Replace(f.Policy, "validFor: 15m", "validFor: 15m\n"+text, 1)
		if _, err := policy.ParseSet(f); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
	f := files
	f.Policy = strings.Replace(f.Policy, "    title: Somebody", "    effectiveFrom: 2030-01-01T00:00:00Z\n    title: Somebody", 1)
	if _, err := policy.ParseSet(f); err == nil {
		t.Error("a policy whose only rule is still to come is taken")
	}
}

// A pack holds every statement that changes the policy, whatever it was made for.
func TestAPackHoldsEveryPolicySet(t *testing.T) {
	told := tell(t, stricter, scenario.Attack)
	rec := verify.NewRecorder(told.Log)
	if _, err := policy.ReadHistory(t.Context(), rec, told.Input.Trust, false); err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if err := verify.WritePack(t.Context(), &whole, rec, told.Input.Trust, verify.Request{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(whole.String(), "\n")
	second := told.Input.History.Epochs()[1].Index
	left := 0
	for i, line := range lines {
		if !strings.Contains(line, fmt.Sprintf(`"logIndex":"%d"`, second)) {
			continue
		}
		left++
		cut := strings.Join(append(slices.Clone(lines[:i]), lines[i+1:]...), "")
		var corrupt *verify.CorruptError
		if _, err := verify.OpenPack(strings.NewReader(cut), told.Input.Trust); !errors.As(err, &corrupt) || corrupt.Entry != int64(second) {
			t.Errorf("without entry %d: %v", second, err)
		}
	}
	if left != 1 {
		t.Errorf("the pack has entry %d %d times", second, left)
	}
	p, err := verify.OpenPack(&whole, told.Input.Trust)
	if err != nil {
		t.Fatal(err)
	}
	h, err := policy.ReadHistory(t.Context(), p, told.Input.Trust, false)
	if err != nil || h.InForce(told.Input.Now).Version != 2 {
		t.Errorf("%+v %v", h, err)
	}
}
