package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/follow"
)

// following is what follow and monitor share.
type following struct {
	url, state, trust string
	once              bool
	interval          time.Duration
}

func (f *following) flags(c *cobra.Command) {
	trustFlag(c, &f.trust)
	fl := c.Flags()
	fl.StringVar(&f.state, "state", "", "folder that remembers what was seen; made when missing (needed)")
	fl.BoolVar(&f.once, "once", false, "look once and end, for cron")
	fl.DurationVar(&f.interval, "interval", 10*time.Second, "how long to wait between two looks")
	_ = c.MarkFlagDirname("state")
	_ = c.MarkFlagDirname("trust")
}

func newFollow(a *app) *cobra.Command {
	var f following
	var statements bool
	c := &cobra.Command{
		Use:   "follow [URL] --state DIR --trust DIR",
		Short: "Follow the log: every checkpoint continues the last, every entry is there",
		Long: `Read the whole log below a URL (default: --server) as it serves itself to everybody
(https://c2sp.org/tlog-tiles), and go on as it grows. Nothing is believed: the proof that
a checkpoint continues the last one is computed here from tiles that lead to its root,
and every entry is held against its leaf hash. The last checkpoint whose log was read to
the end stays in the --state folder.

With --statements the statement of every entry is read as well, one request each, so that
"verify --followed DIR" can tell that no verdict was given less than the log holds.

A log that forks or goes back ends the command with exit 4. Both checkpoints, signed by
the log, are kept in the folder's evidence/, with what proves it.`,
		Example: `  countersign follow https://log.example --state follow-state --trust trust
  countersign follow --state follow-state --trust trust --once --format json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.url = strings.Join(args, "")
			return a.follow(c.Context(), f, statements)
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&statements, "statements", false, "read the statement of every entry, too")
	return c
}

// purposeFollow is that of the state folders of this command.
const purposeFollow = "follow"

func (a *app) follow(ctx context.Context, f following, statements bool) error {
	w, err := a.openFollower(f, purposeFollow)
	if err != nil {
		return err
	}
	defer w.State.Close()
	if !statements {
		return a.keepLooking(ctx, f, w, a.sayStep)
	}
	if f.url != "" {
		a.server = f.url
	}
	return a.keepLooking(ctx, f, w, func(s follow.Step, once bool) error {
		if err := a.sayStep(s, once); err != nil {
			return err
		}
		known, err := a.readStatements(ctx, w)
		if err == nil && once && !a.json() {
			a.printf("  the statements of %s are known\n", entries(known))
		}
		return err
	})
}

// readStatements asks the ledger for the statements that are not known yet.
func (a *app) readStatements(ctx context.Context, w *follow.Follower) (uint64, error) {
	l, err := a.connect()
	if err != nil {
		return 0, err
	}
	return w.Statements(ctx, func(ctx context.Context, index uint64) ([]byte, error) {
		e, err := a.entry(ctx, l, index)
		if err != nil {
			return nil, err
		}
		return e.Bundle, nil
	})
}

// openFollower opens the log and the folder that remembers it, for one purpose.
func (a *app) openFollower(f following, purpose string) (*follow.Follower, error) {
	if f.state == "" {
		return nil, wrong("--state is needed: the folder that remembers what was seen of the log")
	}
	if f.interval < 100*time.Millisecond {
		return nil, wrong("--interval %s: is less than 100ms", f.interval)
	}
	trust, err := needTrust(f.trust)
	if err != nil {
		return nil, err
	}
	base := f.url
	if base == "" {
		base = a.server
	}
	remote, err := follow.NewRemote(base, a.bearer(), a.timeout)
	if err != nil {
		return nil, wrong("%v", err)
	}
	state, err := follow.OpenState(f.state, trust.Log, purpose)
	if err != nil {
		return nil, wrong("--state: %w", err)
	}
	return &follow.Follower{Log: trust.Log, Source: remote, State: state}, nil
}

// keepLooking steps until it is interrupted, which is no failure, or the log lies.
// Whatever else goes wrong is said, and tried again.
func (a *app) keepLooking(ctx context.Context, f following, w *follow.Follower, say func(follow.Step, bool) error) error {
	for {
		step, err := w.Step(ctx)
		if err == nil {
			err = say(step, f.once)
		}
		err = followErr(w.Log, err)
		var own *exitError
		switch {
		case ctx.Err() != nil && f.once:
			return broken("interrupted before the look was over")
		case ctx.Err() != nil:
			return nil
		case f.once, errors.As(err, &own) && own.code != exitBroken, errors.Is(err, follow.ErrState):
			return err
		case err != nil:
			a.notef("countersign: %v\n  trying again in %s\n", err, f.interval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.interval):
		}
	}
}

// sayStep prints what a look has shown; what is not new, only when there is but one.
func (a *app) sayStep(s follow.Step, once bool) error {
	news := s.To.Size - s.From.Size
	grown := s.First || news > 0
	if !grown && !once {
		return nil
	}
	if a.json() {
		return a.writeLine(map[string]any{
			"at": a.now().UTC().Truncate(time.Second), "origin": s.To.Origin, "from": s.From.Size, "size": s.To.Size, "root": s.To.Root.String(),
			"first": s.First, "entries": news, "unreadable": append([]uint64{}, s.Unreadable...), "unreadableEntries": s.Strange,
		})
	}
	what := "nothing new"
	switch {
	case s.First:
		what = fmt.Sprintf("first look, %s read", entries(news))
	case grown:
		what = fmt.Sprintf("continues size %d, %s read", s.From.Size, entries(news))
	}
	a.printf("%s  %s: %s\n", a.now().UTC().Format(time.RFC3339), describeCheckpoint(s.To), what)
	for _, index := range s.Unreadable {
		a.printf("  entry %d is of no kind that this version knows: nobody here can tell who signed it\n", index)
	}
	if more := s.Strange - uint64(len(s.Unreadable)); more > 0 {
		a.printf("  … and %d more\n", more)
	}
	return nil
}

func entries(n uint64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// followErr gives an exit code to what can go wrong while following.
func followErr(log *tlog.Verifier, err error) error {
	var lie *follow.Lie
	var own *exitError
	var back *verify.Rollback
	var netErr *net.OpError
	var urlErr *url.Error
	switch {
	case err == nil, errors.As(err, &own) && !errors.Is(err, follow.ErrNotShown):
		return err
	case errors.As(err, &lie) && lie.Evidence == "":
		return lied("%v\nBoth checkpoints should be kept, and cannot be written", err)
	case errors.As(err, &lie) && errors.As(err, &back):
		return lied("%v\nBoth checkpoints are kept in %s. Perhaps an old copy is shown: ask the operator, and do not rely on what it shows", err, lie.Evidence)
	case errors.As(err, &lie):
		return lied("%v\nBoth checkpoints are kept in %s. Stop trusting this log, and show the file to others who use it", err, lie.Evidence)
	case errors.Is(err, tlog.ErrBadCheckpoint):
		return broken("BAD_CHECKPOINT: %w\nIs %s the trust folder of this log?", err, log.Origin())
	case errors.Is(err, tlog.ErrBadTile):
		return broken("BAD_PROOF: %w\nWhat the log serves is not the tree that it signed. Nothing of it was taken; its checkpoint is kept as \"unproven\" in the state folder", err)
	case errors.Is(err, follow.ErrState):
		return broken("%w\nIt is not overwritten: restore it, or begin anew with another folder", err)
	case errors.Is(err, follow.ErrNotShown):
		return broken("%w\nThe log holds the entry, and does not show what it says: no verdict beyond it can be called followed", err)
	case errors.As(err, &netErr), errors.As(err, &urlErr):
		return broken("the log cannot be reached: %w\nIs it running? Check the URL, --server or COUNTERSIGN_SERVER", err)
	}
	return broken("the log cannot be read: %w", err)
}
