package policy

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

var since = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// demoFiles is the demo's policy with a roster of fresh keys.
func demoFiles(t testing.TB) attest.PolicyFiles {
	t.Helper()
	var f attest.PolicyFiles
	for name, into := range map[string]*string{"policy.yaml": &f.Policy, "domains.yaml": &f.Domains} {
		b, err := os.ReadFile("../testdata/demo/policy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		*into = string(b)
	}
	key := func() []roster.Key {
		k, err := attest.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		return []roster.Key{{SPKI: k.Public().SPKI(), Name: "laptop"}}
	}
	people, err := NewPeople([]string{"dev-9f384c", "dev-ea3d90"}, []roster.Principal{
		{ID: "dev-9f384c", Kind: roster.Person, Level: "staff", Teams: []string{"core"}, Emails: []string{"dev-9f384c@example.com"}, Keys: key()},
		{ID: "dev-ea3d90", Kind: roster.Person, Level: "senior", Emails: []string{"dev-ea3d90@example.com"}, Keys: key()},
		{ID: "dev-6a45df", Kind: roster.Person, Level: "mid", Emails: []string{"dev-6a45df@example.com"}, Keys: key()},
		{ID: "claude", Kind: roster.Agent, Operator: "dev-6a45df", Emails: []string{"noreply@anthropic.com"}, Keys: key()},
		{ID: "ci", Kind: roster.Service, May: []string{"change", "admission", "risk"}, Keys: key()},
		{ID: "gate", Kind: roster.Service, May: []string{"deployment"}, Keys: key()},
		{ID: "forge", Kind: roster.Service, Forge: true, Emails: []string{"dev-b3d8d0@example.com"}},
	}, since)
	if err != nil {
		t.Fatal(err)
	}
	f.People = people
	return f
}

func TestDemoPolicyLoads(t *testing.T) {
	s, err := ParseSet(demoFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != 9 || len(s.Roster.Principals()) != 7 || s.Digest() == (attest.Digest{}) {
		t.Errorf("%d rules, %d principals", len(s.Rules), len(s.Roster.Principals()))
	}
	b := Blueprint()
	b.People = demoFiles(t).People
	if _, err := ParseSet(b); err != nil {
		t.Errorf("blueprint: %v", err)
	}
}

// Every way to write a policy that means something else than it says is refused,
// and the message says where.
func TestInvalidPoliciesAreRefused(t *testing.T) {
	good := demoFiles(t)
	for name, c := range map[string]struct{ file, old, new, want string }{
		"misspelt key":               {"policy", "require:\n      approvals: [{count: 2}]", "require:\n      treshold: 2", `unknown key "treshold"`},
		"count zero":                 {"policy", "[{count: 2}]", "[{count: 0}]", "whole number"},
		"count negative":             {"policy", "[{count: 2}]", "[{count: -1}]", "whole number"},
		"count fraction":             {"policy", "[{count: 2}]", "[{count: 1.5}]", "whole number"},
		"count text":                 {"policy", "[{count: 2}]", `[{count: "2"}]`, "whole number"},
		"count null":                 {"policy", "[{count: 2}]", "[{count: null}]", "whole number"},
		"count huge":                 {"policy", "[{count: 2}]", "[{count: 4294967296}]", "whole number"},
		"count octal":                {"policy", "[{count: 2}]", "[{count: 02}]", "whole number"},
		"no is a word":               {"policy", "forbid: true", "forbid: no", "true or false"},
		"anchor":                     {"policy", "validFor: 15m", "validFor: &a 15m", "anchors"},
		"duplicate key":              {"policy", "validFor: 15m", "validFor: 15m\nvalidFor: 24h", "twice"},
		"unknown tier in when":       {"policy", "tiers.high\n", "tiers.hgih\n", "undeclared reference"},
		"unknown field":              {"policy", "change.tier >= tiers.high", "change.teir >= tiers.high", "undefined field"},
		"when gives a number":        {"policy", "change.tier >= tiers.high", "change.tier", "true or false"},
		"regular expression":         {"policy", "change.tier >= tiers.high", `change.title.matches("(a+)+")`, "undeclared reference"},
		"unknown level":              {"policy", "level: senior}", "level: seniour}", `did you mean "senior"`},
		"unknown environment":        {"policy", "environment: staging", "environment: stagin", "unknown"},
		"no rules":                   {"policy", good.Policy[strings.Index(good.Policy, "rules:"):], "rules: []\n", "at least one enforced rule"},
		"exceptions without a limit": {"policy", "rules:", "exceptions: []\nrules:", "maxException"},
		"exception too long":         {"policy", "rules:", oneException("rule: two-people", "720h", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"), "lasts 744h"},
		"exception without end":      {"policy", "rules:", strings.Replace(oneException("rule: two-people", "720h", "2026-03-01T00:00:00Z", "X"), "    until: X\n", "", 1), "for ever"},
		"exception to nothing":       {"policy", "rules:", oneException("rule: nothing", "720h", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"), `no rule "nothing"`},
		"exception of two sorts":     {"policy", "rules:", oneException("heads: [0000000000000000000000000000000000000000]\n    rule: two-people", "720h", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"), "exactly one"},
		"exceptions for ever":        {"policy", "rules:", "changes: {maxException: 5000h}\nrules:", "5000h"},
		"impatient exceptions":       {"policy", "rules:", "changes: {delay: 1h, exceptionDelay: 2h}\nrules:", "longer than delay"},
		"glass without a review":     {"policy", "rules:", "breakGlass: {environments: [production], maxDuration: 1h, maxUses: 1}\nrules:", "reviewWithin"},
		"glass for a month":          {"policy", "rules:", "breakGlass: {environments: [production], maxDuration: 720h, maxUses: 1, reviewWithin: 1h}\nrules:", "720h"},
		"glass nowhere":              {"policy", "rules:", "breakGlass: {environments: [moon], maxDuration: 1h, maxUses: 1, reviewWithin: 1h}\nrules:", `"moon" is unknown`},
		"glass that keeps nothing":   {"policy", "rules:", "breakGlass: {environments: [production], maxDuration: 1h, maxUses: 1, reviewWithin: 1h, keeps: [nothing]}\nrules:", `no rule "nothing"`},
		"key of two people":          {"people", "", "", "already belongs"},
		"wildcard address":           {"people", "dev-ea3d90@example.com", "*@example.com", "patterns are not allowed"},
		"same address, folded":       {"people", "dev-ea3d90@example.com", "DEV-9F384C@example.com", "already belongs to dev-9f384c"},
		"operator unknown":           {"people", "operator: dev-6a45df", "operator: nobody", "no person"},
		"service approves":           {"people", "may: [change,", "may: [approval,", "no service may"},
		"owner unknown":              {"people", "owners: [dev-9f384c, dev-ea3d90]", "owners: [nobody]", "must be a person"},
		"entry without from":         {"people", "    from: 2026-01-01T00:00:00Z\n", "", "from is missing"},
		"character class":            {"domains", `"docs/**"`, `"docs/[a-z]"`, "no other pattern"},
		"leading slash":              {"domains", `"docs/**"`, `"/docs/**"`, "without a slash"},
		"dot segment":                {"domains", `"docs/**"`, `"./docs/**"`, "not allowed"},
		"unknown tier":               {"domains", "tier: medium", "tier: middle", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good
			into := map[string]*string{"policy": &f.Policy, "people": &f.People, "domains": &f.Domains}[c.file]
			if name == "key of two people" {
				i := strings.Index(f.People, "        publicKey: |\n")
				j := strings.Index(f.People, "-----END PUBLIC KEY-----\n") + len("-----END PUBLIC KEY-----\n")
				first := f.People[i:j]
				k := strings.Index(f.People[j:], "        publicKey: |\n") + j
				l := strings.Index(f.People[k:], "-----END PUBLIC KEY-----\n") + len("-----END PUBLIC KEY-----\n") + k
				f.People = f.People[:k] + first + f.People[l:]
			} else {
				if !strings.Contains(*into, c.old) {
					t.Fatalf("file has no %q", c.old)
				}
				*into = strings.Replace(*into, c.old, c.new, 1)
			}
			_, err := ParseSet(f)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if !strings.Contains(err.Error(), c.file+".yaml:") {
				t.Errorf("%v does not name its place", err)
			}
		})
	}
}

func TestPathsGetTheTierOfTheirDomains(t *testing.T) {
	s, err := ParseSet(demoFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"docs/VFS.md": "low", "README.md": "low", "db_test.go": "low", "cmd/litestream/main.go": "medium", "cmd/litestream/main_test.go": "medium",
		"s3/replica_client.go": "medium", "db.go": "high", "internal/lock_unix.go": "high", "go.mod": "high",
		".github/workflows/commit.yml": "critical", "docs/.gitattributes": "critical", "new/thing.go": "critical",
	} {
		c := s.Domains.Classify([]gitfacts.Path{{Path: path, OldMode: "100644", NewMode: "100644"}})
		if s.Tiers[c.Tier] != want {
			t.Errorf("%s is %s (%v), want %s", path, s.Tiers[c.Tier], c.Because, want)
		}
	}
	link := s.Domains.Classify([]gitfacts.Path{{Path: "docs/a", NewMode: "120000"}})
	if s.Tiers[link.Tier] != "critical" {
		t.Error("a symbolic link is not critical")
	}
	if none := s.Domains.Classify(nil); s.Tiers[none.Tier] != "critical" {
		t.Error("no path at all is not critical")
	}
}

func BenchmarkExpression(b *testing.B) {
	s, err := ParseSet(demoFiles(b))
	if err != nil {
		b.Fatal(err)
	}
	change := &ChangeVars{Tier: 2, AIAssisted: true, Domains: []string{"docs", "storage-format"}}
	for b.Loop() {
		if _, err := s.Rules[3].When.Eval(change, &ReleaseVars{}, "production"); err != nil {
			b.Fatal(err)
		}
	}
}

func oneException(rule, limit, from, until string) string {
	return "changes: {maxException: " + limit + "}\nexceptions:\n  - id: x\n    " + rule + "\n    repository: example.com/a/b\n    environments: [production]\n    paths: [\"a/**\"]\n" +
		"    from: " + from + "\n    until: " + until + "\n    reason: because\nrules:"
}
