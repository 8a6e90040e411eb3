package verify

import (
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// checkFacts derives the git facts of a change or an admission from the raw
// objects that it carries, and holds what it says against them. One
// without objects only claims: it passes, and has no facts.
func (v *Verifier) checkFacts(it *item) *Refusal {
	var told told
	switch p := it.statement.Predicate.(type) {
	case *attest.Change:
		told = toldByChange(p)
	case *attest.Admission:
		told = toldByAdmission(p)
	default:
		return nil
	}
	if len(told.objects) == 0 {
		return nil
	}
	told.tree = it.statement.Subjects[0].Digest["gitTree"]
	facts, err := gitfacts.Derive(told.base, told.head, told.objects)
	if err != nil {
		return refuse(BadFacts, "the raw objects do not prove %s..%s: %v", short(told.base), short(told.head), err)
	}
	if r := told.compare(facts); r != nil {
		return r
	}
	it.facts = facts
	return nil
}

// told is what a statement says about its range.
type told struct {
	base, head gitfacts.ID
	objects    []byte
	tree       string
	paths      []string
	parents    []string // of head; compared when told
	hasParents bool
}

func toldByChange(c *attest.Change) told {
	return told{base: gitfacts.ID(c.Base), head: gitfacts.ID(c.Head), objects: c.Objects, paths: c.Paths}
}

func toldByAdmission(a *attest.Admission) told {
	t := told{head: gitfacts.ID(a.Merged), objects: a.Objects, paths: a.Paths, parents: a.Parents, hasParents: true}
	if len(a.Parents) > 0 {
		t.base = gitfacts.ID(a.Parents[0])
	}
	return t
}

// compare names the first thing that was left out or invented.
func (t told) compare(f *gitfacts.Facts) *Refusal {
	if t.tree != "" && t.tree != string(f.HeadTree) {
		return refuse(BadFacts, "the statement says tree %s, and commit %s has %s", short(gitfacts.ID(t.tree)), short(f.Head), short(f.HeadTree))
	}
	if t.hasParents {
		head := f.Commits[0] // children stand before parents
		for _, c := range f.Commits {
			if c.ID == f.Head {
				head = c
			}
		}
		if !slices.EqualFunc(t.parents, head.Parents, func(s string, id gitfacts.ID) bool { return s == string(id) }) {
			return refuse(BadFacts, "the statement says parents %s, and commit %s has %s", t.parents, short(f.Head), head.Parents)
		}
	}
	return comparePaths(t.paths, f.PathNames())
}

// comparePaths walks two sorted lists.
func comparePaths(said, derived []string) *Refusal {
	for i := 0; i < len(said) || i < len(derived); i++ {
		switch {
		case i == len(said) || i < len(derived) && derived[i] < said[i]:
			return refuse(BadFacts, "path %.200q was left out: the raw objects show that it changes", derived[i])
		case i == len(derived) || said[i] < derived[i]:
			return refuse(BadFacts, "path %.200q was invented: the raw objects show no change to it", said[i])
		}
	}
	return nil
}

func short(id gitfacts.ID) string { return string(id[:min(len(id), 12)]) }
