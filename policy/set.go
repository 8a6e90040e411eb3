package policy

import (
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A Set is a policy set: policy.yaml, people.yaml and domains.yaml, parsed
// strictly and checked against each other. It never changes.
type Set struct {
	Name    string
	Version int
	Levels  []string // of people, lowest first
	Tiers   []string // of blast radius, lowest first
	// Environments are the only ones that a decision can be asked for.
	Environments []Environment
	ValidFor     time.Duration // how long a verdict holds; at most 24h
	Baselines    []Baseline
	Budgets      []Budget
	// SnapshotAge is how old the figures of cohorts may be that a rule goes by; 48 hours
	// where the set names none, up to 30 days.
	SnapshotAge time.Duration
	Changes     Changes // what the set that follows this one has to do
	// ChangeID finds the id of a change in the first line of a commit message;
	// its first group is the id.
	Rules      []Rule
	Exceptions []Exception
	BreakGlass *BreakGlass // nil: the rules bend for nobody
	Roster     *roster.Roster
	Layouts    map[string]*Layout // by name; nil where there are none
	Domains    *Domains

	files   attest.PolicyFiles
	digest  attest.Digest
	payload attest.Digest // of the statement that published it; zero for a folder's
	signs   *gitfacts.SignList
}

// Changes is how a policy set may be changed. It binds the set that follows.
type Changes struct {
	// Delay is how long a change that does not only tighten waits after enough owners
	// have signed: time to see it. 24 hours where the set names none; up to 90 days.
	Delay time.Duration
	// Approvals is how many owners must sign; at least two, and zero means two.
	Approvals int
	// MaxException is how long an exception may last; zero: there are none. ExceptionDelay is
	// how long a set waits that makes exceptions and otherwise only tightens; zero means Delay.
	MaxException, ExceptionDelay time.Duration
}

// DefaultDelay is the Delay of a set that names none.
const DefaultDelay = 24 * time.Hour

const maxDelay = 90 * 24 * time.Hour

// Environment is a place that releases go to.
type Environment struct {
	Name string
	// Approvals is when approvals must be logged, unless a rule says otherwise.
	Approvals Timing
	// Gates are the ids of services whose requests are logged; others get a dry run.
	Gates []string
	// Mode says what a gate there does with a release that rules deny; empty: Enforced.
	Mode GateMode
}

// GateMode says how strictly a gate goes by the rules.
type GateMode string

// The gate modes. In Audited, failed rules let it go, as AllowAudit, which passes nothing.
// CachedPass is Enforced, and lets an allow of at most 15 minutes serve while the ledger
// cannot be reached.
const (
	Enforced   GateMode = "enforced"
	Audited    GateMode = "audit"
	CachedPass GateMode = "cachedPass"
)

// Timing says when an approval must be in the log to count.
type Timing string

// The timings. The order of the log decides, never a claimed time.
const (
	BeforeMerge   Timing = "beforeMerge"   // before the admission of its change
	BeforeRelease Timing = "beforeRelease" // before the gate decides
)

// A Baseline is a commit that the owners accept as a start: what lies at or
// below it is not judged for this repository and environment.
type Baseline struct {
	Repository  string
	Environment string
	Commit      string
	Reason      string
}

// Mode says what a failed rule does.
type Mode string

// The modes. A failed audit rule is shown, and its failure never becomes PASSED.
const (
	Enforce Mode = "enforce"
	Audit   Mode = "audit"
)

// A Rule applies to each change of a release, or to each plan, for which When is true.
type Rule struct {
	ID     string
	About  About
	Title  string
	When   *Expression // nil: always
	Mode   Mode
	Remedy string
	// EffectiveFrom is since when it may deny; before, its failure is a warning. Zero: always.
	EffectiveFrom time.Time
	// Controls name what the rule is there for in the words of others, such as SOC2:CC8.1.
	Controls []string

	// Forbid denies every change that the rule applies to. A rule forbids or requires.
	Forbid  bool
	Require Require
}

// About says what a rule is for.
type About string

// What rules are for.
const (
	AboutChange About = "change"
	AboutPlan   About = "plan"
)

// Require is what a rule asks of a change.
type Require struct {
	// Slots must be filled by distinct people: one person fills one.
	Slots []Slot
	// Bindings are the accepted ones; empty means identity and replay.
	Bindings []attest.Binding
	Timing   Timing        // empty: the environment's
	MaxAge   time.Duration // of an approval at the time of decision; zero: no limit
	// Options of the highest tier.
	Followed    bool // the verifier followed the log itself
	Recomputers int  // services that made the merge again, besides the one that admitted it
	// DeepDives are owed for incidents of this severity or worse: until two people have
	// signed a review of one, what touches its domains does not go. Empty: none are.
	DeepDives attest.Severity
	// Layout names one that must hold for the artifact; empty: none.
	Layout string
	// Permitted asks, of a plan, that all of it was permitted to the agents that made it.
	Permitted bool
}

// A Slot asks for Count distinct people.
type Slot struct {
	Count int            // 1 to 100
	Level string         // minimum; empty: any
	Teams []string       // any of these; empty: any
	Kinds []ApprovalKind // accepted; empty: explicit
	// Assurance is the least that an approval must prove of its person; zero: a key.
	Assurance roster.Assurance
	// Exclude are further roles (merger, owner) whose holders cannot fill it. Authors,
	// committers, co-authors, openers, operators and agents never can.
	Exclude []string
}

// ApprovalKind says how an approval was made.
type ApprovalKind string

// The kinds of approval.
const (
	Explicit ApprovalKind = "explicit" // signed by the person's own key
	Forge    ApprovalKind = "forge"    // witnessed by a forge; never enough for the highest tier
)

// Digest covers all three files: see docs/formats.md.
func (s *Set) Digest() attest.Digest { return s.digest }

// Files are the set's files, byte for byte.
func (s *Set) Files() attest.PolicyFiles { return s.files }
