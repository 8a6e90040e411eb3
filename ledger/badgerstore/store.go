package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A Store is a log on disk, open in this process and no other. It is a
// ledger.Store.
type Store struct {
	options   Options
	layout    layout
	lock      *os.File
	journal   *journal
	positions *positions
	index     *index

	mu  sync.RWMutex // guards tip
	tip tip          // what the last commit made

	broken atomic.Pointer[error] // why nothing more can be committed

	writing sync.Mutex // guards what follows; held by the one commit that goes on
	closed  bool
	growth  growth
	buffer  []byte
	offsets []int64

	keeper keeper
}

var _ ledger.Store = (*Store)(nil)

// now returns the end of the log as of the last commit.
func (s *Store) now() tip {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tip
}

// Head returns the last committed checkpoint.
func (s *Store) Head() ledger.Head { return s.now().head }

// Negative returns the chain of negative evidence up to the last commit. The
// caller must not change it.
func (s *Store) Negative() []ledger.Link {
	links := s.now().negative
	return slices.Clip(links)
}

// Record returns the entry at index. Its leaf is hashed and compared with the
// tree; an entry that is not what was logged is ledger.ErrCorrupt, with segment
// and offset (*Damage).
func (s *Store) Record(_ context.Context, index uint64) (ledger.Record, error) {
	r, err := s.record(s.now(), index)
	if err != nil {
		return ledger.Record{}, fmt.Errorf("read entry %d: %w", index, err)
	}
	return r, nil
}

func (s *Store) record(t tip, index uint64) (ledger.Record, error) {
	if index >= t.head.Size {
		return ledger.Record{}, ledger.ErrNotFound
	}
	p, err := s.positions.of(index)
	if err != nil {
		return ledger.Record{}, err
	}
	r, err := s.journal.entry(p, index)
	if err != nil {
		return ledger.Record{}, err
	}
	var want tlog.Hash
	from := index % tlog.TileWidth * tlog.HashSize
	if tile := index / tlog.TileWidth; tile < t.edge.Size()/tlog.TileWidth {
		err = s.index.tile(0, tile, func(b []byte) error {
			if len(b) != tlog.TileSize {
				return fmt.Errorf("%w: it has %d bytes", ledger.ErrCorrupt, len(b))
			}
			copy(want[:], b[from:])
			return nil
		})
		if err != nil {
			return ledger.Record{}, err
		}
	} else {
		copy(want[:], t.edge.Tile(0)[from:])
	}
	if got := tlog.LeafHash(r.Leaf); got != want {
		d := &Damage{Segment: segmentName(uint64(p.segment())), Offset: p.offset()}
		d.Err = fmt.Errorf("the entry's leaf hash is %s, in the tree it is %s", got, want)
		return ledger.Record{}, d
	}
	return r, nil
}

// Lookup returns the index of the entry with this leaf hash; false when none has.
func (s *Store) Lookup(_ context.Context, leaf tlog.Hash) (uint64, bool, error) {
	size := s.now().head.Size
	n, found, err := s.index.number(leafKey(leaf))
	if err != nil {
		return 0, false, fmt.Errorf("look up leaf %s: %w", leaf, err)
	}
	return n, found && n < size, nil
}

// Tile returns a full tile, or the hashes at the right edge as of the last
// commit; ledger.ErrNotFound beyond.
func (s *Store) Tile(_ context.Context, level int, index uint64) ([]byte, error) {
	t := s.now()
	if level < 0 || level > 7 {
		return nil, fmt.Errorf("tile %d/%d: %w", level, index, ledger.ErrNotFound)
	}
	last := t.head.Size >> (tlog.TileHeight * level) >> tlog.TileHeight
	if index == last && t.edge.Width(level) > 0 {
		return slices.Clone(t.edge.Tile(level)), nil
	}
	if index >= last {
		return nil, fmt.Errorf("tile %d/%d: %w", level, index, ledger.ErrNotFound)
	}
	var tile []byte
	err := s.index.tile(level, index, func(b []byte) error {
		tile = slices.Clone(b)
		return nil
	})
	return tile, err
}

// Search returns the indexes that a query finds, in log order.
func (s *Store) Search(_ context.Context, q ledger.Query) ([]uint64, error) {
	if q.Limit < 1 || q.Limit > ledger.MaxPage {
		return nil, fmt.Errorf("search: a page of %d entries cannot be; 1 to %d can", q.Limit, ledger.MaxPage)
	}
	if size := s.now().head.Size; q.Until == 0 || q.Until > size {
		q.Until = size
	}
	if q.From >= q.Until {
		return nil, nil
	}
	if q.Key != "" {
		found, err := s.index.search(q)
		if err != nil {
			return nil, fmt.Errorf("search %.80q: %w", q.Key, err)
		}
		return found, nil
	}
	found := make([]uint64, min(uint64(q.Limit), q.Until-q.From))
	for i := range found {
		found[i] = q.From + uint64(i)
	}
	return found, nil
}

// Checkpoint returns the signed checkpoint of exactly this size, the newest if
// there are several; ledger.ErrNotFound when none was signed.
func (s *Store) Checkpoint(_ context.Context, size uint64) (ledger.Head, error) {
	head := s.now().head
	if size == head.Size {
		return head, nil
	}
	m, err := s.committed(head.Size, size)
	if err != nil {
		return ledger.Head{}, fmt.Errorf("checkpoint of size %d: %w", size, err)
	}
	return m.head, nil
}

// committed reads the commit record of a size that is at most limit.
func (s *Store) committed(limit, size uint64) (commit, error) {
	if size > limit {
		return commit{}, ledger.ErrNotFound
	}
	p, found, err := s.index.number(commitKey(size))
	if err != nil {
		return commit{}, err
	}
	if !found {
		return commit{}, ledger.ErrNotFound
	}
	m, _, err := s.journal.commit(position(p), size)
	return m, err
}

// Close writes the head, closes the index so that the next Open finds it synced,
// and gives the folder free. No other call may be under way or follow, but for
// Commit, which then is ledger.ErrClosed.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	errs := []error{s.keeper.stop()}
	fingerprint, err := s.index.close(s.options.disk, s.layout.index())
	errs = append(errs, err, s.positions.close())
	if err := errors.Join(errs...); err == nil && s.broken.Load() == nil {
		errs = append(errs, s.layout.setClosed(s.options.disk, fingerprint))
	}
	errs = append(errs, s.journal.close(), s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.options.Dir, err)
	}
	return nil
}

// A keeper writes the head file from time to time, and once when it stops.
type keeper struct {
	quit, done chan struct{}
	last       error // of the last write; read when done
}

// start lets write run at every interval, until it fails.
func (k *keeper) start(every time.Duration, write func() error) {
	k.quit, k.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(k.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for k.last == nil {
			select {
			case <-tick.C:
				k.last = write()
			case <-k.quit:
				k.last = write()
				return
			}
		}
	}()
}

func (k *keeper) stop() error {
	close(k.quit)
	<-k.done
	return k.last
}

// keepHead lets the head file, which is of size saved, follow the journal. When it
// cannot, the store is broken: a log that grows without it could be set back.
func (s *Store) keepHead(saved uint64) {
	s.keeper.start(s.options.HeadEvery, func() error {
		head := s.now().head
		if head.Size == saved {
			return nil
		}
		if err := replace(s.options.disk, s.layout.head(), marshalHead(head)); err != nil {
			err = fmt.Errorf("write %s: %w", s.layout.head(), err)
			s.broken.Store(&err)
			return err
		}
		saved = head.Size
		return nil
	})
}
