package ledger

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

func numbered(from, to int) []tlog.Hash {
	var all []tlog.Hash
	for i := from; i < to; i++ {
		all = append(all, tlog.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	return all
}

func TestRecentKnowsEveryLeafFromItsStart(t *testing.T) {
	r := newRecent(1000)
	const n = 3*recentEntries + 50
	all := numbered(0, n)
	for at := 0; at < n; at += 700 {
		r.add(1000+uint64(at), all[at:min(at+700, n)])
		if r.from > 1000+uint64(at) {
			t.Fatalf("at %d it knows nothing before %d", at, r.from)
		}
	}
	for i, leaf := range all {
		index, ok := r.find(leaf)
		if ok && index != 1000+uint64(i) {
			t.Fatalf("leaf %d is at %d", i, index)
		}
		if !ok && uint64(1000+i) >= r.from {
			t.Fatalf("leaf %d is not known, though %d is the start", i, r.from)
		}
	}
	if r.from == 1000 || len(r.young)+len(r.old) > 2*recentEntries+1400 {
		t.Errorf("it forgets nothing: %d leaves from %d on", len(r.young)+len(r.old), r.from)
	}
}

// lookups is a store that knows one leaf.
type lookups struct {
	Store
	leaf  tlog.Hash
	asked int
}

func (s *lookups) Lookup(_ context.Context, leaf tlog.Hash) (uint64, bool, error) {
	s.asked++
	return 42, leaf == s.leaf, nil
}

// A call that waited so long that recent forgot what was committed meanwhile is
// looked up again.
func TestLeafIsLookedUpAgainAfterALongWait(t *testing.T) {
	leaf, other := tlog.Hash{1}, tlog.Hash{2}
	for _, c := range []struct {
		name      string
		leaf      tlog.Hash
		seen      uint64
		duplicate bool
		asked     int
	}{
		{"seen late enough", leaf, 100, false, 0}, // nobody can have appended it
		{"seen too early", leaf, 99, true, 1},
		{"seen too early, and new", other, 99, false, 1},
	} {
		store := &lookups{leaf: leaf}
		s := &sequencer{l: &Ledger{store: store}, recent: newRecent(100)}
		it := &item{leaf: c.leaf}
		if err := s.findDuplicate(t.Context(), it, c.seen, nil); err != nil {
			t.Fatal(err)
		}
		if it.duplicate != c.duplicate || store.asked != c.asked || c.duplicate && it.index != 42 {
			t.Errorf("%s: duplicate %t at %d, asked %d times", c.name, it.duplicate, it.index, store.asked)
		}
	}
}
