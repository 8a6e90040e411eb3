package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

// release of 20 changes and 82 attestations, judged by the blueprint's rules.
func bigRelease(changes int) scenario.Story {
	var b strings.Builder
	parent := "base"
	for i := range changes {
		fmt.Fprintf(&b, "commit h%d alice src/core/a%d.go src/b%d.go docs/c%d.md parent=%s coauthor=noreply@anthropic.com\nsquash m%d of=h%d\n", i, i, i, i, parent, i, i)
		parent = fmt.Sprint("m", i)
	}
	for i := range changes {
		fmt.Fprintf(&b, "change h%d\nauthorship alice h%d ai\napprove bob h%d\napprove carol h%d\n", i, i, i, i)
	}
	for i := range changes {
		fmt.Fprintf(&b, "admit m%d\n", i)
	}
	fmt.Fprintf(&b, "release m%d\nask\n", changes-1)
	return scenario.Story{Text: b.String(), Rules: `
  - id: reviewed
    title: A person other than the author approves every change
    require:
      approvals: [{count: 1}]
  - id: two-people
    title: Two people approve what has a high blast radius
    when: change.tier >= tiers.high
    require:
      approvals: [{count: 2}]
  - id: senior-for-ai
    title: Somebody senior answers for AI-assisted changes
    when: environment == "production" && change.tier > tiers.low && change.aiAssisted && change.authorLevel < levels.senior
    require:
      approvals: [{count: 1, level: senior}]
  - id: dangerous-domain
    title: A person says yes wherever AI touched a dangerous domain
    when: change.aiAssisted && change.domains.exists(d, d in ["checkout", "pricing", "identity", "core"])
    require:
      approvals: [{count: 1, kinds: [explicit]}]
  - id: proven
    title: What has the highest tier is proven
    when: change.tier >= tiers.critical && change.claimed
    forbid: true
`}
}

func BenchmarkDecide20Changes(b *testing.B) {
	in := tell(b, bigRelease(20), scenario.Attack).Input
	if d := policy.Decide(in); d.Core.Verdict != policy.Allow || len(d.Core.Changes) != 20 {
		b.Fatalf("%s %s %s", d.Core.Verdict, d.Core.Kind, d.Core.Why)
	}
	b.ReportMetric(float64(len(in.Gathered.Evidence)), "attestations")
	b.ReportAllocs()
	for b.Loop() {
		policy.Decide(in)
	}
}
