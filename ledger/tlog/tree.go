package tlog

import (
	"context"
	"fmt"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// A Tree proves things about a log from its tiles, for the size it has and every
// smaller one. Any number of goroutines may ask while one advances it.
//
// No tile is believed: the edge led to a signed root when the tree was opened, and a
// full tile is used only when its root is the hash that the tile above, checked
// before in the same way, has for it. So a proof that leaves is right.
type Tree struct {
	read  ReadTile
	edge  atomic.Pointer[Edge]
	tiles *lru.Cache[tileKey, *expanded] // full and checked
}

type tileKey struct {
	level int
	index uint64
}

// DefaultTiles is a good number of tiles to remember: 64 MiB, every tile of a
// log of a million entries.
const DefaultTiles = 4096

// OpenTree reads the edge of the tree of a checkpoint that the caller has
// verified, and compares its root. It remembers up to the given number of tiles,
// at least 16, in 16 KiB each. A tree that has another root is ErrBadTile.
func OpenTree(ctx context.Context, cp Checkpoint, tiles int, read ReadTile) (*Tree, error) {
	edge, err := ReadEdge(ctx, cp.Size, read)
	if err != nil {
		return nil, err
	}
	if root := edge.Root(); root != cp.Root {
		return nil, fmt.Errorf("tiles of %d entries lead to root %s, the checkpoint says %s: %w", cp.Size, root, cp.Root, ErrBadTile)
	}
	cache, err := lru.New[tileKey, *expanded](max(tiles, 16))
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	t := &Tree{read: read, tiles: cache}
	t.edge.Store(&edge)
	return t, nil
}

// Edge returns the right edge of the tree, for the next Append.
func (t *Tree) Edge() Edge { return *t.edge.Load() }

// Advance makes the tree as large as next, which is Edge().Append(…) with the
// tiles that it filled. Only one goroutine may do so.
func (t *Tree) Advance(next Edge, full []FullTile) {
	for _, f := range full {
		t.tiles.Add(tileKey{f.Level, f.Index}, f.nodes)
	}
	t.edge.Store(&next)
}

// Inclusion returns the path from the leaf at index to the root of the tree of
// the first size entries (RFC 6962 2.1.1). An index or size that the tree does
// not have is ErrOutOfRange.
func (t *Tree) Inclusion(ctx context.Context, index, size uint64) ([]Hash, error) {
	edge := t.edge.Load()
	if size > edge.size || index >= size {
		return nil, fmt.Errorf("inclusion of leaf %d in %d of %d entries: %w", index, size, edge.size, ErrOutOfRange)
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("inclusion of leaf %d in %d entries: %w", index, size, err)
	}
	return t.path(ctx, edge, nodes)
}

// Consistency returns the proof that the tree of the first from entries is the
// beginning of the tree of the first to entries (RFC 6962 2.1.2). Sizes that the
// tree does not have, or from > to, are ErrOutOfRange.
func (t *Tree) Consistency(ctx context.Context, from, to uint64) ([]Hash, error) {
	edge := t.edge.Load()
	if to > edge.size || from > to {
		return nil, fmt.Errorf("consistency of %d and %d of %d entries: %w", from, to, edge.size, ErrOutOfRange)
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, fmt.Errorf("consistency of %d and %d entries: %w", from, to, err)
	}
	return t.path(ctx, edge, nodes)
}

// Root returns the Merkle tree hash of the first size entries.
func (t *Tree) Root(ctx context.Context, size uint64) (Hash, error) {
	edge := t.edge.Load()
	if size > edge.size {
		return Hash{}, fmt.Errorf("root of %d of %d entries: %w", size, edge.size, ErrOutOfRange)
	}
	if size == 0 {
		return EmptyRoot(), nil
	}
	ids := compact.RangeNodes(0, size, nil)
	r := reader{tree: t, edge: edge}
	root, err := r.node(ctx, ids[len(ids)-1])
	for i := len(ids) - 2; i >= 0 && err == nil; i-- {
		var left Hash
		left, err = r.node(ctx, ids[i])
		root = nodeHash(left[:], root[:])
	}
	return root, err
}

// Leaf returns the leaf hash at index; ErrOutOfRange when there is none.
func (t *Tree) Leaf(ctx context.Context, index uint64) (Hash, error) {
	edge := t.edge.Load()
	if index >= edge.size {
		return Hash{}, fmt.Errorf("leaf %d of %d entries: %w", index, edge.size, ErrOutOfRange)
	}
	r := reader{tree: t, edge: edge}
	return r.node(ctx, compact.NewNodeID(0, index))
}

// Tile returns exactly the hashes that a tile's name asks for, checked, in the
// layout of tlog-tiles; ErrOutOfRange while the tree has fewer, or where a tree
// has no such tile. The caller must not change them.
func (t *Tree) Tile(ctx context.Context, name Tile) ([]byte, error) {
	edge := t.edge.Load()
	if name.Level < 0 || name.Level > MaxTileLevel || name.Width < 1 || name.Width > TileWidth {
		return nil, fmt.Errorf("level %d, width %d: %w", name.Level, name.Width, ErrOutOfRange)
	}
	have := edge.size >> (TileHeight * name.Level) // complete hashes at the level
	if name.Index > have/TileWidth || name.Index*TileWidth+uint64(name.Width) > have {
		return nil, fmt.Errorf("%s of %d entries: %w", TilePath(name), edge.size, ErrOutOfRange)
	}
	x, err := t.tile(ctx, edge, name.Level, name.Index)
	if err != nil {
		return nil, err
	}
	return x.hashes(name.Width), nil
}

// path collects the nodes of a proof. The nodes from begin to end are not in the
// proof themselves: they make up one that no tile has yet.
func (t *Tree) path(ctx context.Context, edge *Edge, nodes proof.Nodes) ([]Hash, error) {
	_, begin, end := nodes.Ephem()
	path := make([]Hash, 0, len(nodes.IDs))
	r := reader{tree: t, edge: edge}
	for i, id := range nodes.IDs {
		h, err := r.node(ctx, id)
		if err != nil {
			return nil, err
		}
		if i > begin && i < end {
			last := &path[len(path)-1]
			*last = nodeHash(h[:], last[:])
			continue
		}
		path = append(path, h)
	}
	return path, nil
}

// A reader looks up the nodes of one proof. Neighbours in a proof are mostly in
// one tile, so it keeps the last one.
type reader struct {
	tree *Tree
	edge *Edge
	key  tileKey
	tile *expanded
}

// node returns a node that is complete in the tree.
func (r *reader) node(ctx context.Context, id compact.NodeID) (Hash, error) {
	level, row := int(id.Level/TileHeight), int(id.Level%TileHeight)
	key := tileKey{level, id.Index >> (TileHeight - row)}
	if r.tile == nil || r.key != key {
		x, err := r.tree.tile(ctx, r.edge, level, key.index)
		if err != nil {
			return Hash{}, err
		}
		r.key, r.tile = key, x
	}
	return r.tile.node(row, int(id.Index-key.index<<(TileHeight-row))), nil
}

// tile returns a tile that was checked: from the edge, from memory, or read now
// and compared with the tile above it.
func (t *Tree) tile(ctx context.Context, edge *Edge, level int, index uint64) (*expanded, error) {
	if index == edge.size>>(TileHeight*(level+1)) {
		return edge.tiles[level], nil
	}
	if x, ok := t.tiles.Get(tileKey{level, index}); ok {
		return x, nil
	}
	name := Tile{level, index, TileWidth}
	b, err := t.read(ctx, level, index)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", TilePath(name), err)
	}
	if len(b) != TileSize {
		return nil, fmt.Errorf("read %s: %d bytes: %w", TilePath(name), len(b), ErrBadTile)
	}
	x := expand(b)
	above, err := t.tile(ctx, edge, level+1, index/TileWidth)
	if err != nil {
		return nil, err
	}
	if want := above.node(0, int(index%TileWidth)); x.root() != want {
		return nil, fmt.Errorf("read %s: its root is %s, the tile above says %s: %w", TilePath(name), x.root(), want, ErrBadTile)
	}
	t.tiles.Add(tileKey{level, index}, x)
	return x, nil
}
