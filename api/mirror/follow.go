package mirror

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/countersign-dev/countersign/ledger"
)

// A Follower keeps a copy up to its source.
type Follower struct {
	Copier
	Every time.Duration // between two looks at the source; more than zero
	Log   *slog.Logger
}

// Run follows until the context is done, and returns nil then. A source that cannot
// be reached, that sends what is refused, or a store without room is asked again
// after Every; the log says when that begins and when it ends. Run ends with a
// *ContradictionError when the source contradicts the copy, and with an error that
// wraps ledger.ErrClosed when nobody knows what the copy's store holds.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(f.Every)
	defer tick.Stop()
	trouble := ""
	for {
		head, err := f.CatchUp(ctx)
		var contradiction *ContradictionError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &contradiction), errors.Is(err, ledger.ErrClosed):
			return err
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			f.Log.ErrorContext(ctx, "the mirror cannot follow; it tries again", "size", f.Mirror.Ledger().Head().Size, "error", err)
		case err == nil && trouble != "":
			trouble = ""
			f.Log.InfoContext(ctx, "the mirror follows again", "size", head.Size)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
