// Package cohort reads outcomes off a log: which deployments broke something, and how
// those that AI helped to write compare with the others. Everything in it is a pure
// function of verified evidence, so anybody with the log gets the same figures; none of
// it decides anything. docs/cohorts.md says what each figure means, and what it does not.
package cohort

import (
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A Log is what a log holds about outcomes, reduced to what the figures need. All lists
// are in log order. A Collector makes one; nothing here changes it.
type Log struct {
	Origin string
	Size   uint64    // of the log that was read
	Time   time.Time // of its checkpoint

	Tiers, Levels []string // of the policy, lowest first
	Environments  []string // of the policy
	Critical      []string // its domains of the highest tier
	Owners        []string // of the policy
	People        []Principal

	Deployments []Deployment
	Said        []incident.Said // about incidents
	Decisions   []Decision
	Requests    []Request
	Approvals   []Approval
	Authorships []Authorship
	Releases    []Release
	Revocations []incident.Revocation
	Gaps        []Gap
	Activities  []Activity // by signer and type, sorted

	// Refused are entries that became no evidence, Unseen those of which the log has the
	// hash alone. None of them is in any figure.
	Refused []Refused
	Unseen  []uint64
}

// An Entry is what every record has in common.
type Entry struct {
	Index  uint64
	Time   time.Time // when the log took it
	Digest string    // of the payload, sha256 hex
	Signer string    // roster id, or Service
	Key    string    // id of the key, hex
	Kind   roster.Kind
}

// Service stands for the log's own trusted service, which no roster names.
const Service = "(service)"

// A Principal is somebody of the roster, as it is now.
type Principal struct {
	ID       string
	Kind     roster.Kind
	Level    string
	Teams    []string
	Operator string
}

// A Deployment is one deployment/v1 statement.
type Deployment struct {
	Entry
	Artifacts     []string // sha256 hex
	Environment   string
	Target, Actor string
	DeployedAt    time.Time // claimed
	Decision      string    // payload digest that it names, or empty
	ExposedTo     []string
}

// A Decision is one logged decision/v1, reduced to its outcome and its changes.
type Decision struct {
	Entry
	Verdict                 string
	Repository, Environment string
	Artifact, Release       string // the artifact's sha256 is empty where a commit was judged
	DecidedAt, ExpiresAt    time.Time
	Glass                   *policy.GlassUse // the break-glass case that it used
	AuditFailed             []string         // rules in audit mode that did not hold, sorted
	Changes                 []Change
}

// A Change is what a decision found out about one commit.
type Change struct {
	ID, Head, Commit string
	Tier             string
	Origin           string
	Domains, Agents  []string
	Authors          []policy.Author
	Approved         []policy.Voice
}

// A Request is one change/v1 statement: from then on a reviewer could see the head.
type Request struct {
	Entry
	Repository, ID, Head string
	Paths                int
	FirstCommit          time.Time // of the range, as its author claims; zero where nothing proves it
	Writers              []string  // who git says wrote its commits: roster ids and strangers' addresses; nil where nothing proves it
}

// An Approval is one approval/v1 that approves.
type Approval struct {
	Entry
	Repository, ID, Head string
}

// An Authorship is one authorship/v1.
type Authorship struct {
	Entry
	Repository, Head string
	Agents           []attest.Agent
	Operator         string
}

// A Gap is what owners of the policy say that nobody attested: one payload, and who signed it.
type Gap struct {
	Index        uint64   `json:"index"` // of its first statement
	Repository   string   `json:"repository"`
	Environments []string `json:"environments"`
	From         string   `json:"from"`
	To           string   `json:"to"`
	Commits      int      `json:"commits,omitempty"` // as claimed
	Reason       string   `json:"reason"`
	SignedBy     []string `json:"signedBy"`
	digest       string
}

// A Release says which repository an artifact is of.
type Release struct {
	Entry
	Repository, Name string
	Artifacts        []string
}

// An Activity counts what one signer made of one type.
type Activity struct {
	Signer      string
	Kind        roster.Kind
	Type        string
	Count       int
	First, Last uint64 // indexes
}

// Refused is an entry that became no evidence.
type Refused struct {
	Index uint64 `json:"index"`
	Kind  string `json:"kind"`
	Why   string `json:"why"`
}

// unread counts the entries that nothing is known of.
func (l *Log) unread() int { return len(l.Refused) + len(l.Unseen) }
