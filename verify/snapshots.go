package verify

import (
	"fmt"

	"github.com/countersign-dev/countersign/attest"
)

// MaxSnapshots bounds the figures of cohorts that one gathering opens.
const MaxSnapshots = 1_000

// snapshots opens the figures of cohorts, from the newest on, until one was logged before
// the time that is asked for: none that came earlier can be of it. The chain names them,
// so that no newer one can be left out.
func (g *gatherer) snapshots() error {
	within := g.out.Request.Snapshots
	if within <= 0 {
		return nil
	}
	if err := g.find(attest.Snapshots); err != nil {
		return err
	}
	c := g.out.chain
	places := c.scopes.of(snapshots, int(g.view.ChainLength))
	for i := len(places) - 1; i >= 0; i-- {
		if len(g.out.Snapshots) == MaxSnapshots {
			return &LimitError{fmt.Sprintf("snapshots of cohorts within %s", within), MaxSnapshots}
		}
		item, err := g.openSnapshot(c.links[places[i]])
		if err != nil {
			return err
		}
		if e := item.Evidence; e != nil && e.Time().Before(g.view.Time.Add(-within)) {
			return nil
		}
		g.out.Snapshots = append(g.out.Snapshots, item)
	}
	return nil
}

// openSnapshot opens a link, which the log's own process does once.
func (g *gatherer) openSnapshot(link Link) (NegativeItem, error) {
	if e, ok := g.v.remembered(link.Index); ok && e.Leaf() == link.Leaf {
		return NegativeItem{Link: link, Evidence: e}, nil
	}
	return g.v.openLink(g.ctx, g.src, g.view, link)
}
