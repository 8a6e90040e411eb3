package attest

import "github.com/go-json-experiment/json/jsontext"

// A Decision is a verdict as it is logged. Its subjects are the artifact and the
// commit that was judged, or the plan. Core is what two verifiers with the same inputs agree
// on to the byte; Annex explains, and decides nothing.
//
// The shapes of both are package policy's; here they are checked for being JSON
// of bounded size and for the fields that the log is searched by.
type Decision struct {
	Repository  string `json:"repository"`
	Environment string `json:"environment"`
	Verdict     string `json:"verdict"`        // allow, allow (break-glass), allow (audit), deny or error
	To          string `json:"to"`             // commit; empty for a plan
	Plan        string `json:"plan,omitempty"` // sha256 of the plan file, hex
	Nonce       string `json:"nonce"`          // of the request
	// BreakGlass is the case that an allow (break-glass) uses: payload digest of the request, hex.
	BreakGlass string         `json:"breakGlass,omitempty"`
	DecidedAt  Time           `json:"decidedAt"`
	ExpiresAt  Time           `json:"expiresAt"`
	Core       jsontext.Value `json:"core"`
	Annex      jsontext.Value `json:"annex"`
}

// What a gate may open for. Only at a VerdictAllow may a range begin.
const (
	VerdictAllow      = "allow"
	VerdictBreakGlass = "allow (break-glass)"
	VerdictAudit      = "allow (audit)"
)

// Type implements Predicate.
func (d *Decision) Type() string { return TypeDecision }

// Validate implements Predicate.
func (d *Decision) Validate() error {
	err := first(
		checkRepository("predicate.repository", d.Repository),
		checkID("predicate.environment", d.Environment),
		oneOf("predicate.verdict", d.Verdict, VerdictAllow, VerdictBreakGlass, VerdictAudit, "deny", "error"),
		d.validateCase(),
		d.validateSubject(),
		checkText("predicate.nonce", d.Nonce, 128),
		checkTime("predicate.decidedAt", d.DecidedAt),
		checkTime("predicate.expiresAt", d.ExpiresAt),
	)
	if err == nil && (d.Core.Kind() != '{' || d.Annex.Kind() != '{') {
		err = fieldErr("predicate.core", "and annex must be JSON objects")
	}
	return err
}

func (d *Decision) validateCase() error {
	if d.Verdict != VerdictBreakGlass && d.BreakGlass == "" {
		return nil
	}
	if d.Verdict != VerdictBreakGlass {
		return fieldErr("predicate.breakGlass", "is set, and the verdict is %q", d.Verdict)
	}
	return checkHex("predicate.breakGlass", d.BreakGlass, 64)
}

func (d *Decision) validateSubject() error {
	switch {
	case d.Plan == "":
		return checkCommit("predicate.to", d.To)
	case d.To != "":
		return faultErr(SubjectMismatch, "predicate.plan", "is there, and a commit too")
	}
	return checkHex("predicate.plan", d.Plan, 64)
}

func (d *Decision) about(subjects []Subject) error {
	if d.Plan != "" {
		if sub, err := soleSubject(subjects); err != nil || sub.Digest["sha256"] != d.Plan {
			return faultErr(SubjectMismatch, "statement.subject", "is not the plan sha256 %s alone", d.Plan)
		}
		return nil
	}
	for _, s := range subjects {
		if s.Digest["gitCommit"] == d.To {
			return nil
		}
	}
	return faultErr(SubjectMismatch, "statement.subject", "names no gitCommit %s", d.To)
}
