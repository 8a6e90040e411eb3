package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/policy/roster"
)

// A seat is one place of a slot: one person sits in it.
type seat struct {
	slot int // index of its slot
	*Slot
}

// seatsOf lists the places that a rule wants filled. While an author is not
// authenticated they may be anybody, an approver too: then one more distinct
// person is needed.
func (j *judge) seatsOf(r *Require, s *authors) []seat {
	out := make([]seat, 0, len(r.Slots)+1)
	for i := range r.Slots {
		for range r.Slots[i].Count {
			out = append(out, seat{i, &r.Slots[i]})
		}
	}
	if len(out) > 0 && !s.authenticated() && j.on(checkAuthenticated) {
		extra := &Slot{Count: 1}
		if !slices.ContainsFunc(r.Slots, func(s Slot) bool { return s.least() > roster.ByForge }) {
			extra.Assurance = roster.ByForge // where every slot takes a forge's word
		}
		out = append(out, seat{len(r.Slots), extra})
	}
	return out
}

// A sitter is a person with what their approval proves, or could prove.
type sitter struct {
	*roster.Principal
	assurance roster.Assurance
}

func (v voice) sitter() sitter { return sitter{v.by, v.assurance} }

// fits reports whether a person may sit in a seat.
func (j *judge) fits(p sitter, st *seat, m *merge) bool {
	levels := j.in.Set.Levels
	switch {
	case p.assurance < j.leastOf(st, m) && j.on(checkAssurance):
		return false
	case st.Level != "" && j.on(checkLevel) && slices.Index(levels, p.Level) < slices.Index(levels, st.Level):
		return false
	case len(st.Teams) > 0 && j.on(checkTeam) && !slices.ContainsFunc(st.Teams, func(t string) bool { return slices.Contains(p.Teams, t) }):
		return false
	}
	return !j.on(checkExclude) || !slices.ContainsFunc(st.Exclude, func(role string) bool { return j.hasRole(p.Principal, role, m) })
}

// hasRole reports whether somebody has a role that a slot excludes. When it is not
// known who has it, everybody may.
func (j *judge) hasRole(p *roster.Principal, role string, m *merge) bool {
	switch role {
	case "owner":
		return slices.Contains(j.in.Set.Roster.Owners, p.ID)
	case "merger":
		if !m.proposedAt.IsZero() {
			return false // not merged yet: whoever merges it cannot be this slot's
		}
		merger, ok := j.account(m.mergedBy)
		return !ok || merger.ID == p.ID
	}
	return true
}

// account finds whose forge account this is, by its immutable id, its login or
// the roster id, on the forge that hosts the repository.
func (j *judge) account(name string) (*roster.Principal, bool) {
	if name == "" {
		return nil, false
	}
	host, _, _ := strings.Cut(j.in.Request.Repository, "/")
	for _, r := range j.rosters {
		for _, p := range r.Principals() {
			for _, a := range p.Accounts {
				if strings.EqualFold(a.Forge, host) && (a.ID == name || strings.EqualFold(a.Login, name)) {
					return p, true
				}
			}
		}
		if p, ok := r.Principal(name); ok {
			return p, true
		}
	}
	return nil, false
}

// seating is a matching of people to seats: seat → index of a person, or -1.
type seating []int

// match fills as many seats as can be filled, one person to each (augmenting
// paths). It takes people and seats in the order given, so the result depends on
// nothing else.
func match(people, seats int, fits func(person, seat int) bool) seating {
	at := make(seating, seats)
	for i := range at {
		at[i] = -1
	}
	var place func(person int, seen []bool) bool
	place = func(person int, seen []bool) bool {
		for st := range seats {
			if seen[st] || !fits(person, st) {
				continue
			}
			seen[st] = true
			if at[st] < 0 || place(at[st], seen) {
				at[st] = person
				return true
			}
		}
		return false
	}
	seen := make([]bool, seats)
	for p := range people {
		clear(seen)
		place(p, seen)
	}
	return at
}

// full reports whether every seat is taken.
func (s seating) full() bool { return !slices.Contains(s, -1) }

// seatVoices matches approvals to seats.
func (j *judge) seatVoices(voices []voice, seats []seat, m *merge) seating {
	if !j.on(checkDistinct) { // what a count without a matching would say
		at := make(seating, len(seats))
		for i := range seats {
			at[i] = slices.IndexFunc(voices, func(v voice) bool { return j.fits(v.sitter(), &seats[i], m) })
		}
		return at
	}
	return match(len(voices), len(seats), func(p, s int) bool { return j.fits(voices[p].sitter(), &seats[s], m) })
}

// wants says in words whom a slot asks for.
func (st *seat) wants(slots int) string {
	var b strings.Builder
	b.WriteString("by a person")
	if st.Level != "" {
		fmt.Fprintf(&b, " of level %s or above", st.Level)
	}
	if len(st.Teams) > 0 {
		fmt.Fprintf(&b, " of team %s", strings.Join(st.Teams, " or "))
	}
	switch st.Assurance {
	case roster.Present:
		b.WriteString(" who touches what holds their key")
	case roster.Verified:
		b.WriteString(" who proves with PIN or finger that it is them")
	}
	b.WriteString(" who did not write it")
	if len(st.Exclude) > 0 {
		fmt.Fprintf(&b, " and is not its %s", strings.Join(st.Exclude, " or "))
	}
	if st.slot == slots {
		b.WriteString(", because an author is not authenticated")
	}
	return b.String()
}
