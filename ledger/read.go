package ledger

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Readers see the log up to Head and nothing beyond, whatever the store already
// holds: a batch that is not acknowledged does not exist.

// Record returns the entry at index; ErrNotFound when the log has none.
func (l *Ledger) Record(ctx context.Context, index uint64) (Record, error) {
	if size := l.currentHead().Size; index >= size {
		return Record{}, fmt.Errorf("entry %d of %d: %w", index, size, ErrNotFound)
	}
	return l.store.Record(ctx, index)
}

// Lookup returns the index of the entry with this leaf hash; false when none has.
func (l *Ledger) Lookup(ctx context.Context, leaf tlog.Hash) (uint64, bool, error) {
	index, ok, err := l.store.Lookup(ctx, leaf)
	if err != nil || !ok || index >= l.currentHead().Size {
		return 0, false, err
	}
	return index, true, nil
}

// Search returns the indexes of the entries that a query finds, in log order.
func (l *Ledger) Search(ctx context.Context, q Query) ([]uint64, error) {
	if q.Limit < 1 || q.Limit > MaxPage {
		return nil, fmt.Errorf("search: a limit of %d is not 1 to %d: %w", q.Limit, MaxPage, ErrInvalid)
	}
	if size := l.currentHead().Size; q.Until == 0 || q.Until > size {
		q.Until = size
	}
	if q.From >= q.Until {
		return nil, nil
	}
	return l.store.Search(ctx, q)
}

// Negative returns the chain of negative evidence. The caller must not change it.
func (l *Ledger) Negative() []Link {
	size := l.currentHead().Size
	links := l.store.Negative()
	n := sort.Search(len(links), func(i int) bool { return links[i].Index >= size })
	return links[:n:n]
}

// Checkpoint returns the signed checkpoint of exactly this size; ErrNotFound
// when none was signed.
func (l *Ledger) Checkpoint(ctx context.Context, size uint64) (Head, error) {
	if now := l.currentHead(); size == now.Size {
		return *now, nil
	} else if size > now.Size {
		return Head{}, fmt.Errorf("checkpoint of %d of %d entries: %w", size, now.Size, ErrNotFound)
	}
	return l.store.Checkpoint(ctx, size)
}

// Inclusion proves that the entry at index is in the log of the given size,
// which any size up to Head's may be; otherwise ErrNotFound. The nodes were
// checked against a root that the log signed.
func (l *Ledger) Inclusion(ctx context.Context, index, size uint64) ([]tlog.Hash, error) {
	if err := l.shown(size); err != nil {
		return nil, err
	}
	path, err := l.tree.Inclusion(ctx, index, size)
	return path, l.readError(err)
}

// Consistency proves that the log of size from is the beginning of the log of
// size to, any sizes up to Head's with from ≤ to; otherwise ErrNotFound. It is
// checked as Inclusion is.
func (l *Ledger) Consistency(ctx context.Context, from, to uint64) ([]tlog.Hash, error) {
	if err := l.shown(to); err != nil {
		return nil, err
	}
	path, err := l.tree.Consistency(ctx, from, to)
	return path, l.readError(err)
}

// shown refuses a size that the tree may have already, and no published head covers.
func (l *Ledger) shown(size uint64) error {
	if !l.quorum() {
		return nil
	}
	if now := l.currentHead().Size; size > now {
		return fmt.Errorf("size %d of %d: %w", size, now, ErrNotFound)
	}
	return nil
}

// Root returns the Merkle tree hash of the first size entries, any size up to
// Head's; otherwise ErrNotFound. It is checked as the nodes of Inclusion are.
func (l *Ledger) Root(ctx context.Context, size uint64) (tlog.Hash, error) {
	root, err := l.tree.Root(ctx, size)
	return root, l.readError(err)
}

func (l *Ledger) readError(err error) error {
	if errors.Is(err, tlog.ErrOutOfRange) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return asCorrupt(err)
}

// lastOf returns how many entries a log has at least that has the tile.
func lastOf(t tlog.Tile) uint64 {
	shift := tlog.TileHeight * max(t.Level, 0)
	n := t.Index*tlog.TileWidth + uint64(max(t.Width, 0))
	if t.Index > tlog.MaxSize/tlog.TileWidth || t.Level > tlog.MaxTileLevel || n > tlog.MaxSize>>shift {
		return tlog.MaxSize
	}
	return n << shift
}

// Tile returns exactly the hashes that a tile's name asks for, checked as those
// of proofs are; or, of an entry bundle, the entries, each after its length as two
// big-endian bytes (C2SP tlog-tiles). ErrNotFound while the log has fewer. The
// caller must not change the bytes.
func (l *Ledger) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if err := l.shown(lastOf(t)); err != nil {
		return nil, fmt.Errorf("%s: %w", tlog.TilePath(t), err)
	}
	if t.Level != tlog.EntriesLevel {
		b, err := l.tree.Tile(ctx, t)
		return b, l.readError(err)
	}
	// The bundle is as wide as the tile of its leaf hashes.
	if _, err := l.tree.Tile(ctx, tlog.Tile{Index: t.Index, Width: t.Width}); err != nil {
		return nil, l.readError(err)
	}
	var b []byte
	for i := range uint64(t.Width) {
		r, err := l.store.Record(ctx, t.Index*tlog.TileWidth+i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tlog.TilePath(t), err)
		}
		if b, err = tlog.AppendEntry(b, r.Leaf); err != nil {
			return nil, fmt.Errorf("%s: %w", tlog.TilePath(t), err)
		}
	}
	return b, nil
}
