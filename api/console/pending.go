package console

import (
	"crypto/rand"
	"sync"
	"time"
)

// Limits on what is asked and not answered yet.
const (
	askLasts   = 5 * time.Minute
	maxPending = 4096
)

// pending holds what was asked, by nonce, until it is answered, once.
type pending[T any] struct {
	mu    sync.Mutex // guards both
	held  map[string]dated[T]
	order []string // nonces by age, with those that were answered
}

type dated[T any] struct {
	value T
	until time.Time
}

// hold keeps a value under a new nonce. The oldest goes when there are too many.
func (p *pending[T]) hold(now time.Time, value func(nonce string) (T, error)) (string, T, error) {
	nonce := rand.Text()
	v, err := value(nonce)
	if err != nil {
		return "", v, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(map[string]dated[T])
	}
	for len(p.order) > 0 && (len(p.order) >= maxPending || !p.alive(p.order[0], now)) {
		delete(p.held, p.order[0])
		p.order = p.order[1:]
	}
	p.held[nonce], p.order = dated[T]{v, now.Add(askLasts)}, append(p.order, nonce)
	return nonce, v, nil
}

func (p *pending[T]) alive(nonce string, now time.Time) bool {
	d, ok := p.held[nonce]
	return ok && now.Before(d.until)
}

// take gives a value away: there is no second time. It is not ok when nothing is held
// under the nonce, or not any more.
func (p *pending[T]) take(now time.Time, nonce string) (T, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.held[nonce]
	delete(p.held, nonce)
	return d.value, ok && now.Before(d.until)
}
