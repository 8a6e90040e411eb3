package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

const (
	glassRules = "  - id: reviewed\n    title: Somebody else\n    require:\n      approvals: [{count: 1}]\nbreakGlass: {environments: [production], maxDuration: 4h, maxUses: 2, reviewWithin: 24h}\n"
	unreviewed = "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\nadmit m1\nrelease m1\n"
	broken     = unreviewed + "r: request bob for=5m\ngrant carol r\n"
)

// What goes although rules failed is recorded as what it is, passes nowhere, and is no
// start of a range.
func TestWhatWasBentIsNoAllow(t *testing.T) {
	for name, c := range map[string]struct {
		story, rules string
		verdict      policy.Verdict
		level        string
	}{
		"broken glass": {broken + "ask", glassRules, policy.AllowBreakGlass, "ORG_COUNTERSIGN_BREAK_GLASS"},
		"audit":        {"mode audit\n" + unreviewed + "ask", "", policy.AllowAudit, ""},
	} {
		d := policy.Decide(tell(t, scenario.Story{Text: c.story, Rules: c.rules}, scenario.Attack).Input)
		if d.Core.Verdict != c.verdict || !d.Core.Verdict.Opens() || d.Passed() {
			t.Fatalf("%s: %s, passed %v", name, d.Core.Verdict, d.Passed())
		}
		st, err := d.Statement()
		if err != nil {
			t.Fatal(err)
		}
		payload, err := st.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := attest.ParseStatement(payload)
		if err != nil {
			t.Fatal(err)
		}
		p := parsed.Predicate.(*attest.Decision)
		recorded, err := policy.Recorded(p)
		if err != nil {
			t.Fatal(err)
		}
		if diff, err := policy.Differences(&recorded.Core, &d.Core); err != nil || len(diff) > 0 {
			t.Errorf("%s: differs in %v, %v", name, diff, err)
		}
		key, err := attest.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		b, err := attest.Sign(parsed, key)
		if err != nil {
			t.Fatal(err)
		}
		logged, err := attest.Log(b, parsed, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(logged.Keys, attest.IsAllowedKey) {
			t.Errorf("%s: it is found as an allow: %v", name, logged.Keys)
		}
		if chained := logged.Negative == attest.Everything; chained != (c.verdict == policy.AllowBreakGlass) {
			t.Errorf("%s: in the chain: %v", name, chained)
		}
		vsa, err := d.Summary("https://gate.example.com", b.Digest())
		if err != nil {
			t.Fatal(err)
		}
		v := vsa.Predicate.(*attest.VSA)
		if v.VerificationResult != "FAILED" || strings.Join(v.VerifiedLevels, " ") != c.level {
			t.Errorf("%s: %s %v", name, v.VerificationResult, v.VerifiedLevels)
		}
		if lie := *p; lie.BreakGlass != "" {
			lie.BreakGlass = strings.Repeat("0", 64)
			if _, err := policy.Recorded(&lie); err == nil {
				t.Error("a predicate that names another case than its core is read")
			}
		}
	}
}

// A verdict lasts no longer than what it rests on.
func TestABentVerdictEndsWithItsReason(t *testing.T) {
	told := tell(t, scenario.Story{Text: broken + "ask", Rules: glassRules}, scenario.Attack)
	d := policy.Decide(told.Input)
	if use := d.Core.BreakGlass; !d.Core.ExpiresAt.Equal(use.NotAfter.Time) || use.Use != 1 || use.Uses != 1 || !slices.Equal(use.Bent, []string{"reviewed"}) ||
		!use.ReviewBy.Equal(told.Input.Now.Add(24*time.Hour)) {
		t.Errorf("expires %v: %+v", d.Core.ExpiresAt, use)
	}
	rules := "  - id: reviewed\n    title: Somebody else\n    require:\n      approvals: [{count: 1}]\nchanges: {maxException: 24h}\nexceptions:\n" +
		"  - {id: x, rule: reviewed, repository: example.com/org/repo, environments: [production], paths: [\"src/**\"], from: 2026-03-02T10:00:00Z, until: 2026-03-02T10:12:00Z, reason: because}\n"
	told = tell(t, scenario.Story{Text: unreviewed + "ask", Rules: rules}, scenario.Attack)
	d = policy.Decide(told.Input)
	if until := time.Date(2026, 3, 2, 10, 12, 0, 0, time.UTC); d.Core.Verdict != policy.Allow || !d.Core.ExpiresAt.Equal(until) || told.Input.Now.Add(told.Set.ValidFor).Before(until) {
		t.Errorf("%s (%s) at %v, until %v", d.Core.Verdict, d.Core.Why, told.Input.Now, d.Core.ExpiresAt)
	}
	if p := d.Annex.Posture.Exceptions; len(p) != 1 || p[0].ID != "x" || p[0].Rule != "reviewed" {
		t.Errorf("posture %+v", p)
	}
}
