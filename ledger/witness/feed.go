package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A Config is what a Feed is made of.
type Config struct {
	Policy *tlog.Policy // each of its witnesses that has a URL is asked
	// Timeout bounds one request; 5 s.
	Timeout time.Duration
	// FirstPause is how long to leave a witness alone after it failed; it doubles
	// up to MaxPause while it goes on failing. 100 ms and 5 s.
	FirstPause, MaxPause time.Duration
	HTTP                 *http.Client // nil for NewHTTP()
	// Report is told when a witness begins to fail, with the error, and when it
	// does not any more, with nil. It is called by several goroutines; may be nil.
	Report func(witness string, err error)
}

// A Feed asks witnesses for cosignatures on one log's checkpoints, always the one
// that Ask named last. Each witness has its own goroutine: one that is slow or dead
// costs its own cosignatures and nothing else. It is a ledger.Witnesses.
type Feed struct {
	config  Config
	clients []*asking

	mu      sync.Mutex // guards what follows
	target  *target
	changed chan struct{} // closed when target is replaced
}

// A target is a checkpoint that is to be cosigned.
type target struct {
	checkpoint tlog.Checkpoint
	note       []byte
}

// NewFeed makes a feed. A policy whose quorum its witnesses with a URL cannot
// make is an error: nothing would ever be published.
func NewFeed(c Config) (*Feed, error) {
	for _, l := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&c.Timeout, 5 * time.Second}, {&c.FirstPause, 100 * time.Millisecond}, {&c.MaxPause, 5 * time.Second}} {
		if *l.value <= 0 {
			*l.value = l.or
		}
	}
	if c.HTTP == nil {
		c.HTTP = NewHTTP()
	}
	if c.Report == nil {
		c.Report = func(string, error) {}
	}
	f := &Feed{config: c, changed: make(chan struct{})}
	var reachable []tlog.Cosignature
	for _, w := range c.Policy.Witnesses() {
		if w.URL == "" {
			continue
		}
		f.clients = append(f.clients, &asking{feed: f, alias: w.Alias, client: &Client{Witness: w.Witness, URL: w.URL, HTTP: c.HTTP}})
		reachable = append(reachable, tlog.Cosignature{Witness: w.Alias})
	}
	if !c.Policy.Holds(reachable) {
		return nil, fmt.Errorf("the witness policy asks for %s, and gives too few of them a URL", c.Policy.Need())
	}
	return f, nil
}

// Ask implements ledger.Witnesses.
func (f *Feed) Ask(cp tlog.Checkpoint, note []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = &target{cp, note}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Feed) current() (*target, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.target, f.changed
}

// Run implements ledger.Witnesses.
func (f *Feed) Run(ctx context.Context, prove func(ctx context.Context, from, to uint64) ([]tlog.Hash, error), deliver func(tlog.Checkpoint, []byte) error) {
	var all sync.WaitGroup
	for _, a := range f.clients {
		all.Go(func() { a.run(ctx, prove, deliver) })
	}
	all.Wait()
	f.config.HTTP.CloseIdleConnections()
}

// asking is the state of one witness's goroutine.
type asking struct {
	feed   *Feed
	alias  string
	client *Client
	known  uint64 // size that the witness has cosigned, as far as we know
	failed bool
}

func (a *asking) run(ctx context.Context, prove func(context.Context, uint64, uint64) ([]tlog.Hash, error), deliver func(tlog.Checkpoint, []byte) error) {
	var done *target
	pause := a.feed.config.FirstPause
	for {
		t, changed := a.feed.current()
		if t == done {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := a.cosign(ctx, t, prove, deliver)
		if ctx.Err() != nil {
			return
		}
		if err == nil || !a.failed {
			a.feed.report(a, err)
		}
		if err == nil {
			done, pause = t, a.feed.config.FirstPause
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, a.feed.config.MaxPause)
		case <-ctx.Done():
			return
		}
	}
}

// report tells of changes only.
func (f *Feed) report(a *asking, err error) {
	if (err != nil) != a.failed {
		a.failed = err != nil
		f.config.Report(a.alias, err)
	}
}

// cosign has one target cosigned. A witness that knows the log at another size
// says so, and is asked again with the proof from there.
func (a *asking) cosign(ctx context.Context, t *target, prove func(context.Context, uint64, uint64) ([]tlog.Hash, error), deliver func(tlog.Checkpoint, []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, a.feed.config.Timeout)
	defer cancel()
	size := t.checkpoint.Size
	for range 3 {
		old := min(a.known, size)
		proof, err := prove(ctx, old, size)
		if err != nil {
			return fmt.Errorf("prove %d from %d: %w", size, old, err)
		}
		line, err := a.client.Add(ctx, t.checkpoint, &Request{Old: old, Proof: proof, Note: t.note})
		var other *SizeError
		switch {
		case err == nil:
			a.known = size
			return deliver(t.checkpoint, line)
		case !errors.As(err, &other):
			return err
		case other.Known > size:
			return fmt.Errorf("%w: it knows %d entries, and %d were to be cosigned", ErrAhead, other.Known, size)
		case other.Known == old:
			return fmt.Errorf("%w: size %d", ErrInconsistent, old)
		}
		a.known = other.Known
	}
	return fmt.Errorf("the witness names another size each time: %w", ErrBadAnswer)
}
