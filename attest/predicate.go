package attest

import (
	"fmt"
	"strings"
	"time"
)

// The predicate types that Countersign makes. Each has one file, named after it.
const (
	typePrefix           = "https://countersign.dev/"
	TypeChange           = typePrefix + "change/v1"
	TypeAuthorship       = typePrefix + "authorship/v1"
	TypeRisk             = typePrefix + "risk/v1"
	TypeApproval         = typePrefix + "approval/v1"
	TypeAdmission        = typePrefix + "admission/v1"
	TypeRelease          = typePrefix + "release/v1"
	TypeDeployment       = typePrefix + "deployment/v1"
	TypeOperation        = typePrefix + "operation/v1"
	TypeAgentPermissions = typePrefix + "agent-permissions/v1"
	TypeIncident         = typePrefix + "incident/v1"
	TypeDeepDive         = typePrefix + "deep-dive/v1"
	TypeCohortSnapshot   = typePrefix + "cohort-snapshot/v1"
	TypeRevocation       = typePrefix + "revocation/v1"
	TypeFreeze           = typePrefix + "freeze/v1"
	TypeBreakGlass       = typePrefix + "break-glass/v1"
	TypeGap              = typePrefix + "gap/v1"
	TypePolicy           = typePrefix + "policy/v1"
	TypeDecision         = typePrefix + "decision/v1"
	TypeAttachment       = typePrefix + "attachment/v1"
	TypeImport           = typePrefix + "import/v1"
	TypeSLSAProvenance   = "https://slsa.dev/provenance/v1"
	TypeLink             = "https://in-toto.io/attestation/link/v0.3"
	TypeVSA              = "https://slsa.dev/verification_summary/v1"
)

// A Predicate is what a statement says about its subjects. Our own are parsed
// strictly; SLSA's types are read for the fields that we use.
type Predicate interface {
	// Type is the predicate type, a URI.
	Type() string
	// Validate checks everything that can be checked without other evidence.
	// Its error is a *FieldError.
	Validate() error
}

// Time is a moment as our predicates write it: RFC 3339 in UTC, with the letter
// Z and at most milliseconds. It is always a claim of whoever signed it.
type Time struct{ time.Time }

// At returns t in UTC, cut to milliseconds.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

const timeLayout = "2006-01-02T15:04:05.999Z"

// MarshalText writes the one spelling that UnmarshalText reads.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(t.UTC().Format(timeLayout)), nil
}

// UnmarshalText refuses other zones than Z, leap seconds and finer fractions.
func (t *Time) UnmarshalText(b []byte) error {
	s := string(b)
	if !strings.HasSuffix(s, "Z") {
		return fmt.Errorf("time %.40q must be RFC 3339 in UTC with a Z", s)
	}
	parsed, err := time.Parse(time.RFC3339, s)
	if err != nil || parsed.Format(timeLayout) != s {
		return fmt.Errorf("time %.40q must be RFC 3339 in UTC with at most milliseconds", s)
	}
	t.Time = parsed.UTC()
	return nil
}

func checkTime(field string, t Time) error {
	if t.IsZero() {
		return fieldErr(field, "is missing")
	}
	return nil
}

// MarshalJSON and UnmarshalJSON stand here because time.Time's would be
// promoted otherwise, and take every zone.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

// UnmarshalJSON reads a JSON string as UnmarshalText does.
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("time %.40q is not a JSON string", b)
	}
	return t.UnmarshalText(b[1 : len(b)-1])
}
