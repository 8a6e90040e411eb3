package follow

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// caught turns a proof that fails into one that anybody can check: the tiles that
// lead to the later root show which root the tree really has at the earlier size.
func (f *Follower) caught(ctx context.Context, err error, tree *tlog.Tree, oldNote, note []byte, proof []tlog.Hash) error {
	var split *verify.SplitView
	if errors.As(err, &split) {
		held, rootErr := tree.Root(ctx, split.Remembered.Size)
		if rootErr != nil {
			return rootErr
		}
		split.Held = held
	}
	return f.forked(err, oldNote, note, proof)
}

// forked keeps two checkpoints that cannot both be true, the smaller one first.
func (f *Follower) forked(err error, smaller, larger []byte, proof []tlog.Hash) error {
	var split *verify.SplitView
	if !errors.As(err, &split) {
		return err
	}
	p := &verify.SavedProof{Kind: verify.ConsistencyProof, From: string(smaller), Checkpoint: string(larger), Hashes: verify.EncodeHashes(proof)}
	if split.Held != (tlog.Hash{}) {
		p.Root = base64.StdEncoding.EncodeToString(split.Held[:])
	}
	return f.keep(fmt.Sprintf("split-view-%d-%d", split.Remembered.Size, split.Seen.Size), p, split)
}

// wentBack keeps the two checkpoints of a log that shows less than it did. From the
// tiles of the larger tree, which are in the state folder, it can tell whether the
// smaller one is at least a beginning of it, or another log altogether.
func (f *Follower) wentBack(ctx context.Context, old tlog.Checkpoint, oldNote []byte, seen tlog.Checkpoint, note []byte) error {
	p := &verify.SavedProof{Kind: verify.ConsistencyProof, From: string(note), Checkpoint: string(oldNote)}
	var lie error = &verify.Rollback{Remembered: old, Seen: seen}
	if held, proof, err := f.State.beginning(ctx, old, seen.Size); err == nil {
		p.Hashes = verify.EncodeHashes(proof)
		if held != seen.Root {
			p.Root = base64.StdEncoding.EncodeToString(held[:])
			lie = &verify.SplitView{Remembered: old, Seen: seen, Held: held, Why: fmt.Errorf("the remembered tree has root %s at size %d", held, seen.Size)}
		}
	} // else nobody can tell, and both are kept all the same
	return f.keep(fmt.Sprintf("rollback-%d-%d", old.Size, seen.Size), p, lie)
}

func (f *Follower) keep(name string, p *verify.SavedProof, lie error) error {
	path, err := f.State.keepEvidence(name, p)
	if err != nil {
		return &Lie{Err: errors.Join(lie, err)}
	}
	return &Lie{Err: lie, Evidence: path}
}

// beginning returns the root that the tree of a remembered checkpoint has at a
// smaller size, with the proof of it, from the folder alone.
func (s *State) beginning(ctx context.Context, cp tlog.Checkpoint, size uint64) (tlog.Hash, []tlog.Hash, error) {
	t := &tiles{dir: s.dir}
	tree, err := tlog.OpenTree(ctx, cp, treeTiles, t.at(cp.Size))
	if err != nil {
		return tlog.Hash{}, nil, err
	}
	root, err := tree.Root(ctx, size)
	if err != nil {
		return tlog.Hash{}, nil, err
	}
	proof, err := tree.Consistency(ctx, size, cp.Size)
	return root, proof, err
}
