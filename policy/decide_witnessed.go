package policy

import (
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// acceptWitnessed puts the reviewer in the place of the forge that signed: from here on
// it is their word, with the least assurance.
func (j *judge) acceptWitnessed(it item, a *attest.Approval) (item, bool) {
	reviewer, refusal := verify.Witness(j.rosterFor(it.Evidence), it.by, a)
	if refusal != nil {
		if j.on(checkWitness) {
			j.ignore(it, refusal.Kind, a.Change.ID, "%s", refusal.Why)
			return it, false
		}
		if reviewer, _ = j.rosterFor(it.Evidence).Principal(a.Reviewer); reviewer == nil {
			reviewer = it.by
		}
	}
	it.via, it.by = it.by, reviewer
	if j.on(checkSignerTime) && !reviewer.Holds(it.Time()) {
		j.ignore(it, verify.KeyTime, a.Change.ID, "%s was not valid when it was logged, at %s", reviewer.ID, stamp(it.Time()))
		return it, false
	}
	return it, true
}

// testimony is what one reviewer said of a change, by themselves and through a forge. A
// forge's word can always take credit away. It gives credit only to who did not speak for
// themselves: whoever has somebody's token on a forge must not lift what their key said.
type testimony struct {
	own, forge *item
	before     []item // approvals that the latest word repeats, in log order
	ends       []item // every no: what it ended stays ended, whatever they approved since
}

// latest is the reviewer's word that counts; nil for none.
func (w *testimony) latest() *item {
	switch {
	case w.forge != nil && decision(*w.forge) == attest.Rejected && (w.own == nil || decision(*w.own) != attest.Rejected):
		return w.forge
	case w.own != nil:
		return w.own
	}
	return w.forge
}

// hearWord takes the next word of a reviewer, in log order.
func (j *judge) hearWord(w *testimony, it item, m *merge) {
	for _, old := range w.ends {
		if j.on(checkOlder) && heldBack(it, old) {
			j.ignore(it, Superseded, m.change, "%s said it before what they said in entry %d, and it was logged after", it.by.ID, old.Index())
			return
		}
	}
	if decision(it) != attest.Approved {
		w.ends = append(w.ends, it)
	}
	supersede := func(old *item) {
		switch {
		case old == nil:
		case decision(*old) == attest.Approved && (decision(it) == attest.Approved || !j.on(checkUnbroken)) && (old.via == nil) == (it.via == nil):
			w.before = append(w.before, *old)
		default:
			gone := []item{*old}
			if j.on(checkUnbroken) {
				gone, w.before = append(w.before, *old), nil
			}
			for _, was := range gone {
				j.ignore(was, Superseded, m.change, "%s spoke again later, in entry %d", it.by.ID, it.Index())
			}
		}
	}
	switch {
	case !j.on(checkLatest):
		if old := w.latest(); old == nil || decision(*old) != attest.Approved {
			w.own, w.forge = &it, nil
		}
	case it.via == nil || !j.on(checkOwnFirst):
		supersede(w.own)
		supersede(w.forge)
		w.own, w.forge = &it, nil
	case w.own == nil:
		supersede(w.forge)
		w.forge = &it
	case decision(it) != attest.Rejected:
		j.ignore(it, Superseded, m.change, "%s spoke for themselves in entry %d, and a forge cannot say otherwise", it.by.ID, w.own.Index())
		if w.forge != nil {
			supersede(w.forge)
			w.forge = nil
		}
	default:
		supersede(w.forge)
		w.forge = &it
		if decision(*w.own) == attest.Approved { // what a rejection ends stays ended
			supersede(w.own)
			w.own = nil
		}
	}
}

// leastOf is the least that a seat takes as proof of a person for a change: forges are
// believed only where a rule says so, and never for the highest tier.
func (j *judge) leastOf(st *seat, m *merge) roster.Assurance {
	least := st.least()
	if least == roster.ByForge && m.highest && j.on(checkForgeTier) {
		least = roster.ByKey
	}
	return least
}

// least is the least assurance that fills a slot: a key, unless it says otherwise.
func (s *Slot) least() roster.Assurance {
	switch {
	case s.Assurance != 0:
		return s.Assurance
	case slices.Contains(s.Kinds, Forge):
		return roster.ByForge
	}
	return roster.ByKey
}
