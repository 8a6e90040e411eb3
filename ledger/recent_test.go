package ledger

import (
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
