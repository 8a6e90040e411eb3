package published

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/cohort"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// collect reads the log that was told, as a report does.
func collect(ctx context.Context, told *scenario.Told) (*cohort.Log, error) {
	view, err := told.Log.View(ctx)
	if err != nil {
		return nil, err
	}
	c := cohort.NewCollector(told.Set)
	index := uint64(0)
	err = told.Each(ctx, func(e *verify.Evidence, r *verify.Refusal) {
		if r != nil {
			c.Refuse(index, r)
		} else {
			c.Add(e)
		}
		index++
	})
	return c.Finish(view), err
}

// Print tells a case to people.
func (c *Case) Print(to io.Writer, without, with *Told) error {
	w := &printer{w: bufio.NewWriter(to)}
	w.line("%s: %s", c.Name, c.Title)
	w.block("reported", c.Published)
	w.block("told here", c.Told)
	w.line("")
	w.evidence(with)
	w.line("")
	w.line("Without the blueprint: %s", c.Had)
	w.outcome(without)
	w.line("")
	w.line("With the blueprint")
	w.outcome(with)
	w.line("")
	w.line("What the cohort report says afterwards, without the blueprint")
	w.report(without)
	if !slices.ContainsFunc(with.Gated, func(g scenario.Gated) bool { return g.Went }) {
		return w.flush()
	}
	w.line("")
	w.line("and with it")
	w.report(with)
	return w.flush()
}

// width is where texts are broken.
const width = 96

type printer struct{ w *bufio.Writer }

func (w *printer) flush() error { return w.w.Flush() }

func (w *printer) line(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	fmt.Fprintln(w.w, text) // the first error stays in the writer
}

// block breaks a text into lines behind a word.
func (w *printer) block(word, text string) { w.wrap(fmt.Sprintf("  %-10s ", word), text) }

func (w *printer) wrap(first, text string) {
	indent := strings.Repeat(" ", len(first))
	line := first
	for _, word := range strings.Fields(text) {
		if len(line)+len(word) > width && strings.TrimSpace(line) != "" && line != indent {
			w.line("%s", line)
			line = indent
		}
		line += word + " "
	}
	w.line("%s", line)
}

// evidence says what the log holds of each release: as the gate found out.
func (w *printer) evidence(t *Told) {
	w.line("What the log holds (%d entries)", t.Entries)
	seen := make(map[string]bool)
	for _, g := range t.Gated {
		for i := range g.Decision.Core.Changes {
			ch := &g.Decision.Core.Changes[i]
			if seen[ch.Commit+g.Decision.Core.Plan] {
				continue
			}
			seen[ch.Commit+g.Decision.Core.Plan] = true
			w.wrap(fmt.Sprintf("  %-9s ", g.What), about(ch))
		}
	}
}

func about(ch *policy.ChangeResult) string {
	what := "change " + ch.Change
	if ch.Plan != nil {
		what = "plan: " + strings.Join(ch.Plan.Harm, ", ")
	}
	var authors, voices []string
	for _, a := range ch.Authors {
		authors = append(authors, strings.TrimSpace(a.Who+" "+onlyIf(a.Level != "", "("+a.Level+")")))
	}
	for _, v := range ch.Approved {
		voices = append(voices, fmt.Sprintf("%s (%s) #%d", v.Person, v.Level, v.Index))
	}
	if len(voices) == 0 {
		voices = []string{"nobody whose approval counts"}
	}
	where := strings.Join(ch.Domains, ", ")
	if where == "" {
		where = "no known domain"
	}
	return fmt.Sprintf("%s; %s; tier %s; origin %s; by %s; approved by %s", what, where, ch.Tier, ch.Origin, strings.Join(authors, ", "), strings.Join(voices, ", "))
}

func onlyIf(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}

// outcome says what the gate said of each release, and what came of it.
func (w *printer) outcome(t *Told) {
	for _, g := range t.Gated {
		at := g.At.Sub(scenario.Start) / (24 * time.Hour)
		head := fmt.Sprintf("  day %d  %s", at+1, g.What)
		switch {
		case g.Decision == nil:
			w.line("%s: nobody asked; it went to production", head)
			continue
		case g.Went:
			w.line("%s: ALLOW", head)
		default:
			w.line("%s: DENY", head)
		}
		w.findings(g.Decision)
	}
	for _, inc := range t.Broke {
		end := "is not over"
		if at := inc.Said.ResolvedAt; at != nil {
			end = fmt.Sprintf("lasts %s, ended by %s", at.Sub(inc.Said.StartedAt.Time).Round(time.Minute), inc.Said.ResolvedBy)
		}
		w.line("  %s, %s, %s", inc.ID, inc.Severity, end)
	}
}

// findings are the rules that failed, each once, and why.
func (w *printer) findings(d *policy.Decision) {
	said := make(map[string]bool)
	for i := range d.Core.Changes {
		for _, f := range d.Core.Changes[i].Rules {
			if f.Held || said[f.Rule] {
				continue
			}
			said[f.Rule] = true
			kind := string(f.Kind)
			if f.Audit {
				kind += ", and only watched"
			}
			w.wrap("           ", fmt.Sprintf("%s: %s: %s", f.Rule, kind, f.Why))
		}
	}
	for _, ig := range d.Annex.Ignored {
		if ig.Kind == policy.NotHuman || ig.Kind == policy.SelfApproval {
			w.wrap("           ", fmt.Sprintf("#%d does not count: %s: %s", ig.Index, ig.Kind, ig.Why))
		}
	}
}

func (w *printer) report(t *Told) {
	for i := range t.Report.Cohorts {
		c := &t.Report.Cohorts[i]
		restore := "none"
		if c.Restore.Known > 0 {
			restore = c.Restore.Median.Duration().String()
		}
		name := map[string]string{"all": "all AI", "none": "no AI", "some": "some AI", "unknown": "unknown"}[c.Cohort]
		w.line("  %-8s %d deployed, %d failed; sev1 %d, sev2 %d; median restore %s", name, c.Deployments, c.Failed, c.Incidents.Sev1, c.Incidents.Sev2, restore)
		if c.Warning != "" {
			w.line("           %s", c.Warning)
		}
	}
	if len(t.Report.Cohorts) == 0 {
		w.line("  nothing was deployed")
	}
	for _, b := range t.Bypass {
		w.wrap("  ", fmt.Sprintf("bypass: %s: deployment #%d: %s", b.Kind, b.Deployment, b.Why))
	}
	for _, inc := range t.Signals.Unattended {
		w.wrap("  ", fmt.Sprintf("signal: %s, %s, was over without a person who signed anything", inc.ID, inc.Severity))
	}
}
