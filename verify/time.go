package verify

import (
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Skew is how far a claimed time may lie after the log's.
const Skew = 5 * time.Minute

// checkTime reads when the log took the entry, and holds against it the signer's
// validity and the times that the statement claims.
func (v *Verifier) checkTime(it *item) *Refusal {
	if it.untimed != nil {
		return it.untimed
	}
	if it.time.IsZero() {
		if r := v.checkToken(it); r != nil {
			return r
		}
	}
	if r := v.checkCertificate(it.key, it.time); r != nil {
		return r
	}
	return it.judgeTime()
}

// checkToken reads the log's time: from the timestamp over the signature, which
// cannot be later than that over the checkpoint.
func (v *Verifier) checkToken(it *item) *Refusal {
	if v.ownLog {
		it.time = inSeconds(it.sealed.Time)
	} else {
		at, err := v.trust.Stamp(it.sealed.Token, it.bundle.Signature)
		if err != nil {
			return corrupt(TimeUntrusted, "%v", err)
		}
		it.time = at
	}
	if it.time.After(it.view.Time) {
		return corrupt(TimeUntrusted, "the entry is of %s, after the checkpoint that holds it (%s)", stamp(it.time), stamp(it.view.Time))
	}
	return nil
}

// judgeTime judges signer and claims by the log's time.
func (it *item) judgeTime() *Refusal {
	for i, valid := range it.validity { // none in a genesis, whose roster is not known yet
		if !valid.Holds(it.time) {
			what := []string{"the signer", "the key", "the console's key"}[i]
			if i == 2 && it.assurance == roster.ByForge {
				what = "the reviewer"
			}
			return refuse(KeyTime, "%s was valid %s, and the log took the statement at %s", what, interval(valid), stamp(it.time))
		}
	}
	for _, c := range claimedTimes(it.statement.Predicate) {
		if c.After(it.time.Add(Skew)) {
			return refuse(TimeUntrusted, "it claims the time %s, more than %s after the log's %s", stamp(c.Time), Skew, stamp(it.time))
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func interval(v roster.Validity) string {
	if v.Until.IsZero() {
		return "from " + stamp(v.From)
	}
	return "from " + stamp(v.From) + " to " + stamp(v.Until)
}

// claimedTimes are when a statement says that things happened. A decision's
// expiry and a revocation's effect may lie ahead.
func claimedTimes(p attest.Predicate) []attest.Time {
	switch p := p.(type) {
	case *attest.Authorship:
		return []attest.Time{p.DeclaredAt}
	case *attest.Risk:
		return []attest.Time{p.AssessedAt}
	case *attest.Operation:
		return []attest.Time{p.DeclaredAt}
	case *attest.Approval:
		return []attest.Time{p.ApprovedAt}
	case *attest.Admission:
		return []attest.Time{p.AdmittedAt}
	case *attest.Release:
		return []attest.Time{p.ReleasedAt}
	case *attest.Deployment:
		if p.UndeployedAt != nil {
			return []attest.Time{p.DeployedAt, *p.UndeployedAt}
		}
		return []attest.Time{p.DeployedAt}
	case *attest.Incident:
		return p.Times()
	case *attest.CohortSnapshot:
		return []attest.Time{p.AsOf}
	case *attest.DeepDive:
		return []attest.Time{p.ReviewedAt}
	case *attest.Freeze:
		return []attest.Time{p.FrozenAt}
	case *attest.Gap:
		return []attest.Time{p.SaidAt}
	case *attest.BreakGlass:
		return []attest.Time{p.SaidAt}
	case *attest.Policy:
		return []attest.Time{p.PublishedAt}
	case *attest.Decision:
		return []attest.Time{p.DecidedAt}
	case *attest.VSA:
		return []attest.Time{p.TimeVerified}
	}
	return nil
}
