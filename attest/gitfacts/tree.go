package gitfacts

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
)

type treeEntry struct {
	mode, name string
	id         ID
}

const modeTree = "40000"

// key is what git sorts entries by: a folder as if its name ended in a slash.
func (e treeEntry) key() string {
	if e.mode == modeTree {
		return e.name + "/"
	}
	return e.name
}

// parseTree reads a raw tree object: sorted, distinct, sane names, known modes.
func parseTree(id ID, body []byte) ([]treeEntry, error) {
	idBytes := len(id) / 2
	bad := func(format string, args ...any) ([]treeEntry, error) {
		return nil, &Error{Object: id, Why: fmt.Sprintf("is no tree: "+format, args...)}
	}
	entries := make([]treeEntry, 0, len(body)/40+1)
	names := make(map[string]struct{}, len(body)/40+1)
	for len(body) > 0 {
		head, rest, ok := bytes.Cut(body, []byte{0})
		if !ok || len(rest) < idBytes {
			return bad("cut short")
		}
		mode, name, ok := strings.Cut(string(head), " ")
		if !ok || name == "" || strings.Contains(name, "/") || name == "." || name == ".." || strings.EqualFold(name, ".git") {
			return bad("entry %.80q", head)
		}
		switch mode {
		case modeTree, "100644", "100755", "100664", "120000", "160000":
		default:
			return bad("mode %.10q", mode)
		}
		if _, twice := names[name]; twice {
			return bad("%.80q is there twice", name)
		}
		names[name] = struct{}{}
		e := treeEntry{mode: mode, name: name, id: ID(hex.EncodeToString(rest[:idBytes]))}
		if n := len(entries); n > 0 && entries[n-1].key() >= e.key() {
			return bad("%.80q is out of order", name)
		}
		entries = append(entries, e)
		body = rest[idBytes:]
	}
	return entries, nil
}

// treeReader returns the entries of a tree; path is for messages.
type treeReader func(id ID, path string) ([]treeEntry, error)

// diffTrees lists the files that differ between two trees; an empty id stands
// for no tree. It reads every tree that differs, on both sides.
func diffTrees(a, b ID, read treeReader) ([]Path, error) {
	d := &differ{read: read}
	if err := d.dirs(a, b, "", 0); err != nil {
		return nil, err
	}
	sort.Slice(d.out, func(i, j int) bool { return d.out[i].Path < d.out[j].Path })
	return d.out, nil
}

type differ struct {
	read treeReader
	out  []Path
}

func (d *differ) dirs(a, b ID, prefix string, depth int) error {
	if a == b {
		return nil
	}
	if depth > 128 {
		return &Error{Path: prefix, Why: "is nested too deep"}
	}
	left, err := d.list(a, prefix)
	if err != nil {
		return err
	}
	right, err := d.list(b, prefix)
	if err != nil {
		return err
	}
	for len(left) > 0 || len(right) > 0 {
		var l, r treeEntry
		switch {
		case len(right) == 0 || len(left) > 0 && left[0].key() < right[0].key():
			l, left = left[0], left[1:]
		case len(left) == 0 || left[0].key() > right[0].key():
			r, right = right[0], right[1:]
		default:
			l, r, left, right = left[0], right[0], left[1:], right[1:]
		}
		if err := d.entry(l, r, prefix, depth); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) list(id ID, prefix string) ([]treeEntry, error) {
	if id == "" {
		return nil, nil
	}
	return d.read(id, prefix)
}

// entry compares two entries of one name and kind; either may be absent.
func (d *differ) entry(l, r treeEntry, prefix string, depth int) error {
	if l == r {
		return nil
	}
	path := prefix + l.name
	if l.name == "" {
		path = prefix + r.name
	}
	if l.mode == modeTree || r.mode == modeTree {
		return d.dirs(l.id, r.id, path+"/", depth+1)
	}
	d.out = append(d.out, Path{Path: path, OldMode: l.mode, NewMode: r.mode, OldID: l.id, NewID: r.id})
	return nil
}
