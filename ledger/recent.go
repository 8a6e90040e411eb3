package ledger

import "github.com/countersign-dev/countersign/ledger/tlog"

// recentEntries is how many entries a generation of recent holds: a call would
// have to wait for as many others before its leaves are looked up again.
const recentEntries = 1 << 15

// recent knows the leaves of the last entries. Append asks the store for
// duplicates before a call is queued; what was committed since then is here. Only
// the sequencer uses it.
type recent struct {
	young, old map[tlog.Hash]uint64
	from       uint64 // every entry from this index on is known
	youngFrom  uint64
}

func newRecent(size uint64) *recent {
	return &recent{young: map[tlog.Hash]uint64{}, from: size, youngFrom: size}
}

func (r *recent) find(leaf tlog.Hash) (uint64, bool) {
	index, ok := r.young[leaf]
	if !ok {
		index, ok = r.old[leaf]
	}
	return index, ok
}

// add learns the leaves of a batch that was committed.
func (r *recent) add(first uint64, leaves []tlog.Hash) {
	if len(r.young) >= recentEntries {
		r.old, r.from = r.young, r.youngFrom
		r.young, r.youngFrom = make(map[tlog.Hash]uint64, recentEntries), first
	}
	for i, leaf := range leaves {
		r.young[leaf] = first + uint64(i)
	}
}
