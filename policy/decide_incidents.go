package policy

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// happened is every incident of the log that was judged, and what was said of them.
type happened struct {
	list    []*incident.Incident
	ofAny   map[*incident.Incident]bool // those that may be of any domain
	items   map[uint64]item             // statements and reviews, by index
	ignored []Ignored
}

// incidents reads what was said about incidents, once. It is a function of the log and
// of who there was in it; the log's own process remembers it.
func (j *judge) incidents() *happened {
	if j.outcomes != nil {
		return j.outcomes
	}
	type of struct {
		history *History
		set     attest.Digest
	}
	key := of{j.in.History, j.in.Set.digest}
	if len(j.in.off) > 0 {
		j.outcomes = j.readIncidents()
	} else {
		j.outcomes = j.in.Gathered.OfIncidents(key, func() any { return j.readIncidents() }).(*happened)
	}
	j.d.Annex.Ignored = append(j.d.Annex.Ignored, j.outcomes.ignored...)
	return j.outcomes
}

func (j *judge) readIncidents() *happened {
	sub := &judge{in: j.in, d: &Decision{}, view: j.view, rosters: j.rosters}
	out := &happened{items: make(map[uint64]item)}
	h := incident.History{Revocations: j.takenBack(), MayRevoke: j.mayRevokeID}
	seen := make(map[spoken]bool)
	for i := range j.in.Gathered.Incidents {
		n := &j.in.Gathered.Incidents[i]
		if r := n.Refusal; r != nil {
			out.ignored = append(out.ignored, Ignored{Index: n.Link.Index, Kind: r.Kind, Type: clean(r.PredicateType), Signer: clean(r.Signer), Why: clean(r.Check + ": " + r.Why)})
			continue
		}
		// The same statement is the same word, however often it was logged.
		said := spoken{n.Evidence.Signer(), n.Evidence.Digest()}
		it, ok := sub.accept(n.Evidence)
		if !ok || seen[said] {
			continue
		}
		seen[said], out.items[it.Index()] = true, it
		digest, signer := it.Digest().String(), it.Signer()
		switch p := it.Statement().Predicate.(type) {
		case *attest.Incident:
			h.Said = append(h.Said, incident.Said{Index: it.Index(), Time: it.Time(), Digest: digest, Signer: it.by.ID, Key: hex.EncodeToString(signer[:]), Kind: it.by.Kind, What: p})
		case *attest.DeepDive:
			h.Reviews = append(h.Reviews, incident.Review{Index: it.Index(), Time: it.Time(), Digest: digest, Signer: it.by.ID, Key: hex.EncodeToString(signer[:]), Kind: it.by.Kind, What: p})
		}
	}
	out.ignored = append(out.ignored, sub.d.Annex.Ignored...)
	out.list, out.ofAny = h.At(j.view.Size), make(map[*incident.Incident]bool)
	for _, inc := range out.list {
		if j.ofAny(inc) {
			out.ofAny[inc] = true
		}
	}
	return out
}

// takenBack are the revocations, as incidents are read with them.
func (j *judge) takenBack() []incident.Revocation {
	var out []incident.Revocation
	for i := range j.in.Gathered.Negative {
		e := j.in.Gathered.Negative[i].Evidence
		if e == nil {
			continue
		}
		p, ok := e.Statement().Predicate.(*attest.Revocation)
		if !ok {
			continue
		}
		by, _, known := j.rosterFor(e).ByKey(e.Signer())
		if !known {
			continue
		}
		r := incident.Revocation{Index: e.Index(), Signer: by.ID, Revokes: p.Revokes}
		if p.EffectiveFrom != nil {
			r.EffectiveFrom = p.EffectiveFrom.Time
		}
		out = append(out, r)
	}
	return out
}

// mayRevokeID asks every set that the log ever had: who was somebody once could take
// back then, and it only ever takes a second person's word away.
func (j *judge) mayRevokeID(by, holder string) bool {
	all := []*roster.Roster{j.in.Set.Roster}
	if j.in.History != nil {
		all = j.in.History.Rosters()
	}
	return slices.ContainsFunc(all, func(r *roster.Roster) bool {
		b, known := r.Principal(by)
		h, _ := r.Principal(holder)
		return known && r.MayRevoke(b, h)
	})
}

// lookBack is what a rule asks for.
type lookBack struct {
	severity attest.Severity
	span     time.Duration
	owed     bool // those without a review, whatever the span
}

// lately are the incidents that a rule asks for, by domain.
type lately struct {
	all, any []*incident.Incident
	of       map[string][]*incident.Incident
}

// look finds the incidents of a severity or worse that are not over, or were not when the
// window began; or those whose reviews are owed.
func (j *judge) look(want lookBack) *lately {
	if l, ok := j.looked[want]; ok {
		return l
	}
	l, happened := &lately{of: make(map[string][]*incident.Incident)}, j.incidents()
	for _, inc := range happened.list {
		last := inc.Known
		if inc.Over.After(last) {
			last = inc.Over
		}
		switch {
		case inc.Severity.Below(want.severity):
		case want.owed && (len(inc.Reviewed) > 0 || !j.on(checkDives)):
		case !want.owed && (!j.on(checkIncidents) || !inc.Over.IsZero() && j.in.Now.After(last.Add(want.span))):
		default:
			l.all = append(l.all, inc)
			if happened.ofAny[inc] {
				l.any = append(l.any, inc)
				continue
			}
			for _, d := range inc.Said.Domains {
				l.of[d] = append(l.of[d], inc)
			}
		}
	}
	if j.looked == nil {
		j.looked = make(map[lookBack]*lately)
	}
	j.looked[want] = l
	return l
}

// hit are those that are of one of some domains, each once, in log order.
func (l *lately) hit(domains []string) []*incident.Incident {
	out, lists := l.any[:len(l.any):len(l.any)], 0
	for _, d := range domains {
		if more := l.of[d]; len(more) > 0 {
			out = append(out, more...)
			lists++
		}
	}
	if lists == 0 || lists == 1 && len(l.any) == 0 {
		return out
	}
	slices.SortFunc(out, func(a, b *incident.Incident) int { return cmp.Compare(a.First.Index, b.First.Index) })
	return slices.Compact(out)
}

// touched are those of what a change touches.
func (l *lately) touched(st *study) []*incident.Incident {
	if touchesAny(st) {
		return l.all
	}
	return l.hit(st.class.Domains)
}

// ofAny reports whether an incident may be of any domain: it names none, or one that the
// policy does not know.
func (j *judge) ofAny(inc *incident.Incident) bool {
	return j.on(checkReaches) && (len(inc.Said.Domains) == 0 ||
		slices.ContainsFunc(inc.Said.Domains, func(d string) bool { return !j.in.Set.Domains.Has(d) }))
}

// citeIncident names what made an incident what it is, and what would make less of it.
func (j *judge) citeIncident(inc *incident.Incident) {
	all := j.incidents()
	for _, index := range inc.Counted {
		j.cite(all.items[index], "incident "+named(inc))
	}
	for _, w := range inc.Waiting {
		j.ignore(all.items[w.Index], Insufficient, "", "%s", w.Why)
	}
}

// named is an incident in a few words: INC-7 (sev1).
func named(inc *incident.Incident) string {
	return fmt.Sprintf("%s (%s)", clean(inc.ID), inc.Severity)
}

// Of many incidents the newest are named, and cited.
const (
	mostNamed = 3
	mostCited = 20
)

// because says in words which incidents a rule applies for, newest first.
func (j *judge) because(seen []*incident.Incident) string {
	seen = slices.Clone(seen)
	slices.SortFunc(seen, func(a, b *incident.Incident) int { return cmp.Compare(b.First.Index, a.First.Index) })
	seen = slices.Compact(seen)
	var out []string
	for i, inc := range seen {
		if i < mostCited {
			j.citeIncident(inc)
		}
		if i < mostNamed {
			out = append(out, fmt.Sprintf("%s #%d%s", named(inc), inc.First.Index, only(cleanAll(inc.Said.Domains))))
		}
	}
	if len(seen) > mostNamed {
		out = append(out, fmt.Sprintf("%d more", len(seen)-mostNamed))
	}
	return strings.Join(out, ", ")
}

// reviewed cites the reviews that were owed of what a change touches.
func (j *judge) reviewed(severity attest.Severity, st *study) {
	n := 0
	for _, inc := range j.incidents().list {
		if len(inc.Reviewed) == 0 || inc.Severity.Below(severity) || !j.incidents().ofAny[inc] && !touches(st, inc.Said.Domains) {
			continue
		}
		if n++; n <= mostCited {
			for _, index := range inc.Reviewed {
				j.cite(j.incidents().items[index], "deep dive of "+named(inc))
			}
		}
	}
}

// dive holds a rule's demand for reviews against a change; "" where none is owed.
func (j *judge) dive(severity attest.Severity, st *study) (why, need string) {
	if severity == "" {
		return "", ""
	}
	j.reviewed(severity, st)
	owed := j.look(lookBack{severity: severity, owed: true}).touched(st)
	if len(owed) == 0 {
		return "", ""
	}
	why = "no deep dive that two people signed: " + j.because(owed)
	for i, inc := range owed {
		if inc.Reviewer != "" && i < mostNamed {
			why += fmt.Sprintf("; %s has signed one of %s, alone", inc.Reviewer, clean(inc.ID))
		}
	}
	return why, fmt.Sprintf("a review of %s that two people sign", clean(owed[0].ID))
}

// AsksIncidents reports whether some rule asks for what happened.
func (s *Set) AsksIncidents() bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool {
		return r.Require.DeepDives != "" || r.When != nil && r.When.asks.incidents
	})
}

// negatives are everything that cannot be left unread: what takes credit away, and the
// incidents and the figures of cohorts where a rule asks for them.
func (j *judge) negatives() []*verify.NegativeItem {
	g := j.in.Gathered
	out := make([]*verify.NegativeItem, 0, len(g.Negative)+len(g.Incidents))
	for i := range g.Negative {
		out = append(out, &g.Negative[i])
	}
	for i := range g.Incidents {
		if g.Incidents[i].Refusal != nil {
			out = append(out, &g.Incidents[i])
		}
	}
	for i := range g.Snapshots {
		if g.Snapshots[i].Refusal != nil {
			out = append(out, &g.Snapshots[i])
		}
	}
	return out
}
