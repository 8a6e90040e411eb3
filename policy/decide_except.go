package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
)

// hold holds a rule against a change, and looks for an exception where it fails. What is
// in audit mode needs none.
func (j *judge) hold(r *Rule, st *study) Finding {
	closed, open := st.closed, len(st.open)
	f := j.apply(r, st)
	if f.Held || f.Audit {
		return f
	}
	e := j.exception(r, st)
	if e == nil {
		return f
	}
	st.closed, st.open = closed, st.open[:open]
	if until := e.Until; j.excepted.IsZero() || until.Before(j.excepted) {
		j.excepted = until
	}
	why := fmt.Sprintf("exception %s until %s: %s; without it %s: %s", e.ID, stamp(e.Until), e.Reason, f.Kind, f.Why)
	return Finding{Rule: r.ID, Held: true, Exception: e.ID, Why: clean(why)}
}

// exception finds the first that is alive and covers a change for a rule.
func (j *judge) exception(r *Rule, st *study) *Exception {
	for i := range j.in.Set.Exceptions {
		e := &j.in.Set.Exceptions[i]
		switch {
		case e.Rule != r.ID && j.on(checkExceptRule):
		case !e.Alive(j.in.Now) && j.on(checkExceptTime):
		case (e.Repository != j.in.Request.Repository || !slices.Contains(e.Environments, j.env.Name)) && j.on(checkExceptScope):
		case j.excepts(e, r, st):
			return e
		}
	}
	return nil
}

// excepts reports whether an exception is for a change. A reviewed head stands for what was
// merged only where the rule takes how the one became the other; the merged commit is always
// itself. Paths that are only claimed, and those that change how other paths are read or
// checked, are covered by no pattern.
func (j *judge) excepts(e *Exception, r *Rule, st *study) bool {
	if len(e.Artifacts) > 0 {
		return slices.Contains(e.Artifacts, j.subject())
	}
	if st.plan != nil {
		return false
	}
	if len(e.Heads) > 0 {
		return slices.Contains(e.Heads, string(st.ID)) || slices.Contains(e.Heads, string(st.head)) && j.isHead(r, st)
	}
	if len(st.paths) == 0 || st.vars.Claimed && j.on(checkClaimed) {
		return false
	}
	for _, p := range st.paths {
		segments := strings.Split(p.Path, "/")
		matches := slices.ContainsFunc(e.patterns, func(pat pattern) bool { return pat.match(segments) })
		if (!matches || critical(p) != "") && j.on(checkExceptPaths) {
			return false
		}
	}
	return true
}

// isHead reports whether what was merged is what the reviewed head holds, as far as a rule
// asks: whoever named the head, and looked at it, said nothing of anything else.
func (j *judge) isHead(r *Rule, st *study) bool {
	return accepts(r.Require.Bindings, st.binding) || !j.on(checkBentHead)
}

// exceptionsAlive lists those that count now, for whatever they are.
func (s *Set) exceptionsAlive(now attest.Time) []ExceptionAlive {
	var out []ExceptionAlive
	for i := range s.Exceptions {
		if e := &s.Exceptions[i]; e.Alive(now.Time) {
			out = append(out, ExceptionAlive{ID: e.ID, Rule: e.Rule, Until: attest.At(e.Until)})
		}
	}
	return out
}
