package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

func permittedRules(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(corpus + "/P01_never-permitted_deny/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const beyond = `
	permit alice claude update:aws_instance.web
	operation claude p1 update:aws_instance.web %s origin=ai
	approve bob plan=p1
	approve carol plan=p1
	ask plan=p1`

func TestTheVerdictListsWhatGoesBeyond(t *testing.T) {
	in := tell(t, scenario.Story{Text: fmt.Sprintf(beyond, "create:aws_instance.a delete:aws_db_x.b"), Rules: permittedRules(t)}, scenario.Attack).Input
	d := policy.Decide(in)
	got := d.Core.Changes[0].Plan.Unpermitted
	if d.Core.Kind != policy.NotPermitted || len(got) != 2 || !strings.HasPrefix(got[0], "claude: create aws_instance.a: no grant") || !strings.HasPrefix(got[1], "claude: delete aws_db_x.b: no grant") {
		t.Errorf("%s %q", d.Core.Kind, got)
	}
	cited := false
	for _, c := range d.Core.Inputs {
		cited = cited || c.Type == attest.TypeAgentPermissions && c.Role == "permissions of claude" && c.Signer == "alice"
	}
	if !cited {
		t.Errorf("the permissions are not among the inputs: %+v", d.Core.Inputs)
	}
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, " create:aws_instance.n%d", i)
	}
	in = tell(t, scenario.Story{Text: fmt.Sprintf(beyond, many.String()), Rules: permittedRules(t)}, scenario.Attack).Input
	d = policy.Decide(in)
	if n := len(d.Core.Changes[0].Plan.Unpermitted); n != 100 || !strings.HasSuffix(d.Core.Why, "and 297 more") {
		t.Errorf("%d listed, %q", n, d.Core.Why)
	}
}

// A set that asks nothing of permissions decides as before they were asked for, to the
// byte: past decisions are made again.
func TestPermissionsAreSilentWhereNoRuleAsks(t *testing.T) {
	rules := planRules(t)
	with := policy.Decide(tell(t, scenario.Story{Text: fmt.Sprintf(beyond, ""), Rules: rules}, scenario.Attack).Input)
	text, err := with.CoreBytes()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "ermi") {
		t.Errorf("it speaks of permissions: %s", text)
	}
}

func TestAskingForPermissionsTightens(t *testing.T) {
	set := func(rules string) *policy.Set {
		told := tell(t, scenario.Story{Text: approvedPlan, Rules: rules}, scenario.Attack)
		return told.Set
	}
	asks := permittedRules(t)
	of := func(require string) string { return strings.Replace(asks, "{permitted: true}", require, 1) }
	both := set(of("{approvals: [{count: 1}], permitted: true}"))
	one := set(of("{approvals: [{count: 1}]}"))
	if d := policy.Diff(one, both); !policy.Tightens(d) || len(d) != 1 {
		t.Errorf("asking: %+v", d)
	}
	if d := policy.Diff(both, one); policy.Tightens(d) {
		t.Errorf("asking no longer: %+v", d)
	}
	for rules, want := range map[string]string{
		strings.Replace(asks, "approvals: [{count: 1}]", "permitted: true\n      approvals: [{count: 1}]", 1): "is for rules `about: plan`",
		of("{permitted: yes}"):   "true or false",
		of("{permitted: false}"): "requires nothing",
	} {
		f := one.Files()
		f.Policy = f.Policy[:strings.Index(f.Policy, "rules:\n")+len("rules:\n")] + rules
		if _, err := policy.ParseSet(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func BenchmarkHoldAgainst10000(b *testing.B) {
	yes := true
	p := &attest.AgentPermissions{GrantedAt: attest.At(granted), NotAfter: attest.At(granted.Add(time.Hour))}
	for i := range 100 {
		p.Grants = append(p.Grants, attest.Grant{Capability: "update", Resource: fmt.Sprintf("module.m%d.*", i), Environments: []string{"production"}, Reversible: &yes, MaxScope: 1000})
	}
	var acts []policy.Act
	for i := range 10_000 {
		acts = append(acts, policy.Act{Verb: "update", Resource: fmt.Sprintf("module.m%d.aws_instance.web[%d]", i%100, i), Kind: "aws_instance", Environment: "production", Reversible: true})
	}
	for b.Loop() {
		if not := policy.HoldAgainst(p, acts, granted.Add(time.Minute)); len(not) > 0 {
			b.Fatal(not[0])
		}
	}
}
