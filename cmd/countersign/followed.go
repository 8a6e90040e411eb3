package main

import (
	"context"
	"errors"
	"time"

	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/follow"
)

// A followedLog confirms evidence from the state folder of a follower. It is a
// verify.Following.
type followedLog struct {
	app   *app
	state *follow.State
	from  following
	// online: where the log was not followed far enough, the rest is read now.
	online bool
	why    error // why a verdict could not be confirmed; nil when it was
}

func (a *app) openFollowed(f verifying, trust *verify.Trust) (*followedLog, error) {
	state, err := follow.ReadState(f.followed, trust.Log)
	if err != nil {
		return nil, wrong("--followed: %v\nMake one with: countersign follow --state DIR --trust DIR --statements", err)
	}
	from := following{state: f.followed, trust: f.trust, once: true, interval: time.Second}
	return &followedLog{app: a, state: state, from: from, online: f.pack == ""}, nil
}

// Confirm implements verify.Following. What only means that the log was not
// followed is kept in why.
func (l *followedLog) Confirm(ctx context.Context, view verify.LogView, answers map[string][]uint64) error {
	deadline := l.app.now().Add(l.app.timeout)
	for {
		err := l.state.Confirm(ctx, view, answers)
		l.why = err
		if !errors.Is(err, verify.ErrNotFollowed) || !l.online {
			return err
		}
		caught := l.catchUp(ctx)
		if caught == nil {
			l.why = l.state.Confirm(ctx, view, answers)
			return l.why
		}
		if !errors.Is(caught, follow.ErrBusy) {
			l.why = caught
			return caught
		}
		// Somebody follows the log already, and will be there soon.
		if l.app.now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// catchUp follows the log to its end.
func (l *followedLog) catchUp(ctx context.Context) error {
	w, err := l.app.openFollower(l.from, purposeFollow)
	if err != nil {
		return err
	}
	return errors.Join(l.look(ctx, w), w.State.Close())
}

// look reads what is new. A log that lies is an error; one that cannot be read was
// not followed.
func (l *followedLog) look(ctx context.Context, w *follow.Follower) error {
	_, err := w.Step(ctx)
	if err == nil {
		_, err = l.app.readStatements(ctx, w)
	}
	var lie *follow.Lie
	if err == nil || errors.As(err, &lie) || ctx.Err() != nil {
		return followErr(w.Log, err)
	}
	return errors.Join(verify.ErrNotFollowed, err)
}
