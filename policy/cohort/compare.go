package cohort

import (
	"fmt"
)

// compare holds every cohort against one of them.
func (r *Report) compare(q *Query, groups map[string][]*Deployed) {
	r.Against = q.Against
	if r.Against == "" {
		r.Against = largest(r.Cohorts)
	}
	base := r.row(r.Against)
	if base == nil {
		if q.Against != "" {
			r.Warnings = append(r.Warnings, fmt.Sprintf("there is no cohort %q to compare with", q.Against))
		}
		r.Against = ""
		return
	}
	for i := range r.Cohorts {
		if c := &r.Cohorts[i]; c.Cohort != r.Against {
			ratio := compareRows(c, base, Level)
			if n := overlap(groups[c.Cohort], groups[r.Against]); n > 0 {
				ratio.Warning = join(ratio.Warning, fmt.Sprintf("the cohorts overlap in %s", count(n, "deployment")))
			}
			r.Ratios = append(r.Ratios, ratio)
		}
	}
}

func compareRows(c, base *Row, level float64) Ratio {
	out := Ratio{Cohort: c.Cohort, Against: base.Cohort, Ratio: rateRatio(c.Failed, c.Deployments, base.Failed, base.Deployments, level)}
	out.Decides = out.Ratio.decides()
	switch {
	case c.Failed+base.Failed < fewFailures:
		out.Warning = fmt.Sprintf("too few to tell: %s in both together", count(c.Failed+base.Failed, "failure"))
	case min(c.Deployments, base.Deployments) < fewDeployments:
		out.Warning = fmt.Sprintf("too few to tell: %d and %d deployments", c.Deployments, base.Deployments)
	case !out.Decides:
		out.Warning = "no difference is shown: the interval holds 1"
	}
	return out
}

// largest is the largest cohort that is not unknown, the first of several.
func largest(rows []Row) string {
	name, most := "", 0
	for i := range rows {
		if rows[i].Cohort != Unknown && rows[i].Deployments > most {
			name, most = rows[i].Cohort, rows[i].Deployments
		}
	}
	return name
}

func (r *Report) row(name string) *Row {
	for i := range r.Cohorts {
		if r.Cohorts[i].Cohort == name {
			return &r.Cohorts[i]
		}
	}
	return nil
}

func overlap(a, b []*Deployed) int {
	in := make(map[*Deployed]bool, len(a))
	for _, d := range a {
		in[d] = true
	}
	n := 0
	for _, d := range b {
		if in[d] {
			n++
		}
	}
	return n
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// count counts things: "1 incident", "2 incidents".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// warn says what the figures do not show.
func (r *Report) warn(q *Query) {
	say := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	if r.Deployments == 0 {
		say("no deployment is attested there: nothing is known, which is not the same as nothing happened")
	}
	if u := r.row(Unknown); u != nil {
		say("of %s %d cannot be told by %s; they are a cohort of their own", count(r.Deployments, "deployment"), u.Deployments, q.By)
	}
	if r.Repeated > 0 {
		say("%s only repeat that an artifact is where it was, and count once", count(r.Repeated, "statement"))
	}
	if r.Unread > 0 {
		say("no evidence, or shown as a hash alone, and in no figure: %d of the log's entries (countersign cohort inventory lists them)", r.Unread)
	}
	if n := len(r.Unplaced); n > 0 {
		say("in no cohort, because no deployment that the log holds is named as a cause: %s", count(n, "incident"))
	}
	if n := len(r.Uncertain); n > 0 {
		say("in no cohort, because nobody is as confident of a cause as %q: %s", r.Confidence, count(n, "incident"))
	}
	if n := len(r.Waiting); n > 0 {
		say("waiting for a second person: %s that would make less of an incident", count(n, "statement"))
	}
	if len(r.Cohorts) > 1 {
		say("cohorts differ in more than %s: what they changed, when and for whom. A ratio is no cause", q.By)
	}
}
