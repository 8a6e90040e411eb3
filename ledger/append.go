package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Limits of one entry.
const (
	MaxLeaf = 65_535 // bytes: C2SP tlog-tiles gives the length two bytes
	MaxKeys = 16_384 // search keys
	MaxKey  = 1_024  // bytes of a search key
)

// Errors of a request that cannot be served as it is.
var (
	// ErrInvalid: an entry or a question breaks a rule of this package.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge: one Append has more than a batch can hold.
	ErrTooLarge = errors.New("too large")
)

// Appended says where an entry is, with the receipt that proves it.
type Appended struct {
	// Record is the entry as the log holds it: for a duplicate, the first one's
	// index, time and token.
	Record Record
	// Duplicate: the log had this leaf already, or has it from the same batch.
	Duplicate bool
	// Receipt proves Record in a log that has at least this batch.
	Receipt *tlog.Receipt
}

// Append puts entries into the log and returns when they are durable and, where a
// quorum of witnesses is wanted, cosigned: one answer for each, in order. All of one call that are new are committed together, in
// order, or not at all.
//
// ErrInvalid and ErrTooLarge blame the entries; ErrOverloaded (at once) and
// ErrReadOnly mean that nothing was stored. After ErrClosed and ErrWitnessQuorum, or
// when the context ends first, the entries may have been stored or may still be:
// append them again and, if so, they are duplicates. The entries must not be changed after
// the call, even when it fails.
func (l *Ledger) Append(ctx context.Context, entries []Entry) ([]Appended, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	if l.copies() {
		return nil, fmt.Errorf("append to a mirror: %w", ErrReadOnly)
	}
	c, err := l.newCall(entries)
	if err != nil {
		return nil, err
	}
	if err := l.submit(ctx, c); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("append: %w", ctx.Err())
	}
	if c.err != nil {
		return nil, fmt.Errorf("append: %w", c.err)
	}
	head, err := l.published(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	return l.answers(ctx, c, head)
}

func (l *Ledger) newCall(entries []Entry) (*call, error) {
	c := &call{items: make([]item, len(entries)), done: make(chan struct{})}
	for i := range entries {
		e := &entries[i]
		if err := checkEntry(e); err != nil {
			return nil, fmt.Errorf("append: entry %d of %d: %w", i+1, len(entries), err)
		}
		c.items[i] = item{entry: e, leaf: tlog.LeafHash(e.Leaf)}
		c.bytes += entrySize(e)
	}
	if len(entries) > l.config.BatchEntries || c.bytes > l.config.BatchBytes {
		return nil, fmt.Errorf("append: %d entries of %d bytes, at most %d of %d in one call: %w",
			len(entries), c.bytes, l.config.BatchEntries, l.config.BatchBytes, ErrTooLarge)
	}
	return c, nil
}

func checkEntry(e *Entry) error {
	switch {
	case len(e.Leaf) == 0 || len(e.Leaf) > MaxLeaf:
		return fmt.Errorf("a leaf of %d bytes: %w", len(e.Leaf), ErrInvalid)
	case len(e.Stamp) == 0:
		return fmt.Errorf("nothing to stamp: %w", ErrInvalid)
	case len(e.Keys) > MaxKeys:
		return fmt.Errorf("%d keys: %w", len(e.Keys), ErrInvalid)
	}
	for i, k := range e.Keys {
		if k == "" || len(k) > MaxKey || strings.ContainsRune(k, 0) || i > 0 && k <= e.Keys[i-1] {
			return fmt.Errorf("key %.80q is empty, too long, has a NUL or is out of order: %w", k, ErrInvalid)
		}
	}
	return nil
}

// entrySize is about what an entry takes in memory and on disk.
func entrySize(e *Entry) int {
	const overhead = 512 // record, token, call
	n := overhead + len(e.Leaf) + len(e.Body) + len(e.Stamp)
	for _, k := range e.Keys {
		n += len(k) + 16
	}
	return n
}

// submit reserves room, asks the store for duplicates here, where it does not
// hold up the sequencer, and queues the call.
func (l *Ledger) submit(ctx context.Context, c *call) error {
	if err := l.mayCommit(); err != nil {
		return err
	}
	if err := l.pool.reserve(c); err != nil {
		return err
	}
	known, err := l.findKnown(ctx, c)
	if err == nil && !known {
		if err = l.pool.put(c); err == nil {
			return nil
		}
	}
	l.pool.release(c)
	if err == nil {
		c.finish(l.currentHead(), nil)
	}
	return err
}

// findKnown says whether the log has every entry of the call, so that the
// sequencer has nothing to do.
func (l *Ledger) findKnown(ctx context.Context, c *call) (all bool, err error) {
	c.seen = l.currentHead().Size
	all = true
	for i := range c.items {
		it := &c.items[i]
		if it.index, it.duplicate, err = l.Lookup(ctx, it.leaf); err != nil {
			return false, fmt.Errorf("look up leaf %s: %w", it.leaf, err)
		}
		all = all && it.duplicate
	}
	return all, nil
}

// answers builds and checks the receipts of a call that was finished well.
func (l *Ledger) answers(ctx context.Context, c *call, head *Head) ([]Appended, error) {
	out := make([]Appended, len(c.items))
	for i := range c.items {
		it, a := &c.items[i], &out[i]
		a.Duplicate = it.duplicate
		if it.record != nil {
			a.Record = *it.record
		} else {
			var err error
			if a.Record, err = l.store.Record(ctx, it.index); err != nil {
				return nil, fmt.Errorf("append: read entry %d: %w", it.index, err)
			}
		}
		var err error
		if a.Receipt, err = l.receipt(ctx, it.leaf, &a.Record, head); err != nil {
			return nil, fmt.Errorf("append: %w", err)
		}
	}
	return out, nil
}

// Receipt returns a receipt for the entry at index under the current head, with
// the token of its first append; ErrNotFound when there is no such entry.
func (l *Ledger) Receipt(ctx context.Context, index uint64) (*tlog.Receipt, error) {
	head := l.currentHead()
	r, err := l.Record(ctx, index)
	if err != nil {
		return nil, err
	}
	return l.receipt(ctx, tlog.LeafHash(r.Leaf), &r, head)
}

// receipt makes a receipt, and refuses to let one out that a verifier would not
// accept: that is ErrCorrupt.
func (l *Ledger) receipt(ctx context.Context, leaf tlog.Hash, r *Record, head *Head) (*tlog.Receipt, error) {
	path, err := l.tree.Inclusion(ctx, r.Index, head.Size)
	if err != nil {
		return nil, fmt.Errorf("receipt of entry %d: %w", r.Index, l.readError(err))
	}
	receipt := &tlog.Receipt{
		LogID: l.verifier.LogID(), Index: r.Index,
		Checkpoint: head.Note, Proof: path, Token: r.Token,
	}
	if _, err := tlog.VerifyReceipt(l.verifier, leaf, receipt); err != nil {
		return nil, fmt.Errorf("receipt of entry %d: %w: %w", r.Index, ErrCorrupt, err)
	}
	return receipt, nil
}
