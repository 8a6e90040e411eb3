package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A sequencer is the state of Run: what only the one writer touches.
type sequencer struct {
	l      *Ledger
	stamps *stamping
	recent *recent
	time   time.Time // of the last batch
}

// Run takes entries into the log until the context is done. Then it refuses new
// ones, commits those that were accepted, and returns nil. When a commit fails in
// a way that leaves open what the store holds, Run ends with that error, and every
// waiter gets ErrClosed: close the store, and open it again to find out. Run
// once only.
func (l *Ledger) Run(ctx context.Context) error {
	if l.copies() {
		return errors.New("a mirror has no sequencer")
	}
	if !l.running.CompareAndSwap(false, true) {
		return errors.New("ledger was run before")
	}
	head := l.committedHead()
	s := &sequencer{l: l, stamps: startStamping(l.config.Stamper, l.config.Stampers), recent: newRecent(head.Size), time: head.Time}
	defer s.stamps.stop()
	stopPublisher := l.startPublisher(ctx)
	defer stopPublisher(0)
	for {
		stopped := l.pool.wait(ctx)
		if stopped != nil {
			l.pool.close(fmt.Errorf("the ledger was stopped: %w", ErrClosed))
		}
		// A commit must not be torn by the end of the context.
		if err := s.drain(context.WithoutCancel(ctx)); err != nil {
			l.end(err)
			return err
		}
		if stopped != nil {
			if l.witnessing != nil {
				stopPublisher(l.witnessing.Wait)
			}
			l.end(fmt.Errorf("the ledger was stopped: %w", ErrClosed))
			return nil
		}
	}
}

// drain commits batches until the queue is empty. After an error the queue is
// closed, and all that were in it have been told.
func (s *sequencer) drain(ctx context.Context) error {
	pool, c := s.l.pool, s.l.config
	for {
		calls := pool.take(c.BatchEntries, c.BatchBytes)
		if len(calls) == 0 {
			return nil
		}
		fatal := s.step(ctx, calls)
		pool.release(calls...)
		if fatal == nil {
			continue
		}
		pool.close(fatal)
		for len(calls) > 0 {
			calls = pool.take(c.BatchEntries, c.BatchBytes)
			for _, c := range calls {
				c.finish(nil, fatal)
			}
			pool.release(calls...)
		}
		return fatal
	}
}

// step commits one batch and tells its callers. It returns an error only when
// the sequencer must end. What fails before the commit fails for this batch alone:
// the checkpoint that was signed is thrown away with it.
func (s *sequencer) step(ctx context.Context, calls []*call) error {
	b, err := s.prepare(ctx, calls)
	if err == nil && len(b.Records) > 0 {
		err = s.l.store.Commit(ctx, b.Batch)
		if err != nil && !errors.Is(err, ErrReadOnly) {
			err = fmt.Errorf("commit %d entries from %d on: %w: %w", len(b.Records), b.Records[0].Index, ErrClosed, err)
			finishAll(calls, nil, err)
			return err
		}
		if err == nil {
			s.accept(b)
		}
	}
	if err != nil {
		finishAll(calls, nil, err)
		return nil
	}
	finishAll(calls, s.l.committedHead(), nil)
	return nil
}

func finishAll(calls []*call, head *Head, err error) {
	for _, c := range calls {
		c.finish(head, err)
	}
}

// A step of the tree on its way to the store.
type batch struct {
	Batch
	leaves []tlog.Hash
	edge   tlog.Edge
	full   []tlog.FullTile
}

// accept shows a batch that was committed.
func (s *sequencer) accept(b *batch) {
	s.time = b.Time
	s.recent.add(b.Records[0].Index, b.leaves)
	s.l.tree.Advance(b.edge, b.full)
	s.l.commit(&Head{Checkpoint: b.Checkpoint, Note: b.Note, Token: b.Token, Time: b.Time})
}

// prepare gives the new entries of the calls their places, time and timestamps,
// and signs the checkpoint that covers them.
func (s *sequencer) prepare(ctx context.Context, calls []*call) (*batch, error) {
	b := &batch{}
	b.Time = s.l.config.Now().UTC().Truncate(time.Millisecond)
	if b.Time.Before(s.time) {
		b.Time = s.time
	}
	if err := s.place(ctx, b, calls); err != nil || len(b.Records) == 0 {
		return b, err
	}
	s.stamps.begin(b.Records, b.Time)
	err := s.sign(b)
	if err2 := s.stamps.finish(); err == nil {
		err = err2
	}
	return b, err
}

// place finds out which entries are new, and makes records of them in order.
func (s *sequencer) place(ctx context.Context, b *batch, calls []*call) error {
	n := 0
	for _, c := range calls {
		n += len(c.items)
	}
	size := s.l.tree.Edge().Size()
	b.Records, b.leaves = make([]Record, 0, n), make([]tlog.Hash, 0, n) // never moved: items point to them
	inBatch := make(map[tlog.Hash]*Record, n)
	for _, c := range calls {
		for i := range c.items {
			it := &c.items[i]
			if err := s.findDuplicate(ctx, it, c.seen, inBatch); err != nil {
				return err
			}
			if it.duplicate {
				continue
			}
			it.index = size + uint64(len(b.Records))
			b.Records = append(b.Records, Record{Index: it.index, Entry: *it.entry, Time: b.Time})
			b.leaves = append(b.leaves, it.leaf)
			it.record = &b.Records[len(b.Records)-1]
			inBatch[it.leaf] = it.record
		}
	}
	return nil
}

// findDuplicate completes what Append found out when the store held seen entries.
func (s *sequencer) findDuplicate(ctx context.Context, it *item, seen uint64, inBatch map[tlog.Hash]*Record) error {
	if it.duplicate {
		return nil
	}
	if it.record, it.duplicate = inBatch[it.leaf]; it.duplicate {
		it.index = it.record.Index
		return nil
	}
	if it.index, it.duplicate = s.recent.find(it.leaf); it.duplicate || seen >= s.recent.from {
		return nil
	}
	var err error
	if it.index, it.duplicate, err = s.l.store.Lookup(ctx, it.leaf); err != nil {
		return fmt.Errorf("look up leaf %s: %w", it.leaf, err)
	}
	return nil
}

// sign extends the tree and signs its checkpoint, which it opens again as a
// verifier would. Nothing of it leaves before the commit.
func (s *sequencer) sign(b *batch) error {
	b.edge, b.full = s.l.tree.Edge().Append(b.leaves)
	b.Checkpoint = tlog.Checkpoint{Origin: s.l.config.Signer.Origin(), Size: b.edge.Size(), Root: b.edge.Root()}
	var err error
	if b.Note, err = s.l.config.Signer.Sign(b.Checkpoint); err != nil {
		return err
	}
	if _, err = s.l.verifier.Open(b.Note); err != nil {
		return fmt.Errorf("own checkpoint: %w", err)
	}
	if b.Token, err = s.l.config.Stamper.Stamp(b.Note, b.Time); err != nil {
		return fmt.Errorf("stamp checkpoint: %w", err)
	}
	return nil
}
