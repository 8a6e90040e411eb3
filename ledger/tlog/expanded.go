package tlog

// expanded is a tile with the interior nodes below its root written out, so
// that a proof only copies: 256 hashes, then the 128 above them, and so on up to
// the root of the tile, 511 hashes in 16 KB. A node that is set never changes,
// so readers may use the nodes that they know to be set while the writer sets
// later ones.
type expanded [(2*TileWidth - 1) * HashSize]byte

// offset returns the place of the first node of a row; row 0 holds the tile's
// own hashes, row TileHeight the root.
func offset(row int) int { return 2*TileWidth - 2*TileWidth>>row }

// bytes returns the node at position i of a row. The caller must not change it.
func (x *expanded) bytes(row, i int) []byte {
	at := (offset(row) + i) * HashSize
	return x[at : at+HashSize : at+HashSize]
}

func (x *expanded) node(row, i int) Hash { return Hash(x.bytes(row, i)) }

// set puts hash i of the tile in place, and every node above that it completes.
// Hashes are set from left to right.
func (x *expanded) set(i int, h Hash) {
	copy(x.bytes(0, i), h[:])
	for row := 1; i&1 == 1; row++ {
		i >>= 1
		h := nodeHash(x.bytes(row-1, 2*i), x.bytes(row-1, 2*i+1))
		copy(x.bytes(row, i), h[:])
	}
}

// root returns the hash of the whole tile, when it is full.
func (x *expanded) root() Hash { return x.node(TileHeight, 0) }

// hashes returns the first n hashes of the tile, in the layout of tlog-tiles.
// The caller must not change them.
func (x *expanded) hashes(n int) []byte { return x[: n*HashSize : n*HashSize] }

// expand writes out a tile of up to 256 hashes.
func expand(tile []byte) *expanded {
	x := new(expanded)
	for i := range len(tile) / HashSize {
		x.set(i, Hash(tile[i*HashSize:(i+1)*HashSize]))
	}
	return x
}
