package tlog

import (
	"bytes"
	"errors"
	"testing"
)

func entryBundle(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b []byte
	for _, e := range entries {
		var err error
		if b, err = AppendEntry(b, []byte(e)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestEntryBundleHasTheBytesOfItsSpecification(t *testing.T) {
	b := entryBundle(t, "one", "", "three")
	if want := "\x00\x03one\x00\x00\x00\x05three"; string(b) != want {
		t.Fatalf("%q, want %q", b, want)
	}
	got, err := ParseEntries(b, 3)
	if err != nil || len(got) != 3 || string(got[0]) != "one" || len(got[1]) != 0 || string(got[2]) != "three" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := AppendEntry(nil, make([]byte, MaxEntry)); err != nil {
		t.Errorf("the largest entry: %v", err)
	}
	if _, err := AppendEntry(nil, make([]byte, MaxEntry+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a larger one: %v", err)
	}
}

func TestEntryBundleThatIsCutOrTooLongIsRefused(t *testing.T) {
	good := entryBundle(t, "one", "two")
	if _, err := ParseEntries(good, 2); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := ParseEntries(good[:n], 2); !errors.Is(err, ErrBadTile) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	for name, c := range map[string]struct {
		bundle []byte
		width  int
		want   error
	}{
		"wider than asked":    {good, 1, ErrBadTile},
		"narrower than asked": {good, 3, ErrBadTile},
		"a byte behind":       {append(bytes.Clone(good), 0), 2, ErrBadTile},
		"no entries asked":    {nil, 0, ErrOutOfRange},
		"257 entries asked":   {good, 257, ErrOutOfRange},
	} {
		if _, err := ParseEntries(c.bundle, c.width); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add(entryBundle(f, "one", "", "three"), 3)
	f.Add([]byte{0}, 1)
	f.Fuzz(func(t *testing.T, bundle []byte, width int) {
		entries, err := ParseEntries(bundle, width)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			if again, err = AppendEntry(again, e); err != nil {
				t.Fatal(err)
			}
		}
		if len(entries) != width || !bytes.Equal(again, bundle) {
			t.Errorf("%x prints as %x", bundle, again)
		}
	})
}

// The tiles that TileAt names are those that a tree of that size serves, and no
// wider ones.
func TestTileAtNamesTheTilesOfATree(t *testing.T) {
	for _, size := range []uint64{0, 1, 255, 256, 257, 700} {
		tree, _ := openTestTree(t, size)
		for level := range 2 {
			for index := range uint64(4) {
				name := TileAt(size, level, index)
				if name.Width == 0 {
					if b, err := tree.Tile(t.Context(), Tile{level, index, 1}); err == nil {
						t.Errorf("size %d has a tile %d/%d of %d bytes", size, level, index, len(b))
					}
					continue
				}
				if _, err := tree.Tile(t.Context(), name); err != nil {
					t.Errorf("size %d: %v", size, err)
				}
				if name.Width < TileWidth {
					name.Width++
					if _, err := tree.Tile(t.Context(), name); err == nil {
						t.Errorf("size %d has a wider %s", size, TilePath(name))
					}
				}
			}
		}
		if got, want := TileAt(size, EntriesLevel, 0).Width, TileAt(size, 0, 0).Width; got != want {
			t.Errorf("size %d: entry bundle of %d, leaf tile of %d", size, got, want)
		}
	}
}
