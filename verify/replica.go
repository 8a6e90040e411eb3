package verify

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// MaxReplica bounds the entries of a Replica, which are held in memory.
const MaxReplica = 5_000_000

// A Replica is a whole log in memory, for whoever asks it many questions about its past:
// each state of the log that was ever signed is a Source. What search finds, and what
// takes credit away, is derived here from the statements; the tree is built here, and
// must have the root of each checkpoint. Times are those that the log told: a verifier
// over it is made with Config.OwnLog, and its decisions are for showing, not for gates.
type Replica struct {
	entries []Sealed
	keys    map[string][]uint64
	links   []Link
	tree    *tlog.Tree
	tiles   map[[2]uint64][]byte
}

// NewReplica returns an empty replica of a log.
func NewReplica(ctx context.Context, origin string) (*Replica, error) {
	r := &Replica{keys: make(map[string][]uint64), tiles: make(map[[2]uint64][]byte)}
	var err error
	r.tree, err = tlog.OpenTree(ctx, tlog.Checkpoint{Origin: origin, Root: tlog.EmptyRoot()}, tlog.DefaultTiles, r.tile)
	return r, err
}

func (r *Replica) tile(_ context.Context, level int, index uint64) ([]byte, error) {
	t, ok := r.tiles[[2]uint64{uint64(level), index}]
	if !ok {
		return nil, fmt.Errorf("the replica has no tile %d/%d: %w", level, index, tlog.ErrBadTile)
	}
	return t, nil
}

// Size is how many entries the replica has.
func (r *Replica) Size() uint64 { return uint64(len(r.entries)) }

// Add takes the next entries of the log: Index, Leaf, Body and Time of each are set. An
// entry without a body is known by its hash alone.
func (r *Replica) Add(next []Sealed) error {
	if len(r.entries)+len(next) > MaxReplica {
		return &LimitError{"the log has more entries", MaxReplica}
	}
	derived := make([]attest.Logged, len(next))
	err := parallel(8, len(next), func(i int) error {
		if b, err := attest.ParseBundle(next[i].Body); err == nil {
			derived[i], _ = derive(next[i], b)
		}
		return nil
	})
	if err != nil {
		return err
	}
	leaves := make([]tlog.Hash, len(next))
	for i, s := range next {
		if s.Index != r.Size() {
			return corruptAt(s.Index, BadProof, "replica", "entry %d was to come", r.Size())
		}
		leaves[i] = tlog.LeafHash(s.Leaf)
		for _, k := range derived[i].Keys {
			r.keys[k] = append(r.keys[k], s.Index)
		}
		if scope := derived[i].Negative; scope != "" {
			var last tlog.Hash
			if n := len(r.links); n > 0 {
				last = r.links[n-1].Chain
			}
			r.links = append(r.links, tlog.NextLink(last, s.Index, leaves[i], tlog.ScopeOf(scope)))
		}
		r.entries = append(r.entries, s)
	}
	edge, full := r.tree.Edge().Append(leaves)
	for _, t := range full {
		r.tiles[[2]uint64{uint64(t.Level), t.Index}] = t.Hashes()
	}
	r.tree.Advance(edge, full)
	return nil
}

// TimeOf is when the log took an entry, as it told; zero for one that is not here.
func (r *Replica) TimeOf(index uint64) time.Time {
	if index >= r.Size() {
		return time.Time{}
	}
	return r.entries[index].Time
}

// Body is the bundle of an entry; nil for one that is not here.
func (r *Replica) Body(index uint64) []byte {
	if index >= r.Size() {
		return nil
	}
	return r.entries[index].Body
}

// At is the log as it was at a checkpoint that it signed, of at most Size entries. The
// error is a *Refusal for a note that the log did not sign, and a *CorruptError where the
// replica has another root.
func (r *Replica) At(ctx context.Context, t *Trust, note []byte, at time.Time) (Source, error) {
	cp, err := t.Log.Open(note)
	if err != nil {
		return nil, badCheckpoint("%v", err)
	}
	if cp.Size > r.Size() {
		return nil, &CorruptError{BadProof, -1, "replica", fmt.Sprintf("the checkpoint has %d entries, and %d were read", cp.Size, r.Size())}
	}
	root, err := r.tree.Root(ctx, cp.Size)
	if err != nil {
		return nil, err
	}
	if root != cp.Root {
		return nil, &CorruptError{BadProof, -1, "replica", fmt.Sprintf("the entries that were read lead to root %s at size %d, and the log signed %s", root, cp.Size, cp.Root)}
	}
	n := sort.Search(len(r.links), func(i int) bool { return r.links[i].Index >= cp.Size })
	s := &past{replica: r, view: LogView{Checkpoint: cp, Note: note, Time: at, ChainLength: uint64(n)}, links: r.links[:n:n]}
	if n > 0 {
		s.view.Chain = r.links[n-1].Chain
	}
	return s, nil
}

// past is a state of a replica.
type past struct {
	replica *Replica
	view    LogView
	links   []Link
}

func (p *past) View(context.Context) (LogView, error) { return p.view, nil }

func (p *past) Negative(context.Context) ([]Link, error) { return p.links, nil }

func (p *past) Find(_ context.Context, key string) ([]uint64, error) {
	all := p.replica.keys[key]
	n := sort.Search(len(all), func(i int) bool { return all[i] >= p.view.Size })
	return all[:min(n, FindLimit(key))], nil
}

func (p *past) Entry(ctx context.Context, index uint64) (Sealed, error) {
	if index >= p.view.Size {
		return Sealed{}, fmt.Errorf("entry %d is not among %d", index, p.view.Size)
	}
	s := p.replica.entries[index]
	var err error
	s.Proof, err = p.replica.tree.Inclusion(ctx, index, p.view.Size)
	return s, err
}
