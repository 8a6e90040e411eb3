// Package ledger is the engine: entries in, checkpoints and receipts out. One
// sequencer owns the tree; everything else reads what it committed.
//
// An entry goes this way. Append hashes it and reserves room for it in the pool,
// or answers ErrOverloaded. The sequencer takes what the pool holds as soon as it
// is free, never waiting for more; gives the entries one time, their places and
// their timestamps; extends the tree; signs the checkpoint; and makes one
// Store.Commit. That is the point of no return: only then do head, proofs and
// receipts show the batch. Append builds the receipt in its own goroutine, and
// checks it as a verifier would.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A Stamper mints RFC 3161 timestamps. It is called by several goroutines.
type Stamper interface {
	// Stamp returns a timestamp response, in DER, that says that the message
	// existed at that time.
	Stamp(message []byte, at time.Time) ([]byte, error)
}

// Config is what a ledger is made of. The limits may be zero, which means the
// default that is named beside each.
type Config struct {
	Store   Store        // the ledger is its one writer; the caller closes it after Run
	Signer  *tlog.Signer // of the log that the store holds
	Stamper Stamper
	Now     func() time.Time
	// Witnessing has checkpoints cosigned; nil asks nobody.
	Witnessing *Witnessing

	BatchEntries int // most entries of one commit, and of one Append; 1,024
	BatchBytes   int // most bytes of one commit, and of one Append; 16 MiB
	PoolEntries  int // most entries that wait or are being committed; 8,192
	PoolBytes    int // most bytes that wait or are being committed; 64 MiB
	Stampers     int // goroutines that mint timestamps; 2
	Tiles        int // tiles in memory, 16 KiB each; tlog.DefaultTiles
}

// withDefaults fills in the limits, and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.Store == nil || c.Signer == nil || c.Stamper == nil || c.Now == nil {
		return c, errors.New("ledger needs a store, a signer, a stamper and a clock")
	}
	for _, l := range []struct {
		value *int
		or    int
	}{
		{&c.BatchEntries, 1024}, {&c.BatchBytes, 16 << 20},
		{&c.PoolEntries, 8192}, {&c.PoolBytes, 64 << 20},
		{&c.Stampers, 2}, {&c.Tiles, tlog.DefaultTiles},
	} {
		if *l.value == 0 {
			*l.value = l.or
		}
		if *l.value < 0 {
			return c, fmt.Errorf("ledger limit %d is negative", *l.value)
		}
	}
	if c.PoolEntries < c.BatchEntries || c.PoolBytes < c.BatchBytes {
		return c, errors.New("the pool is smaller than a batch")
	}
	return c, nil
}

// A Ledger is an open log. Run must run for Append to return; the reading
// methods work without it. All methods are safe for concurrent use.
type Ledger struct {
	config     Config
	store      Store
	verifier   *tlog.Verifier
	tree       *tlog.Tree
	pool       *pool
	witnessing *Witnessing   // nil without witnesses
	committing chan struct{} // holds one token when the publisher has something to look at
	running    atomic.Bool

	mu        sync.Mutex    // guards what follows
	committed *Head         // what the last successful commit signed
	head      *Head         // published: what everybody may see; the same, but for the quorum of witnesses
	grown     chan struct{} // closed when head is replaced, or the ledger ends
	ended     error         // why the sequencer ended; wraps ErrClosed
}

// New opens the ledger that the store holds: its head must be signed by the
// log's key and the tiles must lead to the head's root, else the error is
// ErrCorrupt. A store is created with the head of an empty log, see EmptyHead.
func New(ctx context.Context, c Config) (*Ledger, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Ledger{config: c, store: c.Store, verifier: c.Signer.Verifier(), grown: make(chan struct{}), committing: make(chan struct{}, 1)}
	if l.witnessing, err = c.Witnessing.withDefaults(l.verifier); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l.pool = newPool(c.PoolEntries, c.PoolBytes)
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	if l.quorum() {
		if l.head, err = l.lastPublished(ctx); err != nil {
			return nil, fmt.Errorf("open ledger: %w", err)
		}
	}
	return l, nil
}

// open reads the store's head, and the tree's right edge.
func (l *Ledger) open(ctx context.Context) error {
	head := l.store.Head()
	cp, err := l.verifier.Open(head.Note)
	if err != nil {
		return fmt.Errorf("open ledger: %w: head: %w", ErrCorrupt, err)
	}
	if cp != head.Checkpoint {
		return fmt.Errorf("open ledger: %w: head of %d entries has a note of %d", ErrCorrupt, head.Size, cp.Size)
	}
	l.committed, l.head = &head, &head
	l.tree, err = tlog.OpenTree(ctx, cp, l.config.Tiles, l.store.Tile)
	if err != nil {
		return fmt.Errorf("open ledger: %w", asCorrupt(err))
	}
	return nil
}

// copies reports whether this is a mirror's, which nothing is appended to.
func (l *Ledger) copies() bool { return l.pool == nil }

// EmptyHead signs the checkpoint of an empty log, with which a store is created.
func EmptyHead(signer *tlog.Signer, stamper Stamper, at time.Time) (Head, error) {
	cp := tlog.Checkpoint{Origin: signer.Origin(), Root: tlog.EmptyRoot()}
	at = at.UTC().Truncate(time.Millisecond)
	note, err := signer.Sign(cp)
	if err != nil {
		return Head{}, err
	}
	token, err := stamper.Stamp(note, at)
	if err != nil {
		return Head{}, fmt.Errorf("stamp checkpoint: %w", err)
	}
	return Head{Checkpoint: cp, Note: note, Token: token, Time: at}, nil
}

// asCorrupt makes a tile that is not the tree's an ErrCorrupt.
func asCorrupt(err error) error {
	if errors.Is(err, tlog.ErrBadTile) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// Verifier returns the verifier of the log's checkpoints.
func (l *Ledger) Verifier() *tlog.Verifier { return l.verifier }

// Head returns the last checkpoint that is published: its entries are durable and,
// where a quorum of witnesses is wanted, its note has their cosignatures.
func (l *Ledger) Head() Head { return *l.currentHead() }

// HeadNow returns Head with a token that is minted now: in a log where nothing
// happens, the token of the last batch says only how old that is. The time is the
// log's word that it had signed nothing larger; it is not kept anywhere.
func (l *Ledger) HeadNow() (Head, error) {
	if l.copies() {
		return l.Head(), nil
	}
	now := l.config.Now().UTC().Truncate(time.Millisecond)
	head := l.Head()
	if !now.After(head.Time) {
		return head, nil
	}
	token, err := l.config.Stamper.Stamp(head.Note, now)
	if err != nil {
		return Head{}, fmt.Errorf("stamp checkpoint: %w", err)
	}
	head.Time, head.Token = now, token
	return head, nil
}

func (l *Ledger) currentHead() *Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

func (l *Ledger) committedHead() *Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.committed
}

// Wait returns nil when the log holds more than size entries, an error that
// wraps the context's when that is done first, and ErrClosed when the ledger ended.
func (l *Ledger) Wait(ctx context.Context, size uint64) error {
	for {
		l.mu.Lock()
		head, grown, ended := l.head, l.grown, l.ended
		l.mu.Unlock()
		switch {
		case head.Size > size:
			return nil
		case ended != nil:
			return ended
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("wait for entry %d: %w", size, ctx.Err())
		}
	}
}

// commit takes note of a head whose commit succeeded, and shows it unless
// witnesses have to cosign it first.
func (l *Ledger) commit(head *Head) {
	l.mu.Lock()
	l.committed = head
	if !l.quorum() {
		l.show(head)
	}
	l.mu.Unlock()
	if l.witnessing != nil {
		select {
		case l.committing <- struct{}{}:
		default:
		}
	}
}

// publish shows a head with cosignatures, unless there is a larger one.
func (l *Ledger) publish(head *Head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if head.Size >= l.head.Size {
		l.show(head)
	}
}

// show replaces the published head. The caller holds mu.
func (l *Ledger) show(head *Head) {
	l.head = head
	close(l.grown)
	l.grown = make(chan struct{})
}

// end makes everything that waits, and whatever comes, fail with err.
func (l *Ledger) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = err
		close(l.grown)
	}
}
