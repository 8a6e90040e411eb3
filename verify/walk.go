package verify

import (
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// walkAhead is how many commits of the chain are asked for at a time. What was
// asked for beyond the start is not used.
const walkAhead = 32

// walk follows first parents from To down to the first start below it. Only
// parents that raw objects prove are followed: no word of anybody's can leave a
// commit out.
func (g *gatherer) walk() error {
	out := g.out
	if out.To == "" {
		return nil
	}
	for id := out.To; ; {
		key := attest.SubjectKey("gitCommit", string(id))
		if _, asked := g.answers[key]; !asked {
			// The reviews of what was found so far come along, so that there is
			// work for everybody.
			if err := g.find(append(g.ahead(id), g.pending...)...); err != nil {
				return err
			}
			g.pending = nil
		}
		if id != out.To && g.isStart(id) {
			out.From = id
			break
		}
		step := Step{ID: id, Commit: out.commits[id], Evidence: g.about(key, "gitCommit", string(id))}
		if out.Range = append(out.Range, step); len(out.Range) > MaxWalk {
			return &LimitError{fmt.Sprintf("no start within %d commits below %s", MaxWalk, short(out.To)), MaxWalk}
		}
		g.noteReviews(step)
		if step.Commit == nil || len(step.Commit.Parents) == 0 {
			break
		}
		id = step.Commit.Parents[0]
	}
	slices.Reverse(out.Range)
	return g.gapStarts()
}

// gapStarts finds what allowed the commits where recorded gaps of the repository begin:
// whether a gap stands is for the policy to say, and it asks that.
func (g *gatherer) gapStarts() error {
	var keys []string
	for _, n := range g.out.chain.before(g.view.Size) {
		if n.Evidence == nil {
			continue
		}
		if p, ok := n.Evidence.statement.Predicate.(*attest.Gap); ok && p.Repository == g.out.Request.Repository {
			keys = append(keys, g.allowedKey(gitfacts.ID(p.From)))
		}
	}
	if err := g.find(keys...); err != nil {
		return err
	}
	for _, k := range keys {
		g.use(k)
	}
	return nil
}

// ahead lists the keys of a commit and of the first parents below it, as far as
// they are proven already and no baseline is reached: what speaks of them, and
// what allowed them here.
func (g *gatherer) ahead(id gitfacts.ID) []string {
	keys := make([]string, 0, 2*walkAhead)
	for n := range walkAhead {
		keys = append(keys, attest.SubjectKey("gitCommit", string(id)), g.allowedKey(id))
		c := g.out.commits[id]
		if c == nil || len(c.Parents) == 0 || n > 0 && slices.Contains(g.out.Request.Baselines, id) {
			break
		}
		id = c.Parents[0]
	}
	return keys
}

func (g *gatherer) allowedKey(id gitfacts.ID) string {
	return attest.AllowedKey(g.out.Request.Repository, g.out.Request.Environment, string(id))
}

// isStart says whether a range may begin at a commit: the policy says so, or the
// trusted service allowed just this commit into this environment and nobody with
// authority took that back.
func (g *gatherer) isStart(id gitfacts.ID) bool {
	out := g.out
	if slices.Contains(out.Request.Baselines, id) {
		out.FromBecause = "baseline"
		return true
	}
	for _, e := range g.of(g.allowedKey(id)) {
		d, ok := e.statement.Predicate.(*attest.Decision)
		if !ok || d.Verdict != "allow" || d.Repository != out.Request.Repository || d.Environment != out.Request.Environment || d.To != string(id) {
			continue
		}
		g.used[e.index] = true
		if _, revoked := out.revoked(e); revoked {
			continue
		}
		out.FromBecause, out.Allowed = fmt.Sprintf("allowed #%d", e.index), e
		return true
	}
	return false
}
