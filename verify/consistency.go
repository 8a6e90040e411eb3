package verify

import (
	"fmt"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A SplitView is proof that the log lied: it signed both checkpoints, and they
// cannot both be true. Keep both.
type SplitView struct {
	Remembered, Seen tlog.Checkpoint
	// Held is the root that the larger of the two trees has at the size of the
	// smaller, where that was proven; otherwise zeros.
	Held tlog.Hash
	Why  error
}

// Proven reports whether the two checkpoints alone, or with a proof from the one
// to Held, convince anybody who has the log's key. Otherwise only the log's own
// proof failed, and whoever did not ask for it has to believe that it did.
func (e *SplitView) Proven() bool {
	return e.Remembered.Size == e.Seen.Size || e.Held != tlog.Hash{}
}

func (e *SplitView) Error() string {
	return fmt.Sprintf("SPLIT_VIEW: the log %s signed %d entries with root %s, and %d with root %s, which do not agree: %v",
		e.Seen.Origin, e.Remembered.Size, e.Remembered.Root, e.Seen.Size, e.Seen.Root, e.Why)
}

func (e *SplitView) Unwrap() error { return e.Why }

// A Rollback says that a log shows less than it signed before. Perhaps somebody
// shows an old state of it: what is seen may still be a part of what is remembered.
type Rollback struct {
	Remembered, Seen tlog.Checkpoint
}

func (e *Rollback) Error() string {
	return fmt.Sprintf("ROLLBACK: the log %s shows %d entries, and signed %d before", e.Seen.Origin, e.Seen.Size, e.Remembered.Size)
}

// CheckConsistent holds a checkpoint that was seen against one that is
// remembered, both opened with the log's key. proof is the log's own, from the
// remembered size to the seen one; between equal sizes it is not looked at. The
// error is a *SplitView or a *Rollback, and tlog.ErrBadProof for two different logs.
//
// A proof that fails is taken as a lie: only an honest log can prove it, and it
// can always. Whoever fetched the proof over a wire that somebody else may touch
// should ask again before saying so.
func CheckConsistent(remembered, seen tlog.Checkpoint, proof []tlog.Hash) error {
	switch {
	case seen.Origin != remembered.Origin:
		return fmt.Errorf("checkpoints are of the logs %q and %q: %w", remembered.Origin, seen.Origin, tlog.ErrBadProof)
	case seen.Size < remembered.Size:
		return &Rollback{remembered, seen}
	case seen.Size == remembered.Size && seen.Root != remembered.Root:
		return &SplitView{Remembered: remembered, Seen: seen, Why: tlog.ErrBadProof}
	case seen.Size == remembered.Size:
		return nil
	}
	if err := tlog.VerifyConsistency(remembered, seen, proof); err != nil {
		return &SplitView{Remembered: remembered, Seen: seen, Why: err}
	}
	return nil
}
