package gitfacts

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Notes are the git notes of one ref, such as refs/notes/ai: texts that stand beside
// commits. Nothing ties a note to its commit but the name under which the notes' tree
// holds it, nobody signs it, and whoever may push the ref can change it. It can
// therefore only ever add a suspicion.
type Notes struct {
	// Ref is the ref that they were read from, and Commit what it pointed to.
	Ref    string
	Commit ID

	repo  *Repo
	root  ID
	trees map[ID][]treeEntry
}

// A Note is the text that one commit has.
type Note struct {
	ID   ID // of its blob
	Text []byte
}

// Notes opens the notes of a ref. The error is ErrNotFound where there are none.
func (r *Repo) Notes(ctx context.Context, ref string) (*Notes, error) {
	if !strings.HasPrefix(ref, "refs/") {
		return nil, fmt.Errorf("notes %.80q: not the full name of a ref, such as refs/notes/ai: %w", ref, ErrNotFound)
	}
	id, err := r.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	c, err := r.Commit(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref, err)
	}
	return &Notes{Ref: ref, Commit: id, repo: r, root: c.Tree, trees: make(map[ID][]treeEntry)}, nil
}

// maxNote is the largest note that is taken, in bytes.
const maxNote = 4 << 20

// Of returns the notes of a commit. Git writes one; a tree made by hand may hold
// more under other fan-outs, and then all of them are returned. A note of more than
// 4 MiB is an error that is ErrLimit.
func (n *Notes) Of(ctx context.Context, commit ID) ([]Note, error) {
	blobs, err := n.find(ctx, n.root, string(commit))
	if err != nil {
		return nil, fmt.Errorf("look for a note of %s in %s: %w", short(commit), n.Ref, err)
	}
	var out []Note
	for _, id := range blobs {
		text, err := n.repo.object(ctx, id, "blob")
		if errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("note of %s in %s: %w; run: git fetch origin %s:%s", short(commit), n.Ref, err, n.Ref, n.Ref)
		}
		if err == nil && len(text) > maxNote {
			err = fmt.Errorf("object %s has %d bytes; the limit is %d bytes: %w", short(id), len(text), maxNote, ErrLimit)
		}
		if err != nil {
			return nil, fmt.Errorf("note of %s in %s: %w", short(commit), n.Ref, err)
		}
		out = append(out, Note{ID: id, Text: text})
	}
	return out, nil
}

// find looks for the rest of a commit's name in a tree: whole, or behind a folder
// that is named for its next two digits.
func (n *Notes) find(ctx context.Context, tree ID, rest string) ([]ID, error) {
	entries, ok := n.trees[tree]
	if !ok {
		body, err := n.repo.object(ctx, tree, "tree")
		if err != nil {
			return nil, err
		}
		if entries, err = parseTree(tree, body); err != nil {
			return nil, err
		}
		n.trees[tree] = entries
	}
	var found []ID
	for _, e := range entries {
		switch {
		case e.name == rest && !e.isTree():
			found = append(found, e.id())
		case e.isTree() && len(e.name) == 2 && len(rest) > 2 && e.name == rest[:2]:
			below, err := n.find(ctx, e.id(), rest[2:])
			if err != nil {
				return nil, err
			}
			found = append(found, below...)
		}
	}
	return found, nil
}
