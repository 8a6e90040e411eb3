package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy"
)

func newPolicyDiff(a *app) *cobra.Command {
	var trust string
	c := &cobra.Command{
		Use:   "diff [DIR] DIR",
		Short: "Show what a policy set changes, and whether it waits",
		Long: `Compare two policy sets, rule by rule. With one folder and --trust, the other is the set in
force in the ledger.

What tightens is on a closed list: a rule is added that applies always, or enforces, forbids,
asks for more people, excludes more of them, accepts less, earlier, or only younger approvals;
a verdict holds for a shorter time; an environment goes; a change of policy takes longer or
more owners. A set that does nothing else is in force as soon as its owners have signed.
Everything else waits, and the whole set with it: people, keys, levels, domains, baselines
and expressions too, whatever they do. "countersign policy backtest" shows which past
decisions would have been others.`,
		Example: `  countersign policy diff policy next
  countersign policy diff next --trust trust`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			after, err := policy.ReadFolder(args[len(args)-1])
			if err != nil {
				return err
			}
			if len(args) == 1 && trust == "" {
				return wrong("--trust is needed to compare with the set in force, or another folder")
			}
			before, err := a.oneSet(c.Context(), args[:len(args)-1], trust, "")
			if err != nil {
				return err
			}
			return a.showDiff(before, after)
		},
	}
	trustFlag(c, &trust)
	return c
}

func (a *app) showDiff(before, after *policy.Set) error {
	changes := policy.Diff(before, after)
	atOnce := policy.Tightens(changes)
	if a.json() {
		return a.writeJSON(map[string]any{
			"before": before.Digest().String(), "after": after.Digest().String(), "atOnce": atOnce, "delay": before.Changes.DelayOf(changes).String(),
			"changes": append([]policy.Difference{}, changes...),
		})
	}
	a.printf("%s version %d → %s version %d\n", before.Name, before.Version, after.Name, after.Version)
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, d := range changes {
		fmt.Fprintf(w, "%s\t%s\t%s\t→\t%s\n", d.Effect, d.Where, orNothing(d.Before), orNothing(d.After))
	}
	if err := w.Flush(); err != nil {
		return broken("write output: %v", err)
	}
	switch {
	case len(changes) == 0:
		a.printf("no difference that a verdict could show\n")
	case atOnce:
		a.printf("in force as soon as its owners have signed: it only tightens\n")
	default:
		a.printf("in force %s after its owners have signed\n", before.Changes.DelayOf(changes))
	}
	return nil
}

func orNothing(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s, 160)
}
