package api

import (
	"context"
	"fmt"

	"github.com/countersign-dev/countersign/ledger"
)

// errFrozen says that another log has taken this one's place.
var errFrozen = fmt.Errorf("the log is frozen: %w", ledger.ErrReadOnly)

// Freeze makes of a store one that takes no entries any more: its log is frozen, and
// everything else goes on.
func Freeze(s ledger.Store) ledger.Store { return frozenStore{s} }

type frozenStore struct{ ledger.Store }

// Commit implements ledger.Store. Nothing is written.
func (frozenStore) Commit(context.Context, ledger.Batch) error { return errFrozen }
