package badgerstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"runtime"
	"sync"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A Report says what Check went through and found right.
type Report struct {
	Head     ledger.Head // the last one in the journal
	Segments int
	Commits  uint64
	Negative uint64 // length of the chain of negative evidence
	Verified uint64 // checkpoints whose signature was verified
	Torn     int64  // bytes at the end that Open will cut: a batch never acknowledged
	// Index says why the index was not compared: the next Open brings it up to
	// the journal, or makes it again. Empty when it was.
	Index string
}

// Check recomputes everything from the journal and compares: every record's CRC,
// that indexes follow one another and times never go back; every leaf hash and
// the root, the index rows' count and digest and the chain of negative evidence
// at every commit; with Options.Verifier every signed checkpoint; then the head
// file, the positions, and every row of the index. It changes nothing of the log.
//
// What does not hold is ledger.ErrCorrupt or ledger.ErrRolledBack; about the
// journal the error names segment and offset (*Damage), about positions or index
// it says that Rebuild mends them. The store must not be open.
func Check(ctx context.Context, o Options, progress Progress) (Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	c := checker{ctx: ctx, progress: progress}
	s, err := open(o, func(s *Store) error {
		c.Store = s
		return c.run()
	})
	if err == nil {
		err = s.closeChecked()
	}
	if err != nil {
		return c.report, fmt.Errorf("check %s: %w", o.Dir, err)
	}
	return c.report, nil
}

// closeChecked closes a store that was opened without a keeper.
func (s *Store) closeChecked() error {
	var errs []error
	if s.index != nil {
		fingerprint, err := s.index.close(s.options.disk, s.layout.index())
		errs = append(errs, err, s.positions.close())
		if errors.Join(errs...) == nil {
			errs = append(errs, s.layout.setClosed(s.options.disk, fingerprint))
		}
	}
	return errors.Join(append(errs, s.journal.close(), s.lock.Close())...)
}

type checker struct {
	*Store
	ctx      context.Context // of this one call of Check
	progress Progress
	meter    *meter
	report   Report

	headFile ledger.Head
	headRoot tlog.Hash // of the journal's checkpoint with the size of headFile
	headSeen bool
	rows     census    // that the journal asks for
	wrong    error     // of the positions; reported after the journal's own
	place    []byte    // a stretch of the positions
	verify   verifiers // of signatures
}

func (c *checker) run() error {
	head, err := readHead(c.options.disk, c.layout.head())
	if err != nil {
		return err
	}
	if c.headFile = head; c.layout.condition() != usable {
		c.report.Index = "it was not closed before the machine stopped, or is missing; opening makes it again"
	} else if err := errors.Join(c.layout.setOpen(c.options.disk), c.openIndex()); err != nil {
		return fmt.Errorf("%w: open the index: %w; `countersignd rebuild` makes it again", ledger.ErrCorrupt, err)
	}
	c.rows.seed = maphash.MakeSeed()
	c.verify.start(c.options.Verifier)
	err = c.journalHolds()
	verified, wrong := c.verify.wait()
	c.report.Verified = verified
	if err = errors.Join(err, wrong); err != nil {
		return err
	}
	err = checkHead(c.layout.head(), head, c.tip.head, func(uint64) (tlog.Hash, error) {
		if !c.headSeen {
			return tlog.Hash{}, ledger.ErrNotFound
		}
		return c.headRoot, nil
	})
	if err != nil {
		return err
	}
	head.Origin = c.journal.origin
	if err := c.checkNote(head); err != nil {
		return fmt.Errorf("%s: %w", c.layout.head(), err)
	}
	if err := c.indexHolds(); err != nil {
		return err
	}
	c.meter.finish()
	return nil
}

// journalHolds goes through the journal.
func (c *checker) journalHolds() error {
	var err error
	if c.meter, err = c.journal.meter(c.progress); err != nil {
		return err
	}
	if c.index != nil {
		c.meter.index = c.meter.journal / 2 // measured: half the time
	}
	c.report.Segments = len(c.journal.segments)
	for from := c.journal.scanAll(); ; {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		b, err := from.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			c.report.Torn, err = c.journal.torn(err)
			return err
		}
		if err := c.batch(b); err != nil {
			return err
		}
		c.meter.read(from)
	}
}

func (c *checker) batch(b *batch) error {
	c.growth.reset()
	t, err := c.growth.replay(c.tip, b)
	if err != nil {
		return err
	}
	c.tip = t
	c.report.Head, c.report.Negative = t.head, uint64(len(t.negative))
	c.report.Commits++
	if t.head.Size == c.headFile.Size {
		c.headRoot, c.headSeen = t.head.Root, true
	}
	if c.verify.work != nil {
		c.verify.work <- signed{t.head, b.segment, b.commitAt}
	}
	if c.index == nil {
		return nil
	}
	c.growth.committed(t.head.Size, at(b.segment, b.commitAt))
	for _, r := range c.growth.rows {
		c.rows.add(r)
	}
	return c.positionsHold(b)
}

// positionsHold compares the positions of a batch.
func (c *checker) positionsHold(b *batch) error {
	if n := 8 * len(b.offsets); cap(c.place) < n {
		c.place = make([]byte, 2*n)
	}
	place := c.place[:8*len(b.offsets)]
	n, err := c.positions.file.ReadAt(place, int64(b.commit.before)*8)
	if err != nil && err != io.EOF {
		return fmt.Errorf("read positions: %w", err)
	}
	for i, offset := range b.offsets {
		if 8*i+8 > n || position(binary.BigEndian.Uint64(place[8*i:])) != at(b.segment, offset) {
			if c.wrong == nil {
				c.wrong = fmt.Errorf("%w: positions does not have entry %d where the journal does", ledger.ErrCorrupt, b.commit.before+uint64(i))
			}
			return nil
		}
	}
	return nil
}

// indexHolds compares positions and index with what the journal asked for.
func (c *checker) indexHolds() error {
	if c.index == nil {
		return nil
	}
	size, _, _, err := c.index.last()
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if size < c.tip.head.Size {
		c.report.Index = fmt.Sprintf("it ends at size %d; opening brings it up to the journal", size)
		return nil
	}
	if size > c.tip.head.Size {
		return fmt.Errorf("%w: the index has seen size %d, the journal ends at %d", ledger.ErrRolledBack, size, c.tip.head.Size)
	}
	has := census{seed: c.rows.seed}
	err = c.index.each(func(key, value []byte) error {
		has.add(row{key, value})
		if has.count%1024 == 0 {
			c.meter.compared(has.count, c.rows.count)
		}
		return c.ctx.Err()
	})
	if err == nil {
		err = errors.Join(c.wrong, c.rows.compare(&has))
	}
	if err != nil {
		return fmt.Errorf("%w; `countersignd rebuild` makes the index again from the journal, which holds", err)
	}
	return nil
}

// A census counts rows of each kind and adds up their hashes, so that two sets
// of rows can be compared in any order. The hash is keyed anew in every run:
// nobody can prepare rows whose sums agree.
type census struct {
	seed  maphash.Seed
	count uint64 // of all kinds
	kind  [256]struct{ count, sum uint64 }
	hash  maphash.Hash
}

func (c *census) add(r row) {
	c.hash.SetSeed(c.seed)
	c.hash.WriteByte(byte(len(r.key)))
	c.hash.Write(r.key)
	c.hash.Write(r.value)
	k := &c.kind[r.key[0]]
	k.count++
	c.count++
	k.sum += c.hash.Sum64()
}

func (c *census) compare(has *census) error {
	names := map[byte]string{rowCommit: "checkpoints", rowLeaf: "leaf lookups", rowNegative: "negative evidence", rowSearch: "searches", rowTile: "tiles"}
	var errs []error
	for kind := range c.kind {
		want, got := c.kind[kind], has.kind[kind]
		name, known := names[byte(kind)]
		if !known {
			name = fmt.Sprintf("the unknown kind %q", byte(kind))
		}
		switch {
		case want.count != got.count:
			errs = append(errs, fmt.Errorf("%w: the index has %d rows of %s, the journal asks for %d", ledger.ErrCorrupt, got.count, name, want.count))
		case want.sum != got.sum:
			errs = append(errs, fmt.Errorf("%w: the index has other rows of %s than the journal asks for", ledger.ErrCorrupt, name))
		}
	}
	return errors.Join(errs...)
}

// signed is a checkpoint to verify, and where it stands.
type signed struct {
	head     ledger.Head
	segment  *segment
	commitAt int64
}

// verifiers check signatures on every core while the journal is read.
type verifiers struct {
	work  chan signed
	group sync.WaitGroup
	mu    sync.Mutex // guards done and first
	done  uint64
	first *Damage
}

func (v *verifiers) start(with *tlog.Verifier) {
	if with == nil {
		return
	}
	v.work = make(chan signed, 256)
	for range runtime.GOMAXPROCS(0) {
		v.group.Go(func() {
			for w := range v.work {
				v.note(w, verifyNote(with, w.head))
			}
		})
	}
}

func (v *verifiers) note(w signed, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		v.done++
		return
	}
	d := contradiction(w.segment, w.commitAt, "%w", err)
	if v.first == nil || d.Segment < v.first.Segment || d.Segment == v.first.Segment && d.Offset < v.first.Offset {
		v.first = d
	}
}

// wait returns how many were right, and the first that was not.
func (v *verifiers) wait() (uint64, error) {
	if v.work == nil {
		return 0, nil
	}
	close(v.work)
	v.group.Wait()
	if v.first != nil {
		return v.done, v.first
	}
	return v.done, nil
}
