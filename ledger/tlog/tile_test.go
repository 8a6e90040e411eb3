package tlog

import (
	"strings"
	"testing"
)

func TestTilePathsAreThoseOfTheSpecification(t *testing.T) {
	for path, tile := range map[string]Tile{
		"tile/0/000":                         {0, 0, 256},
		"tile/0/000.p/1":                     {0, 0, 1},
		"tile/0/x001/x234/067":               {0, 1234067, 256},
		"tile/0/x001/x234/067.p/255":         {0, 1234067, 255},
		"tile/1/999.p/128":                   {1, 999, 128},
		"tile/1/x001/000":                    {1, 1000, 256},
		"tile/5/x032/767":                    {5, 32767, 256},
		"tile/entries/000":                   {EntriesLevel, 0, 256},
		"tile/entries/x273/063.p/8":          {EntriesLevel, 273063, 8},
		"tile/0/x036/x028/x797/x018/963/967": {},
	} {
		got, err := ParseTilePath(path)
		if tile.Width == 0 {
			if err == nil {
				t.Errorf("%s is taken for %+v", path, got)
			}
			continue
		}
		if err != nil || got != tile || TilePath(tile) != path {
			t.Errorf("%s parses as %+v, %v; %+v prints as %s", path, got, err, tile, TilePath(tile))
		}
	}
}

func TestTilePathHasOneSpelling(t *testing.T) {
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile//000",
		"tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000/000", "tile/0/x000", "tile/0/001/000", "tile/0/x01/000",
		"tile/0/x001/x000", "tile/0/xx01/000", "tile/0/X001/000", "tile/00/000", "tile/01/000", "tile/6/000", "tile/63/000",
		"tile/-1/000", "tile/+1/000", "tile/0/-01", "tile/0/+01", "tile/0/1e2", "tile/0/０００",
		"tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/+1",
		"tile/0/000.p/1/", "tile/0/000.p/1.p/1", "tile/0/.p/1", "tile/8/0/000", "tile/data/000", "tile/entries", "tile/Entries/000",
		"tile/0/x036/x028/x797/x018/x963/x967", "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/5/x032/768",
		"tile/0/" + strings.Repeat("x000/", 100) + "000", "tile/0/000?", "tile/0/000#", "tile/0/%30%30%30", "tile/0/000\x00",
	} {
		if got, err := ParseTilePath(path); err == nil {
			t.Errorf("%q is taken for %+v", path, got)
		}
	}
}

func FuzzParseTilePath(f *testing.F) {
	for _, s := range []string{"tile/0/x001/x234/067.p/8", "tile/entries/000", "tile/5/x032/767", "tile/0/x036/x028/x797/x018/x963/967"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := ParseTilePath(path)
		if err != nil {
			return
		}
		if TilePath(tile) != path {
			t.Fatalf("%q prints as %q", path, TilePath(tile))
		}
		if tile.Width < 1 || tile.Width > TileWidth || tile.Level < EntriesLevel || tile.Level > MaxTileLevel {
			t.Fatalf("%q parses as %+v", path, tile)
		}
	})
}

func FuzzTilePath(f *testing.F) {
	f.Add(0, uint64(1234067), 256)
	f.Fuzz(func(t *testing.T, level int, index uint64, width int) {
		want := Tile{level, index, width}
		if level < EntriesLevel || level > MaxTileLevel || width < 1 || width > TileWidth ||
			index > MaxSize>>(TileHeight*(max(level, 0)+1)) {
			return
		}
		if got, err := ParseTilePath(TilePath(want)); err != nil || got != want {
			t.Fatalf("%+v prints as %s, which parses as %+v, %v", want, TilePath(want), got, err)
		}
	})
}
