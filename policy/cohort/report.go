package cohort

import (
	"cmp"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/incident"
)

// A Query says which deployments a report is about.
type Query struct {
	By Dimension
	// Since and Until bound when the log took a deployment: from Since on, before Until.
	// Zero values bound nothing.
	Since, Until time.Time
	// Environment and Repository narrow it down; empty: all.
	Environment, Repository string
	// Confidence is the least with which an incident must be put down to a deployment to
	// count as its failure; empty: Likely.
	Confidence attest.Confidence
	// Severity is the mildest that counts as a failure; empty: Sev4, which is every one.
	Severity attest.Severity
	// Against is the cohort that all others are compared with; empty: the largest but
	// the unknown one.
	Against string
}

// A Report compares cohorts. Every figure is followed by the indexes of the entries
// behind it.
type Report struct {
	Origin     string            `json:"origin"`
	Size       uint64            `json:"size"` // of the log
	AsOf       time.Time         `json:"asOf"` // when that state of it was signed
	By         Dimension         `json:"by"`
	Since      *time.Time        `json:"since,omitempty"`
	Until      *time.Time        `json:"until,omitempty"`
	Confidence attest.Confidence `json:"confidence"`
	Severity   attest.Severity   `json:"severity"`
	Level      float64           `json:"level"` // of the intervals

	Deployments int     `json:"deployments"`
	Repeated    int     `json:"repeated"` // statements that only repeat one of them
	Cohorts     []Row   `json:"cohorts"`
	Against     string  `json:"against,omitempty"`
	Ratios      []Ratio `json:"ratios"`

	// Unplaced are the incidents of the same time that no deployment known here is a cause
	// of, and Uncertain those that are put down to one with too little confidence.
	Unplaced  []IncidentRef `json:"unplaced"`
	Uncertain []IncidentRef `json:"uncertain"`
	// Waiting are statements that would make less of an incident, and have one person
	// behind them; Ignored others that count for nothing.
	Waiting []incident.Remark `json:"waiting"`
	Ignored []incident.Remark `json:"ignored"`
	// Unread is how many entries are in no figure: no evidence, or a hash alone.
	Unread   int      `json:"unread"`
	Warnings []string `json:"warnings"`
}

// A Row is one cohort.
type Row struct {
	Cohort      string   `json:"cohort"`
	Deployments int      `json:"deployments"`
	Entries     []uint64 `json:"entries"` // the deployments

	Incidents       BySeverity    `json:"incidents"`
	IncidentEntries []IncidentRef `json:"incidentEntries"`
	Failed          int           `json:"failed"` // deployments that caused at least one
	FailedEntries   []uint64      `json:"failedEntries"`
	// FailureRate is the share of deployments that failed; absent without any.
	FailureRate *Interval `json:"failureRate,omitempty"`

	Restore Span `json:"restore"` // of incidents: from start to resolution
	Lead    Span `json:"lead"`    // of deployments: from the first commit
	Waiting Span `json:"waiting"` // of deployments: from request to the last approval

	Warning string `json:"warning,omitempty"`
}

// BySeverity counts incidents.
type BySeverity struct {
	Sev1 int `json:"sev1"`
	Sev2 int `json:"sev2"`
	Sev3 int `json:"sev3"`
	Sev4 int `json:"sev4"`
}

func (b *BySeverity) add(s attest.Severity) {
	switch s {
	case attest.Sev1:
		b.Sev1++
	case attest.Sev2:
		b.Sev2++
	case attest.Sev3:
		b.Sev3++
	case attest.Sev4:
		b.Sev4++
	}
}

// Total counts all of them.
func (b BySeverity) Total() int { return b.Sev1 + b.Sev2 + b.Sev3 + b.Sev4 }

// An IncidentRef names an incident and the entries that made it what it is.
type IncidentRef struct {
	ID       string          `json:"id"`
	Severity attest.Severity `json:"severity"`
	Entries  []uint64        `json:"entries"`
}

func refOf(i *incident.Incident) IncidentRef { return IncidentRef{i.ID, i.Severity, i.Counted} }

// A Ratio compares how often a cohort fails with how often the one it is held against
// does.
type Ratio struct {
	Cohort  string     `json:"cohort"`
	Against string     `json:"against"`
	Ratio   *RateRatio `json:"ratio,omitempty"` // absent where nothing can be said
	Decides bool       `json:"decides"`         // the interval does not hold 1
	Warning string     `json:"warning,omitempty"`
}

// Report makes a report.
func (l *Log) Report(q Query) *Report { return l.join().report(q) }

func (q *Query) fill() {
	q.Confidence = cmp.Or(q.Confidence, attest.Likely)
	q.Severity = cmp.Or(q.Severity, attest.Sev4)
	q.By = cmp.Or(q.By, ByOrigin)
}

func (q *Query) within(at time.Time) bool {
	return !at.Before(q.Since) && (q.Until.IsZero() || at.Before(q.Until))
}

func (q *Query) holds(d *Deployed) bool {
	return q.within(d.Time) && (q.Environment == "" || q.Environment == d.Environment) && (q.Repository == "" || q.Repository == d.Repository)
}

func (q *Query) fails(f *Fault) bool {
	return f.Confidence.AtLeast(q.Confidence) && !f.Incident.Severity.Below(q.Severity)
}

func (j *joined) report(q Query) *Report {
	q.fill()
	r := &Report{Origin: j.log.Origin, Size: j.log.Size, AsOf: j.log.Time, By: q.By, Confidence: q.Confidence, Severity: q.Severity, Level: Level, Unread: j.log.unread(), Cohorts: []Row{}, Ratios: []Ratio{},
		Unplaced: []IncidentRef{}, Uncertain: []IncidentRef{}, Waiting: []incident.Remark{}, Ignored: []incident.Remark{}, Warnings: []string{}}
	if !q.Since.IsZero() {
		r.Since = &q.Since
	}
	if !q.Until.IsZero() {
		r.Until = &q.Until
	}
	groups := make(map[string][]*Deployed)
	held, repeated := j.once(&q)
	r.Deployments, r.Repeated = len(held), repeated
	for _, d := range held {
		for _, c := range j.cohorts(d, q.By) {
			groups[c] = append(groups[c], d)
		}
	}
	for name, list := range groups {
		r.Cohorts = append(r.Cohorts, row(name, list, &q))
	}
	order := j.order(q.By)
	slices.SortFunc(r.Cohorts, func(a, b Row) int {
		return cmp.Or(cmp.Compare(order(a.Cohort), order(b.Cohort)), cmp.Compare(a.Cohort, b.Cohort))
	})
	r.compare(&q, groups)
	j.leftOver(r, held, &q)
	r.warn(&q)
	return r
}

// order puts words of the policy in its order, and what is unknown last.
func (j *joined) order(by Dimension) func(string) int {
	words := map[Dimension][]string{ByTier: j.log.Tiers, BySeniority: j.log.Levels, ByOrigin: {None, "some", "all"}, ByAutonomy: {None, "assisted", "autonomous"}}[by]
	return func(s string) int {
		if s == Unknown {
			return 1 << 20
		}
		return slices.Index(words, s)
	}
}

func row(name string, list []*Deployed, q *Query) Row {
	r := Row{Cohort: name, Deployments: len(list), Entries: make([]uint64, 0, len(list)), IncidentEntries: []IncidentRef{}, FailedEntries: []uint64{}}
	var lead, waiting, restore sample
	seen := make(map[*incident.Incident]bool)
	for _, d := range list {
		r.Entries = append(r.Entries, d.Index)
		failed := false
		for _, f := range d.Caused {
			if !q.fails(f) {
				continue
			}
			failed = true
			if seen[f.Incident] {
				continue
			}
			seen[f.Incident] = true
			r.Incidents.add(f.Incident.Severity)
			r.IncidentEntries = append(r.IncidentEntries, refOf(f.Incident))
			restore.add(restored(f.Incident))
		}
		if failed {
			r.Failed++
			r.FailedEntries = append(r.FailedEntries, d.Index)
		}
		lead.add(d.Lead)
		waiting.add(d.Waiting)
	}
	r.FailureRate = wilson(r.Failed, r.Deployments, Level)
	r.Restore, r.Lead, r.Waiting = restore.span(), lead.span(), waiting.span()
	if r.Deployments < fewDeployments {
		r.Warning = "too few to tell: " + count(r.Deployments, "deployment")
	}
	return r
}

// restored is how long an incident took; nil while it lasts.
func restored(i *incident.Incident) *time.Duration {
	if i.Said.ResolvedAt == nil {
		return nil
	}
	d := i.Said.ResolvedAt.Sub(i.Said.StartedAt.Time)
	return &d
}

// leftOver lists the incidents that are in no cohort.
func (j *joined) leftOver(r *Report, held []*Deployed, q *Query) {
	for _, inc := range j.unplaced {
		if q.within(inc.First.Time) {
			r.Unplaced = append(r.Unplaced, refOf(inc))
		}
	}
	sure, unsure := make(map[*incident.Incident]bool), []*incident.Incident{}
	for _, d := range held {
		for _, f := range d.Caused {
			if f.Confidence.AtLeast(q.Confidence) {
				sure[f.Incident] = true
			} else if !slices.Contains(unsure, f.Incident) {
				unsure = append(unsure, f.Incident)
			}
		}
	}
	for _, inc := range unsure {
		if !sure[inc] {
			r.Uncertain = append(r.Uncertain, refOf(inc))
		}
	}
	for _, inc := range j.incidents {
		r.Waiting = append(r.Waiting, inc.Waiting...)
		r.Ignored = append(r.Ignored, inc.Ignored...)
	}
}
