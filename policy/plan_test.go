package policy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// planRules are the rules of the attacks on plans.
func planRules(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(corpus + "/T13_plan-claimed_deny/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const approvedPlan = `
	operation frank p1 update:aws_instance.web origin=human
	operation gate p1 update:aws_instance.web derived=plan
	approve bob plan=p1
	ask plan=p1`

func TestDecisionAboutAPlanIsLoggedAndReadAgain(t *testing.T) {
	in := tell(t, scenario.Story{Text: approvedPlan, Rules: planRules(t)}, scenario.Attack).Input
	d := policy.Decide(in)
	if d.Core.Verdict != policy.Allow || !d.Passed() || d.Core.To != "" || d.Core.Plan != in.Request.Plan.String() {
		t.Fatalf("%+v", d.Core)
	}
	st, err := d.Statement()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := attest.ParseStatement(payload)
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Recorded(back.Predicate.(*attest.Decision))
	if err != nil {
		t.Fatal(err)
	}
	if diff, err := policy.Differences(&again.Core, &d.Core); err != nil || len(diff) > 0 {
		t.Errorf("%v %v", diff, err)
	}
	vsa, err := d.Summary("https://log.example.com", attest.DigestOf(payload))
	if err != nil {
		t.Fatal(err)
	}
	if v := vsa.Predicate.(*attest.VSA); v.VerificationResult != "PASSED" || !slices.Equal(v.VerifiedLevels, []string{"ORG_COUNTERSIGN_PLAN_ALLOWED"}) {
		t.Errorf("a plan that may be applied is summed up as %+v: it says nothing about sources", v)
	}
	// A plan that was allowed is where no release begins.
	for _, bad := range [][2]string{{`"plan":"`, `"to":"` + strings.Repeat("a", 40) + `","plan":"`}, {`"plan":"` + d.Core.Plan + `",`, ``}} {
		spoiled := strings.Replace(string(payload), bad[0], bad[1], 1)
		if _, err := attest.ParseStatement([]byte(spoiled)); err == nil {
			t.Errorf("accepted: %s", spoiled[:200])
		}
	}
}

func TestPlanOrReleaseButNotBoth(t *testing.T) {
	in := tell(t, scenario.Story{Text: approvedPlan, Rules: planRules(t)}, scenario.Attack).Input
	art := attest.DigestOf([]byte("a"))
	for name, change := range map[string]func(*policy.Input, *verify.Gathered){
		"an artifact too": func(in *policy.Input, g *verify.Gathered) { in.Request.Artifact, g.Request.Artifact = &art, &art },
		"a commit too": func(in *policy.Input, g *verify.Gathered) {
			in.Request.Commit, g.Request.Commit = "aaaa", "aaaa"
		},
		"gathered for another plan": func(in *policy.Input, _ *verify.Gathered) { in.Request.Plan = &art },
	} {
		g, other := *in.Gathered, in
		other.Gathered = &g
		change(&other, &g)
		if d := policy.Decide(other); d.Core.Verdict != policy.Deny || d.Core.Kind != verify.SubjectMismatch {
			t.Errorf("%s: %s %s", name, d.Core.Verdict, d.Core.Kind)
		}
	}
}

// silent is a log whose search leaves one entry out.
type silent struct {
	*scenario.Log
	without uint64
}

func (f silent) Find(ctx context.Context, key string) ([]uint64, error) {
	all, err := f.Log.Find(ctx, key)
	return slices.DeleteFunc(slices.Clone(all), func(i uint64) bool { return i == f.without }), err
}

func TestNoSearchCanForgetTheRejectionOfAPlan(t *testing.T) {
	story := scenario.Story{Text: strings.Replace(approvedPlan, "ask", "reject carol plan=p1\n\task", 1), Rules: planRules(t)}
	told := tell(t, story, scenario.Attack)
	veto := told.Input.Gathered.Negative[0].Link.Index
	req := told.Input.Gathered.Request
	if _, err := verify.Gather(t.Context(), told.Log, told.Verifier, req); err != nil {
		t.Fatal(err)
	}
	_, err := verify.Gather(t.Context(), silent{told.Log, veto}, told.Verifier, req)
	var corrupt *verify.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Entry != int64(veto) {
		t.Errorf("%v", err)
	}
}

func TestLargePlanIsJudgedInASecond(t *testing.T) {
	var b strings.Builder
	for _, who := range []string{"frank p1", "gate p1"} {
		b.WriteString("operation " + who)
		for i := range 10_000 {
			fmt.Fprintf(&b, " update:aws_instance.web[%d]", i)
		}
		b.WriteString(map[string]string{"frank p1": " origin=human\n", "gate p1": " derived=plan\n"}[who])
	}
	b.WriteString("approve bob plan=p1\nask plan=p1")
	in := tell(t, scenario.Story{Text: b.String(), Rules: planRules(t)}, scenario.Attack).Input
	begin := time.Now()
	d := policy.Decide(in)
	took := time.Since(begin)
	if d.Core.Verdict != policy.Allow || d.Core.Changes[0].Plan.Counts[attest.VerbUpdate] != 10_000 {
		t.Fatalf("%s %s", d.Core.Kind, d.Core.Why)
	}
	text, err := d.CoreBytes()
	if err != nil {
		t.Fatal(err)
	}
	if took > time.Second || len(text) > 16<<10 {
		t.Errorf("took %s, and gave %d bytes", took, len(text))
	}
	t.Logf("10,000 resources in %s", took)
}

func TestRulesAndDomainsOfPlansAreReadStrictly(t *testing.T) {
	told := tell(t, scenario.Story{Text: approvedPlan, Rules: planRules(t)}, scenario.Attack)
	files := told.Set.Files()
	for name, c := range map[string]struct{ old, new, want string }{
		"no rule for every plan":    {"    about: plan\n    title: A person", "    about: plan\n    when: plan.deletes > 0\n    title: A person", "about: plan"},
		"a rule that sees no plan":  {"when: plan.losesState", "when: change.claimed || plan.losesState", "undeclared reference"},
		"a release rule with plan":  {"title: A person other than the author", "when: plan.claimed\n    title: A person other than the author", "undeclared reference"},
		"a binding of a plan":       {"approvals: [{count: 2}]", "approvals: [{count: 2}]\n      bindings: [identity]", "have no binding"},
		"before which merge":        {"approvals: [{count: 2}]", "approvals: [{count: 2}]\n      timing: beforeMerge", "have no binding"},
		"not the merger of a plan":  {"approvals: [{count: 2}]", "approvals: [{count: 2, exclude: [merger]}]", "have no binding"},
		"about something else":      {"about: plan", "about: plans", "unknown"},
		"a field that is not there": {"plan.irreversible", "plan.reversible", "undefined field"},
	} {
		f := files
		f.Policy = strings.Replace(f.Policy, c.old, c.new, 1)
		if f.Policy == files.Policy {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := policy.ParseSet(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string][2]string{
		"a domain of nothing":    {`resources: [{kind: aws_instance}, {kind: aws_db_*, address: "*.scratch*"}]`, `reason: none`},
		"a resource of nothing":  {`{kind: aws_instance}`, `{}`},
		"an unknown key":         {`{kind: aws_instance}`, `{type: aws_instance}`},
		"two stars":              {`{kind: aws_instance}`, `{kind: "aws_**"}`},
		"an unknown table":       {`domains:`, "kinds: {stateles: [x]}\ndomains:"},
		"a table that is a list": {`domains:`, "kinds: [x]\ndomains:"},
	} {
		f := files
		if f.Domains = strings.Replace(f.Domains, c[0], c[1], 1); f.Domains == files.Domains {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := policy.ParseSet(f); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "domains.yaml:") {
			t.Errorf("%s: %v", name, err)
		}
	}
	files.Domains += "kinds: {stateless: [terraform_data], operator: [terraform_data]}\n"
	set, err := policy.ParseSet(files)
	if err != nil {
		t.Fatal(err)
	}
	if k := set.Domains.Kinds(); k.Stateful("terraform_data") || !k.OperatorLevel(attest.VerbCreate, "terraform_data") {
		t.Error("domains.yaml does not add to the table of kinds")
	}
}
