package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// A predecessor is the frozen log that a new one comes after.
type predecessor struct {
	trust    *verify.Trust
	final    tlog.Checkpoint
	negative []ledger.Entry // what was taken back there, for the new log
}

// continueTrust lists the old log, and keeps what verifiers believe besides.
func (p *predecessor) continueTrust(t *verify.Trust) {
	if p == nil {
		return
	}
	old := p.trust
	t.Frozen = append(slices.Clone(old.Frozen), verify.FrozenLog{Log: old.Log, Validity: old.LogValid, Size: p.final.Size, Root: p.final.Root})
	t.Retired = append(slices.Clone(old.Retired), verify.RetiredAuthority{Certificates: old.Timestamps, Until: old.LogValid.Until})
	t.Authorities, t.Foreign, t.MaxCheckpointAge = old.Authorities, old.Foreign, old.MaxCheckpointAge
	if old.Console != nil && t.Console.Party.ID == "" {
		t.Console.Party = old.Console.Party
	}
}

// freeze ends a log: when it returns, its trust folder says until when it took
// entries, and no server takes one any more. Everything that could refuse the new log
// is looked at before. A log that is frozen already keeps its time.
func (d *daemon) freeze(ctx context.Context, f *rotating, t *verify.Trust, g *genesis) (_ *predecessor, err error) {
	keys, err := f.old.readSecrets(t) // whoever freezes a log holds its key
	if err != nil {
		return nil, err
	}
	store, err := badgerstore.Open(ctx, f.old.options(t.Log)) // nobody else has it until it is frozen
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	l, err := ledger.New(ctx, ledger.Config{Store: api.Freeze(store), Signer: keys.log, Stamper: keys.stamps, Now: d.now})
	if err != nil {
		return nil, err
	}
	p := &predecessor{trust: t, final: l.Head().Checkpoint}
	if p.final.Size == 0 {
		return nil, wrong("%s is empty: there is nothing to freeze", t.Log.Origin())
	}
	var left []string
	if p.negative, left, err = carryNegative(ctx, api.NewSource(l), t, g.set.Roster, d.now()); err != nil {
		return nil, err
	}
	if len(left) > 0 && !f.leave {
		return nil, wrong("the new log cannot take %d of %d pieces of negative evidence; see --help about --leave-negative:\n  %s",
			len(left), len(left)+len(p.negative), strings.Join(left, "\n  "))
	}
	for _, why := range left {
		fmt.Fprintf(d.out, "LEFT     %s\n", why)
	}
	if !isFrozen(t, d.now()) {
		t.LogValid.Until = d.now().UTC().Truncate(time.Second)
		if err := verify.ReplaceTrust(f.old.trust(), t); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(d.out, "frozen   %s at %d entries, root %s, %d pieces of negative evidence carried over\n", p.final.Origin, p.final.Size, p.final.Root, len(p.negative))
	if t.Witnesses != nil {
		fmt.Fprintln(d.out, "WITNESS  those of the old log do not know the new one: its trust folder names none until you add them")
	}
	return p, nil
}

// carryNegative makes entries for the new log of everything that was taken back in the
// old one, each checked as if its signer offered it now under the new policy. What was
// attached or imported comes as its own statement: who carried it there is not believed
// here. left says what is refused, and why.
func carryNegative(ctx context.Context, src *api.Source, t *verify.Trust, people *roster.Roster, now time.Time) (entries []ledger.Entry, left []string, err error) {
	v, err := verify.New(verify.Config{Trust: t, Roster: people})
	if err != nil {
		return nil, nil, wrong("--genesis: %v", err)
	}
	links, err := src.Negative(ctx)
	if err != nil {
		return nil, nil, err
	}
	seen := make(map[tlog.Hash]bool)
	policies := tlog.ScopeOf(attest.PolicyChanges)
	for _, link := range links {
		if link.Scope == policies { // the new log has a genesis of its own
			continue
		}
		sealed, err := src.Entry(ctx, link.Index)
		if err != nil {
			return nil, nil, err
		}
		text, err := statementAlone(sealed.Body)
		if err != nil {
			return nil, nil, fmt.Errorf("entry %d: %w", link.Index, err)
		}
		a, refusal := v.Accept(ctx, text, now)
		if refusal != nil {
			left = append(left, fmt.Sprintf("entry %d: %v", link.Index, refusal))
			continue
		}
		if h := tlog.LeafHash(a.Leaf); !seen[h] {
			seen[h] = true
			entries = append(entries, ledger.Entry{Leaf: a.Leaf, Body: a.Body, Keys: a.Keys, Negative: a.Negative, Stamp: a.Stamp})
		}
	}
	return entries, left, nil
}

// statementAlone is a logged bundle, or the one that it carries.
func statementAlone(body []byte) ([]byte, error) {
	b, err := attest.ParseBundle(body)
	if err != nil {
		return nil, err
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return nil, err
	}
	c := attest.CarriedBy(st.Predicate)
	if c == nil {
		return body, nil
	}
	return attest.Normal(c.Bundle, c.Key).Marshal()
}
