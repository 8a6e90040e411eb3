package attest

// maxExposed bounds the populations that one deployment names.
const maxExposed = 64

// A Deployment says that a release went to an environment, by whom, under which
// decision, and what it was exposed to. Its subjects are the artifacts, by sha256. It
// should come from somebody other than the CI that built the release.
type Deployment struct {
	Environment  string `json:"environment"`
	Target       string `json:"target,omitempty"`
	Actor        string `json:"actor"`
	DeployedAt   Time   `json:"deployedAt"`
	UndeployedAt *Time  `json:"undeployedAt,omitempty"`
	// Decision is the payload digest of the decision/v1 statement, sha256 hex;
	// empty when there was none.
	Decision string `json:"decision,omitempty"`
	// ExposedTo says who or what met the release, such as "10% of customers in the EU":
	// up to 64 distinct texts of up to 1,024 bytes, sorted.
	ExposedTo []string `json:"exposedTo,omitempty"`
}

// Type implements Predicate.
func (d *Deployment) Type() string { return TypeDeployment }

// Validate implements Predicate.
func (d *Deployment) Validate() error {
	err := first(
		checkID("predicate.environment", d.Environment),
		checkText("predicate.target", d.Target, 1024),
		checkID("predicate.actor", d.Actor),
		checkTime("predicate.deployedAt", d.DeployedAt),
		checkSorted("predicate.exposedTo", d.ExposedTo, maxExposed, checkName),
	)
	if d.Decision != "" {
		err = first(err, checkHex("predicate.decision", d.Decision, 64))
	}
	if err == nil && d.UndeployedAt != nil && d.UndeployedAt.Before(d.DeployedAt.Time) {
		err = fieldErr("predicate.undeployedAt", "is before deployedAt")
	}
	return err
}

func (d *Deployment) about(s []Subject) error { return aboutArtifacts(s) }

// checkSorted takes a list that has one spelling: sorted, distinct, bounded, each
// item checked.
func checkSorted(field string, list []string, limit int, check func(field, s string) error) error {
	if len(list) > limit {
		return faultErr(TooLarge, field, "has %d items; the limit is %d", len(list), limit)
	}
	for i, s := range list {
		if err := check(field, s); err != nil {
			return err
		}
		if i > 0 && list[i-1] >= s {
			return fieldErr(field, "%.80q is not in its place: the list must be sorted, without repetitions", s)
		}
	}
	return nil
}
