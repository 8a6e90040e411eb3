package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

func coreBytes(t testing.TB, d *policy.Decision) string {
	t.Helper()
	b, err := d.CoreBytes()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// INV3: neither order nor duplicates matter.
func TestOrderAndDuplicatesDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	shuffle := func(list []*verify.Evidence) []*verify.Evidence {
		list = append(slices.Clone(list), list...)
		r.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
		return list
	}
	for _, a := range attacks(t) {
		in := tell(t, a.story, scenario.Attack).Input
		first := policy.Decide(in)
		want := coreBytes(t, first)
		for range 20 {
			g := *in.Gathered
			g.Evidence, g.Releases = shuffle(g.Evidence), shuffle(g.Releases)
			g.Negative, g.Refusals = slices.Clone(g.Negative), slices.Clone(g.Refusals)
			r.Shuffle(len(g.Negative), func(i, k int) { g.Negative[i], g.Negative[k] = g.Negative[k], g.Negative[i] })
			r.Shuffle(len(g.Refusals), func(i, k int) { g.Refusals[i], g.Refusals[k] = g.Refusals[k], g.Refusals[i] })
			other := in
			other.Gathered = &g
			d := policy.Decide(other)
			if diff := cmp.Diff(want, coreBytes(t, d)); diff != "" {
				t.Fatalf("%s: order changed the core:\n%s", a.name, diff)
			}
			if diff := cmp.Diff(first.Annex, d.Annex); diff != "" {
				t.Fatalf("%s: order changed the annex:\n%s", a.name, diff)
			}
		}
	}
}

// INV4, first half: taking evidence that gives credit away never helps.
func TestRemovingAnApprovalNeverAllows(t *testing.T) {
	for _, a := range attacks(t) {
		in := tell(t, a.story, scenario.Attack).Input
		if policy.Decide(in).Core.Verdict.Opens() {
			continue
		}
		for i, e := range in.Gathered.Evidence {
			if p, ok := e.Statement().Predicate.(*attest.Approval); !ok || p.Negative() {
				continue
			}
			g := *in.Gathered
			g.Evidence = slices.Delete(slices.Clone(g.Evidence), i, i+1)
			other := in
			other.Gathered = &g
			if policy.Decide(other).Core.Verdict.Opens() {
				t.Errorf("%s: without the approval at %d it is allowed", a.name, e.Index())
			}
		}
	}
}

// revocations adds to a story, before it asks, one revocation of each statement,
// key and person in it, all by an owner of the policy.
func revocations(text string) string {
	verbs := []string{"change", "authorship", "approve", "reject", "withdraw", "admit", "release", "slsa", "allow", "risk", "operation", "request", "grant", "review", "used", "gap"}
	var out, extra, last []string
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		mark, rest := "", line
		if strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "+ ") {
			mark, rest = line[:2], line[2:]
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 || fields[0] == "ask" {
			last = append(last, line)
			continue
		}
		name, named := strings.CutSuffix(fields[0], ":")
		verb := fields[0]
		if named {
			verb = fields[1]
		}
		if slices.Contains(verbs, verb) {
			if !named {
				name = fmt.Sprintf("z%d", i)
				line = mark + name + ": " + rest
			}
			extra = append(extra, mark+"revoke dave entry="+name)
		}
		out = append(out, line)
	}
	for _, who := range []string{"alice", "bob", "carol", "frank", "claude", "robin", "ci", "ci2", "gate", "builder", "builder2", "both", "service"} {
		extra = append(extra, "revoke dave key="+who)
		if who != "service" {
			extra = append(extra, "revoke dave person="+who)
		}
	}
	return strings.Join(slices.Concat(out, extra, last), "\n")
}

// INV4, second half: no revocation turns a deny into an allow, whatever it takes
// back: an approval, a rejection, a sign of AI, an admission, a second source.
func TestAddingARevocationNeverAllows(t *testing.T) {
	added := 0
	for _, a := range attacks(t) {
		in := tell(t, a.story, scenario.Attack).Input
		if policy.Decide(in).Core.Verdict.Opens() {
			continue
		}
		told := a.story
		told.Text = revocations(a.story.Text)
		more := tell(t, told, scenario.Attack).Input
		fresh := slices.DeleteFunc(slices.Clone(more.Gathered.Negative), func(n verify.NegativeItem) bool {
			return slices.ContainsFunc(in.Gathered.Negative, func(o verify.NegativeItem) bool { return o.Link.Index == n.Link.Index })
		})
		sets := [][]verify.NegativeItem{fresh}
		for i := range fresh {
			sets = append(sets, fresh[i:i+1])
		}
		for _, set := range sets {
			g := *in.Gathered
			g.Negative = append(slices.Clone(g.Negative), set...)
			other := in
			other.Gathered = &g
			added++
			if policy.Decide(other).Core.Verdict.Opens() {
				t.Errorf("%s: a revocation turned it: %+v", a.name, set[0].Evidence.Statement().Predicate)
			}
		}
	}
	if added < 1000 {
		t.Errorf("only %d revocations were tried", added)
	}
}

// Evidence about another change leaves no trace in the core.
func TestUnrelatedEvidenceLeavesNoTrace(t *testing.T) {
	unrelated := strings.Repeat("noise base\n", 40) + `
		commit h99 frank docs/z.md
		squash m99 of=h99
		change h99
		authorship frank h99 ai
		approve bob h99
		reject carol h99
		x: approve dave h99
		revoke dave entry=x
		risk ci h99 critical
		admit m99
		release m99 artifact=z first=y
		ask artifact=z`
	junk := tell(t, scenario.Story{Text: unrelated}, scenario.Attack).Input.Gathered
	for _, a := range attacks(t) {
		in := tell(t, a.story, scenario.Attack).Input
		g := *in.Gathered
		g.Evidence = append(slices.Clone(g.Evidence), junk.Evidence...)
		g.Negative = append(slices.Clone(g.Negative), junk.Negative...)
		other := in
		other.Gathered = &g
		if diff := cmp.Diff(coreBytes(t, policy.Decide(in)), coreBytes(t, policy.Decide(other))); diff != "" {
			t.Errorf("%s: unrelated evidence changed the core:\n%s", a.name, diff)
		}
	}
}

// Every input gets an answer, and none of these is yes.
func TestBrokenInputsAreDenied(t *testing.T) {
	good := tell(t, scenario.Story{Text: "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\napprove bob h1\nadmit m1\nrelease m1\nask"}, scenario.Attack).Input
	if d := policy.Decide(good); d.Core.Verdict != policy.Allow {
		t.Fatalf("the good input: %s %s", d.Core.Kind, d.Core.Why)
	}
	for name, break_ := range map[string]func(*policy.Input){
		"nothing":         func(in *policy.Input) { *in = policy.Input{} },
		"no set":          func(in *policy.Input) { in.Set = nil },
		"empty set":       func(in *policy.Input) { in.Set = &policy.Set{} },
		"no trust":        func(in *policy.Input) { in.Trust = nil },
		"empty trust":     func(in *policy.Input) { in.Trust = &verify.Trust{} },
		"nothing found":   func(in *policy.Input) { in.Gathered = nil },
		"empty gathering": func(in *policy.Input) { in.Gathered = &verify.Gathered{} },
		"empty request":   func(in *policy.Input) { in.Request = policy.Request{} },
		"no time":         func(in *policy.Input) { in.Now = in.Now.AddDate(-5000, 0, 0) },
		"nil and zero evidence": func(in *policy.Input) {
			g := *in.Gathered
			g.Evidence, g.Refusals, g.Negative = []*verify.Evidence{nil, {}}, []*verify.Refusal{nil}, []verify.NegativeItem{{}}
			in.Gathered = &g
		},
	} {
		in := good
		break_(&in)
		d := policy.Decide(in)
		if d.Core.Verdict == policy.Allow || d.Passed() {
			t.Errorf("%s: allowed", name)
		}
		if d.Core.Kind == "" || d.Core.Why == "" {
			t.Errorf("%s: no reason is given", name)
		}
		if _, err := d.Marshal(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var zero policy.Decision
	if zero.Core.Verdict == policy.Allow || zero.Passed() {
		t.Error("the zero decision allows")
	}
}
