package policy

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// A History is the policy sets of a log: the genesis that the trust folder pins, and
// each later one that enough owners of the set in force have signed. It is a pure
// function of what verify.Policies found, so that everybody who sees the same log gets
// the same; it never changes. It is a verify.Roll.
//
// Which set is in force is asked for a place of the log: an index, and the time when the
// log took the entry there.
type History struct {
	epochs  []Epoch
	refused []RefusedSet
	pending []Proposal
	seen    []uint64 // the entries that change the policy, all of them
	size    uint64   // of the log that was read
	input   *verify.PolicyLog
	trust   *verify.Trust
}

// An Epoch is a set that its owners put in force, or will be.
type Epoch struct {
	Set    *Set
	Signed []Signature // by whom, each person once; the last one completed it
	// Index and Time are the place of the signature that completed it; zero for genesis.
	Index uint64
	Time  time.Time
	// From is when it takes effect: Time, or the delay of the set in force there later.
	From time.Time
	// Changes is what it changes of the set that was in force when it was completed.
	Changes []Difference
	// Replaced says that the next set was completed before this one took effect, so
	// that it never does.
	Replaced bool
}

// A Signature is one owner's, in the log.
type Signature struct {
	Person string
	Index  uint64
	Time   time.Time
}

// A RefusedSet is a statement about the policy that puts nothing in force.
type RefusedSet struct {
	Index   uint64
	Signer  string // roster id, or the key id of a stranger
	Version int    // zero where it cannot be read
	Kind    Kind
	Why     string
}

// A Proposal is a set that too few owners have signed so far.
type Proposal struct {
	Set    *Set
	Digest attest.Digest // of the payload that they sign
	// Supersedes and PublishedAt are what that payload says besides the set.
	Supersedes  string
	PublishedAt attest.Time
	Signed      []Signature
	Need        int // people
}

// Statement is what an owner signs to put a set in force after another, or as the first
// (supersedes empty). Every owner's copy has the same time.
func (s *Set) Statement(supersedes string, at attest.Time) *attest.Statement {
	return &attest.Statement{
		Subjects:  []attest.Subject{{Name: s.Name, Digest: map[string]string{"sha256": s.Digest().String()}}},
		Predicate: &attest.Policy{Name: s.Name, Version: s.Version, Files: s.Files(), Supersedes: supersedes, PublishedAt: at},
	}
}

// ReadHistory reads every policy set of a log and finds out which were put in force, and
// when. Nothing is believed but the digest of the first, which the trust folder pins.
// ownLog is as in verify.Config.
//
// Errors wrap ErrInvalid where the first set or its signatures are at fault; others are
// those of verify.Policies. What is wrong with a later set is no error: it is refused,
// and the set before stays in force.
func ReadHistory(ctx context.Context, src verify.Source, t *verify.Trust, ownLog bool) (*History, error) {
	p, err := verify.Policies(ctx, src, t, ownLog)
	if err != nil {
		return nil, fmt.Errorf("find the policy in force: %w", err)
	}
	return newHistory(p, t)
}

func newHistory(p *verify.PolicyLog, t *verify.Trust) (*History, error) {
	first, err := firstSet(p.Genesis, t)
	if err != nil {
		return nil, err
	}
	h := &historian{trust: t, History: History{epochs: []Epoch{first}, size: p.View.Size, input: p, trust: t}}
	for _, it := range p.Changes {
		h.seen = append(h.seen, it.Link.Index)
		if err := h.read(it); err != nil {
			return nil, err
		}
	}
	h.finish()
	return &h.History, nil
}

// Before is the history as it was when the log had this many entries.
func (h *History) Before(size uint64) (*History, error) {
	if size >= h.size {
		return h, nil
	}
	n, _ := slices.BinarySearch(h.seen, size)
	cut := *h.input
	cut.Changes, cut.View.Size = h.input.Changes[:n:n], size
	return newHistory(&cut, h.trust)
}

// At returns what is in force for an entry at an index that the log took at a time, or
// for a decision over so many entries at that time. The signature that completes a set
// is itself judged by the set before.
func (h *History) At(index uint64, at time.Time) *Epoch {
	next := -1 // the epoch after, where it was completed before index
	for i := len(h.epochs) - 1; i > 0; i-- {
		e := &h.epochs[i]
		if e.Index >= index {
			continue
		}
		replaced := next >= 0 && h.epochs[next].Time.Before(e.From)
		if next = i; !replaced && !at.Before(e.From) {
			return e
		}
	}
	return &h.epochs[0]
}

// InForce returns the set for a decision at a time over the whole log that was read.
func (h *History) InForce(now time.Time) *Set { return h.At(math.MaxUint64, now).Set }

// Epochs lists every set that was put in force, or will be, in order. The caller must
// not change it.
func (h *History) Epochs() []Epoch { return h.epochs }

// Refused lists the statements that put nothing in force, in log order.
func (h *History) Refused() []RefusedSet { return h.refused }

// Pending lists the sets that wait for more signatures, in the order of the first.
func (h *History) Pending() []Proposal { return h.pending }

// RosterAt implements verify.Roll.
func (h *History) RosterAt(index uint64, at time.Time) *roster.Roster {
	return h.At(index, at).Set.Roster
}

// Rosters implements verify.Roll.
func (h *History) Rosters() []*roster.Roster {
	out := make([]*roster.Roster, len(h.epochs))
	for i := range h.epochs {
		out[i] = h.epochs[i].Set.Roster
	}
	return out
}

// Latest is the last set that was put in force, or will be: the one to supersede.
func (h *History) Latest() *Epoch { return &h.epochs[len(h.epochs)-1] }

// Offer says what a policy statement would do that is offered to the log at a time:
// nil where it counts as one more owner's signature. after are those that come with it,
// before it. The error is a *verify.Refusal.
func (h *History) Offer(now time.Time, signer roster.KeyID, statement *attest.Statement, digest attest.Digest, after ...Offered) *verify.Refusal {
	try := &historian{trust: h.trust, History: *h, open: reopen(h.pending)}
	try.epochs, try.refused = slices.Clone(h.epochs), nil
	index := h.size
	for _, o := range append(after, Offered{signer, statement, digest}) {
		try.refused = nil
		try.add(index, now.UTC().Truncate(time.Second), o.Signer, o.Digest, o.Statement)
		index++
	}
	if len(try.refused) == 0 {
		return nil
	}
	r := try.refused[0]
	return &verify.Refusal{Kind: r.Kind, Check: "policy", Why: r.Why, Digest: digest, PredicateType: attest.TypePolicy, Signer: r.Signer}
}

// Offered is a policy statement on its way into the log.
type Offered struct {
	Signer    roster.KeyID
	Statement *attest.Statement
	Digest    attest.Digest // of the payload
}
