package attest

import "strings"

// An Approval is one person's verdict on one change, or on one plan. Its subject is
// the head commit and tree that the reviewer saw, so it survives a squash and not a
// push; or the file of the plan, so it survives nothing.
type Approval struct {
	Decision   ApprovalDecision `json:"decision"`
	Reviewer   string           `json:"reviewer"` // roster id of the signer
	Repository string           `json:"repository"`
	// Change and TargetRef are absent, and About is there, where a plan is approved.
	Change     ChangeRef      `json:"change,omitzero"`
	TargetRef  string         `json:"targetRef,omitzero"`
	About      *ApprovalAbout `json:"about,omitempty"`
	Scope      Scope          `json:"scope"`
	ApprovedAt Time           `json:"approvedAt"` // a claim; the log's time counts
	Comment    string         `json:"comment,omitempty"`
	ReviewLink string         `json:"reviewLink,omitempty"`
	// Nonce makes two otherwise equal approvals distinct statements.
	Nonce string `json:"nonce,omitempty"`
	// Assertion is the reviewer's own signature where it cannot be that of the
	// statement.
	Assertion *Assertion `json:"assertion,omitempty"`
	// WitnessedBy is there where a forge says what the reviewer decided, and signs.
	WitnessedBy *Witnessed `json:"witnessedBy,omitempty"`
}

// Witnessed says which account on which forge decided something. That the account is the
// reviewer's is for the roster to say, by its immutable id.
type Witnessed struct {
	Forge   string `json:"forge"`            // host name, in lower case
	Account string `json:"account"`          // immutable id
	Review  string `json:"review,omitempty"` // the forge's id of the review, where it has one
}

// ApprovalAbout names what is approved where it is no change.
type ApprovalAbout struct {
	Plan string `json:"plan"` // sha256 of the file that will be applied, hex
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
		a.validateAbout(),
		checkTime("predicate.approvedAt", a.ApprovedAt),
		checkComment("predicate.comment", a.Comment),
		checkText("predicate.reviewLink", a.ReviewLink, 4096),
		checkText("predicate.nonce", a.Nonce, 128),
	)
	if err == nil && a.Assertion != nil {
		err = first(a.Assertion.validate(), checkName("predicate.nonce", a.Nonce))
	}
	if err == nil && a.WitnessedBy != nil {
		err = a.validateWitnessed()
	}
	if err == nil && len(a.Scope.Environments) == 0 {
		err = faultErr(WrongScope, "predicate.scope.environments", "is empty, which approves nothing")
	}
	for _, e := range a.Scope.Environments {
		err = first(err, checkID("predicate.scope.environments", e))
	}
	return err
}

// validateWitnessed wants an account on the forge that hosts the repository: nobody can
// see on one forge what was decided on another.
func (a *Approval) validateWitnessed() error {
	const field = "predicate.witnessedBy"
	w := a.WitnessedBy
	host, _, _ := strings.Cut(a.Repository, "/")
	switch {
	case a.Assertion != nil:
		return fieldErr(field, "is there beside an assertion: either the reviewer signed, or a forge did")
	case a.About != nil:
		return faultErr(SubjectMismatch, field, "is there, and forges witness no approvals of plans")
	case w.Forge != host:
		return faultErr(WrongScope, field+".forge", "is %.200q, and the repository is on %.200q", w.Forge, host)
	}
	return first(checkName(field+".account", w.Account), checkText(field+".account", w.Account, 128), checkText(field+".review", w.Review, 128))
}

// validateAbout wants a change with its target, or a plan, and never both.
func (a *Approval) validateAbout() error {
	switch {
	case a.About == nil:
		return first(a.Change.validate(), checkName("predicate.targetRef", a.TargetRef))
	case a.Change != ChangeRef{} || a.TargetRef != "":
		return faultErr(SubjectMismatch, "predicate.about", "is a plan, and the approval names a change or a branch too")
	}
	return checkHex("predicate.about.plan", a.About.Plan, 64)
}

// Plan is the digest of the plan that is approved, and empty for a change.
func (a *Approval) Plan() string {
	if a.About == nil {
		return ""
	}
	return a.About.Plan
}

// Negative reports whether this can only take credit away.
func (a *Approval) Negative() bool { return a.Decision != Approved }

func (a *Approval) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	if a.About != nil {
		if got := sub.Digest["sha256"]; got != a.About.Plan || sub.Digest["gitCommit"] != "" {
			return faultErr(SubjectMismatch, "statement.subject.digest.sha256", "is %.64q, and predicate.about.plan is %s", got, a.About.Plan)
		}
		return nil
	}
	return first(checkCommit("statement.subject.digest.gitCommit", sub.Digest["gitCommit"]),
		checkCommit("statement.subject.digest.gitTree", sub.Digest["gitTree"]))
}
