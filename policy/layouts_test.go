package policy_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// made is the story of an artifact that was made as the layout says.
func made(t testing.TB) scenario.Story {
	t.Helper()
	s, err := scenario.ReadStory(corpus + "/S17_a-person-tested_allow")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInvalidLayoutsAreRefused(t *testing.T) {
	base := tell(t, made(t), scenario.Attack).Set.Files()
	for what, c := range map[string]struct{ from, to, want string }{
		"an agent":              {"[tester, dave]", "[claude]", "agents answer for no step"},
		"a service without may": {"[tester, dave]", "[ci]", "needs may: [link]"},
		"nobody":                {"[tester, dave]", "[nobody]", "is nobody of people.yaml"},
		"the same twice":        {"[tester, dave]", "[dave, dave]", "twice"},
		"no functionaries":      {"    functionaries: [tester, dave]\n", "", "functionaries are needed"},
		"more than there are":   {"[tester, dave]", "[dave]\n    threshold: 2", "threshold 2 of 1"},
		"no threshold":          {"[tester, dave]", "[dave]\n    threshold: 0", "whole number"},
		"no end":                {"expires: 2026-03-03T00:00:00Z\n", "", "expires is needed"},
		"a step twice":          {"name: test", "name: build", "twice"},
		"a step of no name":     {"  - name: test\n    functionaries", "  - functionaries", "needs a name"},
		"a rule of nothing":     {"ALLOW src/*", "PERMIT src/*", "is none of"},
		"from a step unknown":   {"FROM test]", "FROM tset]", "there is no step tset"},
		"a step of its own":     {"MATCH app.bin WITH PRODUCTS FROM build", "ALLOW app.bin", "nothing leads to it"},
		"an unknown key":        {"expires:", "inspect: []\nexpires:", "unknown key"},
	} {
		f := base
		text := strings.Replace(base.Layouts["made"], c.from, c.to, 1)
		if text == base.Layouts["made"] {
			t.Fatalf("%s: nothing was replaced", what)
		}
		f.Layouts = map[string]string{"made": text}
		_, err := policy.ParseSet(f)
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "layouts/made.yaml:") {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	for what, c := range map[string]struct{ from, to, want string }{
		"a layout that is not there": {"{layout: made}", "{layout: mode}", "there is no layouts/mode.yaml"},
		"of a plan":                  {"  - id: made\n", "  - id: made\n    about: plan\n", "mean nothing there"},
	} {
		f := base
		f.Policy = strings.Replace(base.Policy, c.from, c.to, 1)
		if _, err := policy.ParseSet(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// A set's digest covers its layouts, and is as it was where there are none.
func TestLayoutsAreInTheDigest(t *testing.T) {
	files := tell(t, made(t), scenario.Attack).Set.Files()
	digest := func(change func(map[string]string)) string {
		f := files
		f.Layouts = map[string]string{"made": files.Layouts["made"], "more": files.Layouts["made"]}
		change(f.Layouts)
		s, err := policy.ParseSet(f)
		if err != nil {
			t.Fatal(err)
		}
		return s.Digest().String()
	}
	same := digest(func(map[string]string) {})
	for what, change := range map[string]func(map[string]string){
		"a letter less": func(m map[string]string) { m["more"] = strings.Replace(m["more"], "03T", "04T", 1) },
		"another name":  func(m map[string]string) { m["mode"] = m["more"]; delete(m, "more") },
		"none":          func(m map[string]string) { delete(m, "more") },
	} {
		if digest(change) == same {
			t.Errorf("%s: the same digest", what)
		}
	}
	plainSet := tell(t, scenario.Story{Text: plain}, scenario.Attack).Set
	f := plainSet.Files()
	f.Layouts = map[string]string{}
	if s, err := policy.ParseSet(f); err != nil || s.Digest() != plainSet.Digest() {
		t.Errorf("%v", err)
	}
}

func TestLayoutsInAFolder(t *testing.T) {
	files := tell(t, made(t), scenario.Attack).Set.Files()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("policy.yaml", files.Policy)
	write("people.yaml", files.People)
	write("domains.yaml", files.Domains)
	write("layouts/made.yaml", files.Layouts["made"])
	set, err := policy.ReadFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, set.Files()); diff != "" {
		t.Error(diff)
	}
	write("layouts/made.json", "{}")
	if _, err := policy.ReadFolder(dir); err == nil || !strings.Contains(err.Error(), "made.json is no layout") {
		t.Error(err)
	}
}

func TestALayoutThatComesOrChangesWaits(t *testing.T) {
	with := tell(t, made(t), scenario.Attack).Set
	reparse := func(layout, require string) *policy.Set {
		f := with.Files()
		f.Layouts = map[string]string{"made": strings.Replace(f.Layouts["made"], "03T", layout, 1)}
		f.Policy = strings.Replace(f.Policy, "{layout: made}", require, 1)
		s, err := policy.ParseSet(f)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	without := reparse("03T", "{approvals: [{count: 1}]}")
	for what, c := range map[string]struct {
		from, to *policy.Set
		want     bool
	}{
		"asking for one that is there": {without, reparse("03T", "{approvals: [{count: 1}], layout: made}"), true},
		"asking no longer":             {with, without, false},
		"a later end":                  {with, reparse("04T", "{layout: made}"), false},
	} {
		if d := policy.Diff(c.from, c.to); len(d) == 0 || policy.Tightens(d) != c.want {
			t.Errorf("%s: %+v", what, d)
		}
	}
	if d := policy.Diff(with, reparse("03T", "{layout: made}")); len(d) != 0 {
		t.Errorf("the same set differs: %+v", d)
	}
}

func TestTheVerdictSaysWhichStepIsMissing(t *testing.T) {
	for name, want := range map[string]string{
		"S01_missing-step_deny":              "layout made: step test: 0 of tester, dave say the same of it; 1 must",
		"S03_altered-between-steps_deny":     "layout made: step package: its materials: some are taken by no rule",
		"S04_link-for-another-artifact_deny": "layout made: step build: 0 of packer say the same of it; 1 must",
		"S06_expired-layout_deny":            "layout made: the layout expired at 2026-03-03 00:00:00Z",
		"S07_too-few-functionaries_deny":     "layout made: step test: 1 of tester, dave say the same of it; 2 must",
	} {
		s, err := scenario.ReadStory(filepath.Join(corpus, name))
		if err != nil {
			t.Fatal(err)
		}
		if d := policy.Decide(tell(t, s, scenario.Attack).Input); !strings.HasSuffix(d.Core.Why, want) {
			t.Errorf("%s: %q, want %q", name, d.Core.Why, want)
		}
	}
	d := policy.Decide(tell(t, made(t), scenario.Attack).Input)
	if f := d.Core.Changes[0].Rules[1]; !f.Held || f.Why != "the artifact was made as layout made says" {
		t.Errorf("%+v", f)
	}
	links := 0
	for _, c := range d.Core.Inputs {
		if strings.HasPrefix(c.Role, "link of step ") {
			links++
		}
	}
	if links != 3 {
		t.Errorf("%d links are cited: %+v", links, d.Core.Inputs)
	}
}

// However often steps ran for other things, links are looked for among what the artifact's
// steps read, and what a step reads from others is bounded.
func TestFollowingLinksEnds(t *testing.T) {
	s := made(t)
	var files strings.Builder
	for i := range verify.MaxMaterials {
		fmt.Fprintf(&files, " f%d:%d", i, i)
	}
	head, _, _ := strings.Cut(s.Text, "link packer build")
	story := func(more string) scenario.Story {
		return scenario.Story{Rules: s.Rules, Layout: s.Layout, Text: head + "link packer package" + files.String() + more + " -- app.tar:a ran=make+package\nrelease m1\nask\n"}
	}
	told, err := scenario.Tell(story(""), scenario.Attack)
	if err != nil || told.Err != nil {
		t.Fatalf("%v %v", err, told.Err)
	}
	told, err = scenario.Tell(story(" one:more"), scenario.Attack)
	var limit *verify.LimitError
	if err != nil || !errors.As(told.Err, &limit) {
		t.Errorf("%v %v", err, told.Err)
	}
}

func BenchmarkDecideWithLayout(b *testing.B) {
	in := tell(b, made(b), scenario.Attack).Input
	for b.Loop() {
		if d := policy.Decide(in); d.Core.Verdict != policy.Allow {
			b.Fatal(d.Core.Why)
		}
	}
}

// A change under review has no artifact yet: it is asked for approvals, not for links.
func TestAPreviewAsksForNoLayout(t *testing.T) {
	s := made(t)
	head, _, _ := strings.Cut(s.Text, "admit m1")
	p := previewed(t, tell(t, scenario.Story{Rules: s.Rules, Layout: s.Layout, Text: head + "approve carol h1\nask commit=h1\n"}, scenario.Attack), "production")
	if !p.Enough {
		t.Errorf("%s: %s", p.Kind, p.Why)
	}
}
