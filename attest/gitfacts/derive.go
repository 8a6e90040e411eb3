package gitfacts

import (
	"fmt"
	"slices"
)

// Derive reads the facts of Base..Head from raw objects alone, and believes
// nothing else. Every commit of the range must be there, and its history must
// close: each parent is there too, or is Base, or an ancestor of Base that the
// objects prove. Every tree that differs must be there on both sides. An object
// that nothing reaches is an error, so that a blob has one meaning.
//
// base is empty for a root commit. Errors are of type *Error.
func Derive(base, head ID, blob []byte) (*Facts, error) {
	if !validID(head) || base != "" && (!validID(base) || len(base) != len(head)) || base == head {
		return nil, &Error{Why: fmt.Sprintf("%.64q..%.64q is no range of commits", base, head)}
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	set, err := decode(blob, len(head), buffer)
	if err != nil {
		return nil, err
	}
	w := &walker{set: set, commits: make(map[ID]*Commit)}
	f := &Facts{Base: base, Head: head}
	if base != "" {
		if err := w.ancestors(base); err != nil {
			return nil, err
		}
		f.BaseTree = w.commits[base].Tree
		f.Ancestors = w.order
	}
	if f.Commits, err = w.history(head); err != nil {
		return nil, err
	}
	f.HeadTree = w.commits[head].Tree
	if f.Paths, err = diffTrees(f.BaseTree, f.HeadTree, maxDerivedEntries, w.tree); err != nil {
		return nil, err
	}
	if id, ok := set.unused(); ok {
		return nil, &Error{Object: id, Why: "is there, and nothing reaches it"}
	}
	return f, nil
}

// walker parses each commit once.
type walker struct {
	set     *objectSet
	commits map[ID]*Commit // parsed, by id; those of order and of history
	order   []Commit       // Base, then what leads away from it
}

func (w *walker) commit(id ID) (*Commit, bool, error) {
	body, ok := w.set.take(id, "commit")
	if !ok {
		return nil, false, nil
	}
	c, err := parseCommit(id, body)
	if err != nil {
		return nil, false, err
	}
	w.commits[id] = &c
	return &c, true, nil
}

// ancestors walks from base as far as the objects reach.
func (w *walker) ancestors(base ID) error {
	queue := []ID{base}
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		if w.commits[id] != nil {
			continue
		}
		c, ok, err := w.commit(id)
		if err != nil {
			return err
		}
		if !ok {
			if id == base {
				return &Error{Object: base, Why: "is the base, and is missing"}
			}
			continue
		}
		w.order = append(w.order, *c)
		queue = append(queue, c.Parents...)
	}
	return nil
}

// history returns the commits of head that are no ancestors of base, children
// before parents. All of them must be there.
func (w *walker) history(head ID) ([]Commit, error) {
	if w.commits[head] != nil {
		return nil, &Error{Object: head, Why: "is the head, and an ancestor of the base"}
	}
	type frame struct {
		c    *Commit
		next int
	}
	enter := func(id, child ID) (*Commit, error) {
		c, ok, err := w.commit(id)
		if err != nil {
			return nil, err
		}
		if !ok && child == "" {
			return nil, &Error{Object: id, Why: "is the head, and is missing"}
		}
		if !ok {
			return nil, &Error{Object: id, Why: fmt.Sprintf("is a parent of %s and is missing: a commit was left out", short(child))}
		}
		return c, nil
	}
	first, err := enter(head, "")
	if err != nil {
		return nil, err
	}
	var done []Commit
	for stack := []frame{{c: first}}; len(stack) > 0; {
		top := &stack[len(stack)-1]
		if top.next == len(top.c.Parents) {
			done = append(done, *top.c)
			stack = stack[:len(stack)-1]
			continue
		}
		parent := top.c.Parents[top.next]
		top.next++
		if w.commits[parent] != nil {
			continue
		}
		c, err := enter(parent, top.c.ID)
		if err != nil {
			return nil, err
		}
		stack = append(stack, frame{c: c})
	}
	slices.Reverse(done)
	return done, nil
}

// tree is a treeReader over the objects.
func (w *walker) tree(id ID, path string) ([]treeEntry, error) {
	body, ok := w.set.take(id, "tree")
	if !ok {
		return nil, &Error{Object: id, Path: path, Why: "differs between base and head, and its tree is missing: a path was left out"}
	}
	return parseTree(id, body)
}

// PathNames lists the names of the paths, sorted.
func (f *Facts) PathNames() []string {
	names := make([]string, len(f.Paths))
	for i, p := range f.Paths {
		names[i] = p.Path
	}
	return names
}
