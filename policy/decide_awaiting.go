package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// opening is a rule whose seats are not all taken, and who could take them.
type opening struct {
	rule       *Rule
	seats      []seat
	voices     []voice
	at         seating
	candidates []sitter
}

// missing counts the empty seats of each slot, in the order of the slots.
func (o *opening) missing(slots int) []int {
	n := make([]int, slots+1)
	for i, p := range o.at {
		if p < 0 {
			n[o.seats[i].slot]++
		}
	}
	return n
}

// need says in words what is missing.
func (o *opening) need(slots int) string {
	var parts []string
	for slot, n := range o.missing(slots) {
		if n == 0 {
			continue
		}
		st := o.seats[slices.IndexFunc(o.seats, func(s seat) bool { return s.slot == slot })]
		parts = append(parts, fmt.Sprintf("%d more approval%s %s", n, map[bool]string{true: "", false: "s"}[n == 1], st.wants(slots)))
	}
	return strings.Join(parts, "; ")
}

// candidates are the people who could still approve a change: on the roster and
// with a key now, not among its authors, and not among those who already count for
// all that is asked.
func (j *judge) candidates(st *study, o *opening) []sitter {
	var out []sitter
	for _, p := range j.in.Set.Roster.Principals() {
		if p.Kind != roster.Person || st.holds(p.ID) || j.unenrolled(p.ID, st.merge) != "" {
			continue
		}
		could := sitter{p, j.couldAssure(p)}
		spoke := slices.IndexFunc(o.voices, func(v voice) bool { return v.by.ID == p.ID })
		if could.assurance > 0 && (spoke < 0 || j.wantsMore(o, o.voices[spoke].assurance, could.assurance, st.merge)) {
			out = append(out, could)
		}
	}
	slices.SortFunc(out, func(a, b sitter) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// wantsMore reports whether an empty seat asks for more than an approval proved, so that
// giving it again, with what proves more, would help.
func (j *judge) wantsMore(o *opening, proved, could roster.Assurance, m *merge) bool {
	for i, at := range o.at {
		if a := j.leastOf(&o.seats[i], m); at < 0 && a > proved && a <= could {
			return true
		}
	}
	return false
}

// couldAssure is the most that a person could prove now, with a key that would count;
// zero without one.
func (j *judge) couldAssure(p *roster.Principal) roster.Assurance {
	var most roster.Assurance
	if !p.Holds(j.in.Now) {
		return most
	}
	if j.couldBeSeen(p) {
		most = roster.ByForge
	}
	for _, k := range p.Keys {
		if k.Holds(j.in.Now) && !j.revokedKey(p, &k) {
			most = max(most, k.Assurance)
		}
	}
	return most
}

// couldBeSeen reports whether somebody has an account on the forge that hosts the
// repository, for which a forge of the roster speaks.
func (j *judge) couldBeSeen(p *roster.Principal) bool {
	host, _, _ := strings.Cut(j.in.Request.Repository, "/")
	speaks := slices.ContainsFunc(j.in.Set.Roster.Principals(), func(f *roster.Principal) bool {
		return f.Witnesses(host, attest.TypeApproval) && f.Holds(j.in.Now)
	})
	return speaks && j.about() == AboutChange && slices.ContainsFunc(p.Accounts, func(a roster.Account) bool { return strings.EqualFold(a.Forge, host) })
}

// whoCould lists the candidates who fit any empty seat.
func (j *judge) whoCould(o *opening, m *merge) []string {
	var out []string
	for _, p := range o.candidates {
		for i, at := range o.at {
			if at < 0 && j.fits(p, &o.seats[i], m) {
				out = append(out, p.ID)
				break
			}
		}
	}
	return out
}

// fillable reports whether the candidates could take all the empty seats, people
// who already approved moving to other seats where that helps.
func (j *judge) fillable(o *opening, m *merge) bool {
	people := make([]sitter, 0, len(o.voices)+len(o.candidates))
	for _, v := range o.voices {
		if !slices.ContainsFunc(o.candidates, func(c sitter) bool { return c.ID == v.by.ID }) {
			people = append(people, v.sitter())
		}
	}
	people = append(people, o.candidates...)
	return match(len(people), len(o.seats), func(p, s int) bool { return j.fits(people[p], &o.seats[s], m) }).full()
}

// await says which approvals would turn the deny into an allow. When anything
// else stands in the way too, it says nothing: approvals alone would not help.
func (j *judge) await() {
	c := &j.d.Core
	for _, st := range j.studies {
		if st.closed || slices.ContainsFunc(st.open, func(o opening) bool { return !j.fillable(&o, st.merge) }) {
			c.Awaiting = nil
			return
		}
		for i := range st.open {
			c.Awaiting = append(c.Awaiting, j.awaiting(st, &st.open[i])...)
		}
	}
}

// awaiting describes the empty seats of one rule, slot by slot.
func (j *judge) awaiting(st *study, o *opening) []Awaiting {
	var out []Awaiting
	slots := len(o.rule.Require.Slots)
	for slot, n := range o.missing(slots) {
		if n == 0 {
			continue
		}
		one := o.seats[slices.IndexFunc(o.seats, func(s seat) bool { return s.slot == slot })]
		a := Awaiting{Change: st.result.Change, Head: st.result.Head, Plan: j.d.Core.Plan, Rule: o.rule.ID, Count: n, Level: one.Level, Teams: one.Teams}
		for _, p := range o.candidates {
			if j.fits(p, &one, st.merge) {
				a.Who = append(a.Who, p.ID)
			}
		}
		out = append(out, a)
	}
	return out
}
