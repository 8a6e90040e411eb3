package scenario_test

import (
	"os"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := scenario.Clean(); err != nil {
		code = 1
	}
	os.Exit(code)
}

func TestTheBlueprintSaysWhatItsTrialsExpect(t *testing.T) {
	set, trials, err := scenario.BlueprintTrials()
	if err != nil {
		t.Fatal(err)
	}
	rules := make(map[string]bool)
	for _, tr := range trials {
		d, err := tr.Run(set)
		if err != nil {
			t.Errorf("%s: %v", tr.Name, err)
			continue
		}
		for _, miss := range tr.Want.Misses(d) {
			t.Errorf("%s: %s", tr.Name, miss)
		}
		for _, r := range d.Core.Rules {
			rules[r.Rule] = rules[r.Rule] || r.Failed > 0
		}
	}
	for rule, failed := range rules {
		if !failed && rule != "proven" { // that one needs 512 KiB of objects
			t.Errorf("no trial fails rule %s", rule)
		}
	}
}

func TestATrialNoticesWhatIsNotExpected(t *testing.T) {
	set, _, err := scenario.BlueprintTrials()
	if err != nil {
		t.Fatal(err)
	}
	trials, err := scenario.ParseTrials("t.yaml", []byte("trials:\n  - name: one\n    changes: [{author: mid, paths: [src/a.go], origin: human}]\n    expect: {verdict: allow, failed: [two-people], who: [senior]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := trials[0].Run(set)
	if err != nil || d.Core.Verdict != policy.Deny {
		t.Fatalf("%v %+v", err, d)
	}
	if got := trials[0].Want.Misses(d); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

func FuzzParseTrials(f *testing.F) {
	for _, text := range []string{
		"trials: [{name: a, changes: [{author: a, paths: [p]}], expect: {verdict: allow}}]",
		"trials: []", "trials: [{name: a}]", "trials: [{name: a, changes: [{author: a, paths: [\"!p\"]}], expect: {verdict: maybe}}]",
		"trails: 1", "trials: [{wait: -1h}]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		trials, err := scenario.ParseTrials("f.yaml", []byte(text))
		for _, tr := range trials {
			if err == nil && (tr.Name == "" || len(tr.Changes) == 0 || strings.HasPrefix(tr.Changes[0].Paths[0], "!")) {
				t.Errorf("parses: %q", text)
			}
		}
	})
}

// A trial makes no artifact, so it takes it that layouts hold.
func TestATrialAsksForNoLayout(t *testing.T) {
	set, trials, err := scenario.BlueprintTrials()
	if err != nil {
		t.Fatal(err)
	}
	f := set.Files()
	f.Policy = strings.Replace(f.Policy, "rules:\n", "rules:\n  - {id: made, title: Made as the layout says, require: {layout: made}}\n", 1)
	f.Layouts = map[string]string{"made": "expires: 2126-01-01T00:00:00Z\nsteps:\n  - {name: build, functionaries: [senior], products: [CREATE app.tar]}\n"}
	if set, err = policy.ParseSet(f); err != nil {
		t.Fatal(err)
	}
	d, err := trials[0].Run(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, miss := range trials[0].Want.Misses(d) {
		t.Error(miss)
	}
	for _, r := range d.Core.Rules {
		if r.Rule == "made" && r.Failed > 0 {
			t.Errorf("%+v", r)
		}
	}
}
