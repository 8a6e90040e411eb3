package cohort

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// An Incident is what counts of everything that was said about one id.
type Incident struct {
	ID string
	// Severity is the worst that was said, but for what two people have lowered.
	Severity attest.Severity
	Said     *attest.Incident // the statement in force: times, domains, causes
	InForce  uint64           // its index; the first, where two people signed it
	Digest   string           // of its payload, hex: what the next statement supersedes
	First    *Entry           // of the first statement about the id
	Counted  []uint64         // the statements that made it what it is, in log order
	// Waiting are statements that make less of it, and have only one person behind them.
	Waiting []Remark
	Ignored []Remark
}

// A Remark is something about one entry.
type Remark struct {
	Index uint64 `json:"index"`
	Why   string `json:"why"`
}

// Incidents reads the statements about incidents, as of the whole log, by the order of
// their first statements.
//
// A statement takes the place of the one in force when it names that one's digest. One
// that makes less of the incident (a lower severity, a domain or cause less, less
// confidence, a later start or earlier end) does so only from where a second person of
// the roster has signed the same payload. A worse severity counts at once, from
// whatever statement; a revocation takes an incident away from nobody (TRUST T15).
func (l *Log) Incidents() []*Incident { return l.IncidentsAt(l.Size) }

// IncidentsAt is Incidents as of the first size entries of the log.
func (l *Log) IncidentsAt(size uint64) []*Incident {
	people := l.principals()
	var all []*Incident
	open := make(map[string]*history)
	for i := range l.Said {
		s := &l.Said[i]
		if s.Index >= size {
			break
		}
		h := open[s.Incident.ID]
		if h == nil {
			h = &history{cur: s, voices: make(map[string][]string), pending: make(map[string]*Said), seen: make(map[string]bool),
				out: &Incident{ID: s.Incident.ID, Severity: s.Incident.Severity, First: &s.Entry}}
			open[s.Incident.ID] = h
			all = append(all, h.out)
		}
		h.take(s, l.silenced(&s.Entry, size, people))
	}
	for _, inc := range all {
		open[inc.ID].close()
	}
	return all
}

// A history is one incident while its statements are read.
type history struct {
	cur     *Said
	out     *Incident
	voices  map[string][]string // people behind a payload
	pending map[string]*Said    // by payload: makes less of it, and waits
	seen    map[string]bool     // payloads that are or were in force
}

func (h *history) take(s *Said, silenced bool) {
	if s.Kind == roster.Person && !silenced && !slices.Contains(h.voices[s.Digest], s.Signer) {
		h.voices[s.Digest] = append(h.voices[s.Digest], s.Signer)
	}
	next, out := s.Incident, h.out
	switch weaker := weakened(h.cur.Incident, out.Severity, next); {
	case s.Digest == h.cur.Digest:
		h.seen[s.Digest] = true
		out.Counted = append(out.Counted, s.Index)
	case h.seen[s.Digest]:
		h.ignore(s, "another has taken its place")
	case next.Supersedes != h.cur.Digest && next.Severity != out.Severity && !next.Severity.Below(out.Severity):
		out.Severity = next.Severity
		out.Counted = append(out.Counted, s.Index)
	case next.Supersedes == "":
		h.ignore(s, "the incident is known already, and this supersedes nothing")
	case next.Supersedes != h.cur.Digest:
		h.ignore(s, "what it supersedes is not in force")
	case weaker == "" || len(h.voices[s.Digest]) >= 2:
		if first := h.pending[s.Digest]; first != nil {
			out.Counted = append(out.Counted, first.Index)
			delete(h.pending, s.Digest)
			h.enforce(first, s.Index)
			return
		}
		h.enforce(s, s.Index)
	case h.pending[s.Digest] == nil:
		h.pending[s.Digest] = s
	}
}

// enforce puts a statement in the place of the one in force.
func (h *history) enforce(s *Said, counted uint64) {
	h.cur, h.out.Severity = s, s.Incident.Severity
	h.seen[s.Digest] = true
	h.out.Counted = append(h.out.Counted, counted)
}

func (h *history) ignore(s *Said, why string) {
	h.out.Ignored = append(h.out.Ignored, Remark{s.Index, why})
}

func (h *history) close() {
	h.out.Said, h.out.InForce, h.out.Digest = h.cur.Incident, h.cur.Index, h.cur.Digest
	for _, s := range h.pending {
		if s.Incident.Supersedes != h.cur.Digest {
			h.ignore(s, "made less of it, and was overtaken before a second person signed")
			continue
		}
		why := "makes less of it (" + weakened(h.cur.Incident, h.out.Severity, s.Incident) + "); a second person has to sign the same statement"
		h.out.Waiting = append(h.out.Waiting, Remark{s.Index, why})
	}
	for _, list := range [][]Remark{h.out.Waiting, h.out.Ignored} {
		slices.SortFunc(list, func(a, b Remark) int { return cmp.Compare(a.Index, b.Index) })
	}
}

// weakened says how a statement makes less of an incident, or "" when it does not.
func weakened(now *attest.Incident, severity attest.Severity, next *attest.Incident) string {
	if next.Severity.Below(severity) {
		return fmt.Sprintf("%s instead of %s", next.Severity, severity)
	}
	for _, d := range now.Domains {
		if !slices.Contains(next.Domains, d) {
			return "without the domain " + d
		}
	}
	for _, c := range now.Causes {
		at := slices.IndexFunc(next.Causes, func(n attest.Cause) bool { return attest.CompareCauses(n, c) == 0 })
		if at < 0 {
			return fmt.Sprintf("without the cause %s %.12s", c.Kind, c.Digest)
		}
		if !next.Causes[at].Confidence.AtLeast(c.Confidence) {
			return fmt.Sprintf("cause %s %.12s is %s instead of %s", c.Kind, c.Digest, next.Causes[at].Confidence, c.Confidence)
		}
	}
	switch {
	case next.StartedAt.After(now.StartedAt.Time):
		return "it starts later"
	case now.ResolvedAt != nil && next.ResolvedAt != nil && next.ResolvedAt.Before(now.ResolvedAt.Time):
		return "it ends earlier"
	}
	return ""
}

// silenced reports whether a signer's word was taken back, by somebody who may: it is
// no second person's then.
func (l *Log) silenced(e *Entry, size uint64, people map[string]*Principal) bool {
	for i := range l.Revocations {
		r := &l.Revocations[i]
		if r.Index >= size || !l.mayRevoke(r.Signer, e.Signer, people) {
			continue
		}
		for _, what := range r.Revokes {
			late := r.EffectiveFrom.IsZero() || !e.Time.Before(r.EffectiveFrom)
			switch {
			case what.Kind == attest.RevokedStatement && what.Digest == e.Digest && r.Signer == e.Signer,
				what.Kind == attest.RevokedStatement && what.Digest == e.Digest && slices.Contains(l.Owners, r.Signer),
				what.Kind == attest.RevokedKey && what.Digest == e.Key && late,
				what.Kind == attest.RevokedPerson && what.Person == e.Signer && late:
				return true
			}
		}
	}
	return false
}

func (l *Log) mayRevoke(by, holder string, people map[string]*Principal) bool {
	p := people[by]
	if p == nil {
		return false
	}
	h := people[holder]
	return by == holder || p.Kind == roster.Person && slices.Contains(l.Owners, by) || h != nil && h.Kind == roster.Agent && h.Operator == by
}
