package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign-dev/countersign/policy"
)

// tables are the tallies of a report, by what they are of.
func (b *backtest) tables() []struct {
	Name string
	Rows []policy.Tally
} {
	one := func(of func(*policy.WhatIf) string) func(*policy.WhatIf) []string {
		return func(w *policy.WhatIf) []string { return []string{of(w)} }
	}
	return []struct {
		Name string
		Rows []policy.Tally
	}{
		{"environment", policy.Tallies(b.whatifs, one(func(w *policy.WhatIf) string { return w.Environment }))},
		{"rule", policy.Tallies(b.whatifs, func(w *policy.WhatIf) []string { return w.Rules })},
		{"team", policy.Tallies(b.whatifs, func(w *policy.WhatIf) []string {
			if len(w.Teams) == 0 {
				return []string{"(none known)"}
			}
			return w.Teams
		})},
		{"tier", policy.Tallies(b.whatifs, one(func(w *policy.WhatIf) string { return orNothing(w.Tier) }))},
	}
}

// needs counts the approvals that would have been asked for where the answer differs.
func (b *backtest) needs() map[string]int {
	out := make(map[string]int)
	for _, w := range b.whatifs {
		if !w.Differs() {
			continue
		}
		for _, n := range w.Needs {
			out[n.Rule+": "+n.Text]++
		}
	}
	return out
}

// wait is a quantile of how long approvals took, from 0 to 1.
func (b *backtest) wait(q float64) time.Duration {
	if len(b.waits) == 0 {
		return 0
	}
	return b.waits[int(q*float64(len(b.waits)-1))].Round(time.Second)
}

func (b *backtest) report() error {
	denied, allowed := 0, 0
	for _, w := range b.whatifs {
		switch {
		case w.Differs() && w.Would == policy.Allow:
			allowed++
		case w.Differs():
			denied++
		}
	}
	a := b.app
	if a.json() {
		out := map[string]any{
			"policy": b.candidate.Digest().String(), "decisions": len(b.whatifs), "denied": denied, "allowed": allowed, "needs": b.needs(),
			"approvals":      map[string]any{"counted": len(b.waits), "median": b.wait(0.5).String(), "p90": b.wait(0.9).String()},
			"differ":         slices.DeleteFunc(slices.Clone(b.whatifs), func(w *policy.WhatIf) bool { return !w.Differs() }),
			"tookToDecideMs": b.took.Milliseconds(),
		}
		for _, t := range b.tables() {
			out["by"+strings.ToUpper(t.Name[:1])+t.Name[1:]] = t.Rows
		}
		return a.writeJSON(out)
	}
	a.printf("%s under %s version %d: %d would have been denied, %d allowed instead (%s)\n",
		plural(len(b.whatifs), "decision"), b.candidate.Name, b.candidate.Version, denied, allowed, b.took.Round(time.Millisecond))
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, t := range b.tables() {
		fmt.Fprintf(w, "\nBY %s\tNOW DENIED\tNOW ALLOWED\tOF\n", strings.ToUpper(t.Name))
		for _, r := range t.Rows {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", printable(r.Of, 80), r.Denied, r.Allowed, r.Total)
		}
	}
	if err := w.Flush(); err != nil {
		return broken("write output: %v", err)
	}
	b.reportDiffering()
	return nil
}

const shownDiffering = 20

func (b *backtest) reportDiffering() {
	a := b.app
	needs := b.needs()
	for i, text := range sortedByCount(needs) {
		if i == 0 {
			a.printf("\nwould have been asked for besides:\n")
		}
		a.printf("  %d × %s\n", needs[text], printable(text, 160))
	}
	if len(b.waits) > 0 {
		a.printf("approvals took %s then (median of %d; nine of ten within %s)\n", b.wait(0.5), len(b.waits), b.wait(0.9))
	}
	n := 0
	for _, w := range b.whatifs {
		if !w.Differs() {
			continue
		}
		if n++; n == 1 {
			a.printf("\n")
		}
		if n <= shownDiffering {
			a.printf("#%d  %s  %.12s to %s: was %s, would be %s  %s\n", w.Index, w.DecidedAt.Format(time.RFC3339), w.Commit, w.Environment, w.Was, w.Would, printable(w.Why, 160))
		}
	}
	if n > shownDiffering {
		a.printf("… and %d more (--csv FILE has all)\n", n-shownDiffering)
	}
}

func sortedByCount(m map[string]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(a, b)
	})
	return out
}

// writeCSV writes a line for each decision. A field that a spreadsheet would calculate is
// quoted as text.
func (b *backtest) writeCSV(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return wrong("--csv: %v", err)
	}
	w := csv.NewWriter(file)
	rows := [][]string{{"index", "decidedAt", "repository", "environment", "release", "commit", "was", "wasKind", "would", "wouldKind", "rules", "teams", "tier", "needs", "why"}}
	for _, x := range b.whatifs {
		var needs []string
		for _, n := range x.Needs {
			needs = append(needs, n.Change+": "+n.Text)
		}
		rows = append(rows, []string{
			strconv.FormatUint(x.Index, 10), x.DecidedAt.Format(time.RFC3339), x.Repository, x.Environment, x.Release, x.Commit, string(x.Was), string(x.WasKind),
			string(x.Would), string(x.WouldKind), strings.Join(x.Rules, " "), strings.Join(x.Teams, " "), x.Tier, strings.Join(needs, "; "), x.Why,
		})
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		file.Close()
		return broken("--csv: %v", err)
	}
	return file.Close()
}
