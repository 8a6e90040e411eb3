package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy/cohort"
)

// cohortFlags are those of the commands below cohort.
type cohortFlags struct {
	trust, since, until, by, out string
	confidence, severity         string
	query                        cohort.Query
	entries, quick               bool
}

func newCohort(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "cohort",
		Short: "Compare deployments by who wrote them, and show what went past the gate",
		Long: `Read the whole log, verify every entry of it under the --trust folder, and compute figures
from the evidence. Nothing is asked of the server but the log itself, so anybody who can
read it gets the same figures; every figure names the entries behind it.

docs/cohorts.md says what each figure means, and what it does not.`,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if !slices.Contains([]string{"text", "json", "csv", "svg"}, a.format) {
				return wrong("--format %q: use text, json, csv or svg", a.format)
			}
			return nil
		},
	}
	c.AddCommand(newCohortReport(a), newCohortBypasses(a), newCohortSuggest(a), newCohortInventory(a), newCohortSignals(a), newCohortSnapshot(a))
	return c
}

func (f *cohortFlags) flags(c *cobra.Command) {
	trustFlag(c, &f.trust)
	fl := c.Flags()
	fl.StringVar(&f.since, "since", "", "only what the log took at this time or later: RFC 3339, a day, or an age such as 90d or 12h")
	fl.StringVar(&f.until, "until", "", "only what the log took before this time")
	fl.StringVar(&f.query.Repository, "repository", "", "only of this repository")
	fl.StringVar(&f.query.Environment, "environment", "", "only to this environment")
	fl.StringVar(&f.out, "out", "", "write to this file instead of standard output")
}

// failureFlags say what counts as a failure.
func (f *cohortFlags) failureFlags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.confidence, "confidence", "likely", "least confidence with which an incident must be put down to a deployment: confirmed, likely or possible")
	fl.StringVar(&f.severity, "severity", "sev4", "mildest incident that counts as a failure")
	_ = c.RegisterFlagCompletionFunc("confidence", cobra.FixedCompletions([]string{"confirmed", "likely", "possible"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions([]string{"sev1", "sev2", "sev3", "sev4"}, cobra.ShellCompDirectiveNoFileComp))
}

func newCohortReport(a *app) *cobra.Command {
	var f cohortFlags
	c := &cobra.Command{
		Use:   "report --by DIMENSION --trust DIR",
		Short: "Compare how often deployments break something",
		Long: `For every cohort: how many deployments, which incidents are put down to them, the change
failure rate with its 95% interval (Wilson), time to restore, lead time from the first
commit, waiting time for approval; and the ratio of failure rates with an exact interval.

What nobody knows the author of is a cohort of its own, and never human.`,
		Example: `  countersign cohort report --since 90d --by origin --trust trust
  countersign cohort report --by tool --against none --format csv --out tools.csv --trust trust
  countersign cohort report --by tier --severity sev2 --format svg --out tiers.svg --trust trust`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.cohortReport(c.Context(), &f) },
	}
	f.flags(c)
	f.failureFlags(c)
	c.Flags().StringVar(&f.by, "by", "origin", "what to tell deployments apart by: "+strings.Join(dimensions(), ", "))
	c.Flags().StringVar(&f.query.Against, "against", "", "cohort that the others are compared with (default: the largest known one)")
	c.Flags().BoolVar(&f.entries, "entries", false, "list all entries behind each figure, and not the first few")
	_ = c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(dimensions(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func dimensions() []string {
	var out []string
	for _, d := range cohort.Dimensions() {
		out = append(out, string(d))
	}
	return out
}

func newCohortBypasses(a *app) *cobra.Command {
	var f cohortFlags
	c := &cobra.Command{
		Use:   "bypasses --trust DIR",
		Short: "Show what was deployed past the gate, and where nobody could tell",
		Long: `List deployments without an allow, with one that had run out, that came later, or that is
of another artifact or environment, and those that only a rule in audit mode would have
denied. Where nobody but the CI that builds attests what runs, the answer is "coverage
unknown", and never that there are no bypasses.

Exit 1 when there is a bypass, 3 when coverage is unknown somewhere, else 0.`,
		Example: `  countersign cohort bypasses --trust trust
  countersign cohort bypasses --environment production --since 30d --format csv --trust trust`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.cohortBypasses(c.Context(), &f) },
	}
	f.flags(c)
	return c
}

func newCohortSuggest(a *app) *cobra.Command {
	var f cohortFlags
	c := &cobra.Command{
		Use:   "suggest --trust DIR",
		Short: "Propose rules that the data speak for, and apply none",
		Long: `Compare every cohort that a rule can tell apart (origin, tool, tier, domain, seniority, the
week after a Sev1 or Sev2 of a domain, how many critical domains) with all other deployments, and propose
a rule in audit mode where it fails more often by more than chance; the interval is widened by
the number of comparisons. Each comes with a backtest: what the set in force and this rule would
have denied of the same time, and how much of that failed. Nothing is changed: a rule is text to
copy, to discuss, and to try.`,
		Example: `  countersign cohort suggest --since 180d --trust trust`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.cohortSuggest(c.Context(), &f) },
	}
	f.flags(c)
	f.failureFlags(c)
	c.Flags().BoolVar(&f.quick, "no-backtest", false, "do not make past decisions again with each rule")
	return c
}

func newCohortInventory(a *app) *cobra.Command {
	var f cohortFlags
	c := &cobra.Command{
		Use:   "inventory --trust DIR",
		Short: "List every repository, tool, model and agent that touched the pipeline",
		Long: `List what the log has seen: repositories, AI tools and models, agents, and who signed; and
after them what is not known, with the entries that show it.`,
		Example: `  countersign cohort inventory --trust trust
  countersign cohort inventory --trust trust --format json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.cohortInventory(c.Context(), &f) },
	}
	trustFlag(c, &f.trust)
	c.Flags().StringVar(&f.out, "out", "", "write to this file instead of standard output")
	return c
}

func newCohortSignals(a *app) *cobra.Command {
	var f cohortFlags
	c := &cobra.Command{
		Use:   "signals --trust DIR",
		Short: "Show patterns that approvals without reading leave behind",
		Long: `Show approvals that came sooner than the size of the change lets expect (10 s a path, and
30 s at least), people with 20 and more on one day, pairs who approve each other and
hardly anybody else does, and incidents that were over without a person who signed
anything about them. Each has innocent explanations.`,
		Example: `  countersign cohort signals --since 30d --trust trust`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.cohortSignals(c.Context(), &f) },
	}
	f.flags(c)
	return c
}
