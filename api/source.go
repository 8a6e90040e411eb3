package api

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/verify"
)

// A Source shows a ledger as it is at one moment to the verifier: what is
// appended later is not in it.
type Source struct {
	ledger   *ledger.Ledger
	head     ledger.Head
	negative []ledger.Link
}

// NewSource takes the ledger at its head.
func NewSource(l *ledger.Ledger) *Source { return sourceOf(l, l.Head()) }

// sourceOf takes the ledger as it was at a head.
func sourceOf(l *ledger.Ledger, head ledger.Head) *Source {
	s := &Source{ledger: l, head: head}
	links := l.Negative() // taken after the head: it may have more
	n := sort.Search(len(links), func(i int) bool { return links[i].Index >= s.head.Size })
	s.negative = links[:n:n]
	return s
}

// View implements verify.Source.
func (s *Source) View(context.Context) (verify.LogView, error) {
	v := verify.LogView{
		Checkpoint: s.head.Checkpoint, Note: s.head.Note, Token: s.head.Token,
		Time: s.head.Time.UTC().Truncate(time.Second), ChainLength: uint64(len(s.negative)),
	}
	if n := len(s.negative); n > 0 {
		v.Chain = s.negative[n-1].Chain
	}
	return v, nil
}

// Find implements verify.Source.
func (s *Source) Find(ctx context.Context, key string) ([]uint64, error) {
	if s.head.Size == 0 {
		return nil, nil
	}
	indexes, err := s.ledger.Search(ctx, ledger.Query{Key: key, Until: s.head.Size, Limit: verify.FindLimit(key)})
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", key, err)
	}
	return indexes, nil
}

// Entry implements verify.Source.
func (s *Source) Entry(ctx context.Context, index uint64) (verify.Sealed, error) {
	r, err := s.ledger.Record(ctx, index)
	if err != nil {
		return verify.Sealed{}, fmt.Errorf("read entry %d: %w", index, err)
	}
	path, err := s.ledger.Inclusion(ctx, index, s.head.Size)
	if err != nil {
		return verify.Sealed{}, fmt.Errorf("prove entry %d: %w", index, err)
	}
	return verify.Sealed{Index: index, Leaf: r.Leaf, Body: r.Body, Token: r.Token, Proof: path, Time: r.Time}, nil
}

// Negative implements verify.Source.
func (s *Source) Negative(context.Context) ([]verify.Link, error) {
	return s.negative, nil
}
