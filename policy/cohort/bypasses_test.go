package cohort

import (
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

// decide logs a decision about artifact "e" for production, of now, good for 15 minutes.
func (l *Log) decide(digest, verdict string, edit func(*Decision)) *Decision {
	e := Entry{Index: l.Size, Time: epoch.Add(time.Duration(l.Size) * time.Minute), Digest: hexOf(digest), Signer: Service}
	l.Size++
	d := Decision{Entry: e, Verdict: verdict, Repository: "example.com/org/app", Environment: "production", Artifact: hexOf("e"), Release: "v1",
		DecidedAt: e.Time, ExpiresAt: e.Time.Add(15 * time.Minute),
		Changes: []Change{{ID: "1", Head: "h1", Commit: "c1", Tier: "low", Origin: "human", Domains: []string{"docs"},
			Authors: []policy.Author{{Who: "bob", Level: "junior"}}, Approved: []policy.Voice{{Person: "alice", Index: 1}}}}}
	if edit != nil {
		edit(&d)
	}
	l.Decisions = append(l.Decisions, d)
	return &l.Decisions[len(l.Decisions)-1]
}

// deploy logs that artifact "e" went to production now.
func (l *Log) deploy(who, digest, decision string, edit func(*Deployment)) {
	e := l.next(who, digest)
	d := Deployment{Entry: e, Artifacts: []string{hexOf("e")}, Environment: "production", Actor: who, DeployedAt: e.Time}
	if decision != "" {
		d.Decision = hexOf(decision)
	}
	if edit != nil {
		edit(&d)
	}
	l.Deployments = append(l.Deployments, d)
}

func TestEachWayPastTheGateIsRegistered(t *testing.T) {
	for name, c := range map[string]struct {
		want BypassKind // empty: no bypass
		tell func(*Log)
	}{
		"allowed, and named":   {"", func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "1", nil) }},
		"allowed, not named":   {"", func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "", nil) }},
		"at its last second":   {"", func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "1", at(15*time.Minute)) }},
		"one second later":     {Expired, func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "1", at(15*time.Minute+time.Second)) }},
		"expired, not named":   {Expired, func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "", at(time.Hour)) }},
		"nobody asked":         {NoDecision, func(l *Log) { l.deploy("gate", "d", "", nil) }},
		"denied":               {Denied, func(l *Log) { l.decide("1", "deny", nil); l.deploy("gate", "d", "1", nil) }},
		"could not tell":       {Denied, func(l *Log) { l.decide("1", "error", nil); l.deploy("gate", "d", "", nil) }},
		"allowed, then denied": {Denied, func(l *Log) { l.decide("1", "allow", nil); l.decide("2", "deny", nil); l.deploy("gate", "d", "", nil) }},
		"denied, then allowed": {"", func(l *Log) { l.decide("1", "deny", nil); l.decide("2", "allow", nil); l.deploy("gate", "d", "", nil) }},
		"allowed afterwards":   {NotYet, func(l *Log) { l.deploy("gate", "d", "", nil); l.decide("1", "allow", nil) }},
		"said to be of before": {NotYet, func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "1", at(-6*time.Minute)) }},
		"clocks a bit apart":   {"", func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "1", at(-4*time.Minute)) }},
		"another artifact": {OtherDigest, func(l *Log) {
			l.decide("1", "allow", func(d *Decision) { d.Artifact = hexOf("f") })
			l.deploy("gate", "d", "1", nil)
		}},
		"another artifact, not named": {NoDecision, func(l *Log) {
			l.decide("1", "allow", func(d *Decision) { d.Artifact = hexOf("f") })
			l.deploy("gate", "d", "", nil)
		}},
		"a second artifact that nobody asked about": {NoDecision, func(l *Log) {
			l.decide("1", "allow", nil)
			l.deploy("gate", "d", "1", func(d *Deployment) { d.Artifacts = []string{hexOf("e"), hexOf("f")} })
		}},
		"another environment": {OtherEnvironment, func(l *Log) {
			l.decide("1", "allow", func(d *Decision) { d.Environment = "staging" })
			l.deploy("gate", "d", "1", nil)
		}},
		"an invented decision": {UnknownDecision, func(l *Log) { l.decide("1", "allow", nil); l.deploy("gate", "d", "2", nil) }},
		"broken glass": {BreakGlass, func(l *Log) {
			l.decide("1", "allow (break-glass)", func(d *Decision) {
				d.Glass = &policy.GlassUse{Case: hexOf("c"), RequestedBy: "bob", Bent: []string{"reviewed"}}
			})
			l.deploy("gate", "d", "1", nil)
		}},
		"broken glass, too late": {Expired, func(l *Log) {
			l.decide("1", "allow (break-glass)", func(d *Decision) { d.Glass = &policy.GlassUse{Case: hexOf("c")} })
			l.deploy("gate", "d", "1", at(time.Hour))
		}},
		"a gate that only audits": {AuditDenial, func(l *Log) {
			l.decide("1", "allow (audit)", func(d *Decision) { d.AuditFailed = []string{"reviewed"} })
			l.deploy("gate", "d", "1", nil)
		}},
		"a rule that watches": {AuditDenial, func(l *Log) {
			l.decide("1", "allow", func(d *Decision) { d.AuditFailed = []string{"senior-for-ai"} })
			l.deploy("gate", "d", "1", nil)
		}},
	} {
		l := office()
		c.tell(l)
		got := l.Bypasses(Query{}).Bypasses
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: %s: %s", name, got[0].Kind, got[0].Why)
		case c.want != "" && (len(got) != 1 || got[0].Kind != c.want):
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}

// at moves the time at which a deployment is said to have happened: so long after the
// decision, which is logged a minute before.
func at(after time.Duration) func(*Deployment) {
	return func(d *Deployment) { d.DeployedAt = d.Time.Add(after - time.Minute) }
}

func TestWhereNobodyLooksCoverageIsUnknown(t *testing.T) {
	builds := func(l *Log) {
		l.Activities = append(l.Activities, Activity{Signer: "ci", Kind: roster.Service, Type: attest.TypeChange, Count: 1})
	}
	for name, c := range map[string]struct {
		known bool
		tell  func(*Log)
	}{
		"nothing is attested":    {false, func(l *Log) {}},
		"allowed, and then what": {false, func(l *Log) { l.decide("1", "allow", nil) }},
		"CI alone says it":       {false, func(l *Log) { builds(l); l.decide("1", "allow", nil); l.deploy("ci", "d", "1", nil) }},
		"somebody else says it":  {true, func(l *Log) { builds(l); l.decide("1", "allow", nil); l.deploy("gate", "d", "1", nil) }},
		"both say it": {true, func(l *Log) {
			builds(l)
			l.decide("1", "allow", nil)
			l.deploy("ci", "c", "1", nil)
			l.deploy("gate", "d", "1", nil)
		}},
		"of another repository nothing": {false, func(l *Log) {
			builds(l)
			l.decide("1", "allow", nil)
			l.deploy("gate", "d", "1", nil)
			l.decide("2", "allow", func(d *Decision) { d.Repository, d.Artifact = "example.com/org/other", hexOf("f") })
		}},
	} {
		l := office()
		c.tell(l)
		r := l.Bypasses(Query{})
		if r.Known() != c.known {
			t.Errorf("%s: %+v", name, r.Coverage)
		}
		for _, cov := range r.Coverage {
			if (cov.Bypasses == nil) == cov.Known {
				t.Errorf("%s: where coverage is unknown, no number may be said: %+v", name, cov)
			}
		}
		if len(r.Coverage) == 0 {
			t.Errorf("%s: nothing is said about production", name)
		}
	}
}
