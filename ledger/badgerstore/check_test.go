package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// closedStoreOf returns the options of a closed store with 307 entries.
func closedStoreOf(t *testing.T) Options {
	t.Helper()
	o := testOptions(t)
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 300, 7)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCheckOfWhatHolds(t *testing.T) {
	o := closedStoreOf(t)
	for range 2 { // checking leaves the store as it was
		var done, total int64
		r, err := Check(t.Context(), o, func(d, of int64) { done, total = d, of })
		if err != nil {
			t.Fatal(err)
		}
		if r.Head.Size != 307 || r.Commits != 3 || r.Verified != 3 || r.Negative != 44 || r.Segments != 2 || r.Torn != 0 || r.Index != "" {
			t.Errorf("%+v", r)
		}
		if done == 0 || done != total {
			t.Errorf("at the end the progress is %d of %d", done, total)
		}
	}
	mustHold(t, reopen(t, o), 307)
}

// spoilIndex changes the index of a closed store behind its back, as a fault in
// Badger or somebody with its key-value tools would.
func spoilIndex(t *testing.T, o Options, change func(*badger.Txn) error) {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l := o.layout()
	x, err := openIndex(l.index(), o.Log)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.db.Update(change); err != nil {
		t.Fatal(err)
	}
	fingerprint, err := x.close(osDisk{}, l.index())
	if err == nil {
		err = l.setClosed(osDisk{}, fingerprint)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckFindsEveryWrongRow(t *testing.T) {
	o := closedStoreOf(t)
	leaf := tlog.LeafHash(ledgertest.Entry(5).Leaf)
	tile := make([]byte, tlog.TileSize)
	for name, c := range map[string]struct {
		change func(*badger.Txn) error
		want   string
	}{
		"lookup forgotten":   {func(x *badger.Txn) error { return x.Delete(leafKey(leaf)) }, "leaf lookups"},
		"lookup elsewhere":   {func(x *badger.Txn) error { return x.Set(leafKey(leaf), make([]byte, 8)) }, "leaf lookups"},
		"tile changed":       {func(x *badger.Txn) error { return x.Set(tileKey(0, 0), tile) }, "tiles"},
		"search forgotten":   {func(x *badger.Txn) error { return x.Delete(append(searchPrefix("all"), 0, 0, 0, 0, 0, 0, 1, 43)) }, "searches"},
		"search invented":    {func(x *badger.Txn) error { return x.Set(append(searchPrefix("x"), 0, 0, 0, 0, 0, 0, 0, 1), nil) }, "searches"},
		"negative forgotten": {func(x *badger.Txn) error { return x.Delete(negativeKey(3)) }, "negative evidence"},
		"checkpoint gone":    {func(x *badger.Txn) error { return x.Delete(commitKey(300)) }, "checkpoints"},
		"a row of no kind":   {func(x *badger.Txn) error { return x.Set([]byte("?"), nil) }, "unknown kind"},
	} {
		t.Run(name, func(t *testing.T) {
			o := copyStore(t, o)
			spoilIndex(t, o, c.change)
			if _, err := Check(t.Context(), o, nil); !errors.Is(err, ledger.ErrCorrupt) ||
				!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "rebuild") {
				t.Errorf("check: %v, want ErrCorrupt about %s", err, c.want)
			}
			if err := Rebuild(t.Context(), o, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := Check(t.Context(), o, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// No index can forget a veto: opening compares the chain with the journal's.
func TestForgottenVetoIsNoticedWhenOpening(t *testing.T) {
	for name, change := range map[string]func(*badger.Txn) error{
		"the first": func(x *badger.Txn) error { return x.Delete(negativeKey(0)) },
		"the last":  func(x *badger.Txn) error { return x.Delete(negativeKey(43)) },
		"another":   func(x *badger.Txn) error { return x.Set(negativeKey(9), make([]byte, 40)) },
	} {
		o := closedStoreOf(t)
		spoilIndex(t, o, change)
		s := reopen(t, o)
		mustHold(t, s, 307)
		if n := len(s.Negative()); n != 44 {
			t.Errorf("%s: %d negative entries", name, n)
		}
	}
}

func TestWrongSignatureIsNamed(t *testing.T) {
	o := testOptions(t)
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 2)
	b := m.Batch(ledgertest.Entries(2, 3)...)
	b.Note = append(b.Note[:len(b.Note)-3], "A=\n"...)
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	p, _, err := s.index.number(commitKey(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("offset %d", position(p).offset())
	if _, err := Check(t.Context(), o, nil); !errors.Is(err, ledger.ErrCorrupt) || !strings.Contains(err.Error(), want) {
		t.Errorf("check: %v, want ErrCorrupt with %s", err, want)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, ledger.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// What is stopped half-way can be done again.
func TestRebuildCanBeStopped(t *testing.T) {
	o := closedStoreOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Rebuild(ctx, o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("rebuild: %v", err)
	}
	if _, err := Check(ctx, o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("check: %v", err)
	}
	mustHold(t, reopen(t, o), 307)
}
