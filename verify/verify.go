// Package verify turns bundles into evidence, offline: format, subject,
// signature, signer, time, inclusion, facts, each a small named check, and the
// first that fails names itself. Evidence can be made nowhere else. Gather
// collects what a log, or an evidence pack of it, holds about a request.
package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Kind says why something gives no credit or denies. docs/formats.md lists them all.
type Kind string

// Kinds that checks give. Package policy adds those that only a rule can see.
const (
	Malformed       Kind = "MALFORMED"
	TooLarge        Kind = "TOO_LARGE"
	Unsupported     Kind = "UNSUPPORTED"
	WrongType       Kind = "WRONG_TYPE"
	SubjectMismatch Kind = "SUBJECT_MISMATCH"
	WeakDigest      Kind = "WEAK_DIGEST"
	BadSignature    Kind = "BAD_SIGNATURE"
	UntrustedKey    Kind = "UNTRUSTED_KEY"
	WrongScope      Kind = "WRONG_SCOPE"
	KeyTime         Kind = "KEY_TIME"
	TimeUntrusted   Kind = "TIME_UNTRUSTED"
	NotLogged       Kind = "NOT_LOGGED"
	BadProof        Kind = "BAD_PROOF"
	BadCheckpoint   Kind = "BAD_CHECKPOINT"
	WitnessQuorum   Kind = "WITNESS_QUORUM" // too few of the witnesses that trust names cosigned the checkpoint
	BadFacts        Kind = "BAD_FACTS"      // the raw objects contradict the statement, or do not prove it
)

// A Refusal is a bundle that became no evidence, and why.
type Refusal struct {
	Kind  Kind
	Check string // the check that refused: format, subject, signature, signer, time, inclusion, carried, facts
	Why   string
	// Corrupt says that no honest log or pack holds such an item: whoever logged
	// it or handed it over is at fault, not whoever signed it.
	Corrupt bool
	// What is known of the item, for reports; zero values where it is not.
	Index         uint64
	Digest        attest.Digest // of the payload
	PredicateType string
	Signer        string // roster id, or key id in hex when the key is a stranger's
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s: %s", r.Check, r.Kind, r.Why) }

// Evidence is a statement that passed every check. Only this package makes it,
// and nothing in it changes afterwards; the zero value is never handed out.
type Evidence struct {
	index     uint64
	leaf      tlog.Hash
	digest    attest.Digest
	said      attest.Digest
	statement *attest.Statement
	signer    roster.KeyID
	time      time.Time
	facts     *gitfacts.Facts
	assurance roster.Assurance
	identity  *attest.Identity
	vouched   string
}

// Index is the entry's place in the log: the order that rules judge by.
func (e *Evidence) Index() uint64 { return e.index }

// Identity is whom the signer's certificate named; nil for a key of its own. The
// caller must not change it.
func (e *Evidence) Identity() *attest.Identity { return e.identity }

// VouchedBy names the foreign log that vouches for the statement, as the trust folder
// calls it; empty for what was logged here first.
func (e *Evidence) VouchedBy() string { return e.vouched }

// Leaf is the entry's leaf hash.
func (e *Evidence) Leaf() tlog.Hash { return e.leaf }

// Digest is the SHA-256 of the signed payload. With Signer, Said is the identity of
// the statement.
func (e *Evidence) Digest() attest.Digest { return e.digest }

// Said is the digest of what the signer themselves signed: Digest, but for an assertion
// inside an approval, which can be spelled in more than one way (to an ECDSA signature
// there is always a second one that anybody can compute), what it is over.
func (e *Evidence) Said() attest.Digest {
	if e.said != (attest.Digest{}) {
		return e.said
	}
	return e.digest
}

// Statement is what was signed. The caller must not change it.
func (e *Evidence) Statement() *attest.Statement { return e.statement }

// Assurance is how sure it makes us that whoever signed was there; 0 for what the
// service signs. It is never more than the roster vouches for.
func (e *Evidence) Assurance() roster.Assurance { return e.assurance }

// Signer is the key that signed, or that made the assertion inside an approval.
func (e *Evidence) Signer() roster.KeyID { return e.signer }

// Time is when the log took the entry, by its timestamp token: whole seconds in
// UTC. Order is by Index, never by time.
func (e *Evidence) Time() time.Time { return e.time }

// Facts are the git facts that a change or an admission proves; nil for other
// types, and where the statement only claims them.
func (e *Evidence) Facts() *gitfacts.Facts { return e.facts }

// A LogView is the state of the log that evidence was gathered from.
type LogView struct {
	tlog.Checkpoint
	Note  []byte    // the signed checkpoint
	Token []byte    // RFC 3161 response over Note
	Time  time.Time // of Token, set once checked; whole seconds in UTC
	// Cosignatures are those of the witnesses that trust names, set once checked.
	Cosignatures []tlog.Cosignature
	// ChainLength and Chain are the head of the chain of negative evidence.
	ChainLength uint64
	Chain       tlog.Hash
}

// A Sealed is an entry with what proves its place: what a Source gives and
// Evidence is made from.
type Sealed struct {
	Index uint64
	Leaf  []byte      // canonical log entry
	Body  []byte      // normalised bundle
	Token []byte      // RFC 3161 response over the bundle's signature
	Proof []tlog.Hash // inclusion in the view's checkpoint
	// Time is when the log took the entry, as its own store says. Only a verifier
	// of the log's own process believes it (Config.OwnLog); others read Token.
	Time time.Time
}

// A Source is where evidence is gathered from: a ledger, or an evidence pack.
type Source interface {
	// View returns the state of the log that the other calls answer for.
	View(ctx context.Context) (LogView, error)
	// Find returns the indexes of the entries under a search key (see
	// attest.SubjectKey and its neighbours), in log order: all of them, or the
	// first FindLimit(key) where there are more.
	Find(ctx context.Context, key string) ([]uint64, error)
	// Entry returns one entry, proven against View.
	Entry(ctx context.Context, index uint64) (Sealed, error)
	// Negative returns the chain of negative evidence. Entry has those of its links
	// that concern everything, or a key that Find answers.
	Negative(ctx context.Context) ([]Link, error)
}

// A Link is one entry of the chain of negative evidence.
type Link = tlog.Link

// maxAllowed is how many decisions that allowed one commit are looked at. Any one
// that holds is enough, and a gate may ask for a release thousands of times.
const maxAllowed = 16

// FindLimit is how many entries a Source gives for a key. One more than
// MaxEvidence is too many for a verdict, and an error.
func FindLimit(key string) int {
	if attest.IsAllowedKey(key) {
		return maxAllowed
	}
	return MaxEvidence + 1
}
