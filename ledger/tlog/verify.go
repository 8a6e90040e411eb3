package tlog

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
)

// Errors that callers branch on. All errors of this package that are about
// somebody's input wrap one of them.
var (
	// ErrBadCheckpoint: the note is no checkpoint that the log's key signed.
	ErrBadCheckpoint = errors.New("bad checkpoint")
	// ErrTooLarge comes with ErrBadCheckpoint when the note exceeds a limit.
	ErrTooLarge = errors.New("too large")
	// ErrBadProof: the proof does not prove it.
	ErrBadProof = errors.New("bad proof")
	// ErrBadTile: the tile is not the tree's: it has another size, or its hashes
	// do not lead to the root.
	ErrBadTile = errors.New("bad tile")
	// ErrOutOfRange: the tree has no such index or size.
	ErrOutOfRange = errors.New("out of range")
)

// maxProof is more than the longest proof of a tree of MaxSize entries.
const maxProof = 64

// VerifyInclusion checks that the tree of the checkpoint has this leaf at this
// index (RFC 6962 2.1.1). The error is ErrBadProof.
func VerifyInclusion(leaf Hash, index uint64, path []Hash, cp Checkpoint) error {
	if cp.Size > MaxSize || len(path) > maxProof {
		return fmt.Errorf("inclusion of leaf %d in %d entries with %d hashes: %w", index, cp.Size, len(path), ErrBadProof)
	}
	var b [maxProof][]byte
	err := proof.VerifyInclusion(rfc6962Hasher, index, cp.Size, leaf[:], byteSlices(b[:0], path), cp.Root[:])
	if err != nil {
		return badProof(fmt.Sprintf("inclusion of leaf %d in %d entries", index, cp.Size), err)
	}
	return nil
}

// VerifyConsistency checks that the tree of from is the beginning of the tree of
// to (RFC 6962 2.1.2), both of the same log. From an empty tree, or between equal
// ones, the proof is empty. The error is ErrBadProof.
func VerifyConsistency(from, to Checkpoint, path []Hash) error {
	what := fmt.Sprintf("consistency of %d and %d entries", from.Size, to.Size)
	switch {
	case from.Origin != to.Origin:
		return fmt.Errorf("%s: of the logs %q and %q: %w", what, from.Origin, to.Origin, ErrBadProof)
	case to.Size > MaxSize || len(path) > maxProof:
		return fmt.Errorf("%s: with %d hashes: %w", what, len(path), ErrBadProof)
	case from.Size == 0 && from.Root != EmptyRoot():
		return fmt.Errorf("%s: the empty tree has another root: %w", what, ErrBadProof)
	}
	var b [maxProof][]byte
	err := proof.VerifyConsistency(rfc6962Hasher, from.Size, to.Size, byteSlices(b[:0], path), from.Root[:], to.Root[:])
	if err != nil {
		return badProof(what, err)
	}
	return nil
}

// VerifyReceipt checks a receipt against the log's key and the entry's leaf
// hash, and returns the checkpoint that it was made for. The timestamp token is
// not looked at. The error is ErrBadCheckpoint or ErrBadProof.
func VerifyReceipt(v *Verifier, leaf Hash, r *Receipt) (Checkpoint, error) {
	if r.LogID != v.LogID() {
		return Checkpoint{}, fmt.Errorf("receipt of log %s, want %s: %w", r.LogID, v.LogID(), ErrBadCheckpoint)
	}
	cp, err := v.Open(r.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := VerifyInclusion(leaf, r.Index, r.Proof, cp); err != nil {
		return Checkpoint{}, err
	}
	return cp, nil
}

// byteSlices appends the hashes to b as byte slices that share their memory.
func byteSlices(b [][]byte, hashes []Hash) [][]byte {
	for i := range hashes {
		b = append(b, hashes[i][:])
	}
	return b
}

// badProof puts ErrBadProof into an error of merkle's, which has no sentinel.
func badProof(what string, err error) error {
	var mismatch proof.RootMismatchError
	if errors.As(err, &mismatch) {
		return fmt.Errorf("%s: leads to root %x, want %x: %w", what, mismatch.CalculatedRoot, mismatch.ExpectedRoot, ErrBadProof)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrBadProof, err)
}
