package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Batches returns the steps in which the log grew, from an entry on: the records,
// each batch with the signed checkpoint that closed it. It ends at the head that
// the log has when the first is asked for, or with the first error. A copy that
// takes the same steps is the same log. An index within a batch starts with the
// rest of that batch; one beyond the head is ErrNotFound.
func (l *Ledger) Batches(ctx context.Context, from uint64) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		size := l.currentHead().Size
		if from > size {
			yield(Batch{}, fmt.Errorf("entry %d of %d: %w", from, size, ErrNotFound))
			return
		}
		for from < size {
			b, err := l.batchFrom(ctx, from, size)
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if !yield(b, nil) {
				return
			}
			from = b.Checkpoint.Size
		}
	}
}

// batchFrom reads up to the next size for which a checkpoint was signed.
func (l *Ledger) batchFrom(ctx context.Context, from, size uint64) (Batch, error) {
	var b Batch
	for index := from; index < size; index++ {
		if err := ctx.Err(); err != nil {
			return Batch{}, err
		}
		r, err := l.Record(ctx, index)
		if err != nil {
			return Batch{}, err
		}
		b.Records = append(b.Records, r)
		head, err := l.Checkpoint(ctx, index+1)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return Batch{}, err
		}
		b.Checkpoint, b.Note, b.Token, b.Time = head.Checkpoint, head.Note, head.Token, head.Time
		return b, nil
	}
	return Batch{}, fmt.Errorf("no checkpoint closes the batch from entry %d on: %w", from, ErrCorrupt)
}
