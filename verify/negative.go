package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
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

// A chain is the chain of negative evidence, checked once, with what concerns
// everything opened. It never changes.
type chain struct {
	links  []Link
	global []NegativeItem
	scopes *scopes
	notes  *notes // about incidents

	statements map[attest.Digest][]*Evidence // revocations by what they revoke
	keys       map[roster.KeyID][]*Evidence
	people     map[string][]*Evidence
}

// everything is the scope of what concerns every request, and policies that of the
// policy sets after the first: Policies opens those.
var (
	everything = tlog.ScopeOf(attest.Everything)
	policies   = tlog.ScopeOf(attest.PolicyChanges)
	incidents  = tlog.ScopeOf(attest.Incidents)
	snapshots  = tlog.ScopeOf(attest.Snapshots)
)

// concerned is the scopes that a request asks about.
type concerned map[tlog.Hash]bool

func (c concerned) add(key string) { c[tlog.ScopeOf(key)] = true }
func (c concerned) by(l Link) bool {
	return l.Scope == everything || l.Scope == policies || c[l.Scope]
}

// scopes finds the links of a scope. Chains that grew out of one another share it,
// so it may know of more links than a chain has.
type scopes struct {
	mu sync.RWMutex // guards at
	at map[tlog.Hash][]int
}

// of returns the places, among the first n, of the links with a scope.
func (s *scopes) of(scope tlog.Hash, n int) []int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := s.at[scope]
	end, _ := slices.BinarySearch(all, n)
	return slices.Clone(all[:end])
}

func (s *scopes) add(links []Link, from int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := from; i < len(links); i++ {
		places := s.at[links[i].Scope]
		if n := len(places); n == 0 || places[n-1] < i { // else two grew the same chain at once
			s.at[links[i].Scope] = append(places, i)
		}
	}
}

// negatives remembers the chain of one log.
type negatives struct {
	mu    sync.Mutex // guards chain
	chain *chain
}

// negative reads and checks the chain of a view. The log's own process opens only
// what is new.
func (v *Verifier) negative(ctx context.Context, src Source, view *LogView) (*chain, error) {
	links, err := src.Negative(ctx)
	if err != nil {
		return nil, fmt.Errorf("read negative evidence: %w", err)
	}
	if len(links) > MaxLinks {
		return nil, &LimitError{fmt.Sprintf("%d pieces of negative evidence", len(links)), MaxLinks}
	}
	if uint64(len(links)) != view.ChainLength {
		return nil, &CorruptError{BadProof, -1, "negative", fmt.Sprintf("the chain has %d links, and the log's state says %d", len(links), view.ChainLength)}
	}
	var old *chain
	if v.remember {
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
	if v.remember && c != old {
		v.negatives.mu.Lock()
		if v.negatives.chain == nil || len(v.negatives.chain.links) < len(c.links) {
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
	return c.links[n-1].Chain
}

// before returns what concerns everything in a log of this size.
func (c *chain) before(size uint64) []NegativeItem {
	n := sort.Search(len(c.global), func(i int) bool { return c.global[i].Link.Index >= size })
	return c.global[:n:n]
}

// extend returns a chain that has these links, and old itself where it has them.
func (v *Verifier) extend(ctx context.Context, src Source, view *LogView, old *chain, links []Link) (*chain, error) {
	// The last link that both have tells: its chain covers those before it.
	if old != nil {
		if n := min(len(old.links), len(links)); n > 0 && old.links[n-1] != links[n-1] {
			old = nil
		}
	}
	if old == nil {
		old = &chain{scopes: &scopes{at: make(map[tlog.Hash][]int)}, notes: &notes{}}
	} else if len(links) <= len(old.links) {
		return old, nil
	}
	known := len(old.links)
	if err := continues(links, known); err != nil {
		return nil, err
	}
	var global []Link
	for _, l := range links[known:] {
		if l.Scope == everything {
			global = append(global, l)
		}
	}
	if n := len(old.global) + len(global); n > MaxNegative {
		return nil, &LimitError{fmt.Sprintf("%d pieces of negative evidence concern everything", n), MaxNegative}
	}
	opened, err := v.openLinks(ctx, src, view, global)
	if err != nil {
		return nil, err
	}
	c := &chain{
		links: links, global: slices.Concat(old.global, opened), scopes: old.scopes, notes: old.notes,
		statements: make(map[attest.Digest][]*Evidence), keys: make(map[roster.KeyID][]*Evidence), people: make(map[string][]*Evidence),
	}
	c.scopes.add(links, known)
	for _, it := range c.global {
		if it.Evidence != nil {
			c.addRevocation(it.Evidence)
		}
	}
	return c, nil
}

// continues checks that each link from a place on continues the chain.
func continues(links []Link, from int) error {
	for i := from; i < len(links); i++ {
		l, previous := links[i], tlog.Hash{}
		if i > 0 {
			if previous = links[i-1].Chain; links[i-1].Index >= l.Index {
				return corruptAt(l.Index, BadProof, "negative", "the chain is not in log order")
			}
		}
		if l != tlog.NextLink(previous, l.Index, l.Leaf, l.Scope) {
			return corruptAt(l.Index, BadProof, "negative", "the link does not continue the chain")
		}
	}
	return nil
}

// PolicyChanges are the entries of the log, as it was gathered from, that change the
// policy: a decision must know all of them.
func (g *Gathered) PolicyChanges() []uint64 {
	if g.chain == nil {
		return nil
	}
	places := g.chain.scopes.of(policies, int(g.View.ChainLength))
	out := make([]uint64, len(places))
	for i, p := range places {
		out[i] = g.chain.links[p].Index
	}
	return out
}

// vetoes opens the links that take credit from a change of the range, and wants
// each of them among what the source found: it can leave out nothing that is chained.
func (g *gatherer) vetoes() error {
	length := int(g.view.ChainLength)
	var links []Link
	for _, key := range g.changes {
		found := g.answers[key]
		for _, i := range g.out.chain.scopes.of(tlog.ScopeOf(key), length) {
			l := g.out.chain.links[i]
			if _, in := slices.BinarySearch(found, l.Index); !in {
				return corruptAt(l.Index, BadProof, "negative", "the entry takes credit from %.200s, and the search leaves it out", key)
			}
			links = append(links, l)
		}
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	links = slices.CompactFunc(links, func(a, b Link) bool { return a.Index == b.Index })
	opened, err := g.v.openLinks(g.ctx, g.src, g.view, links)
	if err != nil {
		return err
	}
	g.out.Negative = slices.Concat(g.out.chain.before(g.view.Size), opened)
	slices.SortFunc(g.out.Negative, func(a, b NegativeItem) int { return cmp.Compare(a.Link.Index, b.Link.Index) })
	return nil
}

func (v *Verifier) openLinks(ctx context.Context, src Source, view *LogView, links []Link) ([]NegativeItem, error) {
	items := make([]NegativeItem, len(links))
	err := parallel(v.workers, len(links), func(i int) (err error) {
		items[i], err = v.openLink(ctx, src, view, links[i])
		return err
	})
	return items, err
}

// openLink proves that a link is in the log before it opens it: what is refused
// for its signer must really be that stranger's, and not put in another's place.
func (v *Verifier) openLink(ctx context.Context, src Source, view *LogView, link Link) (NegativeItem, error) {
	item := NegativeItem{Link: link}
	sealed, err := linked(ctx, src, view, link)
	if err != nil {
		return item, err
	}
	item.Evidence, item.Refusal = v.Open(ctx, view, sealed)
	if item.Evidence != nil && scopeOf(item.Evidence) != link.Scope {
		return item, corruptAt(link.Index, WrongType, "negative", "the chain says that the entry takes credit from something, and it does not")
	}
	return item, nil
}

// linked reads the entry of a link, and proves that it is in the log.
func linked(ctx context.Context, src Source, view *LogView, link Link) (Sealed, error) {
	sealed, err := src.Entry(ctx, link.Index)
	if err != nil {
		return sealed, fmt.Errorf("read negative entry %d: %w", link.Index, err)
	}
	if sealed.Index != link.Index || tlog.LeafHash(sealed.Leaf) != link.Leaf {
		return sealed, corruptAt(link.Index, NotLogged, "negative", "the entry is not the one of the chain")
	}
	if err := tlog.VerifyInclusion(link.Leaf, link.Index, sealed.Proof, view.Checkpoint); err != nil {
		return sealed, corruptAt(link.Index, BadProof, "negative", "%v", err)
	}
	return sealed, nil
}

// scopeOf is from what a piece of evidence takes credit; zeros where from nothing.
func scopeOf(e *Evidence) tlog.Hash {
	if scope := attest.NegativeScope(e.statement.Predicate); scope != "" {
		return tlog.ScopeOf(scope)
	}
	return tlog.Hash{}
}

// agrees holds a piece of evidence against the chain: one that takes credit away
// must be in it, and a decision must have seen the same chain.
func (c *chain) agrees(e *Evidence, length uint64) error {
	if scope := scopeOf(e); scope != (tlog.Hash{}) {
		at := sort.Search(int(length), func(i int) bool { return c.links[i].Index >= e.index })
		if at == int(length) || c.links[at].Index != e.index || c.links[at].Scope != scope {
			return corruptAt(e.index, BadProof, "negative", "the entry takes credit away, and the chain of negative evidence leaves it out")
		}
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
