package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := scenario.Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// corpus is where the attacks are kept as data, for every driver.
const corpus = "../testdata/corpus"

// attack is one folder: story.txt, want.json, and rules.yaml where the default rule
// is not enough. The folder's name ends in _deny, _ignore or _allow.
type attack struct {
	name  string
	story scenario.Story
	want  wanted
}

// wanted is want.json: what the attack gets. Its twin is allowed, unless Twin says
// otherwise.
type wanted struct {
	About   string   `json:"about"`
	Verdict string   `json:"verdict"`
	Kind    string   `json:"kind,omitempty"`
	Ignored []string `json:"ignored,omitempty"` // kinds that the annex must show
	Passed  *bool    `json:"passed,omitempty"`
	Twin    string   `json:"twin,omitempty"` // verdict of the twin; allow when empty
}

func attacks(t testing.TB) []attack {
	t.Helper()
	folders, err := os.ReadDir(corpus)
	if err != nil {
		t.Fatal(err)
	}
	var out []attack
	for _, f := range folders {
		if !f.IsDir() {
			continue
		}
		read := func(name string) []byte {
			b, err := os.ReadFile(filepath.Join(corpus, f.Name(), name))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		story, err := scenario.ReadStory(filepath.Join(corpus, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		a := attack{name: f.Name(), story: story}
		d := json.NewDecoder(strings.NewReader(string(read("want.json"))))
		d.DisallowUnknownFields()
		if err := d.Decode(&a.want); err != nil {
			t.Fatalf("%s: %v", f.Name(), err)
		}
		out = append(out, a)
	}
	if len(out) < 50 {
		t.Fatalf("found only %d attacks: the walk is broken", len(out))
	}
	return out
}

// telling is a story in one of its two tellings.
type telling struct {
	scenario.Story
	scenario.Twin
}

// heard keeps what was told: judging changes nothing in it.
var heard = make(map[telling]*scenario.Told)

func tell(t testing.TB, s scenario.Story, twin scenario.Twin) *scenario.Told {
	t.Helper()
	if told := heard[telling{s, twin}]; told != nil {
		return told
	}
	told, err := scenario.Tell(s, twin)
	if err != nil {
		t.Fatal(err)
	}
	if told.Err != nil {
		t.Fatal(told.Err)
	}
	heard[telling{s, twin}] = told
	return told
}

// problems holds a decision against what is wanted.
func problems(w wanted, d *policy.Decision) []string {
	var out []string
	if got := string(d.Core.Verdict); got != w.Verdict {
		out = append(out, fmt.Sprintf("verdict %s (%s: %s), want %s", got, d.Core.Kind, d.Core.Why, w.Verdict))
	}
	if got := string(d.Core.Kind); got != w.Kind {
		out = append(out, fmt.Sprintf("kind %q (%s), want %q", got, d.Core.Why, w.Kind))
	}
	for _, k := range w.Ignored {
		if !slices.ContainsFunc(d.Annex.Ignored, func(i policy.Ignored) bool { return string(i.Kind) == k }) {
			out = append(out, fmt.Sprintf("nothing was ignored as %s: %+v", k, d.Annex.Ignored))
		}
	}
	if w.Passed != nil && d.Passed() != *w.Passed {
		out = append(out, fmt.Sprintf("passed is %v", d.Passed()))
	}
	return out
}

// verdictAndKind splits what a twin gets: "deny KIND", or "allow (break-glass)".
func verdictAndKind(s string) (verdict, kind string) {
	if before, kind, sort := strings.Cut(s, ")"); sort {
		return before + ")", strings.TrimSpace(kind)
	}
	verdict, kind, _ = strings.Cut(s, " ")
	return verdict, kind
}

// bareCore is a core without the state of the log, which every entry changes.
func bareCore(d *policy.Decision) string {
	c := d.Core
	c.Log = policy.LogRef{}
	b, err := (&policy.Decision{Core: c}).CoreBytes()
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestEveryAttackIsRefusedAndItsTwinIsNot(t *testing.T) {
	for _, a := range attacks(t) {
		t.Run(a.name, func(t *testing.T) {
			told := tell(t, a.story, scenario.Attack)
			d := policy.Decide(told.Input)
			for _, p := range problems(a.want, d) {
				t.Error("attack: " + p)
			}
			twin := policy.Decide(tell(t, a.story, scenario.Harmless).Input)
			want := wanted{Verdict: "allow"}
			if a.want.Twin != "" {
				want.Verdict, want.Kind = verdictAndKind(a.want.Twin)
			}
			for _, p := range problems(want, twin) {
				t.Error("twin: " + p)
			}
			if strings.HasSuffix(a.name, "_ignore") && a.want.Verdict == "allow" {
				if diff := cmp.Diff(bareCore(twin), bareCore(d)); diff != "" {
					t.Errorf("what must be ignored changed the core:\n%s", diff)
				}
			}
		})
	}
}

// Each check has cases that only it catches: with it off, some answer is wrong.
func TestTheCorpusNoticesEveryCheck(t *testing.T) {
	reviewed := scenario.Story{Text: "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\napprove bob h1\nadmit m1\nrelease m1\nask"}
	type one struct {
		name string
		want wanted
		in   policy.Input
	}
	var cases []one
	for _, a := range append([]attack{{name: "nothing", story: reviewed, want: wanted{Verdict: "allow"}}}, attacks(t)...) {
		cases = append(cases, one{a.name, a.want, tell(t, a.story, scenario.Attack).Input})
	}
	// Loading refuses such a set, so no story can have one.
	watching := cases[0].in
	set := *watching.Set
	set.Rules = slices.Clone(set.Rules)
	set.Rules[0].Mode = policy.Audit
	watching.Set = &set
	cases = append(cases, one{"no rule enforces", wanted{Verdict: "deny", Kind: "POLICY_INVALID"}, watching})
	if p := problems(cases[len(cases)-1].want, policy.Decide(watching)); len(p) > 0 {
		t.Error(p)
	}
	for _, name := range policy.CheckNames() {
		noticed := slices.ContainsFunc(cases, func(c one) bool { return len(problems(c.want, policy.Decide(c.in.Without(name)))) > 0 })
		if !noticed {
			t.Errorf("check %q can be switched off, and no attack notices", name)
		}
	}
}
