package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// tiles are the hash tiles of a log: those in the state folder first, then the
// log's. None is believed; tlog.Tree holds each against the checkpoint's root.
//
// What is fetched waits in a folder of its own until the whole step has held: the
// tiles of a log that forks must not take the place of those that convict it.
type tiles struct {
	dir    string
	source Source // nil: only what is in the state folder
	fresh  bool   // pass over what the state folder has
	used   bool   // something came from the state folder
}

// at reads the tiles of a tree of a size, as tlog.OpenTree wants them.
func (t *tiles) at(size uint64) tlog.ReadTile {
	return func(ctx context.Context, level int, index uint64) ([]byte, error) {
		want := tlog.TileAt(size, level, index)
		if want.Width == 0 {
			return nil, fmt.Errorf("a tree of %d entries has no tile %d/%d: %w", size, level, index, tlog.ErrOutOfRange)
		}
		if b := t.kept(want); b != nil {
			t.used = true
			return b, nil
		}
		if t.source == nil {
			return nil, fmt.Errorf("the state folder has no %s: %w", tlog.TilePath(want), fs.ErrNotExist)
		}
		b, err := t.source.Tile(ctx, want)
		if err != nil {
			return nil, err
		}
		return b, t.keep(want, b)
	}
}

// kept returns a tile that is there already, cut to the width that is asked, or nil.
func (t *tiles) kept(want tlog.Tile) []byte {
	if t.fresh {
		return nil
	}
	n := want.Width * tlog.HashSize
	folders := []string{tilesFolder}
	if t.source != nil {
		folders = []string{freshFolder, tilesFolder}
	}
	for _, folder := range folders {
		full := t.path(folder, want)
		for _, path := range []string{full, edgeOf(full)} {
			if b, err := readLimited(path, tlog.TileSize); err == nil && len(b) >= n {
				return b[:n]
			}
		}
	}
	return nil
}

// keep writes a tile among the fresh ones. It is a copy of what anybody can ask the
// log for, so it is not synced.
func (t *tiles) keep(name tlog.Tile, b []byte) error {
	path := t.path(freshFolder, name)
	if name.Width < tlog.TileWidth {
		path = edgeOf(path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep tile: %w", err)
	}
	if err := writeWhole(path, b, func(*os.File) error { return nil }); err != nil {
		return fmt.Errorf("keep tile: %w", err)
	}
	return nil
}

// drop forgets the fresh tiles.
func (t *tiles) drop() error { return os.RemoveAll(filepath.Join(t.dir, freshFolder)) }

// settle puts the fresh tiles among the others. A crash in between harms nothing:
// those that have moved are of a log that continues the remembered one.
func (t *tiles) settle() error {
	from := filepath.Join(t.dir, freshFolder)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(t.dir, tilesFolder, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.Rename(path, to); err != nil {
			return err
		}
		// A full tile ends the partial one; where this is partial, there is none such.
		if err := os.Remove(edgeOf(to)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep tiles: %w", err)
	}
	return t.drop()
}

// path is where a full tile is below a folder: 0/x001/067, as C2SP tlog-tiles
// spells it.
func (t *tiles) path(folder string, name tlog.Tile) string {
	name.Width = tlog.TileWidth
	spelled := strings.TrimPrefix(tlog.TilePath(name), "tile/")
	return filepath.Join(t.dir, folder, filepath.FromSlash(spelled))
}

// edgeOf is where the widest partial tile that was seen is, of a full one's path.
func edgeOf(path string) string { return path + ".p" }
