// Package ledgertest holds what tests of the ledger and of its stores share: a
// store in memory that enforces the rules, one that fails on demand, and the
// tests that every store has to pass.
package ledgertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Memory is a ledger.Store in memory. Commit refuses, with an error that says
// which rule, a batch that a ledger must never make. It is safe for concurrent
// use.
type Memory struct {
	mu      sync.RWMutex // guards what follows
	heads   []ledger.Head
	records []ledger.Record
	byLeaf  map[tlog.Hash]uint64
	byKey   map[string][]uint64
	links   []ledger.Link
	edge    tlog.Edge
	tiles   map[[2]uint64][]byte // full ones, by level and index
	closed  bool
}

// NewMemory returns the store of an empty log, whose head ledger.EmptyHead made.
func NewMemory(head ledger.Head) *Memory {
	return &Memory{
		heads:  []ledger.Head{head},
		byLeaf: map[tlog.Hash]uint64{},
		byKey:  map[string][]uint64{},
		tiles:  map[[2]uint64][]byte{},
	}
}

// Reopen returns a store with the same content, as a new process would see it.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := NewMemory(m.heads[0])
	at := uint64(0)
	for _, h := range m.heads[1:] {
		b := ledger.Batch{Records: m.records[at:h.Size], Checkpoint: h.Checkpoint, Note: h.Note, Token: h.Token, Time: h.Time}
		if err := n.commit(b); err != nil {
			panic(err)
		}
		at = h.Size
	}
	return n
}

// Head returns the last committed checkpoint.
func (m *Memory) Head() ledger.Head {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.heads[len(m.heads)-1]
}

// Commit keeps a batch, or returns an error that says which rule it breaks.
func (m *Memory) Commit(_ context.Context, b ledger.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commit(b)
}

func (m *Memory) commit(b ledger.Batch) error {
	leaves, err := m.check(b)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	next, full := m.edge.Append(leaves)
	if next.Root() != b.Checkpoint.Root || next.Size() != b.Checkpoint.Size {
		return fmt.Errorf("commit: the records make %d entries with root %s, the checkpoint says %d and %s",
			next.Size(), next.Root(), b.Checkpoint.Size, b.Checkpoint.Root)
	}
	m.edge = next
	for _, f := range full {
		m.tiles[[2]uint64{uint64(f.Level), f.Index}] = f.Hashes()
	}
	for i, r := range b.Records {
		m.keep(r, leaves[i])
	}
	m.heads = append(m.heads, ledger.Head{Checkpoint: b.Checkpoint, Note: b.Note, Token: b.Token, Time: b.Time})
	return nil
}

func (m *Memory) keep(r ledger.Record, leaf tlog.Hash) {
	m.records = append(m.records, r)
	m.byLeaf[leaf] = r.Index
	for _, k := range r.Keys {
		m.byKey[k] = append(m.byKey[k], r.Index)
	}
	if r.Negative != "" {
		m.links = append(m.links, NextLink(m.links, r.Index, leaf, r.Negative))
	}
}

// NextLink extends the chain of negative evidence.
func NextLink(links []ledger.Link, index uint64, leaf tlog.Hash, negative string) ledger.Link {
	var last tlog.Hash
	if len(links) > 0 {
		last = links[len(links)-1].Chain
	}
	return tlog.NextLink(last, index, leaf, tlog.ScopeOf(negative))
}

// check holds a batch against the rules, and returns its leaf hashes.
func (m *Memory) check(b ledger.Batch) ([]tlog.Hash, error) {
	last := m.heads[len(m.heads)-1]
	switch {
	case m.closed:
		return nil, fmt.Errorf("the store is closed: %w", ledger.ErrClosed)
	case len(b.Records) == 0:
		return nil, fmt.Errorf("the batch is empty")
	case b.Checkpoint.Origin != last.Origin:
		return nil, fmt.Errorf("the checkpoint is of %q", b.Checkpoint.Origin)
	case len(b.Note) == 0 || len(b.Token) == 0:
		return nil, fmt.Errorf("the checkpoint has no note or no token")
	}
	if err := checkTime(b.Time, last.Time); err != nil {
		return nil, err
	}
	leaves := make([]tlog.Hash, len(b.Records))
	for i, r := range b.Records {
		leaves[i] = tlog.LeafHash(r.Leaf)
		if err := m.checkRecord(r, uint64(len(m.records)+i), b.Time); err != nil {
			return nil, fmt.Errorf("record %d: %w", r.Index, err)
		}
		if _, ok := m.byLeaf[leaves[i]]; ok || slices.Contains(leaves[:i], leaves[i]) {
			return nil, fmt.Errorf("record %d is a duplicate", r.Index)
		}
	}
	return leaves, nil
}

func (m *Memory) checkRecord(r ledger.Record, index uint64, at time.Time) error {
	switch {
	case r.Index != index:
		return fmt.Errorf("its place is %d", index)
	case !r.Time.Equal(at):
		return fmt.Errorf("its time is not the batch's")
	case len(r.Leaf) == 0 || len(r.Leaf) > ledger.MaxLeaf || len(r.Stamp) == 0 || len(r.Token) == 0:
		return fmt.Errorf("leaf, stamp or token is empty or too long")
	case !slices.IsSorted(r.Keys) || len(slices.Compact(slices.Clone(r.Keys))) != len(r.Keys):
		return fmt.Errorf("its keys are not sorted and distinct")
	}
	return nil
}

func checkTime(at, last time.Time) error {
	if at.Location() != time.UTC || !at.Equal(at.Truncate(time.Millisecond)) {
		return fmt.Errorf("time %v is not in UTC and whole milliseconds", at)
	}
	if at.Before(last) {
		return fmt.Errorf("time %v is before the last, %v", at, last)
	}
	return nil
}

// Record returns the entry at index.
func (m *Memory) Record(_ context.Context, index uint64) (ledger.Record, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if index >= uint64(len(m.records)) {
		return ledger.Record{}, fmt.Errorf("entry %d: %w", index, ledger.ErrNotFound)
	}
	return m.records[index], nil
}

// Lookup returns the index of a leaf.
func (m *Memory) Lookup(_ context.Context, leaf tlog.Hash) (uint64, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	index, ok := m.byLeaf[leaf]
	return index, ok, nil
}

// Tile returns a full tile, or the one at the right edge.
func (m *Memory) Tile(_ context.Context, level int, index uint64) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if b, ok := m.tiles[[2]uint64{uint64(level), index}]; ok {
		return b, nil
	}
	if b := m.edge.Tile(level); len(b) > 0 && index == m.edge.Size()>>(tlog.TileHeight*(level+1)) {
		return b, nil
	}
	return nil, fmt.Errorf("tile %d of level %d: %w", index, level, ledger.ErrNotFound)
}

// Search returns the indexes that a query finds.
func (m *Memory) Search(_ context.Context, q ledger.Query) ([]uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if q.Limit < 1 || q.Limit > ledger.MaxPage {
		return nil, fmt.Errorf("search: a limit of %d: %w", q.Limit, ledger.ErrInvalid)
	}
	until := uint64(len(m.records))
	if q.Until > 0 {
		until = min(until, q.Until)
	}
	var found []uint64
	if q.Key == "" {
		for i := q.From; i < until && len(found) < q.Limit; i++ {
			found = append(found, i)
		}
		return found, nil
	}
	for _, i := range m.byKey[q.Key] {
		if i >= q.From && i < until && len(found) < q.Limit {
			found = append(found, i)
		}
	}
	return found, nil
}

// Negative returns the chain of negative evidence.
func (m *Memory) Negative() []ledger.Link {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clip(m.links)
}

// Checkpoint returns the signed checkpoint of a size.
func (m *Memory) Checkpoint(_ context.Context, size uint64) (ledger.Head, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, h := range m.heads {
		if h.Size == size {
			return h, nil
		}
	}
	return ledger.Head{}, fmt.Errorf("checkpoint of %d entries: %w", size, ledger.ErrNotFound)
}

// Close makes later commits fail.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
