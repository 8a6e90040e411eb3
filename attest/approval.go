package attest

// An Approval is one person's verdict on one change. Its subject is the head
// commit and tree that the reviewer saw, so it survives a squash and not a push.
type Approval struct {
	Decision   ApprovalDecision `json:"decision"`
	Reviewer   string           `json:"reviewer"` // roster id of the signer
	Repository string           `json:"repository"`
	Change     ChangeRef        `json:"change"`
	TargetRef  string           `json:"targetRef"`
	Scope      Scope            `json:"scope"`
	ApprovedAt Time             `json:"approvedAt"` // a claim; the log's time counts
	Comment    string           `json:"comment,omitempty"`
	ReviewLink string           `json:"reviewLink,omitempty"`
	// Nonce makes two otherwise equal approvals distinct statements.
	Nonce string `json:"nonce,omitempty"`
	// Assertion is the reviewer's own signature where it cannot be that of the
	// statement.
	Assertion *Assertion `json:"assertion,omitempty"`
}

// ApprovalDecision is what the reviewer decided. There is no default.
type ApprovalDecision string

// The decisions. The latest of each reviewer counts.
const (
	Approved  ApprovalDecision = "approved"
	Rejected  ApprovalDecision = "rejected"  // a veto while it is the reviewer's latest
	Withdrawn ApprovalDecision = "withdrawn" // takes an approval back; revives nothing
)

// Scope limits what an approval is for.
type Scope struct {
	// Environments are exact names; an empty list approves nothing.
	Environments []string `json:"environments"`
}

// Type implements Predicate.
func (a *Approval) Type() string { return TypeApproval }

// Validate implements Predicate.
func (a *Approval) Validate() error {
	err := first(
		oneOf("predicate.decision", a.Decision, Approved, Rejected, Withdrawn),
		checkID("predicate.reviewer", a.Reviewer),
		checkRepository("predicate.repository", a.Repository),
		a.Change.validate(),
		checkName("predicate.targetRef", a.TargetRef),
		checkTime("predicate.approvedAt", a.ApprovedAt),
		checkComment("predicate.comment", a.Comment),
		checkText("predicate.reviewLink", a.ReviewLink, 4096),
		checkText("predicate.nonce", a.Nonce, 128),
	)
	if err == nil && a.Assertion != nil {
		err = first(a.Assertion.validate(), checkName("predicate.nonce", a.Nonce))
	}
	if err == nil && len(a.Scope.Environments) == 0 {
		err = faultErr(WrongScope, "predicate.scope.environments", "is empty, which approves nothing")
	}
	for _, e := range a.Scope.Environments {
		err = first(err, checkID("predicate.scope.environments", e))
	}
	return err
}

// Negative reports whether this can only take credit away.
func (a *Approval) Negative() bool { return a.Decision != Approved }

func (a *Approval) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	return first(checkCommit("statement.subject.digest.gitCommit", sub.Digest["gitCommit"]),
		checkCommit("statement.subject.digest.gitTree", sub.Digest["gitTree"]))
}
