package tlog

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestHashHasOneSpelling(t *testing.T) {
	good := strings.Repeat("0f", 32)
	if h, err := ParseHash(good); err != nil || h.String() != good {
		t.Errorf("%s parses as %s, %v", good, h, err)
	}
	for _, bad := range []string{"", good[2:], good + "00", strings.ToUpper(good), " " + good[1:], "0x" + good[2:], good[1:] + "g"} {
		if h, err := ParseHash(bad); err == nil {
			t.Errorf("%q parses as %s", bad, h)
		}
	}
}

func TestTreeServesTheHashesThatWereAskedFor(t *testing.T) {
	tree, _ := openTestTree(t, 600)
	for _, c := range []struct {
		tile  Tile
		first uint64
	}{
		{Tile{0, 0, 256}, 0}, {Tile{0, 1, 256}, 256}, {Tile{0, 1, 7}, 256}, {Tile{0, 2, 88}, 512}, {Tile{0, 2, 1}, 512},
	} {
		got, err := tree.Tile(t.Context(), c.tile)
		if err != nil || len(got) != c.tile.Width*HashSize {
			t.Errorf("%+v: %d bytes, %v", c.tile, len(got), err)
			continue
		}
		for i := range c.tile.Width {
			if leaf := testLeaf(c.first + uint64(i)); !bytes.Equal(got[i*HashSize:(i+1)*HashSize], leaf[:]) {
				t.Fatalf("%+v: hash %d is not that of leaf %d", c.tile, i, c.first+uint64(i))
			}
		}
	}
	above, err := tree.Tile(t.Context(), Tile{1, 0, 2})
	root, err2 := tree.Root(t.Context(), 256)
	if err != nil || err2 != nil || !bytes.Equal(above[:HashSize], root[:]) {
		t.Errorf("tile of level 1: %x, %v, %v, want %s first", above, err, err2, root)
	}
	for _, none := range []Tile{
		{0, 2, 89}, {0, 2, 256}, {0, 3, 1}, {0, 1 << 60, 256}, {1, 0, 3}, {2, 0, 1}, {MaxTileLevel, 0, 1},
		{-1, 0, 1}, {-2, 0, 1}, {MaxTileLevel + 1, 0, 1}, {64, 0, 1}, {0, 0, 0}, {0, 0, -1}, {0, 0, 257},
	} {
		if _, err := tree.Tile(t.Context(), none); !errors.Is(err, ErrOutOfRange) {
			t.Errorf("%+v: %v, want ErrOutOfRange", none, err)
		}
	}
}

func TestTreeKnowsItsLeaves(t *testing.T) {
	tree, _ := openTestTree(t, 600)
	for _, i := range []uint64{0, 255, 256, 599} {
		if got, err := tree.Leaf(t.Context(), i); err != nil || got != testLeaf(i) {
			t.Errorf("leaf %d is %s, %v", i, got, err)
		}
	}
}
