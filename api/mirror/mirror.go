// Package mirror copies a log from the server that keeps it, and believes that
// server nothing: every checkpoint must be signed by the log's key and extend what
// the copy holds, every leaf must be in its tree, and every body, search key and
// link of the negative chain is derived again from the statement that the leaf
// commits to.
//
// A copy is complete: leaves, bodies, timestamps, search keys, the negative chain
// and every checkpoint that closed a batch, in the batches in which the log
// committed them. So a server can be restored from it.
package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// A RefusedError says that what the source sent is not the log's: nothing of it is
// kept. The log itself may be in order (a damaged disk, a proxy in between).
type RefusedError struct {
	What string // such as "entry 17" or "the checkpoint"
	Err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused: %s: %v", e.What, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

func refused(what string, format string, args ...any) error {
	return &RefusedError{what, fmt.Errorf(format, args...)}
}

// A ContradictionError holds two checkpoints, both signed by the log's key, of which
// the source's is not one that a log could show after the copy's. It wraps a
// *verify.SplitView, or a *verify.Rollback where the source's log is the beginning of
// the copy.
type ContradictionError struct {
	Ours, Theirs []byte // signed notes
	Proof        []tlog.Hash
	Err          error
}

func (e *ContradictionError) Error() string { return e.Err.Error() }
func (e *ContradictionError) Unwrap() error { return e.Err }

// SetBack reports whether an error says that the source shows a beginning of what
// the copy holds, and nothing that contradicts it: then what the copy holds is still
// true, and more than the source has.
func SetBack(err error) bool {
	var back *verify.Rollback
	return errors.As(err, &back)
}

// A Copier brings a copy up to its source.
type Copier struct {
	Source Source
	Trust  *verify.Trust // pins the log's key and its timestamp authority
	Mirror *ledger.Mirror
}

// CatchUp takes all batches that the source has signed when it is called, and
// returns the source's head. The error is a *RefusedError about what the source sent,
// a *ContradictionError about what it signed; it wraps ledger.ErrReadOnly when the
// copy's store takes nothing now, and ledger.ErrClosed when nobody knows what the
// store holds. Any other is about reaching the source: try again.
func (c *Copier) CatchUp(ctx context.Context) (ledger.Head, error) {
	theirs, err := c.Source.Head(ctx)
	if err != nil {
		return theirs, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	if err := CheckHead(c.Trust, theirs); err != nil {
		return theirs, err
	}
	ours := c.Mirror.Ledger().Head()
	if err := c.consistent(ctx, ours, theirs); err != nil {
		return theirs, err
	}
	for ours.Size < theirs.Size {
		if err := c.take(ctx, ours.Size, theirs); err != nil {
			return theirs, err
		}
		now := c.Mirror.Ledger().Head()
		if now.Size == ours.Size {
			return theirs, refused("the records", "they end at entry %d, and %d are signed", now.Size, theirs.Size)
		}
		ours = now
	}
	// The same checkpoint again, with a later timestamp and the witnesses' cosignatures.
	return theirs, c.Mirror.Show(theirs)
}

// take takes the batches of one answer, up to the checkpoint that was checked.
func (c *Copier) take(ctx context.Context, from uint64, theirs ledger.Head) error {
	for b, err := range c.Source.Batches(ctx, from) {
		if err != nil {
			return fmt.Errorf("read the batch after %d entries: %w", c.Mirror.Ledger().Head().Size, err)
		}
		if err := c.checkBatch(&b); err != nil {
			return err
		}
		if err := c.Mirror.Take(ctx, b); err != nil {
			return c.blame(ctx, &b, theirs, err)
		}
		if b.Checkpoint.Size >= theirs.Size {
			return nil
		}
	}
	return nil
}

// blame finds out what is wrong with a batch that the copy cannot take: where its
// checkpoint belongs to the source's log, the records do not.
func (c *Copier) blame(ctx context.Context, b *ledger.Batch, theirs ledger.Head, err error) error {
	what := fmt.Sprintf("the batch up to entry %d", b.Checkpoint.Size)
	switch {
	case errors.Is(err, ledger.ErrInvalid):
		return &RefusedError{what, err}
	case !errors.Is(err, ledger.ErrNotInTree):
		return err
	}
	closed := ledger.Head{Checkpoint: b.Checkpoint, Note: b.Note}
	if b.Checkpoint.Size <= theirs.Size {
		if split := c.extends(ctx, closed, theirs); split != nil {
			return split
		}
	}
	return &RefusedError{what, err}
}

// consistent holds the source's head against the copy's.
func (c *Copier) consistent(ctx context.Context, ours, theirs ledger.Head) error {
	if theirs.Size >= ours.Size {
		return c.extends(ctx, ours, theirs)
	}
	root, err := c.Mirror.Ledger().Root(ctx, theirs.Size)
	if err != nil {
		return err
	}
	err = verify.CheckConsistent(ours.Checkpoint, theirs.Checkpoint, nil) // a Rollback
	if root != theirs.Root {
		err = &verify.SplitView{Remembered: ours.Checkpoint, Seen: theirs.Checkpoint,
			Why: fmt.Errorf("the copy's first %d entries have root %s", theirs.Size, root)}
	}
	return &ContradictionError{Ours: ours.Note, Theirs: theirs.Note, Err: err}
}

// extends asks the source to prove that one checkpoint's log is the beginning of a
// later one's. A proof that does not hold is asked for again before it is taken for
// a lie: somebody else may have touched it.
func (c *Copier) extends(ctx context.Context, ours, theirs ledger.Head) error {
	var proof []tlog.Hash
	var err error
	for range 2 {
		if ours.Size > 0 && ours.Size < theirs.Size {
			if proof, err = c.Source.Consistency(ctx, ours.Size, theirs.Size); err != nil {
				return fmt.Errorf("read the proof from %d to %d entries: %w", ours.Size, theirs.Size, err)
			}
		}
		if err = verify.CheckConsistent(ours.Checkpoint, theirs.Checkpoint, proof); err == nil {
			return nil
		}
	}
	return &ContradictionError{Ours: ours.Note, Theirs: theirs.Note, Proof: proof, Err: err}
}

// CheckHead verifies a checkpoint: the log's signature, what it is said to sign, and
// its timestamp. The error is a *RefusedError.
func CheckHead(t *verify.Trust, h ledger.Head) error {
	cp, err := t.Log.Open(h.Note)
	if err != nil {
		return refused("the checkpoint", "it is not signed by the log %s that the trust folder names: %w", t.Log.Origin(), err)
	}
	if cp != h.Checkpoint {
		return refused("the checkpoint", "it is said to be of %d entries, and signs %d", h.Size, cp.Size)
	}
	return checkStamp(t, fmt.Sprintf("the checkpoint of %d entries", h.Size), h.Token, h.Note, h.Time)
}

// checkStamp holds a time of the log against the token that says it, in seconds.
func checkStamp(t *verify.Trust, what string, token, message []byte, at time.Time) error {
	stamped, err := t.Stamp(token, message)
	if err != nil {
		return &RefusedError{what, err}
	}
	if !stamped.Equal(at.UTC().Truncate(time.Second)) {
		return refused(what, "it is said to be of %s, and its timestamp says %s", at.UTC().Format(time.RFC3339), stamped.Format(time.RFC3339))
	}
	return nil
}

// checkBatch verifies what stands in the records of a batch, and fills in what is
// derived from it.
func (c *Copier) checkBatch(b *ledger.Batch) error {
	if err := CheckHead(c.Trust, ledger.Head{Checkpoint: b.Checkpoint, Note: b.Note, Token: b.Token, Time: b.Time}); err != nil {
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		what := fmt.Sprintf("entry %d", r.Index)
		entry, err := derive(r.Leaf, r.Body)
		if err != nil {
			return &RefusedError{what, err}
		}
		r.Entry = entry
		if err := checkStamp(c.Trust, what, r.Token, r.Stamp, r.Time); err != nil {
			return err
		}
	}
	return nil
}

// derive makes from a leaf and its body what a log keeps beside the tree, by the
// function that made it there. Leaf and body must be what that function makes. Without
// a body (nil) it is refused; an empty one is what a log has that saw only the hash, and
// nobody can tell that from a log that keeps the statement to itself.
func derive(leaf, body []byte) (ledger.Entry, error) {
	none := ledger.Entry{}
	if body == nil {
		return none, errors.New("its body is missing")
	}
	parts, err := attest.ParseLeaf(leaf)
	if err != nil {
		return none, err
	}
	key, err := parts.Key()
	if err != nil {
		return none, err
	}
	if len(body) == 0 { // the log says that it has only the hash
		if err := key.VerifyDigest(parts.Digest, parts.Signature); err != nil {
			return none, err
		}
		l := attest.LogHash(parts, key)
		return ledger.Entry{Leaf: l.Leaf, Body: body, Keys: l.Keys, Stamp: l.Stamp}, nil
	}
	b, err := attest.ParseBundle(body)
	if err != nil {
		return none, err
	}
	if err := key.Verify(b.PAE(), b.Signature); err != nil {
		return none, fmt.Errorf("its body: %w", err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return none, err
	}
	l, err := attest.Log(b, st, key)
	if err != nil {
		return none, err
	}
	if !bytes.Equal(l.Leaf, leaf) || !bytes.Equal(l.Body, body) {
		return none, errors.New("its body is not the one that the leaf speaks of")
	}
	return ledger.Entry{Leaf: l.Leaf, Body: l.Body, Keys: l.Keys, Negative: l.Negative, Stamp: l.Stamp}, nil
}
