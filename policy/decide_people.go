package policy

import (
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// checkPolicy holds the policy that a decision is made with against the log: it is the
// one in force there, and every statement that changes it was read.
func (j *judge) checkPolicy() {
	h := j.in.History
	j.rosters = []*roster.Roster{j.in.Set.Roster}
	if h == nil {
		return
	}
	if !slices.Equal(h.seen, j.in.Gathered.PolicyChanges()) {
		j.deny(PolicyInvalid, "the policy was read at another state of the log than the evidence")
		return
	}
	if e := h.At(j.view.Size, j.in.Now); e.Set.Digest() != j.in.Set.Digest() {
		j.deny(PolicyInvalid, "in force is %s version %d, and this is version %d", e.Set.Name, e.Set.Version, j.in.Set.Version)
		return
	}
	seen := map[string]bool{j.in.Set.files.People: true}
	for i := len(h.epochs) - 1; i >= 0; i-- {
		e := &h.epochs[i]
		if people := e.Set.files.People; !seen[people] && !j.in.Now.Before(e.From) {
			seen[people] = true
			j.rosters = append(j.rosters, e.Set.Roster)
		}
	}
	for _, r := range h.refused {
		j.d.Annex.Ignored = append(j.d.Annex.Ignored, Ignored{Index: r.Index, Kind: r.Kind, Type: attest.TypePolicy, Signer: r.Signer, Why: clean("policy: " + r.Why)})
	}
}

// rosterFor is who there was when the log took a statement.
func (j *judge) rosterFor(e *verify.Evidence) *roster.Roster {
	if j.in.History == nil {
		return j.in.Set.Roster
	}
	return j.in.History.RosterAt(e.Index(), e.Time())
}

// known finds a key in any roster that was in force up to now.
func (j *judge) known(id roster.KeyID) bool {
	return slices.ContainsFunc(j.rosters, func(r *roster.Roster) bool { _, _, ok := r.ByKey(id); return ok })
}

// former lists who had an address in other rosters than the present one, and is another
// principal now or none: whoever wrote a commit then may be any of them.
func (j *judge) former(email string, now *roster.Principal) []*roster.Principal {
	var out []*roster.Principal
	for _, r := range j.rosters[1:] {
		p, ok := r.ByEmail(email)
		if ok && (now == nil || p.ID != now.ID || p.Kind != now.Kind) && !slices.ContainsFunc(out, func(o *roster.Principal) bool { return o.ID == p.ID && o.Kind == p.Kind }) {
			out = append(out, p)
		}
	}
	return out
}

// mayRevoke asks the present roster, and the one of when something was taken back: who
// owned the policy then could, and what was taken back stays so.
func (j *judge) mayRevoke(rev item, holder *roster.Principal) bool {
	return j.in.Set.Roster.MayRevoke(rev.by, holder) || j.rosterFor(rev.Evidence).MayRevoke(rev.by, holder)
}

// unenrolled says why somebody cannot approve a change that was made before they were
// somebody here (attack I16): the roster in force when the log first heard of the change
// must have had them, as a person.
func (j *judge) unenrolled(id string, m *merge) string {
	if j.in.History == nil || !j.on(checkEnrolled) {
		return ""
	}
	made := j.madeAt(m)
	if made == nil {
		return ""
	}
	e := j.in.History.At(made.Index(), made.Time())
	if p, ok := e.Set.Roster.Principal(id); ok && p.Kind == roster.Person {
		return ""
	}
	return fmt.Sprintf("%s was no person of %s version %d, which was in force when the change was made (#%d)", id, e.Set.Name, e.Set.Version, made.Index())
}

// madeAt is where the log first heard of a change.
func (j *judge) madeAt(m *merge) *verify.Evidence {
	var first *verify.Evidence
	for _, list := range [][]item{j.changes[m.head], j.changes[m.ID], j.admissions[m.ID]} {
		for _, it := range list {
			if first == nil || it.Index() < first.Index() {
				first = it.Evidence
			}
		}
	}
	return first
}
