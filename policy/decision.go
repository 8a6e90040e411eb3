package policy

import (
	"github.com/countersign-dev/countersign/attest"
)

// A Verdict is the answer to "may this go there?". The zero value denies.
type Verdict string

// The verdicts.
const (
	Allow Verdict = attest.VerdictAllow
	// AllowBreakGlass lets a release go that the rules would have stopped: somebody asked for
	// it, somebody else granted it, and a review is owed. No range begins there.
	AllowBreakGlass Verdict = attest.VerdictBreakGlass
	// AllowAudit lets a release go where the gate only audits: rules failed. No range begins
	// there, and nothing passed.
	AllowAudit Verdict = attest.VerdictAudit
	Deny       Verdict = "deny"
	Error      Verdict = "error" // could not tell; a gate treats it as deny
)

// Opens reports whether a gate lets it through.
func (v Verdict) Opens() bool { return v == Allow || v == AllowBreakGlass || v == AllowAudit }

// A Decision is a verdict with its reasons. Two verifiers with the same inputs
// agree on Core to the byte, in whatever order the inputs came; Annex explains
// what gave no credit, and decides nothing.
type Decision struct {
	Core  Core  `json:"core"`
	Annex Annex `json:"annex"`
}

// Core is what was decided, from what, under which policy.
type Core struct {
	Verdict Verdict `json:"verdict"`
	// Kind and Why give the first reason of a deny or an error, or of what would have been a
	// deny where the gate only audits; they are empty for allow.
	Kind Kind   `json:"kind,omitempty"`
	Why  string `json:"why,omitempty"`

	Repository  string `json:"repository"`
	Environment string `json:"environment"`
	Release     string `json:"release,omitempty"`     // name of the release, such as a tag
	Artifact    string `json:"artifact,omitempty"`    // sha256 hex; empty when a commit was judged
	Plan        string `json:"plan,omitempty"`        // sha256 hex of the plan file, when a plan was judged
	From        string `json:"from,omitempty"`        // commit where the range begins, not itself judged
	FromBecause string `json:"fromBecause,omitempty"` // "baseline", "allowed #index" or "gap #index"
	// Gap is there where the range begins after one: what lies in it was seen by nobody.
	Gap *GapResult `json:"gap,omitempty"`
	To  string     `json:"to,omitempty"`

	Policy PolicyRef `json:"policy"`
	Log    LogRef    `json:"log"`
	// Completeness says who vouches that no negative evidence is missing:
	// "operator" (the log's word) or "followed" (the verifier followed the log).
	Completeness string `json:"completeness"`
	// Time says who vouches for the times: "operator", or "witnessed" where a quorum
	// of witnesses that trust names has cosigned the view.
	Time string `json:"time"`

	DecidedAt attest.Time `json:"decidedAt"`
	ExpiresAt attest.Time `json:"expiresAt"`
	Nonce     string      `json:"nonce,omitempty"`

	// BreakGlass is the case that an AllowBreakGlass rests on.
	BreakGlass *GlassUse `json:"breakGlass,omitempty"`

	Changes  []ChangeResult `json:"changes"`  // in first-parent order, oldest first; or the plan alone
	Rules    []RuleResult   `json:"rules"`    // in the policy's order
	Awaiting []Awaiting     `json:"awaiting"` // what approvals would turn a deny into allow; empty when none would
	Inputs   []Cited        `json:"inputs"`   // the evidence that counted, in log order
}

// GlassUse is one use of a break-glass case.
type GlassUse struct {
	Case          string      `json:"case"`  // payload digest of the request, hex
	Index         uint64      `json:"index"` // of the request
	Granted       []uint64    `json:"granted"`
	RequestedBy   string      `json:"requestedBy"`
	GrantedBy     []string    `json:"grantedBy"`
	Ticket        string      `json:"ticket"`
	Justification string      `json:"justification"`
	Use           int         `json:"use"` // the first is 1
	Uses          int         `json:"uses"`
	NotAfter      attest.Time `json:"notAfter"`
	ReviewBy      attest.Time `json:"reviewBy"` // others than who asked and granted owe a review by then
	Bent          []string    `json:"bent"`     // rules that failed
}

// PolicyRef names the policy set that was applied.
type PolicyRef struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Digest  string `json:"digest"` // sha256 hex of the set
}

// LogRef is the state of the log that was judged.
type LogRef struct {
	Origin      string      `json:"origin"`
	Size        uint64      `json:"size"`
	Root        string      `json:"root"`
	Time        attest.Time `json:"time"`
	ChainLength uint64      `json:"negativeLength"`
	Chain       string      `json:"negativeHead"`
}

// ChangeResult is what was found out about one commit of the range, and how the
// rules fared with it.
type ChangeResult struct {
	Change string `json:"change"` // its id, or "" for a commit without one
	Commit string `json:"commit"`
	Head   string `json:"head,omitempty"`  // reviewed head
	Title  string `json:"title,omitempty"` // first line of the commit message
	// Plan is there when it is a plan, which has no commit, head or binding.
	Plan     *PlanResult `json:"plan,omitempty"`
	Binding  string      `json:"binding"`
	BoundBy  string      `json:"boundBy,omitempty"` // roster id of who claims the binding
	Tier     string      `json:"tier"`
	Domains  []string    `json:"domains"`
	Because  []string    `json:"because"` // why this tier: "pattern → domain (tier): path"
	Origin   string      `json:"origin"`
	Agents   []string    `json:"agents"`
	Authors  []Author    `json:"authors"`
	Approved []Voice     `json:"approved"` // approvals that count, by person
	Rules    []Finding   `json:"rules"`
}

// PlanResult is what a plan does, by everything that was said of it.
type PlanResult struct {
	Digest string `json:"digest"` // sha256 hex of the file
	Tool   string `json:"tool"`
	// Derived is "plan" when a service of the roster read it out of the file, and
	// otherwise "claimed"; DerivedBy says which.
	Derived   string `json:"derived"`
	DerivedBy string `json:"derivedBy,omitempty"`
	// Operations is attest.OperationsDigest of all of them, hex: whoever has the file
	// and the tool can derive it again.
	Operations   string              `json:"operations"`
	Counts       map[attest.Verb]int `json:"counts"`
	Omitted      int                 `json:"omitted,omitzero"` // not listed by any statement; taken for the worst
	Irreversible int                 `json:"irreversible"`
	// Harm lists what cannot be undone, "verb address", sorted: the first 100.
	Harm []string `json:"harm"`
	// Unpermitted lists what the agents that made it were not permitted, "agent: verb
	// address: why": the first 100, and only where a rule asks.
	Unpermitted []string `json:"unpermitted,omitempty"`
}

// Author is one person or address in the author set of a change.
type Author struct {
	Who           string `json:"who"` // roster id, or the git e-mail of a stranger
	Level         string `json:"level,omitempty"`
	Authenticated bool   `json:"authenticated"`
}

// Voice is one person's approval that counts.
type Voice struct {
	Person string `json:"person"`
	Level  string `json:"level"`
	// Assurance is what the approval proves of the person: forge, key, presence or verified.
	Assurance string `json:"assurance"`
	// WitnessedBy is the forge that says so; empty where the person signed.
	WitnessedBy string `json:"witnessedBy,omitempty"`
	Index       uint64 `json:"index"`
	Late        bool   `json:"late"` // logged after the admission
	// Earlier is the entry in which they said the same before the admission, where Late.
	Earlier uint64 `json:"earlier,omitzero"`
}

// Finding is how one rule fared with one change.
type Finding struct {
	Rule string `json:"rule"` // id, or "range", "veto", "session", "freeze" and "policy" for what always holds
	Held bool   `json:"held"`
	// Audit: the rule only watches; its failure is shown and does not deny.
	Audit bool `json:"audit,omitzero"`
	// Exception is the id of the policy's exception by which the rule is as good as held.
	Exception string `json:"exception,omitempty"`
	// From is when the rule takes effect, where that is still to come: until then its
	// failure is a warning.
	From *attest.Time `json:"effectiveFrom,omitempty"`
	Kind Kind         `json:"kind,omitempty"`
	Why  string       `json:"why,omitempty"`
	// Need says in words what is missing, and Who lists the people who could give it.
	Need string   `json:"need,omitempty"`
	Who  []string `json:"who,omitempty"`
}

// RuleResult sums one rule up over the release.
type RuleResult struct {
	Rule     string `json:"rule"`
	Title    string `json:"title"`
	Mode     string `json:"mode"`    // enforce, audit, or upcoming: before its effectiveFrom
	Applied  int    `json:"applied"` // changes that it applied to
	Failed   int    `json:"failed"`
	Excepted int    `json:"excepted,omitzero"` // changes for which an exception stood in
	Remedy   string `json:"remedy,omitempty"`  // set when it failed
	// Controls are what the rule is there for, as the policy names them.
	Controls []string `json:"controls,omitempty"`
}

// Awaiting is one approval slot that is still open.
type Awaiting struct {
	Change string   `json:"change"`
	Head   string   `json:"head"`
	Plan   string   `json:"plan,omitempty"`
	Rule   string   `json:"rule"`
	Count  int      `json:"count"`
	Level  string   `json:"level,omitempty"`
	Teams  []string `json:"teams,omitempty"`
	Who    []string `json:"who"` // people of the roster who could give it
}

// Cited names one piece of evidence by digest.
type Cited struct {
	Index  uint64 `json:"index"`
	Type   string `json:"type"`
	Digest string `json:"digest"` // sha256 of the payload, hex
	Signer string `json:"signer"` // roster id
	Role   string `json:"role"`   // what it counted as, such as "approval of 1145"
}

// Annex explains: what was seen and ignored, and how strict the policy really is.
type Annex struct {
	Ignored []Ignored `json:"ignored"`
	// Vouched are the inputs that another log than this one vouches for.
	Vouched []Vouched `json:"vouched,omitempty"`
	Posture Posture   `json:"posture"`
	// Witnesses cosigned the view of the log that was judged; of those that trust names.
	Witnesses []Witnessed `json:"witnesses,omitempty"`
}

// Witnessed is one cosignature: as of that time this was the largest state of the
// log that the witness had seen.
type Witnessed struct {
	Witness string      `json:"witness"`
	Time    attest.Time `json:"time"`
}

// Vouched is an input that was imported. The trust folder of whoever decides names
// the log, so two may call it differently.
type Vouched struct {
	Index uint64 `json:"index"`
	By    string `json:"by"`
}

// Ignored is an item that gave no credit.
type Ignored struct {
	Index  uint64 `json:"index"`
	Kind   Kind   `json:"kind"`
	Type   string `json:"type,omitempty"`
	Change string `json:"change,omitempty"`
	Signer string `json:"signer,omitempty"`
	Why    string `json:"why"`
}

// Posture shows an organisation's own settings in every verdict.
type Posture struct {
	Paths      int              `json:"paths"`      // touched by this release
	LowestTier int              `json:"lowestTier"` // of them, how many fell to the lowest tier
	People     int              `json:"people"`     // on the roster now
	ByLevel    map[string]int   `json:"byLevel"`
	AuditRules []string         `json:"auditRules"`           // rules that do not enforce
	GateModes  []string         `json:"gateModes,omitempty"`  // environments whose gates do not only enforce, "name: mode"
	Unsafe     []string         `json:"unsafe"`               // flags named unsafe that are in force
	Exceptions []ExceptionAlive `json:"exceptions,omitempty"` // of the policy, that count now
	Gaps       int              `json:"gaps,omitzero"`        // that owners recorded for this repository and environment
	// GlassOpen is how many break-glass cases can still be used, and ReviewsOwed lists those
	// that were used and not reviewed since.
	GlassOpen   int          `json:"glassOpen,omitzero"`
	ReviewsOwed []ReviewOwed `json:"reviewsOwed,omitempty"`
	DryRun      bool         `json:"dryRun"` // the asking gate is not on the roster, so nothing was logged
}

// ReviewOwed is a use of a break-glass case that was not reviewed yet.
type ReviewOwed struct {
	Case    string      `json:"case"`
	Use     uint64      `json:"use"` // index of the verdict
	Teams   []string    `json:"teams"`
	By      attest.Time `json:"by"`
	Overdue bool        `json:"overdue"`
}

// ExceptionAlive is an exception of the policy that counts at the time of the decision.
type ExceptionAlive struct {
	ID    string      `json:"id"`
	Rule  string      `json:"rule"`
	Until attest.Time `json:"until"`
}

// GapResult is a recorded gap.
type GapResult struct {
	Index    uint64   `json:"index"` // of the first statement
	From     string   `json:"from"`
	To       string   `json:"to"`
	Commits  int      `json:"commits,omitzero"` // as claimed; zero: nobody counted
	Reason   string   `json:"reason"`
	Ticket   string   `json:"ticket,omitempty"`
	SignedBy []string `json:"signedBy"` // owners of the policy
}
