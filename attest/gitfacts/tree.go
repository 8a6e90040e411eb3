package gitfacts

import (
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// treeEntry is one entry of a tree. Its texts share the tree's bytes.
type treeEntry struct {
	mode, name string
	raw        string // the id in binary
}

const modeTree = "40000"

func (e treeEntry) isTree() bool { return e.mode == modeTree }

// id is empty for the zero entry.
func (e treeEntry) id() ID { return ID(hex.EncodeToString([]byte(e.raw))) }

// before reports whether e stands before o in git's order, which takes a folder's
// name as if it ended in a slash.
func (e treeEntry) before(o treeEntry) bool {
	n := min(len(e.name), len(o.name))
	if c := strings.Compare(e.name[:n], o.name[:n]); c != 0 {
		return c < 0
	}
	return e.byteAt(n) < o.byteAt(n)
}

// byteAt is the i-th byte of the name, of its slash, or zero behind it.
func (e treeEntry) byteAt(i int) byte {
	switch {
	case i < len(e.name):
		return e.name[i]
	case i == len(e.name) && e.isTree():
		return '/'
	}
	return 0
}

// parseTree reads a raw tree object: sorted, distinct, sane names, known modes.
func parseTree(id ID, body []byte) ([]treeEntry, error) {
	idBytes := len(id) / 2
	bad := func(format string, args ...any) ([]treeEntry, error) {
		return nil, &Error{Object: id, Why: fmt.Sprintf("is no tree: "+format, args...)}
	}
	entries := make([]treeEntry, 0, len(body)/36+1)
	for rest := string(body); len(rest) > 0; {
		end := strings.IndexByte(rest, 0)
		if end < 0 || len(rest) < end+1+idBytes {
			return bad("cut short")
		}
		mode, name, ok := strings.Cut(rest[:end], " ")
		if !ok || name == "" || strings.Contains(name, "/") || name == "." || name == ".." || strings.EqualFold(name, ".git") {
			return bad("entry %.80q", rest[:end])
		}
		switch mode {
		case modeTree, "100644", "100755", "100664", "120000", "160000":
		default:
			return bad("mode %.10q", mode)
		}
		e := treeEntry{mode: mode, name: name, raw: rest[end+1 : end+1+idBytes]}
		if n := len(entries); n > 0 && !entries[n-1].before(e) {
			return bad("%.80q is out of order or there twice", name)
		}
		if e.isTree() && hasFile(entries, name) {
			return bad("%.80q is there as a file and as a folder", name)
		}
		entries = append(entries, e)
		rest = rest[end+1+idBytes:]
	}
	return entries, nil
}

// hasFile looks for a file of this name; a folder of the same name would stand
// further down in git's order.
func hasFile(entries []treeEntry, name string) bool {
	_, found := slices.BinarySearchFunc(entries, treeEntry{name: name}, func(e, want treeEntry) int {
		switch {
		case e.before(want):
			return -1
		case want.before(e):
			return 1
		}
		return 0
	})
	return found
}

// treeReader returns the entries of a tree; path is for messages.
type treeReader func(id ID, path string) ([]treeEntry, error)

// Bounds of one comparison. Honest trees within MaxObjects hold fewer than 20,000
// entries; a few hundred bytes of trees that name each other again and again
// would stand for millions of files. What a statement cannot list is no fact.
const (
	maxDerivedEntries = 1 << 16 // read from the objects of a statement
	maxReadEntries    = 1 << 22 // read from a repository
	maxPath           = 4096    // bytes of one path, as package attest has it
	maxPaths          = 1 << 20 // bytes of all paths
)

// diffTrees lists the files that differ between two trees; an empty id stands
// for no tree. It reads every tree that differs, on both sides, and no more
// than the given number of entries.
func diffTrees(a, b ID, entries int, read treeReader) ([]Path, error) {
	d := &differ{read: read, entries: entries, bytes: maxPaths}
	if err := d.dirs(a, b, "", 0); err != nil {
		return nil, err
	}
	sort.Slice(d.out, func(i, j int) bool { return d.out[i].Path < d.out[j].Path })
	return d.out, nil
}

type differ struct {
	read    treeReader
	entries int // that may still be read
	bytes   int // of paths that may still be listed
	out     []Path
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
		case len(right) == 0 || len(left) > 0 && left[0].before(right[0]):
			l, left = left[0], left[1:]
		case len(left) == 0 || right[0].before(left[0]):
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
	entries, err := d.read(id, prefix)
	if err != nil {
		return nil, err
	}
	if d.entries -= len(entries) + 1; d.entries < 0 {
		return nil, &Error{Object: id, Path: prefix, Why: "stands for more entries than can be compared"}
	}
	return entries, nil
}

// entry compares two entries of one name and kind; either may be absent.
func (d *differ) entry(l, r treeEntry, prefix string, depth int) error {
	if l == r {
		return nil
	}
	name := max(l.name, r.name) // the same on both sides, or empty on one
	if len(prefix)+len(name) > maxPath {
		return &Error{Path: prefix, Why: fmt.Sprintf("holds a path longer than %d bytes", maxPath)}
	}
	path := prefix + name
	if l.isTree() || r.isTree() {
		return d.dirs(l.id(), r.id(), path+"/", depth+1)
	}
	if d.bytes -= len(path); d.bytes < 0 {
		return &Error{Why: fmt.Sprintf("the paths that differ have more than %d bytes", maxPaths)}
	}
	if !utf8.ValidString(path) {
		return &Error{Path: path, Why: "is not UTF-8, and no statement can name it"}
	}
	d.out = append(d.out, Path{Path: path, OldMode: l.mode, NewMode: r.mode, OldID: l.id(), NewID: r.id()})
	return nil
}
