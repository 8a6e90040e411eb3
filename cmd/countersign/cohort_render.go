package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign-dev/countersign/policy/cohort"
)

// fewEntries is how many indexes a line of text shows.
const fewEntries = 8

func (a *app) showReport(r *cohort.Report, all bool) error {
	a.printf("%s\n", a.bold(fmt.Sprintf("%s by %s", plural(r.Deployments, "deployment"), r.By)))
	a.printf("%s\n\n", a.faint(fmt.Sprintf("%s as of %s, %s verified; failures are incidents of %s and worse, at least %s; intervals hold %.0f%%", printable(r.Origin, 253), r.AsOf.Format(time.RFC3339), entries(r.Size), r.Severity, r.Confidence, r.Level*100)))
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%s\tDEPLOYED\tFAILED\tFAILURE RATE\tSEV1\tSEV2\tSEV3\tSEV4\tRESTORE\tLEAD\tWAITING\n", strings.ToUpper(string(r.By)))
	for i := range r.Cohorts {
		c := &r.Cohorts[i]
		rate := "-"
		if f := c.FailureRate; f != nil {
			rate = fmt.Sprintf("%.1f%% (%.1f-%.1f)", f.Value*100, f.Low*100, f.High*100)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", printable(c.Cohort, 40), c.Deployments, c.Failed, rate,
			c.Incidents.Sev1, c.Incidents.Sev2, c.Incidents.Sev3, c.Incidents.Sev4, span(c.Restore), span(c.Lead), span(c.Waiting))
	}
	if err := w.Flush(); err != nil {
		return broken("write output: %v", err)
	}
	a.printf("%s\n", a.faint("times: median, and in brackets what nine of ten do not exceed; ?n: not known, or not over, of n"))
	for _, x := range r.Ratios {
		a.printf("\n%s", ratioLine(&x))
	}
	a.printf("\n")
	limit := fewEntries
	if all {
		limit = 1 << 30
	}
	for i := range r.Cohorts {
		c := &r.Cohorts[i]
		a.printf("%s: deployments %s", printable(c.Cohort, 40), indexList(c.Entries, limit))
		if c.Failed > 0 {
			a.printf("; failed %s", indexList(c.FailedEntries, limit))
		}
		for n, inc := range c.IncidentEntries {
			if n == limit {
				a.printf("; and %d more incidents", len(c.IncidentEntries)-n)
				break
			}
			a.printf("; %s %s %s", printable(inc.ID, 60), inc.Severity, indexList(inc.Entries, limit))
		}
		a.printf("\n")
	}
	a.showIncidents("incidents that no deployment here is a cause of", r.Unplaced, limit)
	a.showIncidents("incidents with too little confidence", r.Uncertain, limit)
	for _, m := range r.Waiting {
		a.printf("#%d  %s\n", m.Index, printable(m.Why, 300))
	}
	for _, m := range r.Warnings {
		a.printf("%s %s\n", a.bold("note:"), printable(m, 400))
	}
	return nil
}

func (a *app) showIncidents(what string, list []cohort.IncidentRef, limit int) {
	for i, inc := range list {
		if i == limit {
			a.printf("… and %d more\n", len(list)-i)
			return
		}
		if i == 0 {
			a.printf("%s:\n", what)
		}
		a.printf("  %s %s %s\n", printable(inc.ID, 60), inc.Severity, indexList(inc.Entries, limit))
	}
}

func ratioLine(x *cohort.Ratio) string {
	said := "nothing can be said"
	if q := x.Ratio; q != nil {
		high, value := "no limit", "more often, without limit,"
		if q.High != nil {
			high = fmt.Sprintf("%.2f", *q.High)
		}
		if q.Value != nil {
			value = fmt.Sprintf("%.2f times as often", *q.Value)
		}
		said = fmt.Sprintf("fails %s (%.2f to %s)", value, q.Low, high)
	}
	if x.Warning != "" {
		said += ": " + x.Warning
	}
	return fmt.Sprintf("%s against %s: %s", printable(x.Cohort, 40), printable(x.Against, 40), said)
}

// span is a duration for people.
func span(s cohort.Span) string {
	out := "-"
	if s.Known > 0 {
		out = fmt.Sprintf("%s (%s)", brief(s.Median.Duration()), brief(s.P90.Duration()))
	}
	if s.Unknown > 0 {
		out += fmt.Sprintf(" ?%d", s.Unknown)
	}
	return out
}

// brief is a duration in its one or two largest units.
func brief(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1fd", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%.1fh", d.Hours())
	case d >= time.Minute:
		return fmt.Sprintf("%.0fm", d.Minutes())
	}
	return fmt.Sprintf("%.0fs", d.Seconds())
}

func indexList(list []uint64, limit int) string {
	if len(list) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, n := range list {
		if i == limit {
			fmt.Fprintf(&b, " and %d more", len(list)-i)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "#%d", n)
	}
	return b.String()
}

func (a *app) showBypasses(r *cohort.Register) error {
	a.printf("%s\n", a.faint(fmt.Sprintf("%s as of %s, %s verified", printable(r.Origin, 253), r.AsOf.Format(time.RFC3339), entries(r.Size))))
	for _, b := range r.Bypasses {
		a.printf("%s  #%d  %s  %s  artifact %.12s by %s, attested by %s\n    %s\n", a.red(string(b.Kind)), b.Deployment, b.DeployedAt.UTC().Format(time.RFC3339),
			printable(b.Environment, 60), b.Artifact, printable(b.Actor, 60), printable(b.AttestedBy, 60), printable(b.Why, 300))
	}
	for _, c := range r.Coverage {
		where := printable(strings.TrimSpace(c.Environment+" "+c.Repository), 160)
		if !c.Known {
			a.printf("%s: %s\n", where, a.bold(printable(c.Why, 300)))
			continue
		}
		a.printf("%s: %s, %s, as attested by %s\n", where, plural(c.Deployments, "deployment"), bypassCount(*c.Bypasses), printable(strings.Join(c.AttestedBy, ", "), 200))
	}
	for _, g := range r.Gaps {
		a.printf("%s  #%d  %s to %s, %.12s to %.12s, signed by %s: %s\n", a.red("gap"), g.Index, g.Repository, printable(strings.Join(g.Environments, ", "), 160), g.From, g.To, printable(strings.Join(g.SignedBy, ", "), 200), printable(g.Reason, 300))
	}
	if r.Unread > 0 {
		a.printf("%s %d entries are no evidence, or were shown as a hash alone (countersign cohort inventory lists them)\n", a.bold("note:"), r.Unread)
	}
	for _, m := range r.Remarks {
		a.printf("%s\n", a.faint(fmt.Sprintf("#%d  %s", m.Index, printable(m.Why, 300))))
	}
	return nil
}

func bypassCount(n int) string {
	switch n {
	case 0:
		return "no bypass is known"
	case 1:
		return "1 bypass"
	}
	return fmt.Sprintf("%d bypasses", n)
}

func (a *app) showSuggestions(s *cohort.Suggestions) error {
	a.printf("%s\n", a.faint(fmt.Sprintf("%s, %s verified; %s at %.3f%%", printable(s.Origin, 253), entries(s.Size), plural(s.Comparisons, "comparison"), s.Level*100)))
	if len(s.Suggestions) == 0 {
		a.printf("no rule is suggested: no cohort with enough deployments fails more often than the rest by more than chance\n")
	}
	for i := range s.Suggestions {
		x := &s.Suggestions[i]
		a.printf("\n%s\n", a.bold(printable(x.Title, 200)))
		a.printf("%d of %d failed, of all others %d of %d; %s\nfailed: %s\n", x.Failed, x.Deployments, x.AgainstFailed, x.AgainstDeployments, ratioLine(&x.Ratio), indexList(x.FailedEntries, fewEntries))
		for line := range strings.Lines(x.Rule) {
			a.printf("    %s\n", printable(strings.TrimRight(line, "\n"), 300))
		}
		if b := x.Backtest; b != nil {
			a.printf("backtest: of %s made again it would have denied %d that were allowed, of which %d let something go that failed: %s\n",
				plural(b.Decisions, "decision"), b.WouldDeny, b.Failures, indexList(b.Entries, fewEntries))
		}
	}
	for _, m := range s.Warnings {
		a.printf("%s %s\n", a.bold("note:"), m)
	}
	return nil
}

func (a *app) showInventory(inv *cohort.Inventory) error {
	a.printf("%s\n", a.faint(fmt.Sprintf("%s, %s verified", printable(inv.Origin, 253), entries(inv.Size))))
	for _, part := range []struct {
		name string
		list []cohort.Thing
	}{{"repositories", inv.Repositories}, {"AI tools", inv.Tools}, {"models", inv.Models}, {"agents", inv.Agents}, {"signers", inv.Signers}} {
		a.printf("%s\n", a.bold(part.name))
		if len(part.list) == 0 {
			a.printf("  none is known\n")
		}
		w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
		for _, t := range part.list {
			fmt.Fprintf(w, "  %s\t%d\t#%d to #%d\t%s\n", printable(t.Name, 80), t.Count, t.First, t.Last, printable(t.About, 60))
		}
		if err := w.Flush(); err != nil {
			return broken("write output: %v", err)
		}
	}
	a.printf("%s\n", a.bold("not known"))
	for _, h := range inv.Unknown {
		a.printf("  %s: %d (%s)\n", printable(h.What, 160), h.Count, indexList(h.Entries, fewEntries))
	}
	if len(inv.Unknown) == 0 {
		a.printf("  nothing that the log shows\n")
	}
	return nil
}

func (a *app) showSignals(s *cohort.Signals) error {
	a.printf("%s of %s looked at; %d without a request before them\n", plural(s.Approvals, "approval"), plural(s.Changes, "judged change"), s.Untimed)
	for _, x := range s.Fast {
		a.printf("fast   #%d  %s approved %s, %s, after %s (request #%d)\n", x.Approval, printable(x.Person, 60), printable(x.Change, 60), plural(x.Paths, "path"), brief(x.After.Duration()), x.Request)
	}
	for _, x := range s.Busy {
		a.printf("busy   %s gave %s on %s: %s\n", printable(x.Person, 60), plural(len(x.Entries), "approval"), x.Day, indexList(x.Entries, fewEntries))
	}
	for _, x := range s.Pairs {
		a.printf("pair   %s approved %d of %s's %d, and was approved by them in %d of %d: %s\n", printable(x.A, 60), x.ByA, printable(x.B, 60), x.OfB, x.ByB, x.OfA, indexList(x.Entries, fewEntries))
	}
	for _, x := range s.Unattended {
		a.printf("alone  %s, %s, was over without a person who signed anything: %s\n", printable(x.ID, 60), x.Severity, indexList(x.Entries, fewEntries))
	}
	if len(s.Fast)+len(s.Busy)+len(s.Pairs)+len(s.Unattended) == 0 {
		a.printf("no signal\n")
	}
	a.printf("%s\n", a.faint("Each has innocent explanations: a reason to ask, and no proof."))
	return nil
}
