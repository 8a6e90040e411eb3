package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/countersign-dev/countersign/attest"
)

// notes are the links about incidents that were opened, in log order, and what others
// made of them. Chains that grew out of one another share them.
type notes struct {
	mu    sync.Mutex // guards what follows
	items []NegativeItem
	made  map[any]any
}

// maxMade bounds what a chain remembers of what others made of it.
const maxMade = 8

// incidents opens what the chain says about incidents. Under its key nothing is found;
// asking for it is how a pack knows that these links were wanted.
func (g *gatherer) incidents() error {
	if !g.out.Request.Incidents {
		return nil
	}
	if err := g.find(attest.Incidents); err != nil {
		return err
	}
	c := g.out.chain
	places := c.scopes.of(incidents, int(g.view.ChainLength))
	if len(places) > MaxIncident {
		return &LimitError{fmt.Sprintf("%d statements about incidents", len(places)), MaxIncident}
	}
	links := make([]Link, len(places))
	for i, at := range places {
		links[i] = c.links[at]
	}
	var err error
	g.out.Incidents, err = g.v.openIncidents(g.ctx, g.src, g.view, c, links)
	return err
}

// openIncidents opens links about incidents. The log's own process opens only what is new.
func (v *Verifier) openIncidents(ctx context.Context, src Source, view *LogView, c *chain, links []Link) ([]NegativeItem, error) {
	if !v.remember {
		return v.openLinks(ctx, src, view, links)
	}
	c.notes.mu.Lock()
	known := c.notes.items
	c.notes.mu.Unlock()
	if len(links) <= len(known) {
		return known[:len(links):len(links)], nil
	}
	more, err := v.openLinks(ctx, src, view, links[len(known):])
	if err != nil {
		return nil, err
	}
	all := slices.Concat(known, more)
	c.notes.mu.Lock()
	defer c.notes.mu.Unlock()
	if len(c.notes.items) < len(all) {
		c.notes.items = all
	}
	return all, nil
}

// OfIncidents returns what make makes of the incidents that were gathered. It is made
// once for each key, where the log's own process asks again: make must be a pure
// function of the key, the state of the log and its incidents, and nobody may change
// what it returned.
func (g *Gathered) OfIncidents(key any, make func() any) any {
	if g.chain == nil || !g.v.remember {
		return make()
	}
	type about struct {
		key    any
		length uint64
	}
	n, at := g.chain.notes, about{key, g.View.ChainLength}
	n.mu.Lock()
	was, ok := n.made[at]
	n.mu.Unlock()
	if ok {
		return was
	}
	is := make()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.made) >= maxMade || n.made == nil {
		n.made = map[any]any{}
	}
	n.made[at] = is
	return is
}
