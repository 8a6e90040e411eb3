package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/policy/scenario/published"
)

func newPolicyCases(a *app) *cobra.Command {
	var names []string
	for _, c := range published.Cases() {
		names = append(names, c.Name)
	}
	return &cobra.Command{
		Use:   "cases [NAME…]",
		Short: "Tell published cases, without the built-in policy and with it",
		Long: `Tell cases that were reported in public as evidence, with keys and a log that are thrown
away: what a gate says without the built-in policy and with it, why, and what the cohort
report says afterwards. docs/incidents.md holds all of them. It needs git.`,
		Example: `  countersign policy cases
  countersign policy cases outage`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(c *cobra.Command, args []string) (err error) {
			defer func() {
				if cleaned := scenario.Clean(); err == nil {
					err = cleaned
				}
			}()
			for _, n := range args {
				if !slices.Contains(names, n) {
					return wrong("there is no case %q; there are %q", n, names)
				}
			}
			told := []map[string]any{}
			for i, one := range published.Cases() {
				if len(args) > 0 && !slices.Contains(args, one.Name) {
					continue
				}
				without, with, err := one.Run(c.Context())
				if err != nil {
					return broken("%v", err)
				}
				if a.json() {
					told = append(told, map[string]any{"case": one, "without": without, "with": with})
					continue
				}
				if i > 0 && len(args) != 1 {
					a.printf("\n")
				}
				if err := one.Print(a.out, without, with); err != nil {
					return broken("write output: %v", err)
				}
			}
			if a.json() {
				return a.writeJSON(told)
			}
			return nil
		},
	}
}
