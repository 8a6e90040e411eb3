package tlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A probe is one way to spoil a proof; it returns false where the case has
// nothing to spoil.
type probe struct {
	leaf  Hash
	index uint64
	path  []Hash
	cp    Checkpoint
}

func (p probe) verify() error { return VerifyInclusion(p.leaf, p.index, p.path, p.cp) }

// inclusionProbes are rows H01 to H07 of the attacks.
var inclusionProbes = map[string]func(p *probe){
	"another leaf":            func(p *probe) { p.leaf[7] ^= 4 },
	"the root as leaf":        func(p *probe) { p.leaf = p.cp.Root },
	"index + 1":               func(p *probe) { p.index++ },
	"index - 1":               func(p *probe) { p.index-- },
	"index xor 2":             func(p *probe) { p.index ^= 2 },
	"index = size":            func(p *probe) { p.index = p.cp.Size },
	"index 2^63":              func(p *probe) { p.index |= 1 << 63 },
	"index 2^64-1":            func(p *probe) { p.index = 1<<64 - 1 },
	"size of zero":            func(p *probe) { p.cp.Size = 0 },
	"size 2^63":               func(p *probe) { p.cp.Size |= 1 << 63 },
	"another root":            func(p *probe) { p.cp.Root[0] ^= 128 },
	"empty root":              func(p *probe) { p.cp.Root = EmptyRoot() },
	"a trailing root":         func(p *probe) { p.path = append(p.path, p.cp.Root) },
	"a trailing hash":         func(p *probe) { p.path = append(p.path, Hash{}) },
	"a preceding leaf":        func(p *probe) { p.path = append([]Hash{p.leaf}, p.path...) },
	"a preceding root":        func(p *probe) { p.path = append([]Hash{p.cp.Root}, p.path...) },
	"thousands of hashes":     func(p *probe) { p.path = make([]Hash, 5000) },
	"the first hash removed":  func(p *probe) { p.path = p.path[1:] },
	"the last hash removed":   func(p *probe) { p.path = p.path[:len(p.path)-1] },
	"the first hash doubled":  func(p *probe) { p.path = append(p.path[:1:1], p.path...) },
	"the hashes turned round": func(p *probe) { slices.Reverse(p.path) },
	"no hashes":               func(p *probe) { p.path = nil },
}

func TestSpoiledInclusionProofsAreRefused(t *testing.T) {
	const size = 700
	tree, _ := openTestTree(t, size)
	rng := rand.New(rand.NewPCG(11, 12))
	for range 300 {
		n := 1 + rng.Uint64N(size)
		good := probe{index: rng.Uint64N(n), cp: Checkpoint{Size: n}}
		good.leaf = testLeaf(good.index)
		good.cp.Root, _ = tree.Root(t.Context(), n)
		good.path, _ = tree.Inclusion(t.Context(), good.index, n)
		if err := good.verify(); err != nil {
			t.Fatal(err)
		}
		for name, spoil := range inclusionProbes {
			refuseInclusion(t, name, good, spoil)
		}
		for i := range good.path {
			refuseInclusion(t, fmt.Sprintf("hash %d flipped", i), good, func(p *probe) {
				p.path[i][rng.IntN(HashSize)] ^= 1 << rng.IntN(8)
			})
		}
		// A node on the way is not a leaf of a smaller tree (row H06).
		if len(good.path) > 0 && good.index+1 < n && good.index%2 == 0 {
			refuseInclusion(t, "node as leaf", good, func(p *probe) {
				p.leaf = nodeHash(p.leaf[:], p.path[0][:])
				p.index, p.path, p.cp.Size = p.index/2, p.path[1:], (n+1)/2
				p.cp.Root = Hash{} // also with the right root of that tree, which nobody signs
			})
		}
	}
}

func refuseInclusion(t *testing.T, name string, good probe, spoil func(*probe)) {
	t.Helper()
	bad := good
	bad.path = slices.Clone(good.path)
	if len(bad.path) == 0 && (name == "the first hash removed" || name == "the last hash removed" || name == "the first hash doubled") {
		return
	}
	spoil(&bad)
	if bad.leaf == good.leaf && bad.index == good.index && bad.cp == good.cp && slices.Equal(bad.path, good.path) {
		return // nothing to spoil here
	}
	if err := bad.verify(); !errors.Is(err, ErrBadProof) {
		t.Fatalf("%s: leaf %d of %d: %v, want ErrBadProof", name, good.index, good.cp.Size, err)
	}
}

// A proof made for one size is refused for another, except where both sizes give
// the leaf the same path to the same root, which cannot be.
func TestProofIsForOneSize(t *testing.T) {
	const size = 300
	tree, _ := openTestTree(t, size)
	rng := rand.New(rand.NewPCG(13, 14))
	for range 2000 {
		a, b := 1+rng.Uint64N(size), 1+rng.Uint64N(size)
		if a == b {
			continue
		}
		index := rng.Uint64N(min(a, b))
		path, _ := tree.Inclusion(t.Context(), index, a)
		root, _ := tree.Root(t.Context(), b)
		if err := VerifyInclusion(testLeaf(index), index, path, Checkpoint{Size: b, Root: root}); !errors.Is(err, ErrBadProof) {
			t.Fatalf("leaf %d of %d with the proof for %d: %v", index, b, a, err)
		}
	}
}

func TestSpoiledConsistencyProofsAreRefused(t *testing.T) {
	const size = 700
	tree, _ := openTestTree(t, size)
	at := func(n uint64) Checkpoint {
		root, err := tree.Root(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return Checkpoint{Origin: "log.example", Size: n, Root: root}
	}
	rng := rand.New(rand.NewPCG(15, 16))
	for range 300 {
		n := 2 + rng.Uint64N(size-1)
		m := 1 + rng.Uint64N(n-1)
		from, to := at(m), at(n)
		path, _ := tree.Consistency(t.Context(), m, n)
		if err := VerifyConsistency(from, to, path); err != nil {
			t.Fatal(err)
		}
		refuse := func(name string, from, to Checkpoint, path []Hash) {
			t.Helper()
			if err := VerifyConsistency(from, to, path); !errors.Is(err, ErrBadProof) {
				t.Fatalf("%s: %d and %d: %v, want ErrBadProof", name, m, n, err)
			}
		}
		for i := range path {
			bad := slices.Clone(path)
			bad[i][rng.IntN(HashSize)] ^= 1 << rng.IntN(8)
			refuse(fmt.Sprintf("hash %d flipped", i), from, to, bad)
			refuse(fmt.Sprintf("hash %d removed", i), from, to, slices.Delete(slices.Clone(path), i, i+1))
			refuse(fmt.Sprintf("hash %d doubled", i), from, to, slices.Insert(slices.Clone(path), i, path[i]))
		}
		refuse("a trailing root", from, to, append(slices.Clone(path), to.Root))
		refuse("a preceding root", from, to, append([]Hash{from.Root}, path...))
		refuse("no hashes", from, to, nil)
		refuse("thousands of hashes", from, to, make([]Hash, 5000))
		refuse("backwards", to, from, path)
		other := from
		other.Root[0] ^= 1
		refuse("another old root", other, to, path)
		other = to
		other.Root[0] ^= 1
		refuse("another new root", from, other, path)
		other = to
		other.Size |= 1 << 63
		refuse("2^63 entries", from, other, path)
		other = to
		other.Origin = "other.example"
		refuse("another log", from, other, path)
	}
}

// Rows H18 and H27 of the attacks.
func TestConsistencyOfEmptyAndEqualTrees(t *testing.T) {
	tree, _ := openTestTree(t, 9)
	root, _ := tree.Root(t.Context(), 9)
	empty, full := Checkpoint{Root: EmptyRoot()}, Checkpoint{Size: 9, Root: root}
	lie := Checkpoint{Size: 9, Root: Hash{1}}
	for _, c := range []struct {
		what     string
		from, to Checkpoint
		path     []Hash
		ok       bool
	}{
		{"from empty", empty, full, nil, true},
		{"from empty, with a hash", empty, full, []Hash{root}, false},
		{"from what is not empty", Checkpoint{Root: root}, full, nil, false},
		{"empty to empty", empty, empty, nil, true},
		{"equal", full, full, nil, true},
		{"equal, with a hash", full, full, []Hash{root}, false},
		{"the same size, another root", full, lie, nil, false},
	} {
		if err := VerifyConsistency(c.from, c.to, c.path); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBadProof) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestReceiptsAreCheckedWhole(t *testing.T) {
	s := testSigner("log.example", "a")
	tree, store := openTestTree(t, 500)
	sign := func(s *Signer, size uint64) []byte {
		root, _ := tree.Root(t.Context(), size)
		return []byte(mustSign(t, s, Checkpoint{Origin: s.Origin(), Size: size, Root: root}))
	}
	path, _ := tree.Inclusion(t.Context(), 321, store.edge.Size())
	good := Receipt{LogID: s.Verifier().LogID(), Index: 321, Checkpoint: sign(s, 500), Proof: path}
	if cp, err := VerifyReceipt(s.Verifier(), testLeaf(321), &good); err != nil || cp.Size != 500 {
		t.Fatalf("%+v, %v", cp, err)
	}
	other := testSigner("log.example", "b")
	for what, c := range map[string]struct {
		change func(r *Receipt)
		want   error
	}{
		"another log's id":      {func(r *Receipt) { r.LogID = other.Verifier().LogID() }, ErrBadCheckpoint},
		"another log's note":    {func(r *Receipt) { r.Checkpoint = sign(other, 500) }, ErrBadCheckpoint},
		"no note":               {func(r *Receipt) { r.Checkpoint = nil }, ErrBadCheckpoint},
		"the note of a smaller": {func(r *Receipt) { r.Checkpoint = sign(s, 400) }, ErrBadProof},
		"another index":         {func(r *Receipt) { r.Index = 320 }, ErrBadProof},
		"no proof":              {func(r *Receipt) { r.Proof = nil }, ErrBadProof},
	} {
		r := good
		c.change(&r)
		if _, err := VerifyReceipt(s.Verifier(), testLeaf(321), &r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if _, err := VerifyReceipt(s.Verifier(), testLeaf(322), &good); !errors.Is(err, ErrBadProof) {
		t.Errorf("another leaf: %v", err)
	}
}

// Row H28 of the attacks, from the side of who makes proofs.
func TestTilesThatWereChangedAreRefused(t *testing.T) {
	const size = 66_000
	tree, store := openTestTree(t, size)
	cp := Checkpoint{Size: size, Root: tree.Edge().Root()}
	for what, change := range map[string]func(b []byte) []byte{
		"one bit":      func(b []byte) []byte { b[4000] ^= 1; return b },
		"too narrow":   func(b []byte) []byte { return b[:len(b)-HashSize] },
		"too wide":     func(b []byte) []byte { return append(b, b[:HashSize]...) },
		"not whole":    func(b []byte) []byte { return b[:len(b)-1] },
		"empty":        func(b []byte) []byte { return nil },
		"its neighbor": func(b []byte) []byte { return slices.Clone(store.full[tileKey{0, 8}]) },
	} {
		for _, spoiled := range []tileKey{{0, 7}, {1, 0}} {
			tree, err := OpenTree(t.Context(), cp, 16, func(ctx context.Context, level int, index uint64) ([]byte, error) {
				b, err := store.read(ctx, level, index)
				if (tileKey{level, index}) == spoiled {
					b = change(slices.Clone(b))
				}
				return b, err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tree.Inclusion(t.Context(), 7*256+5, size); !errors.Is(err, ErrBadTile) {
				t.Errorf("%s in tile %v: %v, want ErrBadTile", what, spoiled, err)
			}
		}
	}
}

func FuzzVerifyInclusion(f *testing.F) {
	var e Edge
	e, _ = e.Append(testLeaves(0, 50))
	f.Add(uint64(3), uint64(50), make([]byte, 6*HashSize))
	f.Add(uint64(49), uint64(50), make([]byte, 3*HashSize))
	f.Add(uint64(0), uint64(1), []byte{})
	f.Fuzz(func(t *testing.T, index, size uint64, b []byte) {
		var path []Hash
		for ; len(b) >= HashSize; b = b[HashSize:] {
			path = append(path, Hash(b[:HashSize]))
		}
		// Nobody finds a proof for a leaf that is in no tree.
		if VerifyInclusion(Hash{1}, index, path, Checkpoint{Size: size, Root: e.Root()}) == nil {
			t.Fatalf("a proof of nothing: %d of %d, %x", index, size, path)
		}
		if size > 0 && VerifyConsistency(Checkpoint{Size: size, Root: Hash{1}}, Checkpoint{Size: index, Root: e.Root()}, path) == nil {
			t.Fatalf("a consistency of nothing: %d and %d, %x", size, index, path)
		}
	})
}
