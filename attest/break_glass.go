package attest

import "time"

// A BreakGlass lets releases go that the rules would stop: one person requests it, another
// grants it, and others review afterwards what was done. It is kept in the chain of negative
// evidence, as are the verdicts that use it: nobody can leave out a use, or a review that is
// owed.
//
// The subjects of a request are the artifacts (or plans) and the heads that it names; the
// subject of a grant and of a review is the payload digest of the request, which is the case.
type BreakGlass struct {
	Action BreakGlassAction `json:"action"`
	By     string           `json:"by"` // roster id of the signer

	// What a request asks for. Artifacts are sha256 digests of artifacts or plan files, for
	// which it covers every change; Heads are merged commits, or
	// reviewed heads, each of which stands for a merge that is bound to it.
	Repository    string   `json:"repository,omitempty"`
	Environment   string   `json:"environment,omitempty"`
	Artifacts     []string `json:"artifacts,omitempty"`
	Heads         []string `json:"heads,omitempty"`
	Justification string   `json:"justification,omitempty"`
	Ticket        string   `json:"ticket,omitempty"`
	NotBefore     *Time    `json:"notBefore,omitempty"`
	NotAfter      *Time    `json:"notAfter,omitempty"`
	Uses          int      `json:"uses,omitempty"` // how often at most

	// Case is the payload digest of the request that a grant or a review is about, sha256 hex.
	Case    string            `json:"case,omitempty"`
	Outcome BreakGlassOutcome `json:"outcome,omitempty"` // of a review
	Comment string            `json:"comment,omitempty"` // of a grant or a review
	SaidAt  Time              `json:"saidAt"`            // a claim; the log's time counts
}

// BreakGlassAction says which of the three forms it is. There is no default.
type BreakGlassAction string

// The actions.
const (
	GlassRequest BreakGlassAction = "request"
	GlassGrant   BreakGlassAction = "grant"
	GlassReview  BreakGlassAction = "review"
)

// BreakGlassOutcome is what a reviewer found.
type BreakGlassOutcome string

// The outcomes. Both end what is owed; reports tell them apart.
const (
	GlassJustified   BreakGlassOutcome = "justified"
	GlassUnjustified BreakGlassOutcome = "unjustified"
)

// Limits of one case. A policy sets its own below them.
const (
	MaxGlassUses     = 100
	MaxGlassDuration = 7 * 24 * time.Hour
	maxGlassSubjects = 100
)

// Type implements Predicate.
func (b *BreakGlass) Type() string { return TypeBreakGlass }

// Validate implements Predicate.
func (b *BreakGlass) Validate() error {
	err := first(
		oneOf("predicate.action", b.Action, GlassRequest, GlassGrant, GlassReview),
		checkID("predicate.by", b.By),
		checkTime("predicate.saidAt", b.SaidAt),
	)
	switch {
	case err != nil:
		return err
	case b.Action == GlassRequest:
		return b.validateRequest()
	case b.Repository != "" || b.Environment != "" || len(b.Artifacts)+len(b.Heads) > 0 || b.Justification != "" || b.Ticket != "" || b.NotBefore != nil || b.NotAfter != nil || b.Uses != 0:
		return fieldErr("predicate.case", "says what the request says: a grant or a review adds none of it")
	case b.Action == GlassGrant && b.Outcome != "":
		return fieldErr("predicate.outcome", "is a review's")
	}
	err = first(checkHex("predicate.case", b.Case, 64), checkComment("predicate.comment", b.Comment))
	if err == nil && b.Action == GlassReview {
		if err = oneOf("predicate.outcome", b.Outcome, GlassJustified, GlassUnjustified); err == nil && b.Comment == "" {
			err = fieldErr("predicate.comment", "is empty: what did the review find?")
		}
	}
	return err
}

func (b *BreakGlass) validateRequest() error {
	err := first(
		checkRepository("predicate.repository", b.Repository),
		checkID("predicate.environment", b.Environment),
		checkSorted("predicate.artifacts", b.Artifacts, maxGlassSubjects, func(field, s string) error { return checkHex(field, s, 64) }),
		checkSorted("predicate.heads", b.Heads, maxGlassSubjects, checkCommit),
		checkComment("predicate.justification", b.Justification),
		checkName("predicate.ticket", b.Ticket),
	)
	switch {
	case err != nil:
		return err
	case b.Justification == "":
		return fieldErr("predicate.justification", "is empty: why can it not wait?")
	case len(b.Artifacts)+len(b.Heads) == 0:
		return fieldErr("predicate.artifacts", "and heads are empty: what is to go?")
	case b.NotBefore == nil || b.NotAfter == nil || !b.NotAfter.After(b.NotBefore.Time):
		return fieldErr("predicate.notAfter", "is not after notBefore; both are needed")
	case b.NotAfter.Sub(b.NotBefore.Time) > MaxGlassDuration:
		return fieldErr("predicate.notAfter", "is more than %s after notBefore", MaxGlassDuration)
	case b.Uses < 1 || b.Uses > MaxGlassUses:
		return fieldErr("predicate.uses", "is %d; 1 to %d are possible", b.Uses, MaxGlassUses)
	case b.Case != "" || b.Outcome != "" || b.Comment != "":
		return fieldErr("predicate.case", "is set, with outcome or comment: a request opens the case")
	}
	return nil
}

func (b *BreakGlass) subjects() []Subject {
	if b.Action != GlassRequest {
		return []Subject{{Digest: map[string]string{"sha256": b.Case}}}
	}
	var out []Subject
	for _, a := range b.Artifacts {
		out = append(out, Subject{Digest: map[string]string{"sha256": a}})
	}
	for _, h := range b.Heads {
		out = append(out, Subject{Digest: map[string]string{"gitCommit": h}})
	}
	return out
}

func (b *BreakGlass) about(subjects []Subject) error {
	want := b.subjects()
	if len(subjects) != len(want) {
		return faultErr(SubjectMismatch, "statement.subject", "has %d items, and the predicate is about %d", len(subjects), len(want))
	}
	for i := range want {
		for alg, hex := range want[i].Digest {
			if subjects[i].Digest[alg] != hex {
				return faultErr(SubjectMismatch, "statement.subject", "number %d is not %s %s, which the predicate is about", i+1, alg, hex)
			}
		}
	}
	return nil
}

// NewBreakGlass is the statement of a request, a grant or a review.
func NewBreakGlass(b *BreakGlass) *Statement {
	return &Statement{Subjects: b.subjects(), Predicate: b}
}

// CaseKey finds what speaks of a case, by the payload digest of its request: grants,
// reviews, and the verdicts that used it.
func CaseKey(digest string) string { return "break-glass:" + digest }
