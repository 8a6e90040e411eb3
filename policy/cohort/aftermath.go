package cohort

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// aftermathWindow is how long after an incident a deployment is in its aftermath: that
// of the rule that Suggest proposes.
const aftermathWindow = 7 * 24 * time.Hour

// aftermath is the worst of sev1 and sev2, of a domain that a deployment touched, that
// was not over or not over for a week when the log took the deployment; by what is known
// of the incident now.
func (j *joined) aftermath(d *Deployed) string {
	worst := attest.Sev3
	for _, inc := range j.incidents {
		last := inc.Known
		if inc.Over.After(last) {
			last = inc.Over
		}
		switch {
		case inc.Severity == worst || inc.Severity.Below(worst):
		case inc.First.Index > d.Index || !inc.Over.IsZero() && d.Time.After(last.Add(aftermathWindow)):
		case len(inc.Said.Domains) == 0 || slices.ContainsFunc(d.Changes, func(c Change) bool {
			return slices.ContainsFunc(c.Domains, func(x string) bool { return slices.Contains(inc.Said.Domains, x) })
		}):
			worst = inc.Severity
		}
	}
	if worst == attest.Sev3 {
		return None
	}
	return string(worst)
}

// several is the cohort of what touched more than one critical domain at once.
const several = "several"

// critical says how many domains of the highest tier a deployment touched.
func (j *joined) critical(d *Deployed) string {
	var touched []string
	for i := range d.Changes {
		for _, x := range d.Changes[i].Domains {
			if slices.Contains(j.log.Critical, x) && !slices.Contains(touched, x) {
				touched = append(touched, x)
			}
		}
	}
	switch len(touched) {
	case 0:
		return None
	case 1:
		return "one"
	}
	return several
}
