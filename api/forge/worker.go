package forge

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Attempts at an event: how long until the next, at first and at most, and how many. The
// last come about four hours after the first; then it is parked.
const (
	firstWait   = time.Second
	longestWait = 5 * time.Minute
	maxAttempts = 60
)

// run works through the queue until the context is done.
func (c *connection) run(ctx context.Context) {
	for ctx.Err() == nil {
		j, wait := c.queue.take(c.now())
		if j != nil {
			c.do(ctx, j)
			continue
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		if wait == 0 {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
		case <-c.queue.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// maxUnconfirmed is how often a forge is asked for a merge that only a delivery knows of:
// for some four minutes.
const maxUnconfirmed = 8

// do looks at one job, and decides whether it comes again.
func (c *connection) do(ctx context.Context, j *job) {
	err := c.handle(ctx, &j.Event)
	if ctx.Err() != nil {
		return // it waits for the next start
	}
	if errors.Is(err, errUnconfirmed) && j.attempts+1 >= maxUnconfirmed {
		c.pass("unconfirmed")
		err = nil
	}
	log := c.log.With("event", string(j.Event.Kind), "delivery", j.Delivery, "about", j.about())
	park := err != nil && j.attempts+1 >= maxAttempts
	if err != nil && !park {
		wait := min(firstWait<<min(j.attempts, 16), longestWait)
		log.WarnContext(ctx, "an event of a forge failed, and is tried again", "error", err, "in", wait)
		c.metrics.failures.WithLabelValues(c.ID, "repeated").Inc()
		c.queue.later(j, c.now().Add(wait))
		return
	}
	if park {
		log.ErrorContext(ctx, "an event of a forge is parked: somebody has to look at it", "error", err)
		c.metrics.failures.WithLabelValues(c.ID, "parked").Inc()
	}
	if err := c.queue.finish(j, park); err != nil {
		log.ErrorContext(ctx, "a finished event is not noted, and will be done again", "error", err)
		c.queue.later(j, c.now().Add(longestWait))
	}
}

// handle finds out what is to be said of an event, and says it. It may be called again
// for the same event at any time.
func (c *connection) handle(ctx context.Context, e *Event) error {
	i := slices.IndexFunc(c.Repositories, func(r Repository) bool { return r.ID == e.Repository })
	if i < 0 { // it was one when the event came
		c.pass("not-ours")
		return nil
	}
	w, err := c.work(ctx, &c.Repositories[i])
	if err != nil {
		return err
	}
	defer w.close()
	switch e.Kind {
	case Proposed, Reviewed, Merged:
		return w.pull(ctx, e)
	case Pushed:
		return w.sweep(ctx, e.Ref, gitfacts.ID(e.Commit))
	case Grouped: // its commits become the branch's without being fetched in between
		if err := w.clone.fetch(ctx, "", e.Ref); err != nil && !refused(err) { // the queue is done with it
			return err
		}
		return nil
	case Deployed:
		return w.deployed(ctx, e.Deployment)
	}
	return nil
}

// pass counts something of which nothing is said.
func (c *connection) pass(why string) { c.metrics.passed.WithLabelValues(c.ID, why).Inc() }

// work is what one event needs.
type work struct {
	*connection
	repository *Repository
	path       string // on the forge
	people     *roster.Roster
	me         *roster.Principal
	clone      *clone
	repo       *gitfacts.Repo // nil until read
}

func (c *connection) work(ctx context.Context, r *Repository) (*work, error) {
	people, err := c.ledger.Roster(ctx)
	if err != nil {
		return nil, err
	}
	w := &work{connection: c, repository: r, people: people}
	_, w.path, _ = strings.Cut(r.ID, "/")
	me, _, ok := people.ByKey(roster.KeyID(c.Key.Public().ID()))
	if !ok || me.ID != c.ID {
		return nil, errNotEnrolled
	}
	w.me = me
	w.clone, err = c.clone(ctx, r)
	return w, err
}

// errNotEnrolled may pass: the next policy set may have the key.
var errNotEnrolled = errors.New("the roster has no service of this connection's id with its key; enrol it with forge: true, hosts and may")

// read opens the clone, anew after every fetch: a running git may not see new refs.
func (w *work) read(ctx context.Context) error {
	w.close()
	var err error
	w.repo, err = w.clone.open(ctx)
	return err
}

func (w *work) close() {
	if w.repo != nil {
		if err := w.repo.Close(); err != nil {
			w.log.Warn("close a clone", "error", err)
		}
		w.repo = nil
	}
}

// say logs a statement, if the roster lets the connection make such a one.
func (w *work) say(ctx context.Context, st *attest.Statement) error {
	short := shortType(st.Predicate.Type())
	if !w.me.MaySign(st.Predicate.Type()) {
		w.pass("may-not-" + short)
		return nil
	}
	index, fresh, err := w.ledger.Log(ctx, st, w.Key)
	var refused *RefusedError
	if errors.As(err, &refused) { // the rest of the event may be in order
		w.pass("refused-" + short)
		w.log.WarnContext(ctx, "the ledger refuses a statement of a forge", "type", short, "about", st.Subjects[0].Digest["gitCommit"], "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	if fresh {
		w.metrics.statements.WithLabelValues(w.ID, short).Inc()
		w.log.InfoContext(ctx, "logged", "type", short, "index", index)
	}
	return nil
}

func shortType(typ string) string {
	for short, full := range attest.ShortTypes {
		if full == typ {
			return short
		}
	}
	return typ
}

// who names an account in a statement: who has it on the roster, or an address such as
// forges give their accounts, which is a stranger's.
func (w *work) who(a Account) string {
	if p, ok := w.people.ByAccount(w.Host, a.ID); ok {
		return p.ID
	}
	return a.ID + "+" + a.Login + "@users.noreply." + w.Host
}
