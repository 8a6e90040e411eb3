package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy"
)

func newPolicyExceptions(a *app) *cobra.Command {
	var trust, asOf string
	c := &cobra.Command{
		Use:   "exceptions [DIR]",
		Short: "List the exceptions of a policy, and which of them count now",
		Long: `List the exceptions of the set in force (--trust), or of a folder: for which rule and what, and
until when. An exception is a few lines of policy.yaml; it comes into force as every change of the
policy does, after changes.exceptionDelay where the set in force names one, and ends by itself.

  changes: {delay: 48h, exceptionDelay: 2h, maxException: 720h}
  exceptions:
    - id: vendored-fork
      rule: two-people
      repository: github.com/org/repo
      environments: [production]
      paths: ["vendor/fork/**"]     # or heads: [...], or artifacts: [...]
      from: 2026-03-01T00:00:00Z
      until: 2026-03-20T00:00:00Z
      reason: until upstream has taken the patch
      ticket: INC-7`,
		Example: `  countersign policy exceptions --trust trust
  countersign policy exceptions next
  countersign policy exceptions --trust trust --as-of 2026-03-01T12:00:00Z --format json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := a.oneSet(c.Context(), args, trust, asOf)
			if err != nil {
				return err
			}
			at := a.now()
			if asOf != "" {
				if _, at, err = a.asOfPlace(c.Context(), asOf); err != nil {
					return err
				}
			}
			return a.showExceptions(set, at)
		},
	}
	trustFlag(c, &trust)
	c.Flags().StringVar(&asOf, "as-of", "", "index of an entry, or a time (RFC 3339); default: now")
	return c
}

// exceptionState says in a word whether an exception counts.
func exceptionState(e *policy.Exception, now time.Time) string {
	switch {
	case now.Before(e.From):
		return "to come"
	case e.Alive(now):
		return "alive"
	}
	return "ended"
}

func (a *app) showExceptions(set *policy.Set, now time.Time) error {
	type shown struct {
		ID           string    `json:"id"`
		State        string    `json:"state"`
		Rule         string    `json:"rule"`
		Repository   string    `json:"repository"`
		Environments []string  `json:"environments"`
		Paths        []string  `json:"paths"`
		Heads        []string  `json:"heads"`
		Artifacts    []string  `json:"artifacts"`
		From         time.Time `json:"from"`
		Until        time.Time `json:"until"`
		Reason       string    `json:"reason"`
		Ticket       string    `json:"ticket"`
	}
	list := []shown{}
	for i := range set.Exceptions {
		e := &set.Exceptions[i]
		list = append(list, shown{e.ID, exceptionState(e, now), e.Rule, e.Repository, e.Environments, e.Paths, e.Heads, e.Artifacts, e.From, e.Until, e.Reason, e.Ticket})
	}
	if a.json() {
		return a.writeJSON(map[string]any{"policy": set.Name, "version": set.Version, "at": now.UTC().Truncate(time.Second), "exceptions": list})
	}
	if len(list) == 0 {
		a.printf("%s version %d makes no exceptions\n", set.Name, set.Version)
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "EXCEPTION\tSTATE\tRULE\tUNTIL\tFOR\tREASON")
	for _, e := range list {
		what := strings.Join(e.Paths, " ")
		for _, h := range append(append([]string{}, e.Heads...), e.Artifacts...) {
			what += " " + h[:12] + "…"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s of %s to %s\t%s\n", e.ID, e.State, e.Rule, e.Until.Format(time.RFC3339), strings.TrimSpace(what), e.Repository, strings.Join(e.Environments, ", "), printable(e.Reason, 120))
	}
	return w.Flush()
}
