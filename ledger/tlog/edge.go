package tlog

import (
	"context"
	"fmt"
)

// edgeLevels is how many levels of tiles MaxSize entries have.
const edgeLevels = 8

// An Edge is the right edge of a growing tree: of each level the tile that is
// not full yet. It is all that is needed to append and to know the root. The
// zero Edge is the edge of the empty tree.
//
// An Edge is used like a slice with append: Append leaves it as it was and
// returns a longer one that shares memory with it. One may go back and append
// something else to the shorter one, which makes the longer one invalid.
// Reading an edge is safe while another goroutine appends to it.
type Edge struct {
	size  uint64
	tiles [edgeLevels]*expanded // nil where the width is 0
}

// A FullTile is a tile that an Append completed.
type FullTile struct {
	Level int
	Index uint64
	nodes *expanded
}

// Hashes returns the tile's 256 hashes, TileSize bytes in the layout of
// tlog-tiles. The caller must not change them.
func (t FullTile) Hashes() []byte { return t.nodes.hashes(TileWidth) }

// Size returns the number of leaves.
func (e Edge) Size() uint64 { return e.size }

// Append returns the edge with more leaves, and the tiles that they completed,
// each after the tiles below it. Hashes that go beyond MaxSize are a mistake of
// the caller's, and panic.
func (e Edge) Append(leaves []Hash) (Edge, []FullTile) {
	var full []FullTile
	if uint64(len(leaves)) > MaxSize-e.size {
		panic("tlog: tree is larger than MaxSize")
	}
	for _, h := range leaves {
		for level := 0; ; level++ {
			index := e.size >> (TileHeight * level)
			t := e.tiles[level]
			if t == nil {
				t = new(expanded)
				e.tiles[level] = t
			}
			at := int(index % TileWidth)
			t.set(at, h)
			if at != TileWidth-1 {
				break
			}
			full = append(full, FullTile{level, index / TileWidth, t})
			e.tiles[level], h = nil, t.root()
		}
		e.size++
	}
	return e, full
}

// Width returns how many hashes the tile at the right edge of a level has: 0 to
// 255. Its index is Size >> (8 × (level + 1)).
func (e Edge) Width(level int) int {
	return int(e.size >> (TileHeight * level) % TileWidth)
}

// Tile returns the hashes of the tile at the right edge of a level, 0 to 255 of
// them, in the layout of tlog-tiles. The caller must not change them.
func (e Edge) Tile(level int) []byte {
	if level < 0 || level >= edgeLevels || e.tiles[level] == nil {
		return nil
	}
	return e.tiles[level].hashes(e.Width(level))
}

// Root returns the Merkle tree hash of all leaves (RFC 6962 2.1): every hash of
// every tile at the edge goes into it.
func (e Edge) Root() Hash {
	if e.size == 0 {
		return EmptyRoot()
	}
	var root Hash
	first := true
	for level, t := range e.tiles {
		width := e.Width(level)
		for row := range TileHeight {
			if width>>row&1 == 0 {
				continue
			}
			node := t.bytes(row, width>>row-1)
			if first {
				root, first = Hash(node), false
			} else {
				root = nodeHash(node, root[:])
			}
		}
	}
	return root
}

// ReadTile reads a tile: a full one, or the one at the right edge, with exactly
// the hashes that the tree has there. The bytes are not changed afterwards by
// either side.
type ReadTile func(ctx context.Context, level int, index uint64) ([]byte, error)

// ReadEdge reads the edge of a tree of the given size from its tiles. The
// caller compares Root with a signed one: nothing else is checked here.
// An error of read is wrapped; a tile of another width is ErrBadTile.
func ReadEdge(ctx context.Context, size uint64, read ReadTile) (Edge, error) {
	e := Edge{size: size}
	if size > MaxSize {
		return Edge{}, fmt.Errorf("size %d: %w", size, ErrBadTile)
	}
	for level := range edgeLevels {
		width := e.Width(level)
		if width == 0 {
			continue
		}
		name := Tile{level, size >> (TileHeight * (level + 1)), width}
		b, err := read(ctx, level, name.Index)
		if err != nil {
			return Edge{}, fmt.Errorf("read %s: %w", TilePath(name), err)
		}
		if len(b) != width*HashSize {
			return Edge{}, fmt.Errorf("read %s: %d bytes: %w", TilePath(name), len(b), ErrBadTile)
		}
		e.tiles[level] = expand(b)
	}
	return e, nil
}
