package tlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// tiles is what a store keeps: the full tiles, and the edge.
type tiles struct {
	full map[tileKey][]byte
	edge Edge
}

func (s *tiles) append(leaves []Hash) []FullTile {
	next, full := s.edge.Append(leaves)
	for _, f := range full {
		s.full[tileKey{f.Level, f.Index}] = f.Hashes()
	}
	s.edge = next
	return full
}

func (s *tiles) read(_ context.Context, level int, index uint64) ([]byte, error) {
	if b, ok := s.full[tileKey{level, index}]; ok {
		return b, nil
	}
	if index == s.edge.Size()>>(TileHeight*(level+1)) && s.edge.Width(level) > 0 {
		return s.edge.Tile(level), nil
	}
	return nil, fmt.Errorf("no tile %d/%d", level, index)
}

func testLeaf(i uint64) Hash {
	return LeafHash(binary.BigEndian.AppendUint64(nil, i))
}

func testLeaves(from, to uint64) []Hash {
	var all []Hash
	for i := from; i < to; i++ {
		all = append(all, testLeaf(i))
	}
	return all
}

// reference is the tree of the library that everybody uses.
func reference(size uint64) *testonly.Tree {
	t := testonly.New(rfc6962.DefaultHasher)
	for i := range size {
		t.AppendData(binary.BigEndian.AppendUint64(nil, i))
	}
	return t
}

func hashes(b [][]byte) []Hash {
	out := []Hash{}
	for _, h := range b {
		out = append(out, Hash(h))
	}
	return out
}

func openTestTree(t testing.TB, size uint64) (*Tree, *tiles) {
	t.Helper()
	store := &tiles{full: map[tileKey][]byte{}}
	store.append(testLeaves(0, size))
	cp := Checkpoint{Origin: "log.example", Size: size, Root: store.edge.Root()}
	tree, err := OpenTree(t.Context(), cp, 16, store.read)
	if err != nil {
		t.Fatal(err)
	}
	return tree, store
}

func TestHashesAreThoseOfRFC6962(t *testing.T) {
	for _, leaf := range testonly.LeafInputs() {
		if got, want := LeafHash(leaf), Hash(rfc6962.DefaultHasher.HashLeaf(leaf)); got != want {
			t.Errorf("LeafHash(%x) = %s, want %s", leaf, got, want)
		}
	}
	l, r := testLeaf(1), testLeaf(2)
	if got, want := nodeHash(l[:], r[:]), Hash(rfc6962.DefaultHasher.HashChildren(l[:], r[:])); got != want {
		t.Errorf("nodeHash = %s, want %s", got, want)
	}
	if LeafHash(append([]byte{1}, append(l[:], r[:]...)...)) == nodeHash(l[:], r[:]) {
		t.Error("a leaf can be taken for a node")
	}
}

func TestEdgeHasTheRootOfTheReferenceAtEverySize(t *testing.T) {
	ref := reference(1100)
	var e Edge
	for size := range uint64(1101) {
		if got, want := e.Root(), Hash(ref.HashAt(size)); got != want {
			t.Fatalf("root of %d entries is %s, want %s", size, got, want)
		}
		e, _ = e.Append([]Hash{testLeaf(size)})
	}
}

func TestEdgeIsTheSameHoweverItGrew(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const size = 70_000
	whole, fullWhole := Edge{}.Append(testLeaves(0, size))
	var e Edge
	var full []FullTile
	for e.Size() < size {
		n := min(rng.Uint64N(1000), size-e.Size())
		next, f := e.Append(testLeaves(e.Size(), e.Size()+n))
		e, full = next, append(full, f...)
	}
	if e.Root() != whole.Root() {
		t.Errorf("root is %s, want %s", e.Root(), whole.Root())
	}
	if len(full) != len(fullWhole) || len(full) != size/256+size/65536 {
		t.Fatalf("%d full tiles, and %d at once", len(full), len(fullWhole))
	}
	for i, f := range full {
		w := fullWhole[i]
		if f.Level != w.Level || f.Index != w.Index || *f.nodes != *w.nodes {
			t.Fatalf("full tile %d differs", i)
		}
	}
}

// After a batch that was refused, the edge before it is used again.
func TestEdgeCanGoBack(t *testing.T) {
	for _, size := range []uint64{0, 1, 255, 256, 300, 65_535} {
		before, _ := Edge{}.Append(testLeaves(0, size))
		root := before.Root()
		before.Append(testLeaves(1_000_000, 1_000_600))
		if before.Root() != root {
			t.Errorf("size %d: a refused batch changed the root", size)
		}
		after, _ := before.Append(testLeaves(size, size+600))
		want, _ := Edge{}.Append(testLeaves(0, size+600))
		if after.Root() != want.Root() {
			t.Errorf("size %d: a refused batch left something behind", size)
		}
	}
}

func TestProofsAreThoseOfTheReference(t *testing.T) {
	const size = 66_500
	ref := reference(size)
	tree, _ := openTestTree(t, size)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		to := 1 + rng.Uint64N(size)
		if rng.IntN(3) == 0 {
			to = 1 + rng.Uint64N(600)
		}
		index := rng.Uint64N(to)
		checkInclusion(t, tree, ref, index, to)
		checkConsistency(t, tree, ref, index, to)
		if got, err := tree.Root(t.Context(), to); err != nil || got != Hash(ref.HashAt(to)) {
			t.Fatalf("root of %d entries: %s, %v", to, got, err)
		}
	}
}

func TestProofsOfSmallTreesAreThoseOfTheReference(t *testing.T) {
	const size = 40
	ref := reference(size)
	tree, _ := openTestTree(t, size)
	for to := range uint64(size + 1) {
		for from := range to {
			checkInclusion(t, tree, ref, from, to)
			checkConsistency(t, tree, ref, from, to)
		}
		checkConsistency(t, tree, ref, to, to)
	}
}

func checkInclusion(t *testing.T, tree *Tree, ref *testonly.Tree, index, size uint64) {
	t.Helper()
	got, err := tree.Inclusion(t.Context(), index, size)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ref.InclusionProof(index, size)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(hashes(want), got); d != "" {
		t.Fatalf("inclusion of %d in %d: (-want +got)\n%s", index, size, d)
	}
	cp := Checkpoint{Size: size, Root: Hash(ref.HashAt(size))}
	if err := VerifyInclusion(testLeaf(index), index, got, cp); err != nil {
		t.Fatal(err)
	}
}

func checkConsistency(t *testing.T, tree *Tree, ref *testonly.Tree, from, to uint64) {
	t.Helper()
	got, err := tree.Consistency(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ref.ConsistencyProof(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(hashes(want), got); d != "" {
		t.Fatalf("consistency of %d and %d: (-want +got)\n%s", from, to, d)
	}
	a := Checkpoint{Size: from, Root: Hash(ref.HashAt(from))}
	b := Checkpoint{Size: to, Root: Hash(ref.HashAt(to))}
	if err := VerifyConsistency(a, b, got); err != nil {
		t.Fatal(err)
	}
}

func TestTreeRefusesWhatItDoesNotHave(t *testing.T) {
	tree, _ := openTestTree(t, 10)
	ctx := t.Context()
	_, err1 := tree.Inclusion(ctx, 0, 11)
	_, err2 := tree.Inclusion(ctx, 10, 10)
	_, err3 := tree.Inclusion(ctx, 0, 0)
	_, err4 := tree.Consistency(ctx, 5, 11)
	_, err5 := tree.Consistency(ctx, 6, 5)
	_, err6 := tree.Root(ctx, 11)
	_, err7 := tree.Leaf(ctx, 10)
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if !errors.Is(err, ErrOutOfRange) {
			t.Errorf("question %d: %v, want ErrOutOfRange", i+1, err)
		}
	}
}

// A tree that grows under readers answers as if it stood still.
func TestTreeAdvancesUnderReaders(t *testing.T) {
	const size = 3000
	ref := reference(size)
	tree, store := openTestTree(t, 1)
	done := make(chan error)
	for reader := range uint64(3) {
		go func() {
			rng := rand.New(rand.NewPCG(reader, 0))
			for {
				n := tree.Edge().Size()
				index := rng.Uint64N(n)
				path, err := tree.Inclusion(context.Background(), index, n)
				if err == nil {
					err = VerifyInclusion(testLeaf(index), index, path, Checkpoint{Size: n, Root: Hash(ref.HashAt(n))})
				}
				if err != nil || n == size {
					done <- err
					return
				}
			}
		}()
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for n := uint64(1); n < size; {
		m := min(n+1+rng.Uint64N(40), size)
		tree.Edge().Append(testLeaves(1_000_000, 1_000_300)) // refused
		next, full := tree.Edge().Append(testLeaves(n, m))
		for _, f := range full {
			_ = f.Hashes()
		}
		tree.Advance(next, full)
		n = m
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	_ = store
}
