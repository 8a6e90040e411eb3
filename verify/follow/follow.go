// Package follow reads a transparency log as somebody does who does not trust it:
// it remembers the last checkpoint, demands that the next one continues it,
// computes the proof from tiles that it has checked itself, and reads every entry.
// What contradicts itself is kept, signed by the log, for others to see.
//
// Specifications: C2SP tlog-tiles, C2SP tlog-checkpoint, RFC 6962 section 2.1.
package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// treeTiles is how many checked tiles are kept in memory, 16 KiB each: entries are
// read from left to right, so a few are enough.
const treeTiles = 64

// A Source is a log as it shows itself to everybody. Remote is one.
type Source interface {
	// Checkpoint returns the newest signed checkpoint.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Tile returns exactly the hashes, or the entry bundle, that a name asks for.
	Tile(ctx context.Context, t tlog.Tile) ([]byte, error)
}

// An Entry is one entry of the log whose leaf hash is proven to be in its tree.
type Entry struct {
	Index uint64
	Leaf  []byte // as the log holds it
	Parts attest.LeafParts
	// Unreadable says why Leaf is no entry that this version knows; nil, and Parts
	// set, when it is. Nobody can tell whose an unreadable one is.
	Unreadable error
}

// A Follower follows one log.
type Follower struct {
	Log    *tlog.Verifier
	Source Source
	State  *State
	// Each is called for every new entry, in log order, before the checkpoint that
	// holds it is remembered. An error ends the step, which the next one repeats: so
	// every entry is seen at least once. Nil is allowed.
	Each func(ctx context.Context, e Entry) error
}

// A Step is what one look at the log has shown.
type Step struct {
	First      bool            // nothing was remembered before
	From, To   tlog.Checkpoint // remembered before, and now; equal when nothing is new
	Unreadable []uint64        // the first of the new entries that are no known leaves
	Strange    uint64          // how many those are
}

// maxUnreadable is how many indexes a Step lists.
const maxUnreadable = 100

// A Lie is a log that contradicts itself. It wraps a *verify.SplitView or a
// *verify.Rollback, and Evidence is the file that holds both checkpoints with what
// proves it.
type Lie struct {
	Err      error
	Evidence string
}

func (e *Lie) Error() string { return e.Err.Error() }
func (e *Lie) Unwrap() error { return e.Err }

// Step looks at the log once. The checkpoint that it shows takes the place of the
// remembered one only when the log is proven to have continued, and every new entry
// was read and passed to Each. The error is a *Lie; tlog.ErrBadCheckpoint for a
// checkpoint that the log's key did not sign; tlog.ErrBadTile for a tree or an entry
// that is not the checkpoint's; ErrState; or that of the source or of Each.
func (f *Follower) Step(ctx context.Context) (Step, error) {
	old, oldNote, err := f.State.remembered()
	first := errors.Is(err, fs.ErrNotExist)
	if err != nil && !first {
		return Step{}, err
	}
	if first {
		old = tlog.Checkpoint{Origin: f.Log.Origin(), Root: tlog.EmptyRoot()}
	}
	seen, note, err := f.newest(ctx, old)
	if err != nil {
		return Step{}, err
	}
	step := Step{First: first, From: old, To: seen}
	switch {
	case seen.Size < old.Size:
		return Step{}, f.wentBack(ctx, old, oldNote, seen, note)
	case seen.Size == old.Size && !first:
		if err := verify.CheckConsistent(old, seen, nil); err != nil {
			return Step{}, f.forked(err, oldNote, note, nil)
		}
		return step, nil
	}
	if err := f.advance(ctx, &step, oldNote, note); err != nil {
		return Step{}, err
	}
	return step, nil
}

// newest returns the newest checkpoint. One that is smaller than expected is asked
// for again: it may have come from a copy that is a little behind.
func (f *Follower) newest(ctx context.Context, old tlog.Checkpoint) (tlog.Checkpoint, []byte, error) {
	for again := false; ; again = true {
		note, err := f.Source.Checkpoint(ctx)
		if err != nil {
			return tlog.Checkpoint{}, nil, err
		}
		seen, err := f.Log.Open(note)
		if err != nil {
			return tlog.Checkpoint{}, nil, err
		}
		if seen.Size >= old.Size || again {
			return seen, note, nil
		}
	}
}

// advance verifies what is between two checkpoints, and remembers the later one.
func (f *Follower) advance(ctx context.Context, step *Step, oldNote, note []byte) error {
	if err := f.State.keepUnproven(note); err != nil {
		return err
	}
	t := &tiles{dir: f.State.dir, source: f.Source}
	err := f.prove(ctx, t, step, oldNote, note)
	if errors.Is(err, tlog.ErrBadTile) && t.used {
		// Perhaps it was a file of ours that is damaged: the log's own tiles decide.
		if err := t.drop(); err != nil {
			return err
		}
		t.fresh = true
		err = f.prove(ctx, t, step, oldNote, note)
	}
	var lie *Lie
	switch {
	case errors.As(err, &lie), errors.Is(err, tlog.ErrBadTile):
		return errors.Join(err, t.drop())
	case err != nil:
		return err // what was fetched serves the next step
	}
	if err := t.settle(); err != nil {
		return err
	}
	return f.State.remember(note)
}

func (f *Follower) prove(ctx context.Context, t *tiles, step *Step, oldNote, note []byte) error {
	step.Unreadable, step.Strange = nil, 0
	tree, err := tlog.OpenTree(ctx, step.To, treeTiles, t.at(step.To.Size))
	if err != nil {
		return err
	}
	if step.From.Size > 0 {
		proof, err := tree.Consistency(ctx, step.From.Size, step.To.Size)
		if err != nil {
			return err
		}
		if err := verify.CheckConsistent(step.From, step.To, proof); err != nil {
			return f.caught(ctx, err, tree, oldNote, note, proof)
		}
	}
	return f.entries(ctx, tree, step)
}

// entries reads the entries from one checkpoint to the other, each held against
// the tree.
func (f *Follower) entries(ctx context.Context, tree *tlog.Tree, step *Step) error {
	size := step.To.Size
	for n := step.From.Size / tlog.TileWidth; n*tlog.TileWidth < size; n++ {
		name := tlog.TileAt(size, tlog.EntriesLevel, n)
		bundle, err := f.Source.Tile(ctx, name)
		if err != nil {
			return err
		}
		leaves, err := tlog.ParseEntries(bundle, name.Width)
		if err != nil {
			return fmt.Errorf("%s: %w", tlog.TilePath(name), err)
		}
		for i, leaf := range leaves {
			index := n*tlog.TileWidth + uint64(i)
			want, err := tree.Leaf(ctx, index)
			if err != nil {
				return err
			}
			if got := tlog.LeafHash(leaf); got != want {
				return fmt.Errorf("%s: entry %d has leaf hash %s, the tree has %s: %w", tlog.TilePath(name), index, got, want, tlog.ErrBadTile)
			}
			if index < step.From.Size {
				continue
			}
			if err := f.one(ctx, step, index, leaf); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Follower) one(ctx context.Context, step *Step, index uint64, leaf []byte) error {
	e := Entry{Index: index, Leaf: leaf}
	if e.Parts, e.Unreadable = attest.ParseLeaf(leaf); e.Unreadable != nil {
		if step.Strange++; len(step.Unreadable) < maxUnreadable {
			step.Unreadable = append(step.Unreadable, index)
		}
	}
	if f.Each == nil {
		return nil
	}
	if err := f.Each(ctx, e); err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	return nil
}
