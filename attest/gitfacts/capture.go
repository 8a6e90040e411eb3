package gitfacts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxAncestors bounds how many commits prove that a base lies on the target, and
// maxSearched how many are looked at to find the shortest way there.
const (
	maxAncestors = 512
	maxSearched  = 16 << 10
)

// Change collects the objects that prove base..head. When they exceed
// MaxObjects the blob is nil, and the facts, read from the repository, can only
// be claimed.
func (r *Repo) Change(ctx context.Context, base, head ID) ([]byte, *Facts, error) {
	return r.capture(ctx, base, head, "")
}

// Admitted collects the objects that prove a merged commit against its first
// parent, and that the base of the reviewed head is an ancestor of that parent.
func (r *Repo) Admitted(ctx context.Context, merged, reviewedBase ID) ([]byte, *Facts, error) {
	c, err := r.Commit(ctx, merged)
	if err != nil {
		return nil, nil, err
	}
	base := ID("")
	if len(c.Parents) > 0 {
		base = c.Parents[0]
	}
	blob, facts, err := r.capture(ctx, base, merged, reviewedBase)
	if err == nil && blob == nil && reviewedBase != "" {
		// The way to the base may be what is too long. Proven facts without it
		// are worth more than claimed ones with it.
		return r.capture(ctx, base, merged, "")
	}
	return blob, facts, err
}

// capture collects objects and then derives the facts from them, so that what
// is sent has been believed here first.
func (r *Repo) capture(ctx context.Context, base, head, reach ID) ([]byte, *Facts, error) {
	c := &collector{repo: r, seen: make(map[ID]bool)}
	if err := c.history(ctx, base, head, reach); err != nil {
		return nil, nil, err
	}
	var baseTree, headTree ID
	var err error
	if base != "" {
		if baseTree, err = c.treeOf(ctx, base); err != nil {
			return nil, nil, err
		}
	}
	if headTree, err = c.treeOf(ctx, head); err != nil {
		return nil, nil, err
	}
	paths, err := diffTrees(baseTree, headTree, maxReadEntries, func(id ID, _ string) ([]treeEntry, error) { return c.tree(ctx, id) })
	if err != nil {
		return nil, nil, err
	}
	blob, err := Encode(c.objects)
	if errors.Is(err, ErrTooLarge) {
		return nil, &Facts{Base: base, Head: head, BaseTree: baseTree, HeadTree: headTree, Commits: c.commits, Paths: paths}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	facts, err := Derive(base, head, blob)
	if err != nil {
		return nil, nil, fmt.Errorf("derive %s..%s: %w", short(base), short(head), err)
	}
	return blob, facts, nil
}

type collector struct {
	repo    *Repo
	seen    map[ID]bool
	objects []Object
	commits []Commit
}

func (c *collector) add(ctx context.Context, id ID, typ string) ([]byte, error) {
	body, err := c.repo.object(ctx, id, typ)
	if err != nil {
		return nil, err
	}
	if !c.seen[id] {
		c.seen[id] = true
		c.objects = append(c.objects, Object{Type: typ, Body: body})
	}
	return body, nil
}

func (c *collector) commit(ctx context.Context, id ID) (Commit, error) {
	body, err := c.add(ctx, id, "commit")
	if err != nil {
		return Commit{}, err
	}
	return parseCommit(id, body)
}

func (c *collector) treeOf(ctx context.Context, commit ID) (ID, error) {
	co, err := c.repo.Commit(ctx, commit)
	return co.Tree, err
}

func (c *collector) tree(ctx context.Context, id ID) ([]treeEntry, error) {
	body, err := c.add(ctx, id, "tree")
	if err != nil {
		return nil, err
	}
	return parseTree(id, body)
}

// history adds the commits of base..head, base itself, and those that prove the
// commits on the edge, and reach, to be ancestors of base.
func (c *collector) history(ctx context.Context, base, head, reach ID) error {
	list, err := c.repo.straight(ctx, base, head)
	if err != nil {
		return err
	}
	if list == nil {
		args := []string{"rev-list", "--topo-order", string(head)}
		if base != "" {
			args = append(args, "^"+string(base))
		}
		out, err := c.repo.git(ctx, args...)
		if err != nil {
			return fmt.Errorf("list %s..%s: %w", short(base), short(head), err)
		}
		list = ids(out)
	}
	if len(list) == 0 {
		return fmt.Errorf("%s..%s holds no commit", short(base), short(head))
	}
	var edge []ID
	for _, id := range list {
		co, err := c.commit(ctx, id)
		if err != nil {
			return err
		}
		c.commits = append(c.commits, co)
		edge = append(edge, co.Parents...)
	}
	edge = slices.DeleteFunc(edge, func(id ID) bool { return c.seen[id] })
	if reach != "" {
		edge = append(edge, reach)
	}
	if base == "" {
		return nil
	}
	return c.pathsTo(ctx, base, edge)
}

// maxStraight bounds how far straight walks before it leaves the question to git.
const maxStraight = 64

// straight lists base..head, the newest first, where it is one line without merges, which
// it mostly is, and saves a process. It returns nil for anything else.
func (r *Repo) straight(ctx context.Context, base, head ID) ([]ID, error) {
	var list []ID
	for id := head; len(list) < maxStraight; {
		if id == base {
			return list, nil
		}
		co, err := r.Commit(ctx, id)
		if err != nil {
			return nil, err
		}
		list = append(list, id)
		if len(co.Parents) != 1 {
			return nil, nil
		}
		id = co.Parents[0]
	}
	return nil, nil
}

// fork finds where two straight lines of commits part, by walking back on both in turn.
// Everything that either comes from lies on its line, so the first commit that both have
// is their one merge base. It returns "" where a merge or the limit comes first.
func (r *Repo) fork(ctx context.Context, a, b ID) (ID, error) {
	ends, seen := [2]ID{a, b}, [2]map[ID]bool{{}, {}}
	for range maxStraight {
		for side := range ends {
			id := ends[side]
			if seen[side][id] = true; seen[1-side][id] {
				return id, nil
			}
		}
		for side := range ends {
			co, err := r.Commit(ctx, ends[side])
			if err != nil {
				return "", err
			}
			if len(co.Parents) != 1 {
				return "", nil
			}
			ends[side] = co.Parents[0]
		}
	}
	return "", nil
}

// pathsTo adds, for each target, the commits of a shortest path from base to it.
// Targets that are out of reach are left out: what rests on them then cannot be
// proven, and Derive or the verifier says so.
func (c *collector) pathsTo(ctx context.Context, base ID, targets []ID) error {
	child := map[ID]ID{base: ""}
	missing := make(map[ID]bool)
	for _, t := range targets {
		missing[t] = t != base
	}
	queue := []ID{base}
	for n := 0; len(queue) > 0 && n < maxSearched; n++ {
		if !slices.ContainsFunc(targets, func(t ID) bool { return missing[t] }) {
			break
		}
		id := queue[0]
		queue = queue[1:]
		co, err := c.repo.Commit(ctx, id)
		if err != nil {
			return err
		}
		for _, p := range co.Parents {
			if _, known := child[p]; !known {
				child[p] = id
				queue = append(queue, p)
				missing[p] = false
			}
		}
	}
	if _, err := c.commit(ctx, base); err != nil {
		return err
	}
	for _, t := range targets {
		for _, id := range wayTo(child, t) {
			if _, err := c.commit(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// wayTo lists the commits from target up to the base, whose child is "". It is
// empty when the target was not reached or lies too far away.
func wayTo(child map[ID]ID, target ID) []ID {
	var way []ID
	for id := target; id != ""; {
		next, ok := child[id]
		if !ok || len(way) > maxAncestors {
			return nil
		}
		way, id = append(way, id), next
	}
	return way
}

// HeadRef fills a pattern such as "refs/pull/{id}/head".
func HeadRef(pattern, changeID string) string {
	return strings.ReplaceAll(pattern, "{id}", changeID)
}
