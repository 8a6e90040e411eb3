package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// samples is how many entries opening compares in journal, positions and index.
// Rows that went missing in a stretch (a lost table, a lost memtable) are at least
// some percent of all.
const samples = 500

// takeUp makes the tip from the index and the last commit record that it knows,
// and returns the scan of what follows. *Damage and ledger.ErrRolledBack are about
// the journal; any other error says that the index cannot be used.
func (s *Store) takeUp(ctx context.Context) (*scan, error) {
	size, p, found, err := s.index.last()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("it is empty")
	}
	if err := s.journal.reaches(p, size); err != nil {
		return nil, err
	}
	m, end, err := s.journal.commit(p, size)
	if err != nil {
		return nil, err
	}
	t := tip{head: m.head}
	if t.negative, err = s.index.negative(m.negative); err != nil {
		return nil, err
	}
	if uint64(len(t.negative)) != m.negative || t.chain() != m.chain {
		return nil, fmt.Errorf("its chain of negative evidence is not the journal's, which has length %d and head %s", m.negative, m.chain)
	}
	if t.edge, err = tlog.ReadEdge(ctx, size, s.edgeTile(size)); err != nil {
		return nil, fmt.Errorf("%v", err) // whose fault it is, making it again will tell
	}
	if root := t.edge.Root(); root != m.head.Root {
		return nil, fmt.Errorf("its tiles of %d entries have root %s, the journal's is %s", size, root, m.head.Root)
	}
	if err := s.sample(t); err != nil {
		return nil, fmt.Errorf("%v", err)
	}
	s.tip = t
	return s.journal.scanFrom(p.segment(), end, size, m.head.Time), nil
}

// reaches says whether the journal is long enough to hold the commit record of a
// size, at p.
func (j *journal) reaches(p position, size uint64) error {
	if p.segment() < len(j.segments) {
		seg := j.segments[p.segment()]
		end, err := seg.file.Size()
		if err != nil {
			return fmt.Errorf("read journal/%s: %w", seg.name(), err)
		}
		if p.offset() < end {
			return nil
		}
	}
	return fmt.Errorf("%w: the index has seen size %d, at offset %d of journal/%s, and the journal ends before: entries are missing, or an old copy was restored",
		ledger.ErrRolledBack, size, p.offset(), segmentName(uint64(p.segment())))
}

// edgeTile reads the tiles at the right edge, which the index does not have,
// from what they are made of: entries, and the full tiles below.
func (s *Store) edgeTile(size uint64) tlog.ReadTile {
	return func(_ context.Context, level int, n uint64) ([]byte, error) {
		width := size >> (tlog.TileHeight * level) % tlog.TileWidth
		tile := make([]byte, 0, tlog.TileSize)
		for i := n * tlog.TileWidth; i < n*tlog.TileWidth+width; i++ {
			h, err := s.edgeHash(level, i)
			if err != nil {
				return nil, err
			}
			tile = append(tile, h[:]...)
		}
		return tile, nil
	}
}

func (s *Store) edgeHash(level int, i uint64) (tlog.Hash, error) {
	if level == 0 {
		p, err := s.positions.of(i)
		if err != nil {
			return tlog.Hash{}, err
		}
		r, err := s.journal.entry(p, i)
		return tlog.LeafHash(r.Leaf), err
	}
	var leaves []tlog.Hash
	err := s.index.tile(level-1, i, func(b []byte) error {
		if len(b) != tlog.TileSize {
			return fmt.Errorf("it has %d bytes", len(b))
		}
		for h := range slices.Chunk(b, tlog.HashSize) {
			leaves = append(leaves, tlog.Hash(h))
		}
		return nil
	})
	edge, _ := tlog.Edge{}.Append(leaves)
	return edge.Root(), err
}

// sample compares entries, spread over the log, with the rows that the index
// should have for them.
func (s *Store) sample(t tip) error {
	n := min(samples, t.head.Size)
	for i := range n {
		lo, hi := i*(t.head.Size/n), (i+1)*(t.head.Size/n)
		if i == n-1 {
			hi = t.head.Size
		}
		index := lo + rand.Uint64N(hi-lo)
		r, err := s.record(t, index)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		if err := s.holds(&r); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	return nil
}

// holds says whether the index finds an entry.
func (s *Store) holds(r *ledger.Record) error {
	if n, found, err := s.index.number(leafKey(tlog.LeafHash(r.Leaf))); err != nil || !found || n != r.Index {
		return fmt.Errorf("its lookup gives %d, %t, %v", n, found, err)
	}
	for _, k := range r.Keys {
		found, err := s.index.search(ledger.Query{Key: k, From: r.Index, Until: r.Index + 1, Limit: 1})
		if err != nil || len(found) == 0 {
			return fmt.Errorf("a search for %.80q does not find it (%v)", k, err)
		}
	}
	return nil
}

// torn says how many bytes at the end of the journal are the rest of a batch that
// was never acknowledged, when err is *Damage about them. Any other error, and
// damage that has a valid commit record behind it, it returns.
func (j *journal) torn(err error) (int64, error) {
	var d *Damage
	seg := j.last()
	if !errors.As(err, &d) || !d.unreadable || d.Segment != seg.name() {
		return 0, err
	}
	acknowledged, err := commitBehind(seg, d.Offset)
	if err != nil {
		return 0, fmt.Errorf("read journal/%s: %w", seg.name(), err)
	}
	if acknowledged {
		return 0, d
	}
	end, err := seg.file.Size()
	if err != nil {
		return 0, fmt.Errorf("read journal/%s: %w", seg.name(), err)
	}
	return end - d.batch, nil
}

// cutTorn cuts these bytes off, and returns every other error as it is. The
// segment then ends at offset end.
func (j *journal) cutTorn(end int64, found error, log *slog.Logger) error {
	n, err := j.torn(found)
	if err != nil {
		return err
	}
	seg := j.last()
	if err := seg.file.Truncate(end); err != nil {
		return fmt.Errorf("cut journal/%s: %w", seg.name(), err)
	}
	if err := seg.file.Sync(); err != nil {
		return fmt.Errorf("cut journal/%s: %w", seg.name(), err)
	}
	log.Warn("cut a batch off the journal that was never acknowledged",
		"segment", seg.name(), "offset", end, "bytes", n, "found", found)
	return nil
}

// resync writes the bytes of the last batch again, and syncs. A sync that
// failed may have dropped them from the cache's list of what is to be written
// while they can still be read; every batch before was synced.
func (j *journal) resync(b *batch) error {
	if b.segment != j.last() {
		return nil
	}
	bytes := make([]byte, b.end-b.start)
	if _, err := b.segment.file.ReadAt(bytes, b.start); err != nil {
		return fmt.Errorf("read journal/%s: %w", b.segment.name(), err)
	}
	if _, err := b.segment.file.WriteAt(bytes, b.start); err != nil {
		return fmt.Errorf("write journal/%s: %w", b.segment.name(), err)
	}
	if err := b.segment.file.Sync(); err != nil {
		return fmt.Errorf("sync journal/%s: %w", b.segment.name(), err)
	}
	return nil
}
