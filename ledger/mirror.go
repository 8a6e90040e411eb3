package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// ErrNotInTree: the records of a batch do not lead to the root that its signed
// checkpoint names, so one of the two is not the log's.
var ErrNotInTree = errors.New("not in the tree")

// MirrorConfig is what a mirror is made of.
type MirrorConfig struct {
	Store    Store          // the mirror is its one writer; the caller closes it
	Verifier *tlog.Verifier // of the log that the store copies
	Tiles    int            // tiles in memory, 16 KiB each; tlog.DefaultTiles when zero
}

// A Mirror writes a copy of a log that somebody else signs. It takes the place of
// the sequencer: it has no key, makes no time, and takes only whole batches as the
// log committed them. What is read from its Ledger is as in the log itself.
type Mirror struct {
	ledger *Ledger

	mu sync.Mutex // held by the one Take that goes on
}

// NewMirror opens the copy that the store holds, as New opens a log. A store for a
// new copy is created with the log's own checkpoint of the empty tree.
func NewMirror(ctx context.Context, c MirrorConfig) (*Mirror, error) {
	if c.Store == nil || c.Verifier == nil || c.Tiles < 0 {
		return nil, errors.New("a mirror needs a store and the log's verifier")
	}
	if c.Tiles == 0 {
		c.Tiles = tlog.DefaultTiles
	}
	l := &Ledger{config: Config{Store: c.Store, Tiles: c.Tiles}, store: c.Store, verifier: c.Verifier, grown: make(chan struct{})}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	return &Mirror{ledger: l}, nil
}

// Ledger reads the copy. Its Append answers ErrReadOnly, its Run is an error, and
// HeadNow is Head: the token of the last batch is the newest that a mirror has.
func (m *Mirror) Ledger() *Ledger { return m.ledger }

// Take commits one batch of the log, after checking that the log's key signed its
// checkpoint, that its records continue the copy and keep the limits of an Append,
// that times do not go back, and that the tree has the checkpoint's root. It does
// not look into leaves, bodies and tokens: that is for the caller, who knows what
// they are.
//
// ErrInvalid and ErrNotInTree blame the batch, and the copy is as it was;
// ErrReadOnly means that nothing was written. After any other error nobody knows
// what the store holds: stop, and open it again to find out.
func (m *Mirror) Take(ctx context.Context, b Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.ledger
	head := l.committedHead()
	leaves, err := m.check(head, &b)
	if err == nil {
		err = m.checkNew(ctx, leaves)
	}
	if err != nil {
		return fmt.Errorf("take the batch after %d entries: %w", head.Size, err)
	}
	edge, full := l.tree.Edge().Append(leaves)
	if edge.Size() != b.Checkpoint.Size || edge.Root() != b.Checkpoint.Root {
		return fmt.Errorf("take the batch after %d entries: %d records make %d entries with root %s, and signed are %d with root %s: %w",
			head.Size, len(leaves), edge.Size(), edge.Root(), b.Checkpoint.Size, b.Checkpoint.Root, ErrNotInTree)
	}
	// A commit must not be torn by the end of the context.
	if err := l.store.Commit(context.WithoutCancel(ctx), b); err != nil {
		if !errors.Is(err, ErrReadOnly) {
			err = fmt.Errorf("%w: %w", ErrClosed, err)
			l.end(err)
		}
		return err
	}
	l.tree.Advance(edge, full)
	l.commit(&Head{Checkpoint: b.Checkpoint, Note: b.Note, Token: b.Token, Time: b.Time})
	return nil
}

// Show makes a head what the copy shows, where it is of the checkpoint that the copy
// ends with: a later timestamp, or more cosignatures. It is not kept. Any other head is
// passed over; a note that the log's key did not sign is ErrInvalid.
func (m *Mirror) Show(h Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	cp, err := m.ledger.verifier.Open(h.Note)
	if err != nil || cp != h.Checkpoint {
		return fmt.Errorf("show a checkpoint of %d entries: %w", h.Size, errors.Join(ErrInvalid, err))
	}
	if now := m.ledger.currentHead(); now.Checkpoint == cp && !h.Time.Before(now.Time) {
		m.ledger.publish(&h)
	}
	return nil
}

// check holds a batch against the copy's head, and returns its leaf hashes.
func (m *Mirror) check(head *Head, b *Batch) ([]tlog.Hash, error) {
	cp, err := m.ledger.verifier.Open(b.Note)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch {
	case cp != b.Checkpoint:
		return nil, fmt.Errorf("the note signs %d entries with root %s, not the batch's checkpoint: %w", cp.Size, cp.Root, ErrInvalid)
	case len(b.Records) == 0:
		return nil, fmt.Errorf("the batch is empty: %w", ErrInvalid)
	case !inMilliseconds(b.Time) || b.Time.Before(head.Time):
		return nil, fmt.Errorf("the checkpoint's time %s goes back, or is not in whole milliseconds: %w", b.Time, ErrInvalid)
	}
	last := head.Time
	leaves := make([]tlog.Hash, len(b.Records))
	for i := range b.Records {
		r := &b.Records[i]
		if err := checkEntry(&r.Entry); err != nil {
			return nil, fmt.Errorf("entry %d: %w", r.Index, err)
		}
		switch {
		case r.Index != head.Size+uint64(i):
			return nil, fmt.Errorf("entry %d stands where entry %d is due: %w", r.Index, head.Size+uint64(i), ErrInvalid)
		case len(r.Token) == 0:
			return nil, fmt.Errorf("entry %d has no timestamp: %w", r.Index, ErrInvalid)
		case !inMilliseconds(r.Time) || r.Time.Before(last) || b.Time.Before(r.Time):
			return nil, fmt.Errorf("the time of entry %d, %s, is out of order, or not in whole milliseconds: %w", r.Index, r.Time, ErrInvalid)
		}
		last, leaves[i] = r.Time, tlog.LeafHash(r.Leaf)
	}
	return leaves, nil
}

func inMilliseconds(t time.Time) bool { return t.Equal(t.Truncate(time.Millisecond)) }

// checkNew refuses a leaf that the copy has already: a log has each once.
func (m *Mirror) checkNew(ctx context.Context, leaves []tlog.Hash) error {
	seen := make(map[tlog.Hash]bool, len(leaves))
	for _, leaf := range leaves {
		index, known, err := m.ledger.Lookup(ctx, leaf)
		if err != nil {
			return fmt.Errorf("look up leaf %s: %w", leaf, err)
		}
		if known || seen[leaf] {
			return fmt.Errorf("the leaf %s is there already (entry %d): %w", leaf, index, ErrInvalid)
		}
		seen[leaf] = true
	}
	return nil
}
