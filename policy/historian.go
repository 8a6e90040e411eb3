package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// A historian makes a History, statement by statement.
type historian struct {
	History
	trust *verify.Trust
	open  []*Proposal // of the next version
	said  []spoken
}

// spoken is the identity of a statement.
type spoken struct {
	signer roster.KeyID
	digest attest.Digest
}

func reopen(list []Proposal) []*Proposal {
	out := make([]*Proposal, len(list))
	for i := range list {
		p := list[i]
		p.Signed = slices.Clone(p.Signed)
		out[i] = &p
	}
	return out
}

// read takes one link of the chain. One that nobody can read stands in the way where an
// owner's key signed it: it might change the policy. A stranger's is none.
func (h *historian) read(it verify.NegativeItem) error {
	if e := it.Evidence; e != nil {
		h.add(e.Index(), e.Time(), e.Signer(), e.Digest(), e.Statement())
		return nil
	}
	r := it.Refusal
	key, err := hex.DecodeString(r.Signer)
	owner := slices.ContainsFunc(h.epochs, func(e Epoch) bool {
		p, _, known := e.Set.Roster.ByKey(keyOf(key))
		return known && slices.Contains(e.Set.Roster.Owners, p.ID)
	})
	if r.Corrupt || err != nil || owner {
		return &verify.CorruptError{Kind: NegativeUnreadable, Entry: int64(it.Link.Index), Check: "policy", Why: fmt.Sprintf("it changes the policy, and cannot be read: %v", r)}
	}
	h.refuse(it.Link.Index, clean(r.Signer), 0, r.Kind, "%s", clean(r.Why))
	return nil
}

func keyOf(b []byte) (id roster.KeyID) {
	copy(id[:], b)
	return id
}

func (h *historian) refuse(index uint64, signer string, version int, kind Kind, format string, args ...any) {
	h.refused = append(h.refused, RefusedSet{Index: index, Signer: signer, Version: version, Kind: kind, Why: fmt.Sprintf(format, args...)})
}

// add judges one signature under a later set, by the set in force at its place.
func (h *historian) add(index uint64, at time.Time, signer roster.KeyID, digest attest.Digest, st *attest.Statement) {
	p, ok := st.Predicate.(*attest.Policy)
	if !ok {
		return
	}
	now := h.At(index, at).Set
	who, key, known := now.Roster.ByKey(signer)
	name := hex.EncodeToString(signer[:])
	if known {
		name = who.ID
	}
	refuse := func(kind Kind, format string, args ...any) { h.refuse(index, name, p.Version, kind, format, args...) }
	switch {
	case !known:
		refuse(verify.UntrustedKey, "the key is nobody's in the set in force, %s version %d", now.Name, now.Version)
		return
	case who.Kind != roster.Person || !slices.Contains(now.Roster.Owners, who.ID):
		refuse(verify.WrongScope, "%s owns no policy under the set in force, %s version %d", name, now.Name, now.Version)
		return
	case !who.Holds(at) || !key.Holds(at):
		refuse(verify.KeyTime, "%s or their key was not valid at %s", name, stamp(at))
		return
	case slices.Contains(h.said, spoken{signer, digest}):
		return // the same statement is the same signature
	}
	h.said = append(h.said, spoken{signer, digest})
	last := h.Latest().Set
	if h.accepted(digest) {
		return // one signature more than were needed
	}
	switch before := last.Digest().String(); {
	case p.Version <= last.Version:
		refuse(PolicyRollback, "version %d is not after version %d: versions only grow", p.Version, last.Version)
		return
	case p.Version > last.Version+1:
		refuse(PolicyRollback, "version %d does not follow version %d: there must be no gap", p.Version, last.Version)
		return
	case p.Supersedes != before:
		refuse(PolicyRollback, "it supersedes %.16s…, and the set before is %.16s…", p.Supersedes, before)
		return
	}
	h.sign(now, &Proposal{Digest: digest, Supersedes: p.Supersedes, PublishedAt: p.PublishedAt}, p, st, Signature{who.ID, index, at}, refuse)
}

func (h *historian) accepted(digest attest.Digest) bool {
	return slices.ContainsFunc(h.epochs, func(e Epoch) bool { return e.payload() == digest })
}

// sign adds a signature to the set that it is for, and completes it.
func (h *historian) sign(now *Set, fresh *Proposal, p *attest.Policy, st *attest.Statement, s Signature, refuse func(Kind, string, ...any)) {
	at := slices.IndexFunc(h.open, func(o *Proposal) bool { return o.Digest == fresh.Digest })
	if at < 0 {
		set, err := h.readSet(p, st)
		if err != nil {
			refuse(PolicyInvalid, "%s", clean(err.Error()))
			return
		}
		fresh.Set = set
		h.open, at = append(h.open, fresh), len(h.open)
	}
	o := h.open[at]
	if slices.ContainsFunc(o.Signed, func(x Signature) bool { return x.Person == s.Person }) {
		return // each person once
	}
	o.Signed = append(o.Signed, s)
	o.Need = now.ownersNeeded(h.trust)
	// Who signed, and owns the policy no longer, does not count.
	counted := 0
	for _, x := range o.Signed {
		if slices.Contains(now.Roster.Owners, x.Person) {
			counted++
		}
	}
	if counted < o.Need {
		return
	}
	e := Epoch{Set: o.Set, Signed: o.Signed, Index: s.Index, Time: s.Time, From: s.Time, Changes: Diff(now, o.Set)}
	e.Set.payload = o.Digest
	e.From = s.Time.Add(now.Changes.DelayOf(e.Changes))
	if last := h.Latest(); last.From.After(s.Time) {
		last.Replaced = true
	}
	h.epochs, h.open = append(h.epochs, e), nil
}

// readSet reads the set of a statement, and holds both against each other.
func (h *historian) readSet(p *attest.Policy, st *attest.Statement) (*Set, error) {
	set, err := ParseSet(p.Files)
	if err != nil {
		return nil, err
	}
	if err := publishes(p, st, set); err != nil {
		return nil, err
	}
	if who, _, ok := set.Roster.ByKey(roster.KeyID(h.trust.Service.ID())); ok {
		return nil, fmt.Errorf("%w: a key of %s is the trusted service's: one key, one voice", ErrInvalid, who.ID)
	}
	return set, nil
}

// publishes holds a policy statement against the set that it carries.
func publishes(p *attest.Policy, st *attest.Statement, set *Set) error {
	if p.Version != set.Version || p.Name != set.Name {
		return fmt.Errorf("%w: published as %s version %d, and the set says %s version %d", ErrInvalid, p.Name, p.Version, set.Name, set.Version)
	}
	if got := st.Subjects[0].Digest["sha256"]; got != set.Digest().String() {
		return fmt.Errorf("%w: the statement is about the set %.64s, and carries %s", ErrInvalid, got, set.Digest())
	}
	return nil
}

// finish keeps what still waits.
func (h *historian) finish() {
	for _, o := range h.open {
		h.pending = append(h.pending, *o)
	}
}

func (e *Epoch) payload() attest.Digest { return e.Set.payload }
