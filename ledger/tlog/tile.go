package tlog

import (
	"fmt"
	"strconv"
	"strings"
)

// Tiles are 8 levels of the tree high: C2SP tlog-tiles knows no other height.
const (
	TileHeight = 8
	TileWidth  = 1 << TileHeight // hashes in a full tile
	TileSize   = TileWidth * HashSize
	// MaxTileLevel is the highest level that C2SP tlog-tiles can spell; its
	// tiles cover 2^48 entries.
	MaxTileLevel = 5
	// EntriesLevel stands in a Tile for an entry bundle, which holds the
	// entries themselves instead of hashes: "tile/entries/…".
	EntriesLevel = -1
)

// MaxSize is the largest size of a tree, in entries.
const MaxSize = 1<<63 - 1

// A Tile names a tile of C2SP tlog-tiles. Level 0 holds leaf hashes, and each
// hash at the next level is the root of a full tile below. Width is the number
// of hashes: TileWidth for a full tile, 1 to 255 for one at the right edge.
type Tile struct {
	Level int // 0 to MaxTileLevel, or EntriesLevel
	Index uint64
	Width int
}

// TileAt returns the tile of a tree of the given size at a level and index, as
// wide as it is there: full, or the one at the right edge. Width is 0 where the
// tree has no such tile. An entry bundle (EntriesLevel) is as wide as the tile of
// its leaf hashes.
func TileAt(size uint64, level int, index uint64) Tile {
	have := size >> (TileHeight * max(level, 0)) // complete hashes at the level
	t := Tile{Level: level, Index: index}
	switch at := have / TileWidth; {
	case index < at:
		t.Width = TileWidth
	case index == at:
		t.Width = int(have % TileWidth)
	}
	return t
}

// TilePath spells a tile as C2SP tlog-tiles does, for example "tile/0/x001/067"
// or, partial, "tile/1/004.p/8".
func TilePath(t Tile) string {
	b := append(make([]byte, 0, 48), "tile/"...)
	if t.Level == EntriesLevel {
		b = append(b, "entries"...)
	} else {
		b = strconv.AppendInt(b, int64(t.Level), 10)
	}
	b = appendTileIndex(append(b, '/'), t.Index)
	if t.Width != TileWidth {
		b = strconv.AppendInt(append(b, ".p/"...), int64(t.Width), 10)
	}
	return string(b)
}

// appendTileIndex spells an index in groups of three digits; all but the last
// begin with an x.
func appendTileIndex(b []byte, index uint64) []byte {
	if index >= 1000 {
		b = appendTileGroups(b, index/1000)
	}
	return fmt.Appendf(b, "%03d", index%1000)
}

func appendTileGroups(b []byte, index uint64) []byte {
	if index >= 1000 {
		b = appendTileGroups(b, index/1000)
	}
	return fmt.Appendf(b, "x%03d/", index%1000)
}

// ParseTilePath reads what TilePath writes, and nothing else: one tile has one
// spelling. The error quotes at most the first 80 bytes of the path.
func ParseTilePath(path string) (Tile, error) {
	t, ok := parseTilePath(path)
	if !ok || TilePath(t) != path {
		return Tile{}, fmt.Errorf("%.80q is not the path of a tile", path)
	}
	return t, nil
}

func parseTilePath(path string) (Tile, bool) {
	t := Tile{Width: TileWidth}
	rest, ok := strings.CutPrefix(path, "tile/")
	level, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || len(path) > 64 {
		return t, false
	}
	if level == "entries" {
		t.Level = EntriesLevel
	} else if n, err := strconv.ParseUint(level, 10, 8); err == nil && n <= MaxTileLevel {
		t.Level = int(n)
	} else {
		return t, false
	}
	if index, width, partial := strings.Cut(rest, ".p/"); partial {
		n, err := strconv.ParseUint(width, 10, 8)
		if err != nil || n == 0 {
			return t, false
		}
		t.Width, rest = int(n), index
	}
	t.Index, ok = parseTileIndex(rest)
	return t, ok && t.Index <= MaxSize>>(TileHeight*(max(t.Level, 0)+1))
}

// parseTileIndex reads groups of three digits. It leaves it to the caller to
// compare with the canonical spelling, but never overflows.
func parseTileIndex(s string) (uint64, bool) {
	var index uint64
	for group := range strings.SplitSeq(s, "/") {
		n, err := strconv.ParseUint(strings.TrimPrefix(group, "x"), 10, 16)
		if err != nil || n > 999 || index > MaxSize/1000-1 {
			return 0, false
		}
		index = index*1000 + n
	}
	return index, true
}
