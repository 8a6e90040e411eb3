package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Open opens the store in Dir, and repairs what a stop left: it cuts a torn
// tail off the journal, brings the index up to it, and makes the index again
// when it cannot be trusted (which takes some ten seconds for a million entries;
// everything else takes less than one). What it repaired is in Options.Log.
//
// Open makes no log: a folder without one is an error. A journal that ends before
// the head, or before what the index has seen, is ledger.ErrRolledBack; one that
// contradicts itself, the head or the signature, is ledger.ErrCorrupt. An end of
// ctx stops it between two batches; the next Open goes on from there.
func Open(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open a store: %w", err)
	}
	s, err := open(o, func(s *Store) error {
		head, err := readHead(o.disk, s.layout.head())
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is missing; mount its folder, or if it is lost for good let `countersignd rebuild` write it again from the journal", s.layout.head())
		}
		if err != nil {
			return err
		}
		if err := s.recover(ctx, nil); err != nil {
			return err
		}
		if err := s.checkHead(head); err != nil {
			return err
		}
		s.keepHead(head.Size)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	return s, nil
}

// open takes the lock, opens the journal, and lets then do the rest. After an
// error of then everything is closed again.
func open(o Options, then func(*Store) error) (*Store, error) {
	s := &Store{options: o, layout: o.layout()}
	if _, err := segmentNames(s.layout.journal()); err != nil {
		return nil, explainEmpty(err)
	}
	var err error
	if s.lock, err = s.layout.takeLock(); err != nil {
		return nil, err
	}
	if s.journal, err = openJournal(o.disk, s.layout.journal(), o.SegmentSize); err != nil {
		s.lock.Close()
		return nil, explainEmpty(err)
	}
	if err := then(s); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func explainEmpty(err error) error {
	if errors.Is(err, errEmpty) {
		return errors.New("there is no log in this folder; is its volume mounted? `countersignd create` makes a new log")
	}
	return err
}

// abandon closes what is open, and says nothing about the index.
func (s *Store) abandon() {
	if s.index != nil {
		s.index.db.Close()
	}
	if s.positions != nil {
		s.positions.file.Close()
	}
	s.journal.close()
	s.lock.Close()
}

// recover opens the index and positions and brings them, and the tip, to the end
// of the journal.
func (s *Store) recover(ctx context.Context, progress Progress) error {
	from := s.journal.scanAll()
	if s.layout.condition() == usable {
		resumed, err := s.resume(ctx)
		if err != nil {
			return err
		}
		if resumed != nil {
			from = resumed
		}
	}
	if s.index == nil {
		if err := s.openEmpty(); err != nil {
			return err
		}
		s.options.Log.Info("making the index again from the journal", "dir", s.options.Dir)
	}
	if err := s.replay(ctx, from, progress); err != nil {
		return err
	}
	return s.checkNote(s.tip.head)
}

// resume opens the index and takes up where it ends. It returns nil, and leaves
// the index closed, when the index does not agree with the journal; an error when
// the journal ends before it.
func (s *Store) resume(ctx context.Context) (*scan, error) {
	if err := s.layout.setOpen(s.options.disk); err != nil {
		return nil, err
	}
	err := s.openIndex()
	var from *scan
	if err == nil {
		from, err = s.takeUp(ctx)
	}
	if err == nil {
		return from, nil
	}
	var d *Damage
	if errors.As(err, &d) || errors.Is(err, ledger.ErrRolledBack) {
		return nil, err
	}
	s.options.Log.Warn("the index does not agree with the journal", "dir", s.options.Dir, "error", err)
	s.closeIndex()
	s.tip = tip{}
	return nil, nil
}

func (s *Store) openIndex() (err error) {
	if s.index, err = openIndex(s.layout.index(), s.options.Log); err != nil {
		return err
	}
	s.positions, err = openPositions(s.options.disk, s.layout.positions())
	return err
}

func (s *Store) closeIndex() {
	if s.index != nil {
		s.index.db.Close()
		s.index = nil
	}
	if s.positions != nil {
		s.positions.file.Close()
		s.positions = nil
	}
}

// openEmpty throws index and positions away and begins new ones.
func (s *Store) openEmpty() error {
	s.layout.distrust()
	if err := errors.Join(os.RemoveAll(s.layout.index()), os.RemoveAll(s.layout.positions())); err != nil {
		return err
	}
	if err := s.openIndex(); err != nil {
		return fmt.Errorf("make an index: %w", err)
	}
	return s.layout.setOpen(s.options.disk)
}

// replay applies the rest of the journal to the index and the tip, and leaves
// the journal ready for appending.
func (s *Store) replay(ctx context.Context, from *scan, progress Progress) error {
	meter, err := s.journal.meter(progress)
	if err != nil {
		return err
	}
	var last batch
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := from.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if err := s.journal.cutTorn(from.offset, err, s.options.Log); err != nil {
				return err
			}
			from.window.end = from.offset
			continue
		}
		if err := s.replayBatch(b); err != nil {
			return err
		}
		last = *b
		meter.read(from)
	}
	if err := s.applyRows(); err != nil {
		return err
	}
	meter.finish()
	s.journal.end = from.offset
	return s.journal.resync(&last)
}

// rowsAtOnce is how many rows replay gathers before it applies them.
const rowsAtOnce = 20_000

func (s *Store) replayBatch(b *batch) error {
	t, err := s.growth.replay(s.tip, b)
	if err != nil {
		return err
	}
	if err := s.positions.put(b.commit.before, b.segment, b.offsets); err != nil {
		return err
	}
	s.growth.committed(t.head.Size, at(b.segment, b.commitAt))
	s.tip = t
	if len(s.growth.rows) < rowsAtOnce {
		return nil
	}
	return s.applyRows()
}

func (s *Store) applyRows() error {
	defer s.growth.reset()
	if err := s.index.apply(s.growth.rows); err != nil {
		return fmt.Errorf("apply to the index: %w", err)
	}
	return nil
}

// replay grows t by a batch of the journal, and compares everything that its
// commit record says. The new rows are added to g.
func (g *growth) replay(t tip, b *batch) (tip, error) {
	t = g.grow(t, b.records)
	t.head = b.commit.head
	switch m := &b.commit; {
	case t.edge.Root() != m.head.Root:
		return t, contradiction(b.segment, b.commitAt, "%d entries have root %s, the checkpoint says %s", m.head.Size, t.edge.Root(), m.head.Root)
	case g.count != m.rows || g.digest != m.digest:
		return t, contradiction(b.segment, b.commitAt, "the batch has %d index rows with digest %s, the commit says %d with %s", g.count, g.digest, m.rows, m.digest)
	case uint64(len(t.negative)) != m.negative || t.chain() != m.chain:
		return t, contradiction(b.segment, b.commitAt, "the chain of negative evidence has length %d and head %s, the commit says %d and %s", len(t.negative), t.chain(), m.negative, m.chain)
	}
	return t, nil
}

// checkNote verifies the signed checkpoint of a head.
func (s *Store) checkNote(h ledger.Head) error {
	if s.options.Verifier == nil {
		return nil
	}
	return verifyNote(s.options.Verifier, h)
}

func verifyNote(v *tlog.Verifier, h ledger.Head) error {
	cp, err := v.Open(h.Note)
	if err == nil && cp != h.Checkpoint {
		err = fmt.Errorf("it is signed for size %d and root %s", cp.Size, cp.Root)
	}
	if err != nil {
		return fmt.Errorf("%w: the checkpoint of size %d: %w", ledger.ErrCorrupt, h.Size, err)
	}
	return nil
}

// checkHead compares the head file's content with the log.
func (s *Store) checkHead(head ledger.Head) error {
	head.Origin = s.journal.origin
	if err := s.checkNote(head); err != nil {
		return fmt.Errorf("%s: %w", s.layout.head(), err)
	}
	return checkHead(s.layout.head(), head, s.tip.head, func(size uint64) (tlog.Hash, error) {
		m, err := s.committed(s.tip.head.Size, size)
		return m.head.Root, err
	})
}
