package attest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// operation is a plan that does some of everything.
func operation() *Operation {
	o := &Operation{
		Repository: "example.com/org/infra", Environment: "production", Source: TerraformPlan, Tool: OperationTool{"terraform", "1.11.4"},
		Derived: DerivedFromPlan, PlannedBy: "carol", Origin: OriginUnknown, Agents: []Agent{{Tool: "claude"}}, DeclaredBy: "gate", DeclaredAt: when,
	}
	o.SetOperations([]ResourceOperation{
		{Verb: VerbCreate, Address: `aws_instance.web["b"]`, Kind: "aws_instance", Reversible: true},
		{Verb: VerbDelete, Address: "module.db.aws_db_instance.main", Kind: "aws_db_instance", Module: "module.db", Stateful: true},
		{Verb: VerbCreate, Address: `aws_instance.web["a"]`, Kind: "aws_instance", Reversible: true},
	})
	return o
}

func planApproval() *Statement {
	st := approval()
	p := st.Predicate.(*Approval)
	p.Change, p.TargetRef, p.About = ChangeRef{}, "", &ApprovalAbout{Plan: hexOf("e", 64)}
	st.Subjects = []Subject{{Name: "plan.tfplan", Digest: map[string]string{"sha256": hexOf("e", 64)}}}
	return st
}

func TestOperationsHaveOneForm(t *testing.T) {
	all := operation().Each()
	if len(all) != 3 {
		t.Fatalf("%d operations: %+v", len(all), all)
	}
	want := operation().Operations
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		mixed := append(slices.Clone(all), all...)
		r.Shuffle(len(mixed), func(i, k int) { mixed[i], mixed[k] = mixed[k], mixed[i] })
		o := operation()
		o.SetOperations(mixed)
		if diff := cmp.Diff(want, o.Operations); diff != "" {
			t.Fatal(diff)
		}
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpoiledOperationsAreRefused(t *testing.T) {
	good, err := (&Statement{commitSubject(map[string]string{"sha256": hexOf("e", 64)}), operation()}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		want     Fault
	}{
		"about a commit":             {`"sha256"`, `"gitCommit"`, Malformed},
		"of an unknown source":       {`"terraform-plan"`, `"pulumi"`, Unsupported},
		"of an unknown verb":         {`"verb":"create"`, `"verb":"destroy"`, Unsupported},
		"derived by a promise":       {`"derived":"plan"`, `"derived":"trust-me"`, Unsupported},
		"derived from a manifest":    {`"terraform-plan"`, `"manifest"`, Unsupported},
		"a deletion that reverses":   {`"module":"module.db","reversible":false`, `"module":"module.db","reversible":true`, Malformed},
		"a count that is too small":  {`"create":2`, `"create":1`, Malformed},
		"a count of what is absent":  {`"create":2`, `"create":2,"move":1`, Malformed},
		"a count that hides":         {`"delete":1`, `"read":1`, Malformed},
		"a negative count":           {`"create":2`, `"create":-2`, Malformed},
		"resources out of order":     {`["aws_instance.web[\"a\"]","aws_instance.web[\"b\"]"]`, `["aws_instance.web[\"b\"]","aws_instance.web[\"a\"]"]`, Malformed},
		"groups out of order":        {`"verb":"create"`, `"verb":"update"`, Malformed},
		"no resources":               {`["module.db.aws_db_instance.main"]`, `[]`, Malformed},
		"an attribute's value":       {`"stateful":true`, `"stateful":true,"after":"secret"`, Malformed},
		"nobody's":                   {`"declaredBy":"gate"`, `"declaredBy":""`, Malformed},
		"no environment":             {`"environment":"production"`, `"environment":""`, Malformed},
		"an origin that nobody uses": {`"origin":"unknown"`, `"origin":"person"`, Unsupported},
	} {
		bad := strings.Replace(string(good), c.old, c.new, 1)
		if bad == string(good) {
			t.Fatalf("%s: no %s in %s", name, c.old, good)
		}
		if _, err := ParseStatement([]byte(bad)); FaultOf(err) != c.want || err == nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestLargePlansFit(t *testing.T) {
	for _, n := range []int{10_000, 25_000} {
		var all []ResourceOperation
		for i := range n {
			all = append(all, ResourceOperation{Verb: VerbCreate, Address: fmt.Sprintf(`module.tenant["t%d"].aws_instance.web[0]`, i), Kind: "aws_instance", Module: fmt.Sprintf(`module.tenant["t%d"]`, i%50), Reversible: true})
		}
		all = append(all, ResourceOperation{Verb: VerbDelete, Address: "aws_db_instance.last", Kind: "aws_db_instance", Stateful: true})
		o := operation()
		o.SetOperations(all)
		payload, err := (&Statement{commitSubject(map[string]string{"sha256": hexOf("e", 64)}), o}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(payload), "aws_db_instance.last") {
			t.Errorf("%d: what cannot be undone was left out", n)
		}
		if (o.Omitted > 0) != (n > MaxOperations) || o.Counts[VerbCreate] != n {
			t.Errorf("%d resources: %d omitted, %v", n, o.Omitted, o.Counts)
		}
		if _, err := ParseStatement(payload); err != nil {
			t.Error(err)
		}
	}
}

// An approval of a plan names the plan and nothing else; that of a change has the
// bytes that it always had.
func TestApprovalOfAPlanOrOfAChange(t *testing.T) {
	good, err := planApproval().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		want     Fault
	}{
		"of another plan":        {`"plan":"ee`, `"plan":"ef`, SubjectMismatch},
		"of a plan and a change": {`"about":`, `"change":{"id":"7"},"about":`, SubjectMismatch},
		"of a plan on a branch":  {`"about":`, `"targetRef":"refs/heads/main","about":`, SubjectMismatch},
		"of a plan and commit":   {`{"sha256":`, `{"gitCommit":"` + hexOf("a", 40) + `","sha256":`, SubjectMismatch},
		"of nothing":             {`"about":{"plan":"` + hexOf("e", 64) + `"},`, ``, Malformed},
		"of no plan":             {`"plan":"` + hexOf("e", 64) + `"`, `"plan":""`, Malformed},
	} {
		bad := strings.Replace(string(good), c.old, c.new, 1)
		if bad == string(good) {
			t.Fatalf("%s: no %s in %s", name, c.old, good)
		}
		if _, err := ParseStatement([]byte(bad)); err == nil || FaultOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	st := planApproval()
	st.Predicate.(*Approval).Decision = Rejected
	if got, want := NegativeScope(st.Predicate), SubjectKey("sha256", hexOf("e", 64)); got != want {
		t.Errorf("a rejected plan takes credit from %q, want %q", got, want)
	}
	change, err := approval().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(change), "about") || !strings.Contains(string(change), `"change":{"id":`) {
		t.Errorf("an approval of a change is written differently: %s", change)
	}
}

func FuzzOperation(f *testing.F) {
	good, err := (&Statement{commitSubject(map[string]string{"sha256": hexOf("e", 64)}), operation()}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, payload []byte) {
		st, err := ParseStatement(payload)
		if err != nil {
			return
		}
		again, err := st.Marshal()
		if err != nil {
			t.Fatalf("parses and does not print: %v", err)
		}
		back, err := ParseStatement(again)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := back.Marshal(); err != nil || string(twice) != string(again) {
			t.Fatalf("%s\n%s\n%v", again, twice, err)
		}
	})
}
