package policy

// Kinds that only a rule can see: docs/formats.md says what each means, and which
// of them deny and which only give no credit.
const (
	Insufficient       Kind = "INSUFFICIENT"                 // approvals are missing
	SelfApproval       Kind = "SELF_APPROVAL"                // by an author, or the operator of an agent that helped
	NotHuman           Kind = "NOT_HUMAN"                    // by an agent or a service
	NotSenior          Kind = "NOT_SENIOR"                   // enough approvals, not of the level or team that is asked
	LowAssurance       Kind = "LOW_ASSURANCE"                // enough approvals, that prove too little of who was there
	StaleApproval      Kind = "STALE_APPROVAL"               // for another head, or too old
	Late               Kind = "LATE"                         // logged after the merge that it should precede
	Revoked            Kind = "REVOKED"                      // taken back
	Veto               Kind = "VETO"                         // an eligible reviewer rejected
	Unbound            Kind = "UNBOUND"                      // nothing that the rule accepts binds the review to the merge
	NoPlan             Kind = "NO_PLAN"                      // nothing says what the plan does
	NoRelease          Kind = "NO_RELEASE"                   // nothing says where the artifact comes from
	NoChange           Kind = "NO_CHANGE"                    // a commit of the range without evidence
	NoBaseline         Kind = "NO_BASELINE"                  // no trusted start below the commit
	AmbiguousSource    Kind = "AMBIGUOUS_SOURCE"             // more than one source commit
	RoleConflict       Kind = "ROLE_CONFLICT"                // one key, two roles that must be apart
	Forbidden          Kind = "FORBIDDEN"                    // a rule forbids such changes
	LayoutNotMet       Kind = "LAYOUT_NOT_MET"               // the artifact was not made as a layout says
	BadLink            Kind = "BAD_LINK"                     // a link that can be read in two ways
	NotPermitted       Kind = "NOT_PERMITTED"                // an agent goes beyond what it may do
	NotAvailable       Kind = "NOT_AVAILABLE"                // a rule asks for what this version cannot check
	NegativeUnreadable Kind = "NEGATIVE_EVIDENCE_UNREADABLE" // a revocation or veto that nobody can read
	PolicyInvalid      Kind = "POLICY_INVALID"               // the policy gives no answer
	StaleView          Kind = "STALE_VIEW"                   // the log view is too old, or the clock is behind it
	UnknownEnvironment Kind = "UNKNOWN_ENVIRONMENT"
	Frozen             Kind = "FROZEN"          // an officer stopped such releases
	Expired            Kind = "EXPIRED"         // before its beginning, or at or after its end
	BeyondLimit        Kind = "BEYOND_LIMIT"    // longer, or more often, than the policy allows
	UsedUp             Kind = "USED_UP"         // as often as was granted
	ReviewDue          Kind = "REVIEW_DUE"      // the same team owes a review that is late
	PolicyRollback     Kind = "POLICY_ROLLBACK" // a policy set whose version does not follow the one before
	EnrolledLater      Kind = "ENROLLED_LATER"  // by somebody who was nobody yet when the change was made
	DiveOwed           Kind = "DIVE_OWED"       // an incident has had no review that two people signed
	Superseded         Kind = "SUPERSEDED"      // the same person's later word counts
)
