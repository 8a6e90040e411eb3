package tlog

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// big returns a tree of synthetic leaves, with its tiles, made once.
func big(b *testing.B, size uint64, remember int) (*Tree, Edge) {
	b.Helper()
	bigMu.Lock()
	defer bigMu.Unlock()
	store := bigTrees[size]
	if store == nil {
		store = &tiles{full: map[tileKey][]byte{}}
		store.growTo(size)
		clear(bigTrees) // one at a time: ten million leaves are 640 MB with their nodes
		bigTrees[size] = store
	}
	cp := Checkpoint{Size: size, Root: store.edge.Root()}
	tree, err := OpenTree(b.Context(), cp, remember, store.read)
	if err != nil {
		b.Fatal(err)
	}
	return tree, store.edge
}

var (
	bigMu    sync.Mutex
	bigTrees = map[uint64]*tiles{}
)

// growTo appends synthetic leaf hashes, and keeps of each tile only its hashes.
func (s *tiles) growTo(size uint64) {
	leaves := make([]Hash, 0, 4096)
	for s.edge.Size() < size {
		leaves = leaves[:0]
		for i := s.edge.Size(); i < size && len(leaves) < cap(leaves); i++ {
			leaves = append(leaves, syntheticLeaf(i))
		}
		next, full := s.edge.Append(leaves)
		for _, f := range full {
			s.full[tileKey{f.Level, f.Index}] = append([]byte(nil), f.Hashes()...)
		}
		s.edge = next
	}
}

func syntheticLeaf(i uint64) Hash {
	var h Hash
	for k := range 8 {
		h[k] = byte(i >> (8 * k))
	}
	return h
}

// warm asks once for a proof through every tile of level 0.
func warm(b *testing.B, tree *Tree, size uint64) {
	b.Helper()
	for i := uint64(0); i < size; i += TileWidth {
		if _, err := tree.Inclusion(b.Context(), i, size); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInclusionWarm(b *testing.B) {
	const size = 1_000_000
	tree, _ := big(b, size, DefaultTiles)
	warm(b, tree, size)
	ctx := b.Context()
	b.Run("one goroutine", func(b *testing.B) {
		b.ReportAllocs()
		rng := rand.New(rand.NewPCG(1, 1))
		for b.Loop() {
			if _, err := tree.Inclusion(ctx, rng.Uint64N(size), size); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, "proofs/s")
	})
	b.Run("all cores", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
			for pb.Next() {
				if _, err := tree.Inclusion(ctx, rng.Uint64N(size), size); err != nil {
					b.Error(err)
				}
			}
		})
		perSecond(b, "proofs/s")
	})
}

func perSecond(b *testing.B, unit string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit)
}

func BenchmarkInclusionAtEarlierSizes(b *testing.B) {
	const size = 1_000_000
	tree, _ := big(b, size, DefaultTiles)
	warm(b, tree, size)
	rng := rand.New(rand.NewPCG(2, 2))
	for b.Loop() {
		n := 1 + rng.Uint64N(size)
		if _, err := tree.Inclusion(b.Context(), rng.Uint64N(n), n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConsistencyWarm(b *testing.B) {
	const size = 1_000_000
	tree, _ := big(b, size, DefaultTiles)
	warm(b, tree, size)
	rng := rand.New(rand.NewPCG(3, 3))
	for b.Loop() {
		if _, err := tree.Consistency(b.Context(), 1+rng.Uint64N(size), size); err != nil {
			b.Fatal(err)
		}
	}
}

// Every proof reads tiles, expands and checks them: nothing is remembered but
// the 16 tiles used last.
func BenchmarkInclusionCold(b *testing.B) {
	const size = 1_000_000
	tree, _ := big(b, size, 16)
	rng := rand.New(rand.NewPCG(4, 4))
	for b.Loop() {
		if _, err := tree.Inclusion(b.Context(), rng.Uint64N(size), size); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyInclusion(b *testing.B) {
	const size = 1_000_000
	tree, edge := big(b, size, DefaultTiles)
	cp := Checkpoint{Size: size, Root: edge.Root()}
	path, err := tree.Inclusion(b.Context(), 654_321, size)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := VerifyInclusion(syntheticLeaf(654_321), 654_321, path, cp); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyConsistency(b *testing.B) {
	const size, old = 1_000_000, 765_432
	tree, edge := big(b, size, DefaultTiles)
	root, err := tree.Root(b.Context(), old)
	if err != nil {
		b.Fatal(err)
	}
	path, err := tree.Consistency(b.Context(), old, size)
	if err != nil {
		b.Fatal(err)
	}
	from, to := Checkpoint{Size: old, Root: root}, Checkpoint{Size: size, Root: edge.Root()}
	for b.Loop() {
		if err := VerifyConsistency(from, to, path); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 256} {
		b.Run(fmt.Sprintf("batches of %d", n), func(b *testing.B) {
			leaves := testLeaves(0, uint64(n))
			e, _ := Edge{}.Append(testLeaves(0, 77_777))
			b.ReportAllocs()
			for b.Loop() {
				e, _ = e.Append(leaves)
				e.Root()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/leaf")
		})
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	s := testSigner("log.example", "a")
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			mustSign(b, s, testCheckpoint)
		}
	})
	msg := []byte(mustSign(b, s, testCheckpoint))
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Verifier().Open(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open again", func(b *testing.B) {
		v := s.Verifier()
		for b.Loop() {
			if _, err := v.Open(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Ten million synthetic leaves: built, opened from their tiles, and proven.
func BenchmarkTenMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("half a gigabyte")
	}
	const size = 10_000_000
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			store := &tiles{full: map[tileKey][]byte{}}
			store.growTo(size)
		}
		b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
	})
	b.Run("open", func(b *testing.B) {
		big(b, size, DefaultTiles)
		for b.Loop() {
			big(b, size, DefaultTiles)
		}
	})
	b.Run("prove", func(b *testing.B) {
		tree, _ := big(b, size, DefaultTiles)
		rng := rand.New(rand.NewPCG(6, 6))
		for b.Loop() {
			if _, err := tree.Inclusion(b.Context(), rng.Uint64N(size), size); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, "proofs/s")
	})
}
