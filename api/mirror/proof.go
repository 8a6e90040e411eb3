package mirror

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// Names of the files in a folder of Keep.
const (
	oursFile   = "mirror.checkpoint"
	theirsFile = "primary.checkpoint"
	proofFile  = "proof.json"
)

// savedProof is what `countersign log verify` reads: docs/formats.md, Saved proof.
type savedProof struct {
	Kind       string   `json:"countersignProof"`
	From       string   `json:"from"`
	Hashes     [][]byte `json:"hashes"`
	Checkpoint string   `json:"checkpoint"`
}

// Keep writes both checkpoints into a folder of their own below dir, and returns its
// name: forked-OURS-THEIRS or set-back-OURS-THEIRS, with the sizes. One that is there
// already stays as it is.
func (e *ContradictionError) Keep(dir string) (string, error) {
	ours, theirs, kind := e.sizes()
	path := filepath.Join(dir, fmt.Sprintf("%s-%d-%d", kind, ours, theirs))
	p := savedProof{Kind: "consistency", From: string(e.Ours), Checkpoint: string(e.Theirs), Hashes: hashBytes(e.Proof)}
	if theirs < ours { // the earlier one first
		p.From, p.Checkpoint = p.Checkpoint, p.From
	}
	text, err := json.Marshal(p, jsontext.WithIndent("  "), json.FormatNilSliceAsNull(false))
	if err != nil {
		return "", fmt.Errorf("keep both checkpoints: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("keep both checkpoints: %w", err)
	}
	for name, content := range map[string][]byte{oursFile: e.Ours, theirsFile: e.Theirs, proofFile: append(text, '\n')} {
		if err := writeNew(filepath.Join(path, name), content); err != nil {
			return "", fmt.Errorf("keep both checkpoints: %w", err)
		}
	}
	return path, nil
}

func (e *ContradictionError) sizes() (ours, theirs uint64, kind string) {
	var split *verify.SplitView
	var back *verify.Rollback
	switch {
	case errors.As(e.Err, &split):
		return split.Remembered.Size, split.Seen.Size, "forked"
	case errors.As(e.Err, &back):
		return back.Remembered.Size, back.Seen.Size, "set-back"
	}
	return 0, 0, "unknown"
}

// writeNew writes and syncs a file; one that is there already stays.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func hashBytes(hashes []tlog.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// Kept lists the checkpoints of the source that Keep wrote below dir, and the folders
// that are proof of a fork. Both are empty when there is no such folder.
func Kept(dir string) (theirs, forks []string, err error) {
	if theirs, err = filepath.Glob(filepath.Join(dir, "*", theirsFile)); err != nil {
		return nil, nil, err
	}
	forks, err = filepath.Glob(filepath.Join(dir, "forked-*"))
	return theirs, forks, err
}
