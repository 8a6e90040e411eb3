package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A StoreMaker makes the stores that RunStoreTests looks at.
type StoreMaker struct {
	// Create returns the store of a new log with that head, in a place of its own.
	// It registers its cleanup with t.
	Create func(t testing.TB, head ledger.Head) ledger.Store
	// Reopen stops a store that Create or Reopen returned, and returns what a new
	// process would open in the same place.
	Reopen func(t testing.TB, s ledger.Store) ledger.Store
}

// RunStoreTests checks that a store keeps what the doc comment of ledger.Store
// promises.
func RunStoreTests(t *testing.T, m StoreMaker) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, m StoreMaker)
	}{
		{"EmptyStoreHasItsHead", emptyStore},
		{"CommittedIsReadable", committedIsReadable},
		{"CommittedSurvivesReopening", committedSurvives},
		{"TilesAreTheTreesAtEverySize", tilesAtEverySize},
		{"SearchPages", searchPages},
		{"NegativeEvidenceIsChained", negativeChained},
		{"CheckpointOfEveryBatch", checkpointOfEveryBatch},
		{"BatchThatDoesNotFollowIsRefused", batchRefused},
		{"ReadersSeeWholeBatches", readersSeeWholeBatches},
		{"LargeEntriesAndManyKeys", largeEntries},
		{"ClosedStoreCommitsNothing", closedStore},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, m) })
	}
}

// fill commits batches of the given sizes, and returns them.
func fill(t testing.TB, s ledger.Store, m *Maker, sizes ...int) []ledger.Batch {
	t.Helper()
	var all []ledger.Batch
	for _, n := range sizes {
		at := int(m.edge.Size())
		b := m.Batch(Entries(at, at+n)...)
		if err := s.Commit(t.Context(), b); err != nil {
			t.Fatalf("commit %d entries at %d: %v", n, at, err)
		}
		all = append(all, b)
	}
	return all
}

func headOf(b ledger.Batch) ledger.Head {
	return ledger.Head{Checkpoint: b.Checkpoint, Note: b.Note, Token: b.Token, Time: b.Time}
}

// same compares what was put in with what comes out; empty and nil are the same.
func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if reflect.DeepEqual(want, got) { // many times faster than cmp
		return
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s: (-want +got)\n%s", what, d)
	}
}

func emptyStore(t *testing.T, m StoreMaker) {
	head := EmptyHead()
	s := m.Create(t, head)
	for _, when := range []string{"created", "reopened"} {
		same(t, when+": head", head, s.Head())
		if _, err := s.Record(t.Context(), 0); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: record 0: %v, want ErrNotFound", when, err)
		}
		if _, err := s.Tile(t.Context(), 0, 0); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: tile 0/000: %v, want ErrNotFound", when, err)
		}
		if _, ok, err := s.Lookup(t.Context(), tlog.LeafHash([]byte("x"))); ok || err != nil {
			t.Errorf("%s: lookup: %t, %v", when, ok, err)
		}
		if n := len(s.Negative()); n != 0 {
			t.Errorf("%s: %d negative entries", when, n)
		}
		got, err := s.Checkpoint(t.Context(), 0)
		if err != nil {
			t.Errorf("%s: checkpoint of 0: %v", when, err)
		}
		same(t, when+": checkpoint of 0", head, got)
		s = m.Reopen(t, s)
	}
}

// check compares everything that can be read with the batches.
func check(t testing.TB, s ledger.Store, batches []ledger.Batch) {
	t.Helper()
	ctx := t.Context()
	last := batches[len(batches)-1]
	same(t, "head", headOf(last), s.Head())
	for _, b := range batches {
		for _, want := range b.Records {
			got, err := s.Record(ctx, want.Index)
			if err != nil {
				t.Fatalf("record %d: %v", want.Index, err)
			}
			same(t, fmt.Sprintf("record %d", want.Index), want, got)
			index, ok, err := s.Lookup(ctx, tlog.LeafHash(want.Leaf))
			if err != nil || !ok || index != want.Index {
				t.Errorf("lookup of entry %d: %d, %t, %v", want.Index, index, ok, err)
			}
		}
	}
	if _, err := s.Record(ctx, last.Checkpoint.Size); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("record after the last: %v, want ErrNotFound", err)
	}
	if _, err := tlog.OpenTree(ctx, last.Checkpoint, 0, s.Tile); err != nil {
		t.Errorf("tiles: %v", err)
	}
}

func committedIsReadable(t *testing.T, m StoreMaker) {
	s := m.Create(t, EmptyHead())
	check(t, s, fill(t, s, &Maker{}, 1, 2, 300, 1, 40))
}

func committedSurvives(t *testing.T, m StoreMaker) {
	s, mk := m.Create(t, EmptyHead()), &Maker{}
	var batches []ledger.Batch
	for _, n := range []int{1, 255, 1, 300} {
		batches = append(batches, fill(t, s, mk, n)...)
		s = m.Reopen(t, s)
		check(t, s, batches)
	}
}

func tilesAtEverySize(t *testing.T, m StoreMaker) {
	s, mk := m.Create(t, EmptyHead()), &Maker{}
	rng := rand.New(rand.NewPCG(5, 6))
	var edge tlog.Edge
	full := map[[2]uint64][]byte{}
	for edge.Size() < 2000 {
		b := fill(t, s, mk, 1+rng.IntN(300))[0]
		var leaves []tlog.Hash
		for _, r := range b.Records {
			leaves = append(leaves, tlog.LeafHash(r.Leaf))
		}
		next, filled := edge.Append(leaves)
		edge = next
		for _, f := range filled {
			full[[2]uint64{uint64(f.Level), f.Index}] = f.Hashes()
		}
		for level := range 2 {
			index := edge.Size() >> (tlog.TileHeight * (level + 1))
			got, err := s.Tile(t.Context(), level, index)
			if want := edge.Tile(level); edge.Width(level) > 0 && (err != nil || !bytes.Equal(got, want)) {
				t.Fatalf("size %d: right edge of level %d has %d bytes, %v, want %d", edge.Size(), level, len(got), err, len(want))
			}
			if edge.Width(level) == 0 && !errors.Is(err, ledger.ErrNotFound) {
				t.Fatalf("size %d: tile %d of level %d: %v, want ErrNotFound", edge.Size(), index, level, err)
			}
		}
	}
	for k, want := range full {
		if got, err := s.Tile(t.Context(), int(k[0]), k[1]); err != nil || !bytes.Equal(got, want) {
			t.Errorf("full tile %d of level %d has %d bytes, %v", k[1], k[0], len(got), err)
		}
	}
}

func searchPages(t *testing.T, m StoreMaker) {
	s := m.Create(t, EmptyHead())
	fill(t, s, &Maker{}, 100, 3, 200)
	s = m.Reopen(t, s)
	for _, c := range []struct {
		q    ledger.Query
		want []uint64
	}{
		{ledger.Query{Key: "mod:3", Limit: 4}, []uint64{3, 8, 13, 18}},
		{ledger.Query{Key: "mod:3", From: 8, Limit: 2}, []uint64{8, 13}},
		{ledger.Query{Key: "mod:3", From: 9, Until: 19, Limit: 10}, []uint64{13, 18}},
		{ledger.Query{Key: "mod:2", From: 295, Limit: 10}, []uint64{297, 302}},
		{ledger.Query{Key: "mod:2", From: 303, Limit: 10}, nil},
		{ledger.Query{Key: "mod", Limit: 10}, nil},
		{ledger.Query{Key: "mod:22", Limit: 10}, nil},
		{ledger.Query{Key: "all", From: 101, Until: 105, Limit: 10}, []uint64{101, 102, 103, 104}},
		{ledger.Query{From: 301, Limit: ledger.MaxPage}, []uint64{301, 302}},
		{ledger.Query{From: 5, Until: 100, Limit: 3}, []uint64{5, 6, 7}},
	} {
		got, err := s.Search(t.Context(), c.q)
		if err != nil {
			t.Errorf("search %+v: %v", c.q, err)
		}
		same(t, fmt.Sprintf("search %+v", c.q), c.want, got)
	}
	for _, limit := range []int{-1, 0, ledger.MaxPage + 1} {
		if _, err := s.Search(t.Context(), ledger.Query{Key: "all", Limit: limit}); err == nil {
			t.Errorf("a search with limit %d is answered", limit)
		}
	}
}

func negativeChained(t *testing.T, m StoreMaker) {
	s := m.Create(t, EmptyHead())
	var want []ledger.Link
	for _, b := range fill(t, s, &Maker{}, 4, 1, 50) {
		for _, r := range b.Records {
			if r.Negative != "" {
				want = append(want, NextLink(want, r.Index, tlog.LeafHash(r.Leaf), r.Negative))
			}
		}
	}
	same(t, "chain", want, s.Negative())
	same(t, "chain after reopening", want, m.Reopen(t, s).Negative())
}

func checkpointOfEveryBatch(t *testing.T, m StoreMaker) {
	s := m.Create(t, EmptyHead())
	batches := fill(t, s, &Maker{}, 1, 9, 300)
	for range 2 {
		for _, b := range batches {
			got, err := s.Checkpoint(t.Context(), b.Checkpoint.Size)
			if err != nil {
				t.Errorf("checkpoint of %d: %v", b.Checkpoint.Size, err)
			}
			same(t, fmt.Sprintf("checkpoint of %d", b.Checkpoint.Size), headOf(b), got)
		}
		for _, size := range []uint64{2, 9, 11, 309, 311} {
			if _, err := s.Checkpoint(t.Context(), size); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("checkpoint of %d: %v, want ErrNotFound", size, err)
			}
		}
		s = m.Reopen(t, s)
	}
}

// What breaks the log is refused, whoever asks for it, and leaves nothing behind.
func batchRefused(t *testing.T, m StoreMaker) {
	for name, spoil := range map[string]func(*ledger.Batch){
		"a gap":               func(b *ledger.Batch) { b.Records[0].Index++ },
		"a place taken":       func(b *ledger.Batch) { b.Records[0].Index-- },
		"another root":        func(b *ledger.Batch) { b.Checkpoint.Root[0] ^= 1 },
		"another leaf":        func(b *ledger.Batch) { b.Records[1].Leaf = []byte("else") },
		"a record too few":    func(b *ledger.Batch) { b.Records = b.Records[:1] },
		"a size of the past":  func(b *ledger.Batch) { b.Checkpoint.Size = 3 },
		"nothing but a head":  func(b *ledger.Batch) { b.Records = nil },
		"the log of somebody": func(b *ledger.Batch) { b.Checkpoint.Origin = "else.example" },
	} {
		t.Run(name, func(t *testing.T) {
			s, mk := m.Create(t, EmptyHead()), &Maker{}
			batches := fill(t, s, mk, 5)
			b := mk.Batch(Entries(5, 7)...)
			spoil(&b)
			if err := s.Commit(t.Context(), b); err == nil {
				t.Fatal("it was committed")
			}
			check(t, s, batches)
			check(t, m.Reopen(t, s), batches)
		})
	}
}

func readersSeeWholeBatches(t *testing.T, m StoreMaker) {
	s, mk := m.Create(t, EmptyHead()), &Maker{}
	const size = 600
	done := make(chan error, 2)
	ctx := context.WithoutCancel(t.Context())
	for range 2 {
		go func() {
			for {
				head := s.Head()
				if err := seesHead(ctx, s, head); err != nil || head.Size == size {
					done <- err
					return
				}
			}
		}()
	}
	for range size / 20 {
		fill(t, s, mk, 20)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// seesHead reads what a head promises.
func seesHead(ctx context.Context, s ledger.Store, head ledger.Head) error {
	if head.Size == 0 {
		return nil
	}
	last := head.Size - 1
	r, err := s.Record(ctx, last)
	if err != nil || r.Index != last {
		return fmt.Errorf("head %d: record %d: %w", head.Size, r.Index, err)
	}
	if _, ok, err := s.Lookup(ctx, tlog.LeafHash(r.Leaf)); err != nil || !ok {
		return fmt.Errorf("head %d: lookup: %t, %w", head.Size, ok, err)
	}
	found, err := s.Search(ctx, ledger.Query{Key: "all", From: last, Until: head.Size, Limit: 2})
	if err != nil || len(found) != 1 {
		return fmt.Errorf("head %d: search found %v: %w", head.Size, found, err)
	}
	b, err := s.Tile(ctx, 0, last/tlog.TileWidth)
	if err != nil || len(b) < int(last%tlog.TileWidth+1)*tlog.HashSize {
		return fmt.Errorf("head %d: tile has %d bytes: %w", head.Size, len(b), err)
	}
	if _, err := s.Checkpoint(ctx, head.Size); err != nil {
		return fmt.Errorf("head %d: checkpoint: %w", head.Size, err)
	}
	return nil
}

func largeEntries(t *testing.T, m StoreMaker) {
	s, mk := m.Create(t, EmptyHead()), &Maker{}
	large := Entry(0)
	large.Leaf = bytes.Repeat([]byte{0xff, 0}, ledger.MaxLeaf/2)
	large.Body = bytes.Repeat([]byte("countersign "), 1<<17)
	large.Keys = nil
	for i := range 2000 {
		large.Keys = append(large.Keys, fmt.Sprintf("subject:sha256:%064d", i))
	}
	bare := ledger.Entry{Leaf: []byte{0}, Stamp: []byte{0}}
	b := mk.Batch(large, bare)
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s = m.Reopen(t, s)
	check(t, s, []ledger.Batch{b})
	got, err := s.Search(t.Context(), ledger.Query{Key: large.Keys[1999], Limit: 1})
	if err != nil {
		t.Error(err)
	}
	same(t, "search", []uint64{0}, got)
}

func closedStore(t *testing.T, m StoreMaker) {
	s, mk := m.Create(t, EmptyHead()), &Maker{}
	batches := fill(t, s, mk, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), mk.Batch(Entries(3, 4)...)); err == nil {
		t.Fatal("a closed store commits")
	}
	check(t, m.Reopen(t, s), batches)
}
