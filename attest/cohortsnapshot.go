package attest

import (
	"cmp"
	"slices"
)

// A CohortSnapshot is how often deployments failed, cohort by cohort, as of one state of
// the log: figures that a rule may ask for where nobody can read the whole log. Anybody
// who can, computes the same from the same entries (docs/formats.md says how). Its only
// subject is that state, by its root.
type CohortSnapshot struct {
	Size uint64 `json:"size"` // entries of the log that were read
	Root string `json:"root"` // of that state, sha256 hex
	// AsOf is when that state was signed; windows end then.
	AsOf Time `json:"asOf"`
	// Rows are sorted by environment, cohort and days, distinct, up to 5,000.
	Rows []CohortFigures `json:"rows"`
}

// CohortFigures are those of one cohort, in one environment, over one window.
type CohortFigures struct {
	Environment string `json:"environment"`
	// Cohort is all, ai, human, unknown, or domain:NAME, tier:NAME, tool:NAME, team:NAME.
	Cohort string `json:"cohort"`
	Days   int    `json:"days"` // of the window: one of SnapshotDays
	// Failed are the deployments that an incident of any severity is put down to, at least
	// with confidence likely.
	Deployments int `json:"deployments"`
	Failed      int `json:"failed"`
}

// SnapshotDays are the windows of a snapshot, in days.
func SnapshotDays() []int { return []int{7, 30, 90} }

const maxSnapshotRows = 5000

// Statement is the snapshot with its subject.
func (s *CohortSnapshot) Statement() *Statement {
	return &Statement{Subjects: []Subject{{Digest: map[string]string{"sha256": s.Root}}}, Predicate: s}
}

// Type implements Predicate.
func (s *CohortSnapshot) Type() string { return TypeCohortSnapshot }

// Validate implements Predicate.
func (s *CohortSnapshot) Validate() error {
	const field = "predicate.rows"
	err := first(
		checkHex("predicate.root", s.Root, 64),
		checkTime("predicate.asOf", s.AsOf),
	)
	switch {
	case err != nil:
		return err
	case s.Size == 0 || s.Size > 1<<52:
		return fieldErr("predicate.size", "is %d, and no number of entries", s.Size)
	case len(s.Rows) > maxSnapshotRows:
		return faultErr(TooLarge, field, "has %d items; the limit is %d", len(s.Rows), maxSnapshotRows)
	}
	for i := range s.Rows {
		r := &s.Rows[i]
		if err := first(checkID(field+".environment", r.Environment), checkName(field+".cohort", r.Cohort)); err != nil {
			return err
		}
		switch {
		case !slices.Contains(SnapshotDays(), r.Days):
			return fieldErr(field+".days", "is %d; windows are of %v days", r.Days, SnapshotDays())
		case r.Deployments < 1 || r.Failed < 0 || r.Failed > r.Deployments || r.Deployments > 1<<40:
			return fieldErr(field, "%s: %d of %d deployments cannot fail", r.Cohort, r.Failed, r.Deployments)
		case i > 0 && CompareFigures(s.Rows[i-1], *r) >= 0:
			return fieldErr(field, "%s is not in its place: rows are sorted by environment, cohort and days, without repetitions", r.Cohort)
		}
	}
	return nil
}

// CompareFigures orders rows as a snapshot lists them.
func CompareFigures(a, b CohortFigures) int {
	return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Cohort, b.Cohort), cmp.Compare(a.Days, b.Days))
}

func (s *CohortSnapshot) about(subjects []Subject) error {
	sub, err := soleSubject(subjects)
	if err != nil {
		return err
	}
	if sub.Digest["sha256"] != s.Root {
		return faultErr(SubjectMismatch, "statement.subject.digest.sha256", "is not the root %s", s.Root)
	}
	return nil
}
