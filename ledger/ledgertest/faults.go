package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/countersign-dev/countersign/ledger"
)

// A Fault is what becomes of one commit.
type Fault int

// The ways in which a commit can end.
const (
	None     Fault = iota // it is kept, and says so
	Refused               // it fails, and nothing is kept
	Kept                  // it is kept, but reported as failed
	ReadOnly              // ledger.ErrReadOnly, and nothing is kept
)

// ErrInjected is in the error of a commit that was Refused or Kept.
var ErrInjected = errors.New("injected fault")

// Faulty is a store whose commits fail on demand.
type Faulty struct {
	ledger.Store

	mu   sync.Mutex // guards what follows
	n    int
	plan func(n int) Fault
}

// NewFaulty returns a store that asks plan what becomes of the n-th commit, the
// first of which is 0.
func NewFaulty(s ledger.Store, plan func(n int) Fault) *Faulty {
	return &Faulty{Store: s, plan: plan}
}

// Commits returns how many commits were tried.
func (f *Faulty) Commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Commit does to the batch what the plan says.
func (f *Faulty) Commit(ctx context.Context, b ledger.Batch) error {
	f.mu.Lock()
	n := f.n
	f.n++
	f.mu.Unlock()
	switch f.plan(n) {
	case Refused:
		return fmt.Errorf("commit %d is refused: %w", n, ErrInjected)
	case Kept:
		if err := f.Store.Commit(ctx, b); err != nil {
			return err
		}
		return fmt.Errorf("commit %d is kept: %w", n, ErrInjected)
	case ReadOnly:
		return fmt.Errorf("commit %d: %w", n, ledger.ErrReadOnly)
	}
	return f.Store.Commit(ctx, b)
}
