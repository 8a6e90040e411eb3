package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

func newPolicy(a *app) *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Write, check, compare, sign and publish policy sets"}
	c.AddCommand(newPolicyInit(a), newPolicyCheck(a), newPolicyShow(a), newPolicyDiff(a), newPolicyTest(a), newPolicyCases(a), newPolicyBacktest(a), newPolicySign(a), newPolicyPublish(a), newPolicyHistory(a), newPolicyExceptions(a), newPolicyPerson(a))
	return c
}

func newPolicyCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "check DIR",
		Short:   "Check a policy set, and print its digest",
		Example: `  countersign policy check policy`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := policy.ReadFolder(args[0])
			if err != nil {
				return err
			}
			if a.json() {
				return a.writeJSON(map[string]any{"name": set.Name, "version": set.Version, "digest": set.Digest().String(), "rules": len(set.Rules)})
			}
			a.printf("%s version %d: %d rules, %d principals, sha256:%s\n", set.Name, set.Version, len(set.Rules), len(set.Roster.Principals()), set.Digest())
			a.noteBeginning(set)
			return nil
		},
	}
}

func newPolicyShow(a *app) *cobra.Command {
	var trust, asOf, out string
	c := &cobra.Command{
		Use:   "show [DIR]",
		Short: "Show a policy set: rules, people, domains",
		Long: `Show the policy set of a folder, or, with --trust, the one in force in the ledger: now, or
as of an entry of the log or a time. --out writes its three files, to start the next
version from.`,
		Example: `  countersign policy show policy
  countersign policy show --trust trust --as-of 2026-03-01T12:00:00Z
  countersign policy show --trust trust --out next`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := a.oneSet(c.Context(), args, trust, asOf)
			if err != nil {
				return err
			}
			if out != "" {
				return a.writeSet(set, out)
			}
			if a.json() {
				return a.writeJSON(set.Files())
			}
			return a.showPolicy(set)
		},
	}
	trustFlag(c, &trust)
	c.Flags().StringVar(&asOf, "as-of", "", "index of an entry, or a time (RFC 3339); default: now")
	c.Flags().StringVar(&out, "out", "", "write the files of the set to this folder")
	return c
}

func (a *app) showPolicy(set *policy.Set) error {
	a.printf("%s version %d  sha256:%s\n\n", a.bold(set.Name), set.Version, set.Digest())
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tASKS FOR\tWHEN")
	for _, r := range set.Rules {
		when := "always"
		if r.When != nil {
			when = r.When.Source()
		}
		mode := ""
		if r.Mode == policy.Audit {
			mode = " (audit only)"
		}
		if !r.EffectiveFrom.IsZero() {
			mode += " (from " + r.EffectiveFrom.Format(time.RFC3339) + ")"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\n", r.ID, mode, asks(r), when)
	}
	fmt.Fprintln(w, "\t\t\nWHO\tIS\tMAY")
	for _, p := range set.Roster.Principals() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.ID, describe(p), may(p))
	}
	fmt.Fprintln(w, "\t\t\nENVIRONMENT\tGATE\tAPPROVALS COUNT\tBASELINES")
	for _, e := range set.Environments {
		var starts []string
		for _, b := range set.Baselines {
			if b.Environment == e.Name {
				starts = append(starts, b.Commit[:12])
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Name, e.Mode, e.Approvals, strings.Join(starts, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	controls := make(map[string][]string)
	for _, r := range set.Rules {
		for _, c := range r.Controls {
			controls[c] = append(controls[c], r.ID)
		}
	}
	for i, c := range slices.Sorted(maps.Keys(controls)) {
		if i == 0 {
			a.printf("\n")
		}
		a.printf("control %s: %s\n", c, strings.Join(controls[c], ", "))
	}
	a.printf("\nchanges: %d owners sign, and what loosens waits %s\n", max(set.Changes.Approvals, 2), set.Changes.Delay)
	if len(set.Exceptions) > 0 {
		a.printf("exceptions: %d (countersign policy exceptions)\n", len(set.Exceptions))
	}
	if b := set.BreakGlass; b != nil {
		a.printf("break-glass: in %s, %s and %s at most, reviewed within %s\n", strings.Join(b.Environments, ", "), b.MaxDuration, plural(b.MaxUses, "use"), b.ReviewWithin)
	}
	a.printf("owners: %s   tiers: %s   levels: %s\n", strings.Join(set.Roster.Owners, ", "), strings.Join(set.Tiers, " < "), strings.Join(set.Levels, " < "))
	return nil
}

func asks(r policy.Rule) string {
	if r.Forbid {
		return "never"
	}
	var parts []string
	for _, s := range r.Require.Slots {
		who := "person"
		if s.Count > 1 {
			who = "people"
		}
		text := fmt.Sprintf("%d %s", s.Count, who)
		if s.Level != "" {
			text += " of level " + s.Level
		}
		if len(s.Teams) > 0 {
			text += " of " + strings.Join(s.Teams, " or ")
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " and ")
}

func describe(p *roster.Principal) string {
	switch {
	case p.Kind == roster.Person:
		return p.Level
	case p.Kind == roster.Agent && p.Operator != "":
		return "agent of " + p.Operator
	case p.Forge:
		return "forge"
	}
	return string(p.Kind)
}

func may(p *roster.Principal) string {
	switch p.Kind {
	case roster.Person:
		return "approve"
	case roster.Agent:
		return "approve on record, which never counts"
	}
	var short []string
	for _, full := range p.May {
		short = append(short, shortType(full))
	}
	return strings.Join(short, ", ")
}

// shortType is the name that people use for a predicate type.
func shortType(full string) string {
	for short, t := range attest.ShortTypes {
		if t == full {
			return short
		}
	}
	return full
}
