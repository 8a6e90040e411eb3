package cohort

import (
	"slices"

	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Incidents are those of the whole log.
func (l *Log) Incidents() []*incident.Incident {
	people := l.principals()
	h := incident.History{Said: l.Said, Revocations: l.Revocations, MayRevoke: func(by, holder string) bool { return l.mayRevoke(people[by], people[holder]) }}
	return h.At(l.Size)
}

// mayRevoke is roster.MayRevoke by what a Log knows of people.
func (l *Log) mayRevoke(by, holder *Principal) bool {
	if by == nil {
		return false
	}
	return by == holder || by.Kind == roster.Person && slices.Contains(l.Owners, by.ID) || holder != nil && holder.Kind == roster.Agent && holder.Operator == by.ID
}
