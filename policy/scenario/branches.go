package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// layout makes commits of a story's git steps.
type layout struct {
	commits []*commit
	trees   map[string]map[string]file // of each label
	onMain  map[string]bool
	tip     string // of main
}

// layOut makes the repository: first a base commit, then what the story says.
func (t *teller) layOut(steps []step) error {
	l := &layout{trees: make(map[string]map[string]file), onMain: map[string]bool{"base": true}, tip: "base"}
	l.add(&commit{label: "base", author: "dave", committer: "dave", message: "Begin\n"}, []file{{"src/base.go", "100644", "base"}, {"docs/a.md", "100644", "a"}})
	for i := range steps {
		s := &steps[i]
		switch s.verb {
		case "commit":
			parent := s.opt("parent", "base")
			l.add(l.written(s, parent), l.files(s))
		case "push":
			l.add(l.written(s, s.opt("parent", l.tip)), l.files(s))
			l.advance(s.arg(0))
		case "squash", "merge":
			if err := l.merge(s); err != nil {
				return fmt.Errorf("line %d: %w", s.line, err)
			}
		}
	}
	var err error
	t.history, err = openHistory(l.commits)
	return err
}

func (l *layout) advance(label string) {
	l.tip = label
	l.onMain[label] = true
}

// written is the commit of a step "commit LABEL AUTHOR PATH…".
func (l *layout) written(s *step, parent string) *commit {
	c := &commit{label: s.arg(0), author: s.arg(1), parents: []string{parent}}
	c.committer = s.opt("committer", c.author)
	c.message = s.opt("message", "Change "+c.label) + " (#" + number(c.label) + ")\n"
	c.message += trailersOf(s)
	return c
}

func trailersOf(s *step) string {
	var b strings.Builder
	for _, who := range strings.Split(s.opts["coauthor"], ",") {
		if who != "" {
			b.WriteString("\nCo-authored-by: " + address(who))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return b.String() + "\n"
}

// number is the digits of a label: h12 and m12 belong to change 12.
func number(label string) string {
	from := strings.IndexAny(label, "0123456789")
	if from < 0 {
		return label
	}
	rest := label[from:]
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

func (l *layout) files(s *step) []file {
	var out []file
	for _, p := range s.args[min(2, len(s.args)):] {
		f := file{p, s.opt("mode", "100644"), s.opt("content", s.arg(0)+" "+p)}
		if rest, ok := strings.CutPrefix(p, "!"); ok {
			f = file{path: rest, mode: "delete"}
		}
		out = append(out, f)
	}
	return out
}

// add puts a commit on its parents, and remembers its tree.
func (l *layout) add(c *commit, files []file) {
	tree := make(map[string]file)
	if len(c.parents) > 0 {
		maps.Copy(tree, l.trees[c.parents[0]])
	}
	for _, f := range files {
		if f.mode == "delete" {
			delete(tree, f.path)
		} else {
			tree[f.path] = f
		}
	}
	c.files = files
	l.trees[c.label] = tree
	l.commits = append(l.commits, c)
}

// merge is "squash LABEL of=HEAD" or "merge LABEL of=HEAD". Its tree is that of
// main with what the head changed, and with extra=PATH something beyond; with
// theirs=yes it is the head's own tree, whatever happened on main.
func (l *layout) merge(s *step) error {
	head, onto := s.opts["of"], s.opt("onto", l.tip)
	h := l.find(head)
	if h == nil {
		return fmt.Errorf("no head %q", head)
	}
	c := &commit{label: s.arg(0), author: s.opt("author", h.author), committer: s.opt("committer", "forge"), parents: []string{onto}, head: head}
	c.message = "Merge change (#" + number(head) + ")\n" + trailersOf(s)
	if s.verb == "merge" {
		c.parents = append(c.parents, head)
	}
	var files []file
	if s.has("theirs") {
		for path := range l.trees[onto] {
			if _, kept := l.trees[head][path]; !kept {
				files = append(files, file{path: path, mode: "delete"})
			}
		}
		files = append(files, slices.Collect(maps.Values(l.trees[head]))...)
		slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	} else {
		for p := h; p != nil && !l.onMain[p.label]; p = l.find(p.parents[0]) {
			files = append(slices.Clone(p.files), files...)
		}
	}
	if extra := s.opts["extra"]; extra != "" {
		files = append(files, file{extra, "100644", "extra"})
	}
	l.add(c, files)
	if !s.has("aside") {
		l.advance(c.label)
	}
	return nil
}

func (l *layout) find(label string) *commit {
	for _, c := range l.commits {
		if c.label == label {
			return c
		}
	}
	return nil
}
