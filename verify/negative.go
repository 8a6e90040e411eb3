package verify

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A NegativeItem is one link of the chain of negative evidence, opened: it has
// either Evidence or a Refusal. Its place in the log is proven in both cases.
type NegativeItem struct {
	Link     Link
	Evidence *Evidence
	Refusal  *Refusal
}

// Unreadable reports whether nobody can tell what the item takes away, so that a
// verdict must be no. What a stranger signed, or somebody who may not sign it,
// takes nothing away.
func (n NegativeItem) Unreadable() bool {
	if n.Refusal == nil {
		return false
	}
	switch n.Refusal.Kind {
	case UntrustedKey, KeyTime, WrongScope:
		return n.Refusal.Corrupt
	}
	return true
}

// A chain is negative evidence, opened once. It never changes.
type chain struct {
	items []NegativeItem
	heads []tlog.Hash // after each item
	at    map[uint64]bool

	statements map[attest.Digest][]*Evidence // revocations by what they revoke
	keys       map[roster.KeyID][]*Evidence
	people     map[string][]*Evidence
}

// negatives remembers the chain of the log's own process.
type negatives struct {
	mu    sync.Mutex // guards chain
	chain *chain
}

// upTo returns the first links.
func (c *chain) upTo(length uint64) []NegativeItem { return c.items[:length:length] }

// negative reads and opens the chain of a view. The log's own process opens only
// what is new.
func (v *Verifier) negative(ctx context.Context, src Source, view *LogView) (*chain, error) {
	links, err := src.Negative(ctx)
	if err != nil {
		return nil, fmt.Errorf("read negative evidence: %w", err)
	}
	if len(links) > MaxNegative {
		return nil, &LimitError{fmt.Sprintf("%d pieces of negative evidence", len(links)), MaxNegative}
	}
	if uint64(len(links)) != view.ChainLength {
		return nil, &CorruptError{BadProof, -1, "negative", fmt.Sprintf("the chain has %d links, and the log's state says %d", len(links), view.ChainLength)}
	}
	var old *chain
	if v.ownLog {
		v.negatives.mu.Lock()
		old = v.negatives.chain
		v.negatives.mu.Unlock()
	}
	c, err := v.extend(ctx, src, view, old, links)
	if err != nil {
		return nil, err
	}
	if head := c.headAfter(len(links)); head != view.Chain {
		return nil, &CorruptError{BadProof, -1, "negative", fmt.Sprintf("the chain of %d links ends in %s, and the log's state says %s", len(links), head, view.Chain)}
	}
	if v.ownLog && c != old {
		v.negatives.mu.Lock()
		if v.negatives.chain == nil || len(v.negatives.chain.items) < len(c.items) {
			v.negatives.chain = c
		}
		v.negatives.mu.Unlock()
	}
	return c, nil
}

func (c *chain) headAfter(n int) tlog.Hash {
	if n == 0 {
		return tlog.Hash{}
	}
	return c.heads[n-1]
}

// extend returns a chain that has these links, and old itself where it has them.
func (v *Verifier) extend(ctx context.Context, src Source, view *LogView, old *chain, links []Link) (*chain, error) {
	var known []NegativeItem
	if old != nil {
		known = old.items
	}
	// The last link that both have tells: the chain's head, which the caller
	// compares, covers those before it.
	if n := min(len(known), len(links)); n > 0 && known[n-1].Link != links[n-1] {
		known, old = nil, nil
	}
	if old != nil && len(links) <= len(known) {
		return old, nil
	}
	items := make([]NegativeItem, len(links))
	copy(items, known)
	err := parallel(v.workers, len(links)-len(known), func(i int) (err error) {
		i += len(known)
		items[i], err = v.openLink(ctx, src, view, links[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	return newChain(items)
}

// openLink proves that a link is in the log before it opens it: what is refused
// for its signer must really be that stranger's, and not put in another's place.
func (v *Verifier) openLink(ctx context.Context, src Source, view *LogView, link Link) (NegativeItem, error) {
	item := NegativeItem{Link: link}
	sealed, err := src.Entry(ctx, link.Index)
	if err != nil {
		return item, fmt.Errorf("read negative entry %d: %w", link.Index, err)
	}
	if sealed.Index != link.Index || tlog.LeafHash(sealed.Leaf) != link.Leaf {
		return item, corruptAt(link.Index, NotLogged, "negative", "the entry is not the one of the chain")
	}
	if err := tlog.VerifyInclusion(link.Leaf, link.Index, sealed.Proof, view.Checkpoint); err != nil {
		return item, corruptAt(link.Index, BadProof, "negative", "%v", err)
	}
	item.Evidence, item.Refusal = v.Open(ctx, view, sealed)
	if item.Evidence != nil && !attest.IsNegative(item.Evidence.statement.Predicate) {
		return item, corruptAt(link.Index, WrongType, "negative", "the entry is in the chain and takes nothing away")
	}
	return item, nil
}

func newChain(items []NegativeItem) (*chain, error) {
	c := &chain{
		items: items, at: make(map[uint64]bool, len(items)),
		statements: make(map[attest.Digest][]*Evidence), keys: make(map[roster.KeyID][]*Evidence), people: make(map[string][]*Evidence),
	}
	var head tlog.Hash
	for i, it := range items {
		if i > 0 && items[i-1].Link.Index >= it.Link.Index {
			return nil, corruptAt(it.Link.Index, BadProof, "negative", "the chain is not in log order")
		}
		head = tlog.ChainNegative(head, it.Link.Index, it.Link.Leaf)
		c.heads = append(c.heads, head)
		c.at[it.Link.Index] = true
		if it.Evidence != nil {
			c.addRevocation(it.Evidence)
		}
	}
	return c, nil
}

// agrees holds a piece of evidence against the chain: one that takes credit away
// must be in it, and a decision must have seen the same chain.
func (c *chain) agrees(e *Evidence, length uint64) error {
	if attest.IsNegative(e.statement.Predicate) && !c.at[e.index] {
		return corruptAt(e.index, BadProof, "negative", "the entry takes credit away, and the chain of negative evidence leaves it out")
	}
	d, ok := e.statement.Predicate.(*attest.Decision)
	if !ok {
		return nil
	}
	var core struct {
		Log struct {
			Length *uint64 `json:"negativeLength"`
			Head   string  `json:"negativeHead"`
		} `json:"log"`
	}
	if err := json.Unmarshal(d.Core, &core); err != nil || core.Log.Length == nil {
		return nil // it names no chain
	}
	if n := *core.Log.Length; n > length || c.headAfter(int(n)).String() != core.Log.Head {
		return corruptAt(e.index, BadProof, "negative", "the decision saw a chain of %d links that ends in %.64q; this one differs", n, core.Log.Head)
	}
	return nil
}
