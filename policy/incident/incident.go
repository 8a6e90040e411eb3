// Package incident reads what counts of everything that was said about incidents. It is
// a pure function of statements, and knows no policy, so that a rule may ask it as well
// as a report.
package incident

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Said is one statement about an incident, at its place in the log.
type Said struct {
	Index  uint64
	Time   time.Time // when the log took it
	Digest string    // of the payload, sha256 hex
	Signer string    // roster id
	Key    string    // id of the key, hex
	Kind   roster.Kind
	What   *attest.Incident
}

// A Revocation takes somebody's word back.
type Revocation struct {
	Index         uint64
	Signer        string // roster id
	Revokes       []attest.Revoked
	EffectiveFrom time.Time // zero: whatever was ever signed
}

// A History is everything that was said, in log order, and what was taken back.
type History struct {
	Said        []Said
	Reviews     []Review
	Revocations []Revocation
	// MayRevoke reports whether one of the roster may take back what another signed, by
	// their ids (roster.MayRevoke).
	MayRevoke func(by, holder string) bool
}

// An Incident is what counts of everything that was said about one id.
type Incident struct {
	ID string
	// Severity is the worst that was said, but for what two people have lowered.
	Severity attest.Severity
	Said     *attest.Incident // the statement in force: times, domains, causes
	InForce  uint64           // its index; the first, where two people signed it
	Digest   string           // of its payload, hex: what the next statement supersedes
	First    *Said            // the first statement about the id
	Counted  []uint64         // the statements that made it what it is, in log order
	// Known is when the log learned that it is as bad, and reaches as far, as it does, and
	// KnownBy the index of that statement. Over is when it learned of its end; zero while
	// the statement in force names none.
	Known   time.Time
	KnownBy uint64
	Over    time.Time
	// Reviewed are the two signatures under a review of it, in log order, once they are
	// there; a review of something milder than it is by now is none. Reviewer is who has
	// signed one that nobody else has, the last of them.
	Reviewed []uint64
	Reviewer string
	// Waiting are statements that make less of it, and have only one person behind them.
	Waiting []Remark
	Ignored []Remark
}

// A Remark is something about one entry.
type Remark struct {
	Index uint64 `json:"index"`
	Why   string `json:"why"`
}

// At reads the statements of the first size entries of the log, by the order of the
// first about each incident.
//
// A statement takes the place of the one in force when it names that one's digest. One
// that makes less of the incident (a lower severity, a domain or cause less, less
// confidence, a later start or earlier end) does so only from where a second person of
// the roster has signed the same payload. A worse severity counts at once, from
// whatever statement; a revocation takes an incident away from nobody.
func (h *History) At(size uint64) []*Incident {
	var all []*Incident
	open := make(map[string]*reading)
	for i := range h.Said {
		s := &h.Said[i]
		if s.Index >= size {
			break
		}
		r := open[s.What.ID]
		if r == nil {
			r = &reading{cur: s, voices: make(map[string][]string), pending: make(map[string]*Said), seen: make(map[string]bool),
				out: &Incident{ID: s.What.ID, Severity: s.What.Severity, First: s, Known: s.Time, KnownBy: s.Index}}
			r.out.end(s.What, s.Time)
			open[s.What.ID] = r
			all = append(all, r.out)
		}
		r.take(s, h.silenced(s.Signer, s.Key, s.Digest, s.Time, size))
	}
	for i := range h.Reviews {
		if d := &h.Reviews[i]; d.Index < size && open[d.What.Incident] != nil && !h.silenced(d.Signer, d.Key, d.Digest, d.Time, size) {
			open[d.What.Incident].review(d)
		}
	}
	for _, inc := range all {
		open[inc.ID].close()
	}
	return all
}

// A reading is one incident while its statements are read.
type reading struct {
	cur     *Said
	out     *Incident
	voices  map[string][]string  // people behind a payload
	pending map[string]*Said     // by payload: makes less of it, and waits
	seen    map[string]bool      // payloads that are or were in force
	signed  map[string][]*Review // under reviews, by payload
}

func (r *reading) take(s *Said, silenced bool) {
	if s.Kind == roster.Person && !silenced && !slices.Contains(r.voices[s.Digest], s.Signer) {
		r.voices[s.Digest] = append(r.voices[s.Digest], s.Signer)
	}
	next, out := s.What, r.out
	switch weaker := weakened(r.cur.What, out.Severity, next); {
	case s.Digest == r.cur.Digest:
		r.seen[s.Digest] = true
		out.Counted = append(out.Counted, s.Index)
	case r.seen[s.Digest]:
		r.ignore(s, "another has taken its place")
	case next.Supersedes != r.cur.Digest && next.Severity != out.Severity && !next.Severity.Below(out.Severity):
		out.Severity, out.Known, out.KnownBy = next.Severity, s.Time, s.Index
		out.Counted = append(out.Counted, s.Index)
	case next.Supersedes == "":
		r.ignore(s, "the incident is known already, and this supersedes nothing")
	case next.Supersedes != r.cur.Digest:
		r.ignore(s, "what it supersedes is not in force")
	case weaker == "" || len(r.voices[s.Digest]) >= 2:
		if first := r.pending[s.Digest]; first != nil {
			out.Counted = append(out.Counted, first.Index)
			delete(r.pending, s.Digest)
			r.enforce(first, s)
			return
		}
		r.enforce(s, s)
	case r.pending[s.Digest] == nil:
		r.pending[s.Digest] = s
	}
}

// enforce puts a statement in the place of the one in force, now that another (or it
// itself) makes it count.
func (r *reading) enforce(s, by *Said) {
	out := r.out
	if worse := s.What.Severity != out.Severity && !s.What.Severity.Below(out.Severity); worse || reaches(s.What, r.cur.What) {
		out.Known, out.KnownBy = by.Time, by.Index
	}
	out.end(s.What, by.Time)
	r.cur, out.Severity = s, s.What.Severity
	r.seen[s.Digest] = true
	out.Counted = append(out.Counted, by.Index)
}

// end notes when the log learned that it is over, or that it is not.
func (i *Incident) end(what *attest.Incident, at time.Time) {
	switch {
	case what.ResolvedAt == nil:
		i.Over = time.Time{}
	case i.Over.IsZero():
		i.Over = at
	}
}

// reaches reports whether a statement names a domain that another does not. One that
// names none means all of them.
func reaches(next, now *attest.Incident) bool {
	return len(now.Domains) > 0 && (len(next.Domains) == 0 ||
		slices.ContainsFunc(next.Domains, func(d string) bool { return !slices.Contains(now.Domains, d) }))
}

func (r *reading) ignore(s *Said, why string) {
	r.out.Ignored = append(r.out.Ignored, Remark{s.Index, why})
}

func (r *reading) close() {
	r.out.Said, r.out.InForce, r.out.Digest = r.cur.What, r.cur.Index, r.cur.Digest
	for _, s := range r.pending {
		if s.What.Supersedes != r.cur.Digest {
			r.ignore(s, "made less of it, and was overtaken before a second person signed")
			continue
		}
		why := "makes less of it (" + weakened(r.cur.What, r.out.Severity, s.What) + "); a second person has to sign the same statement"
		r.out.Waiting = append(r.out.Waiting, Remark{s.Index, why})
	}
	for _, list := range [][]Remark{r.out.Waiting, r.out.Ignored} {
		slices.SortFunc(list, func(a, b Remark) int { return cmp.Compare(a.Index, b.Index) })
	}
}

// weakened says how a statement makes less of an incident, or "" when it does not.
func weakened(now *attest.Incident, severity attest.Severity, next *attest.Incident) string {
	if next.Severity.Below(severity) {
		return fmt.Sprintf("%s instead of %s", next.Severity, severity)
	}
	if len(now.Domains) == 0 && len(next.Domains) > 0 {
		return "with domains, and without any it is of all"
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
func (h *History) silenced(signer, key, digest string, at time.Time, size uint64) bool {
	for i := range h.Revocations {
		r := &h.Revocations[i]
		if r.Index >= size || !h.MayRevoke(r.Signer, signer) {
			continue
		}
		for _, what := range r.Revokes {
			late := r.EffectiveFrom.IsZero() || !at.Before(r.EffectiveFrom)
			switch {
			case what.Kind == attest.RevokedStatement && what.Digest == digest,
				what.Kind == attest.RevokedKey && what.Digest == key && late,
				what.Kind == attest.RevokedPerson && what.Person == signer && late:
				return true
			}
		}
	}
	return false
}
