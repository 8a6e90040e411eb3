package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// ReadState opens the folder of a follower for Confirm alone: another process may go
// on following with it. What is there is never changed.
func ReadState(dir string, log *tlog.Verifier) (*State, error) {
	got, err := readLimited(filepath.Join(dir, purposeFile), MaxPurpose+64)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrState, dir, err)
	}
	if string(got) != "countersign follow v1\nfollow\n" {
		return nil, fmt.Errorf("%w %s: is not one of countersign follow", ErrState, dir)
	}
	return &State{dir: dir, log: log}, nil
}

// Confirm implements verify.Following from the folder alone, without asking the log.
// A view that contradicts the remembered checkpoint is a *verify.SplitView; a chain
// or an answer that is not what the statements make is a *verify.CorruptError.
func (s *State) Confirm(ctx context.Context, view verify.LogView, answers map[string][]uint64) error {
	cp, err := s.Remembered()
	if errors.Is(err, fs.ErrNotExist) || err == nil && cp.Size < view.Size {
		return fmt.Errorf("%w: to size %d, and the view has %d", verify.ErrNotFollowed, cp.Size, view.Size)
	}
	if err != nil {
		return err
	}
	held, _, err := s.beginning(ctx, cp, view.Size)
	if err != nil {
		return fmt.Errorf("%w: the tiles in the state folder do not tell: %w", verify.ErrNotFollowed, err)
	}
	if view.Origin != cp.Origin || held != view.Root {
		return &verify.SplitView{Remembered: cp, Seen: view.Checkpoint, Held: held, Why: fmt.Errorf("the tree that was followed has root %s at size %d", held, view.Size)}
	}
	f, err := os.Open(filepath.Join(s.dir, statementsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no statement was read (follow --statements)", verify.ErrNotFollowed)
	}
	if err != nil {
		return fmt.Errorf("open statements: %w", err)
	}
	defer f.Close()
	return compare(f, view, answers)
}

// compare derives the chain and the answers from the statements, and holds what
// the log has given against them.
func compare(f io.Reader, view verify.LogView, answers map[string][]uint64) error {
	asked := make(map[keyHash]string, len(answers))
	for key := range answers {
		asked[hashKey(key)] = key
	}
	found := make(map[string][]uint64, len(answers))
	var chain tlog.Hash
	var length uint64
	read, _ := scan(f, view.Size, func(index uint64, r record) {
		if r.scope != (tlog.Hash{}) {
			length, chain = length+1, tlog.NextLink(chain, index, r.leaf, r.scope).Chain
		}
		for _, h := range r.keys {
			if key, ok := asked[h]; ok && len(found[key]) < verify.FindLimit(key) {
				found[key] = append(found[key], index)
			}
		}
	})
	if read < view.Size {
		return fmt.Errorf("%w: %d statements were read, and the view has %d entries", verify.ErrNotFollowed, read, view.Size)
	}
	if length != view.ChainLength || chain != view.Chain {
		return &verify.CorruptError{Kind: verify.BadProof, Entry: -1, Check: "negative",
			Why: fmt.Sprintf("the chain has %d links, and the statements that were followed make another one, of %d", view.ChainLength, length)}
	}
	for key, got := range answers {
		if want := found[key]; !slices.Equal(got, want) {
			return &verify.CorruptError{Kind: verify.BadProof, Entry: -1, Check: "search",
				Why: fmt.Sprintf("the answer for %.200s names %d entries, and the statements that were followed give %d, or others", key, len(got), len(want))}
		}
	}
	return nil
}
