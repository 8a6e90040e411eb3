package cohort

import (
	"cmp"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/policy/roster"
)

// What rubber-stamp signals begin at.
const (
	fastPerPath = 10 * time.Second // less for each path that changed
	fastAtLeast = 30 * time.Second // less for any change at all
	busyDay     = 20               // approvals of one person on one day (UTC)
	pairAtLeast = 3                // changes each way
	pairShare   = 0.8              // of those of each that the other approved
)

// Signals are patterns that approvals without reading leave behind. Each has innocent
// explanations: they are a reason to ask, and prove nothing.
type Signals struct {
	Fast  []FastApproval `json:"fast"`
	Busy  []BusyDay      `json:"busy"`
	Pairs []Pair         `json:"pairs"`
	// Unattended are incidents that are over, not by a person, and about which no person
	// has signed anything.
	Unattended []IncidentRef `json:"unattended"`
	// Approvals and Changes are how many were looked at; Untimed approvals are of heads
	// that no change statement before them asks about.
	Approvals int `json:"approvals"`
	Changes   int `json:"changes"`
	Untimed   int `json:"untimed"`
}

// A FastApproval came sooner after the request than its size lets expect. Times are the
// log's, so a review that began before the change was attested looks faster than it was.
type FastApproval struct {
	Approval uint64  `json:"approval"` // index
	Request  uint64  `json:"request"`
	Person   string  `json:"person"`
	Change   string  `json:"change"`
	Paths    int     `json:"paths"`
	After    Seconds `json:"afterSeconds"`
}

// A BusyDay is many approvals of one person on one day.
type BusyDay struct {
	Person  string   `json:"person"`
	Day     string   `json:"day"` // UTC
	Entries []uint64 `json:"entries"`
}

// A Pair approves each other's changes, and hardly anybody else does. In a team of two
// or three this is all that there can be.
type Pair struct {
	A       string   `json:"a"`
	B       string   `json:"b"`
	ByA     int      `json:"byA"` // changes of B that A approved
	ByB     int      `json:"byB"`
	OfA     int      `json:"ofA"` // changes of A that anybody approved
	OfB     int      `json:"ofB"`
	Entries []uint64 `json:"entries"` // the approvals
}

// Signals looks at the approvals that a query's time holds, and at the authors that
// decisions know.
func (l *Log) Signals(q Query) *Signals {
	j := l.join()
	s := &Signals{Fast: []FastApproval{}, Busy: []BusyDay{}, Pairs: []Pair{}, Unattended: []IncidentRef{}}
	days := make(map[[2]string][]uint64)
	for i := range l.Approvals {
		a := &l.Approvals[i]
		if !q.within(a.Time) || q.Repository != "" && q.Repository != a.Repository {
			continue
		}
		s.Approvals++
		day := [2]string{a.Signer, a.Time.UTC().Format(time.DateOnly)}
		days[day] = append(days[day], a.Index)
		r := j.requests[headKey(a.Repository, a.Head)]
		if r == nil || r.Index > a.Index {
			s.Untimed++
			continue
		}
		after := a.Time.Sub(r.Time)
		if after < fastAtLeast || after < time.Duration(r.Paths)*fastPerPath {
			s.Fast = append(s.Fast, FastApproval{a.Index, r.Index, a.Signer, a.ID, r.Paths, Seconds(after)})
		}
	}
	for key, list := range days {
		if len(list) >= busyDay {
			s.Busy = append(s.Busy, BusyDay{key[0], key[1], list})
		}
	}
	slices.SortFunc(s.Busy, func(a, b BusyDay) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Person, b.Person)) })
	j.pairs(s, &q)
	j.unattended(s, &q)
	return s
}

// unattended finds the incidents that ended without a person.
func (j *joined) unattended(s *Signals, q *Query) {
	people := make(map[string]bool) // incidents about which one has signed
	for i := range j.log.Said {
		if e := &j.log.Said[i]; e.Kind == roster.Person {
			people[e.What.ID] = true
		}
	}
	for _, inc := range j.incidents {
		by := j.principals[inc.Said.ResolvedBy]
		if inc.Said.ResolvedAt != nil && !people[inc.ID] && (by == nil || by.Kind != roster.Person) && q.within(inc.First.Time) {
			s.Unattended = append(s.Unattended, refOf(inc))
		}
	}
}

// pairs counts who approves whose changes, each change once.
func (j *joined) pairs(s *Signals, q *Query) {
	type edge struct{ author, reviewer string }
	of, by := make(map[string]int), make(map[edge][]uint64)
	seen := make(map[string]bool)
	for i := range j.log.Decisions {
		d := &j.log.Decisions[i]
		if !q.within(d.Time) || q.Repository != "" && q.Repository != d.Repository {
			continue
		}
		for n := range d.Changes {
			c := &d.Changes[n]
			key := headKey(d.Repository, c.Commit)
			if seen[key] || len(c.Approved) == 0 {
				continue
			}
			seen[key] = true
			s.Changes++
			for _, a := range c.Authors {
				if p := j.principals[a.Who]; p == nil || p.Kind != roster.Person {
					continue
				}
				of[a.Who]++
				for _, v := range c.Approved {
					by[edge{a.Who, v.Person}] = append(by[edge{a.Who, v.Person}], v.Index)
				}
			}
		}
	}
	for e, list := range by {
		back := by[edge{e.reviewer, e.author}]
		if e.author >= e.reviewer || len(list) < pairAtLeast || len(back) < pairAtLeast {
			continue
		}
		if share(len(list), of[e.author]) >= pairShare && share(len(back), of[e.reviewer]) >= pairShare {
			entries := slices.Concat(list, back)
			slices.Sort(entries)
			s.Pairs = append(s.Pairs, Pair{e.author, e.reviewer, len(back), len(list), of[e.author], of[e.reviewer], entries})
		}
	}
	slices.SortFunc(s.Pairs, func(a, b Pair) int { return cmp.Or(cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B)) })
}

func share(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
