package policy

import (
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/verify"
)

// maxRange bounds the commits of one release: what verify walks.
const maxRange = verify.MaxWalk

// start is a commit that is trusted as it is: the owners said so, or it was
// allowed here before.
type start struct {
	because string
	by      *item // nil for a baseline, and for a gap
	gap     *gap
}

// starts lists the commits where a range may begin for this repository and environment.
func (j *judge) starts() map[gitfacts.ID]start {
	out := make(map[gitfacts.ID]start)
	r := &j.in.Request
	for _, b := range j.in.Set.Baselines {
		if b.Repository == r.Repository && b.Environment == r.Environment || !j.on(checkStartScope) {
			out[gitfacts.ID(b.Commit)] = start{because: "baseline"}
		}
	}
	for i := range j.decisions {
		it := &j.decisions[i]
		p, ok := it.Statement().Predicate.(*attest.Decision)
		if !ok || p.Plan != "" || p.Verdict != string(Allow) || j.on(checkStartScope) && (p.Repository != r.Repository || p.Environment != r.Environment) {
			continue
		}
		if _, known := out[gitfacts.ID(p.To)]; known {
			continue
		}
		if j.revoked(*it) {
			j.ignore(*it, Revoked, "", "was taken back")
			continue
		}
		out[gitfacts.ID(p.To)] = start{because: fmt.Sprintf("allowed #%d", it.Index()), by: it}
	}
	j.startsAfterGaps(out)
	return out
}

// findRange walks down the first-parent chain, over commits that their own hashes
// prove, to the nearest trusted start strictly below the commit. The
// nearest one is enough: what lies below it was judged then.
func (j *judge) findRange() {
	starts := j.starts()
	if len(starts) == 0 {
		j.deny(NoBaseline, "nothing of %s was allowed into %s yet, and the policy has no baseline for it", j.in.Request.Repository, j.in.Request.Environment)
		return
	}
	if _, ok := starts[j.to]; ok && !j.on(checkStartBelow) {
		j.d.Core.From = string(j.to)
		return
	}
	for id := j.to; ; {
		c, ok := j.in.Gathered.Commit(id)
		if !ok {
			j.deny(NoChange, "commit %s is in the range, and nothing proves it: no change or admission carries it", short(id))
			return
		}
		if j.commits = append(j.commits, c); len(j.commits) > maxRange {
			j.deny(verify.TooLarge, "the range has more than %d commits", maxRange)
			return
		}
		if len(c.Parents) == 0 {
			j.deny(NoBaseline, "the history of %s ends at %s without meeting a baseline or an allowed release", short(j.to), short(id))
			return
		}
		id = c.Parents[0]
		if s, ok := starts[id]; ok {
			j.begin(id, s)
			return
		}
	}
}

// begin sets the start and puts the commits in order, oldest first.
func (j *judge) begin(from gitfacts.ID, s start) {
	slices.Reverse(j.commits)
	j.d.Core.From, j.d.Core.FromBecause = string(from), s.because
	if s.by != nil {
		j.cite(*s.by, "start of the range")
	}
	if s.gap != nil {
		j.showGap(s.gap)
	}
	j.below = make(map[gitfacts.ID]bool)
	j.reach(from, j.below)
}

// reach adds to into everything that the history of id is proven to hold, id included.
// Commits that nothing proves are
// added by their ids: their child names them.
func (j *judge) reach(id gitfacts.ID, into map[gitfacts.ID]bool) {
	for queue := []gitfacts.ID{id}; len(queue) > 0; {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if into[id] {
			continue
		}
		into[id] = true
		if c, ok := j.in.Gathered.Commit(id); ok {
			queue = append(queue, c.Parents...)
		}
	}
}

// closure is a piece of history above a set of ancestors.
type closure struct {
	commits []*gitfacts.Commit
	closed  bool        // every commit down to the ancestors is proven
	meets   gitfacts.ID // set when the commit asked for is a parent of one of them, or the top itself
}

// above returns what is reachable from id and not below. It is closed when all of
// it is proven, down to commits that are proven ancestors of the target.
func (j *judge) above(id, target gitfacts.ID) closure {
	out := closure{closed: true}
	seen := make(map[gitfacts.ID]bool)
	for queue := []gitfacts.ID{id}; len(queue) > 0; {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if id == target {
			out.meets = target
		}
		if seen[id] || j.below[id] {
			continue
		}
		seen[id] = true
		c, ok := j.in.Gathered.Commit(id)
		if !ok {
			if j.on(checkBase) {
				out.closed = false
			}
			continue
		}
		out.commits = append(out.commits, c)
		queue = append(queue, c.Parents...)
	}
	return out
}
