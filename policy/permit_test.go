package policy_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
)

var granted = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func permissions() *attest.AgentPermissions {
	yes, no := true, false
	return &attest.AgentPermissions{
		Agent: "robot", Operator: "bob", GrantedBy: "bob", GrantedAt: attest.At(granted), NotAfter: attest.At(granted.Add(time.Hour)),
		Grants: []attest.Grant{
			{Capability: "update", Resource: "aws_instance.*", Environments: []string{"production", "staging"}, Reversible: &yes, MaxScope: 2},
			{Capability: "*", Resource: "module.scratch.*", Kind: "aws_s3_*", Environments: []string{"staging"}, Reversible: &no, MaxScope: 10},
		},
		Denies: []attest.Deny{
			{Capability: "delete", Resource: "*keep*"},
			{Capability: "*", Resource: "*", Kind: "aws_s3_bucket_policy", Environments: []string{"staging"}},
		},
	}
}

func update(resource string) policy.Act {
	return policy.Act{Verb: "update", Resource: resource, Kind: "aws_instance", Environment: "staging", Reversible: true}
}

func TestWhatIsNotPermittedIsRefusedWithAReason(t *testing.T) {
	scratch := policy.Act{Verb: "delete", Resource: "module.scratch.aws_s3_bucket.a", Kind: "aws_s3_bucket", Environment: "staging"}
	with := func(a policy.Act, change func(*policy.Act)) []policy.Act {
		change(&a)
		return []policy.Act{a}
	}
	now := granted.Add(time.Minute)
	for what, c := range map[string]struct {
		acts []policy.Act
		at   time.Time
		want string // of the first refusal; empty: all are permitted
	}{
		"granted":                                {[]policy.Act{update("aws_instance.a"), update("aws_instance.b")}, now, ""},
		"granted, irreversible":                  {[]policy.Act{scratch}, now, ""},
		"at the last moment":                     {[]policy.Act{scratch}, granted.Add(time.Hour), ""},
		"nothing":                                {nil, now, "names nothing"},
		"too late":                               {[]policy.Act{scratch}, granted.Add(time.Hour + time.Millisecond), "ended"},
		"too early":                              {[]policy.Act{scratch}, granted.Add(-time.Second), "begin"},
		"another verb":                           {with(update("aws_instance.a"), func(a *policy.Act) { a.Verb = "replace" }), now, "no grant"},
		"another resource":                       {[]policy.Act{update("aws_db.a")}, now, "no grant"},
		"another environment":                    {with(scratch, func(a *policy.Act) { a.Environment = "production" }), now, "no grant"},
		"no environment":                         {with(scratch, func(a *policy.Act) { a.Environment = "" }), now, "no grant"},
		"another kind":                           {with(scratch, func(a *policy.Act) { a.Kind = "aws_db" }), now, "no grant"},
		"what cannot be undone":                  {with(update("aws_instance.a"), func(a *policy.Act) { a.Reversible = false }), now, "cannot be undone"},
		"more than the scope":                    {[]policy.Act{update("aws_instance.a"), update("aws_instance.b"), update("aws_instance.c")}, now, "touches 3 resources"},
		"one of many not granted":                {[]policy.Act{update("aws_instance.a"), update("aws_db.a")}, now, "no grant"},
		"denied, though granted":                 {with(scratch, func(a *policy.Act) { a.Resource = "module.scratch.keep" }), now, "denied"},
		"deleted by replacing":                   {with(scratch, func(a *policy.Act) { a.Verb, a.Resource = "replace", "module.scratch.keep" }), now, "denied"},
		"replaced, and not denied":               {with(scratch, func(a *policy.Act) { a.Verb = "replace" }), now, ""},
		"of a kind that is denied, and not told": {with(update("aws_instance.a"), func(a *policy.Act) { a.Kind = "" }), now, "denied"},
		"of no kind, where none is denied":       {with(update("aws_instance.a"), func(a *policy.Act) { a.Kind, a.Environment = "", "production" }), now, ""},
		"denied in an environment":               {with(scratch, func(a *policy.Act) { a.Kind = "aws_s3_bucket_policy" }), now, "denied"},
	} {
		got := policy.HoldAgainst(permissions(), c.acts, c.at)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: %s", what, got[0].Why)
		case c.want != "" && (len(got) == 0 || !strings.Contains(got[0].Why, c.want)):
			t.Errorf("%s: %v, want something about %q", what, got, c.want)
		}
	}
	if got := policy.HoldAgainst(nil, []policy.Act{scratch}, now); len(got) != 1 {
		t.Error("no permissions permit something")
	}
	if got := policy.HoldAgainst(&attest.AgentPermissions{NotAfter: attest.At(granted.Add(time.Hour))}, []policy.Act{scratch}, now); len(got) != 1 {
		t.Error("empty permissions permit something")
	}
}

// More acts and more denials never permit what was not permitted before, in whatever
// order they stand.
func TestNothingMoreIsPermittedByAdding(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	act := func() policy.Act {
		return policy.Act{Verb: pick("update", "delete", "create"), Resource: pick("aws_instance.a", "aws_instance.b", "aws_instance.c", "module.scratch.keep", "module.scratch.x"),
			Kind: pick("aws_instance", "aws_s3_bucket", "aws_s3_bucket_policy"), Environment: pick("staging", "production"), Reversible: rnd.IntN(2) == 0}
	}
	now := granted.Add(time.Minute)
	refused := func(p *attest.AgentPermissions, acts []policy.Act) map[policy.Act]bool {
		out := make(map[policy.Act]bool)
		for _, u := range policy.HoldAgainst(p, acts, now) {
			out[u.Act] = true
		}
		return out
	}
	for range 2000 {
		var acts []policy.Act
		for range 1 + rnd.IntN(4) {
			acts = append(acts, act())
		}
		before := refused(permissions(), acts)
		more := permissions()
		more.Denies = append(more.Denies, attest.Deny{Capability: pick("*", "update"), Resource: pick("*", "aws_instance.*")})
		longer := append([]policy.Act{act()}, acts...)
		rnd.Shuffle(len(longer), func(i, k int) { longer[i], longer[k] = longer[k], longer[i] })
		for a := range before {
			if !refused(more, acts)[a] || !refused(permissions(), longer)[a] {
				t.Fatalf("%+v is permitted by adding", a)
			}
		}
	}
}
