package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/ledger"
)

// Commit makes a batch permanent. When it returns nil the batch is in the
// journal and synced, and readers see it.
//
// ledger.ErrReadOnly (too little free space) means that nothing was written, and
// the store can be asked again. So does an error about a batch that does not
// continue the log. After any other error the store is broken: what the disk
// holds is for Open to find out, and every later Commit returns the same error.
func (s *Store) Commit(_ context.Context, b ledger.Batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return fmt.Errorf("commit: %w", ledger.ErrClosed)
	}
	if err := s.broken.Load(); err != nil {
		return fmt.Errorf("commit: the store is broken since an earlier error: %w", *err)
	}
	before := s.now()
	if err := checkBatch(before.head, s.journal.origin, &b); err != nil {
		return fmt.Errorf("commit size %d: %w", b.Checkpoint.Size, err)
	}
	s.growth.reset()
	after := s.growth.grow(before, b.Records)
	if root := after.edge.Root(); root != b.Checkpoint.Root {
		return fmt.Errorf("commit size %d: the batch's root is %s, its checkpoint says %s", b.Checkpoint.Size, root, b.Checkpoint.Root)
	}
	after.head = ledger.Head{Checkpoint: b.Checkpoint, Note: b.Note, Token: b.Token, Time: b.Time.UTC()}
	if err := s.checkFree(); err != nil {
		return fmt.Errorf("commit size %d: %w", b.Checkpoint.Size, err)
	}
	if err := s.store(before, after, b.Records); err != nil {
		s.broken.Store(&err)
		return fmt.Errorf("commit size %d: %w", b.Checkpoint.Size, err)
	}
	s.mu.Lock()
	s.tip = after
	s.mu.Unlock()
	return nil
}

// store writes the batch to the journal, and only when that is synced tells the
// index of it.
func (s *Store) store(before, after tip, records []ledger.Record) error {
	segment, start, err := s.journal.room(before.head.Size)
	if err != nil {
		return err
	}
	b, offsets := s.buffer[:0], s.offsets[:0]
	for i := range records {
		offset := start + int64(len(b))
		offsets = append(offsets, offset)
		b = appendRecord(b, segment.seed, offset, entryType, func(b []byte) []byte { return appendEntry(b, &records[i]) })
	}
	m := commit{before: before.head.Size, head: after.head, rows: s.growth.count, digest: s.growth.digest,
		negative: uint64(len(after.negative)), chain: after.chain()}
	commitAt := start + int64(len(b))
	b = appendRecord(b, segment.seed, commitAt, commitType, m.append)
	s.buffer, s.offsets = keep(b), offsets
	if err := s.journal.write(b); err != nil {
		return err
	}
	s.growth.committed(after.head.Size, at(segment, commitAt))
	err = s.positions.put(before.head.Size, segment, offsets)
	if err == nil {
		err = s.index.apply(s.growth.rows)
	}
	if err != nil {
		s.layout.distrust()
		return fmt.Errorf("apply to the index: %w", err)
	}
	return nil
}

// keep returns b for use by the next batch, unless it is unusually large.
func keep(b []byte) []byte {
	if cap(b) > 16<<20 {
		return nil
	}
	return b
}

// checkFree says whether there is room for writing.
func (s *Store) checkFree() error {
	free, err := s.options.Free(s.options.Dir)
	if err != nil {
		return fmt.Errorf("%w: free space of %s: %w", ledger.ErrReadOnly, s.options.Dir, err)
	}
	if free < s.options.MinFree {
		return fmt.Errorf("%w: %s has %d MiB free, the floor is %d MiB", ledger.ErrReadOnly,
			s.options.Dir, free>>20, s.options.MinFree>>20)
	}
	return nil
}

// checkBatch says whether b continues the log after head, in a form that the
// journal can hold.
func checkBatch(head ledger.Head, origin string, b *ledger.Batch) error {
	if b.Checkpoint.Origin != origin {
		return fmt.Errorf("the checkpoint is of log %q, the store of %q", b.Checkpoint.Origin, origin)
	}
	if len(b.Records) == 0 {
		return errors.New("the batch is empty")
	}
	if b.Checkpoint.Size != head.Size+uint64(len(b.Records)) {
		return fmt.Errorf("%d entries after %d do not give it", len(b.Records), head.Size)
	}
	if len(b.Note)+len(b.Token) > maxCommit/2 {
		return fmt.Errorf("checkpoint and token have %d bytes, more than %d", len(b.Note)+len(b.Token), maxCommit/2)
	}
	last := head.Time
	for i := range b.Records {
		r := &b.Records[i]
		if want := head.Size + uint64(i); r.Index != want {
			return fmt.Errorf("entry %d stands where entry %d is due", r.Index, want)
		}
		if r.Time.Before(last) {
			return fmt.Errorf("the time of entry %d goes back", r.Index)
		}
		if err := checkRecord(r); err != nil {
			return err
		}
		last = r.Time
	}
	if b.Time.Before(last) || !b.Time.Equal(time.UnixMilli(b.Time.UnixMilli())) {
		return fmt.Errorf("the time of the checkpoint goes back, or is not in whole milliseconds")
	}
	return nil
}
