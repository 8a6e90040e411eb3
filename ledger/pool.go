package ledger

import (
	"context"
	"fmt"
	"sync"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A call is one Append on its way. The sequencer writes to it until done is
// closed, and the appending goroutine only reads it afterwards.
type call struct {
	items []item
	bytes int
	// seen: the store was asked for every leaf when it held this many entries.
	seen uint64

	done chan struct{}
	err  error
	head *Head // covers every item, when err is nil
}

// An item is one entry of a call.
type item struct {
	entry     *Entry
	leaf      tlog.Hash
	index     uint64
	duplicate bool
	record    *Record // nil when it has to be read from the store
}

func (c *call) finish(head *Head, err error) {
	c.head, c.err = head, err
	close(c.done)
}

// A pool bounds what is accepted and not yet answered, and hands it to the
// sequencer in order.
type pool struct {
	maxEntries, maxBytes int
	wake                 chan struct{} // holds one token when there is something to take

	mu             sync.Mutex // guards what follows
	queue          []*call
	entries, bytes int   // reserved: queued, about to be, or being committed
	closed         error // nothing is accepted any more; wraps ErrClosed
}

func newPool(entries, bytes int) *pool {
	return &pool{maxEntries: entries, maxBytes: bytes, wake: make(chan struct{}, 1)}
}

// reserve makes room for a call, or says at once that there is none.
func (p *pool) reserve(c *call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed != nil:
		return p.closed
	case p.entries+len(c.items) > p.maxEntries || p.bytes+c.bytes > p.maxBytes:
		return fmt.Errorf("%d entries of %d bytes are waiting: %w", p.entries, p.bytes, ErrOverloaded)
	}
	p.entries += len(c.items)
	p.bytes += c.bytes
	return nil
}

// release gives the room of calls back.
func (p *pool) release(calls ...*call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range calls {
		p.entries -= len(c.items)
		p.bytes -= c.bytes
	}
}

// put queues a call that has a reservation. From then on it will be finished.
func (p *pool) put(c *call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return p.closed
	}
	p.queue = append(p.queue, c)
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// wait returns when there may be something to take, or the context is done.
func (p *pool) wait(ctx context.Context) error {
	select {
	case <-p.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take removes the calls at the front that fit into a batch, at least one when
// there is any.
func (p *pool) take(maxEntries, maxBytes int) []*call {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, entries, bytes := 0, 0, 0
	for ; n < len(p.queue); n++ {
		c := p.queue[n]
		entries, bytes = entries+len(c.items), bytes+c.bytes
		if n > 0 && (entries > maxEntries || bytes > maxBytes) {
			break
		}
	}
	calls := append([]*call(nil), p.queue[:n]...)
	rest := copy(p.queue, p.queue[n:])
	clear(p.queue[rest:])
	p.queue = p.queue[:rest]
	return calls
}

// close makes every later reserve and put fail with err.
func (p *pool) close(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == nil {
		p.closed = err
	}
}
