package attest

import (
	"cmp"
	"slices"
)

// Limits of one incident.
const (
	maxIncidentDomains = 64
	maxCauses          = 64
)

// An Incident says that something broke, for how long, and what is thought to have
// caused it. Its only subject is the incident's id, as IncidentSubject gives it.
//
// Later statements supersede earlier ones of the same id. One that makes less of the
// incident counts only once a second person has signed the same payload, so a
// statement names no author of its own: who signed is who says so.
type Incident struct {
	ID       string   `json:"id"` // as the incident's own system calls it, such as "INC-7"
	Title    string   `json:"title,omitempty"`
	Severity Severity `json:"severity"`
	// StartedAt is when it began to hurt, DetectedAt when somebody or something noticed,
	// ResolvedAt when it was over; the last is absent while it lasts.
	StartedAt  Time  `json:"startedAt"`
	DetectedAt Time  `json:"detectedAt"`
	ResolvedAt *Time `json:"resolvedAt,omitempty"`
	// Domains are those of the policy that were hit: sorted, distinct, up to 64.
	Domains []string `json:"domains,omitempty"`
	// Causes are sorted by kind and digest, distinct, up to 64.
	Causes []Cause `json:"causes,omitempty"`
	// ResolvedBy is the roster id of the person, agent or service that ended it.
	ResolvedBy string          `json:"resolvedBy,omitempty"`
	Source     *IncidentSource `json:"source,omitempty"`
	// Supersedes is the payload digest of the statement that this one takes the place
	// of, sha256 hex; empty for the first one of an id.
	Supersedes string `json:"supersedes,omitempty"`
	ReportedAt Time   `json:"reportedAt"`
}

// Severity is how bad an incident is. There is no default.
type Severity string

// The severities, worst first.
const (
	Sev1 Severity = "sev1"
	Sev2 Severity = "sev2"
	Sev3 Severity = "sev3"
	Sev4 Severity = "sev4"
)

// Severities lists them, worst first.
func Severities() []Severity { return []Severity{Sev1, Sev2, Sev3, Sev4} }

// Below reports whether s is less bad than other.
func (s Severity) Below(other Severity) bool { return s > other } // sev2 > sev1, as text

// A Cause is a deployment or a release that an incident is put down to.
type Cause struct {
	Kind CauseKind `json:"kind"`
	// Digest is that of the deployment's payload, or of a released artifact; sha256 hex.
	Digest     string     `json:"digest"`
	Confidence Confidence `json:"confidence"`
	Because    string     `json:"because,omitempty"`
}

// CauseKind says what the digest of a Cause is of.
type CauseKind string

// The kinds of causes.
const (
	CauseDeployment CauseKind = "deployment" // one going live of a release, at one place
	CauseRelease    CauseKind = "release"    // an artifact, wherever it was deployed last before the incident
)

// Confidence says how sure somebody is of a cause.
type Confidence string

// The degrees of confidence, surest first.
const (
	Confirmed Confidence = "confirmed"
	Likely    Confidence = "likely"
	Possible  Confidence = "possible"
)

// Confidences lists them, surest first.
func Confidences() []Confidence { return []Confidence{Confirmed, Likely, Possible} }

// AtLeast reports whether c is as sure as other.
func (c Confidence) AtLeast(other Confidence) bool {
	all := Confidences()
	return slices.Index(all, c) >= 0 && slices.Index(all, c) <= slices.Index(all, other)
}

// IncidentSource names the system that an incident was taken from.
type IncidentSource struct {
	System string `json:"system"`        // such as "pagerduty"
	Ref    string `json:"ref,omitempty"` // a link for people
}

// IncidentSubject is the subject of every statement about an incident: SHA-256 of
// "incident:" and its id, which is how they are found.
func IncidentSubject(id string) Subject {
	return Subject{Name: id, Digest: map[string]string{"sha256": DigestOf([]byte("incident:" + id)).String()}}
}

// Statement is the incident with its subject.
func (i *Incident) Statement() *Statement {
	return &Statement{Subjects: []Subject{IncidentSubject(i.ID)}, Predicate: i}
}

// Times are all times that it claims.
func (i *Incident) Times() []Time {
	out := []Time{i.StartedAt, i.DetectedAt, i.ReportedAt}
	if i.ResolvedAt != nil {
		out = append(out, *i.ResolvedAt)
	}
	return out
}

// Type implements Predicate.
func (i *Incident) Type() string { return TypeIncident }

// Validate implements Predicate.
func (i *Incident) Validate() error {
	err := first(
		checkID("predicate.id", i.ID),
		checkText("predicate.title", i.Title, 1024),
		oneOf("predicate.severity", i.Severity, Severities()...),
		checkTime("predicate.startedAt", i.StartedAt),
		checkTime("predicate.detectedAt", i.DetectedAt),
		checkTime("predicate.reportedAt", i.ReportedAt),
		checkSorted("predicate.domains", i.Domains, maxIncidentDomains, checkID),
		i.checkOrder(),
		checkCauses(i.Causes),
	)
	if i.ResolvedBy != "" {
		err = first(err, checkID("predicate.resolvedBy", i.ResolvedBy))
	}
	if i.Supersedes != "" {
		err = first(err, checkHex("predicate.supersedes", i.Supersedes, 64))
	}
	if i.Source != nil {
		err = first(err, checkID("predicate.source.system", i.Source.System), checkText("predicate.source.ref", i.Source.Ref, 4096))
	}
	return err
}

// checkOrder wants the times in the order in which they come to pass.
func (i *Incident) checkOrder() error {
	switch {
	case i.DetectedAt.Before(i.StartedAt.Time):
		return fieldErr("predicate.detectedAt", "is before startedAt")
	case i.ResolvedAt != nil && i.ResolvedAt.Before(i.StartedAt.Time):
		return fieldErr("predicate.resolvedAt", "is before startedAt")
	case i.ResolvedBy != "" && i.ResolvedAt == nil:
		return fieldErr("predicate.resolvedBy", "is set, and resolvedAt is not")
	}
	return nil
}

func checkCauses(causes []Cause) error {
	const field = "predicate.causes"
	if len(causes) > maxCauses {
		return faultErr(TooLarge, field, "has %d items; the limit is %d", len(causes), maxCauses)
	}
	for n, c := range causes {
		err := first(
			oneOf(field+".kind", c.Kind, CauseDeployment, CauseRelease),
			checkHex(field+".digest", c.Digest, 64),
			oneOf(field+".confidence", c.Confidence, Confidences()...),
			checkComment(field+".because", c.Because),
		)
		if err != nil {
			return err
		}
		if n > 0 && CompareCauses(causes[n-1], c) >= 0 {
			return fieldErr(field, "%s %.12s is not in its place: causes are sorted by kind and digest, without repetitions", c.Kind, c.Digest)
		}
	}
	return nil
}

// CompareCauses orders causes as an incident lists them.
func CompareCauses(a, b Cause) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Digest, b.Digest))
}

func (i *Incident) about(subjects []Subject) error {
	sub, err := soleSubject(subjects)
	if err != nil {
		return err
	}
	if want := IncidentSubject(i.ID).Digest["sha256"]; sub.Digest["sha256"] != want {
		return faultErr(SubjectMismatch, "statement.subject.digest.sha256", "is %.64q, and that of incident %s is %s", sub.Digest["sha256"], i.ID, want)
	}
	return nil
}
