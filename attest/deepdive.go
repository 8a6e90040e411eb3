package attest

// A DeepDive is the review of an incident: what happened, why, and what is done about
// it. It closes what a rule says is owed once two people have signed the same payload,
// so it names no author of its own: who signed is who says so. Its only subject is the
// incident, as IncidentSubject gives it.
type DeepDive struct {
	Incident string `json:"incident"` // its id
	// Of is the payload digest of the incident's statement that was in force when the
	// review was written, sha256 hex: what the reviewers looked at.
	Of      string `json:"of"`
	Summary string `json:"summary"` // what happened, and why
	// Actions are what is done so that it does not happen again: 1 to 64.
	Actions []string `json:"actions"`
	// Ref is a link to the whole of it, for people.
	Ref        string `json:"ref,omitempty"`
	ReviewedAt Time   `json:"reviewedAt"` // a claim; the log's time counts
}

const maxActions = 64

// Statement is the review with its subject.
func (d *DeepDive) Statement() *Statement {
	return &Statement{Subjects: []Subject{IncidentSubject(d.Incident)}, Predicate: d}
}

// Type implements Predicate.
func (d *DeepDive) Type() string { return TypeDeepDive }

// Validate implements Predicate.
func (d *DeepDive) Validate() error {
	err := first(
		checkID("predicate.incident", d.Incident),
		checkHex("predicate.of", d.Of, 64),
		checkComment("predicate.summary", d.Summary),
		checkText("predicate.ref", d.Ref, 4096),
		checkTime("predicate.reviewedAt", d.ReviewedAt),
	)
	switch n := len(d.Actions); {
	case err != nil:
		return err
	case d.Summary == "":
		return fieldErr("predicate.summary", "is empty: what happened, and why?")
	case n == 0:
		return fieldErr("predicate.actions", "is empty: what is done about it?")
	case n > maxActions:
		return faultErr(TooLarge, "predicate.actions", "has %d items; the limit is %d", n, maxActions)
	}
	for _, a := range d.Actions {
		if a == "" {
			return fieldErr("predicate.actions", "holds an empty item")
		}
		if err := checkComment("predicate.actions", a); err != nil {
			return err
		}
	}
	return nil
}

func (d *DeepDive) about(subjects []Subject) error {
	sub, err := soleSubject(subjects)
	if err != nil {
		return err
	}
	if want := IncidentSubject(d.Incident).Digest["sha256"]; sub.Digest["sha256"] != want {
		return faultErr(SubjectMismatch, "statement.subject.digest.sha256", "is %.64q, and that of incident %s is %s", sub.Digest["sha256"], d.Incident, want)
	}
	return nil
}
