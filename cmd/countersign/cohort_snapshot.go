package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

// snapshotFlags are those of cohort snapshot.
type snapshotFlags struct {
	signing
	trust, check string
}

func newCohortSnapshot(a *app) *cobra.Command {
	var f snapshotFlags
	c := &cobra.Command{
		Use:   "snapshot --key FILE --trust DIR | --check INDEX --trust DIR",
		Short: "Sign the figures that rules may ask for, or compute those of a snapshot again",
		Long: `Read the whole log, verify every entry of it, and sign how many deployments there were to
each environment over 7, 30 and 90 days, and how many failed: of all, with AI, without, and
by domain, tier, tool and team. Rules ask for it with cohort.failureRate; a gate goes by the
newest snapshot of everybody who may make one, and by the worst of them.

Owners of the policy, officers, and services with may: [cohort-snapshot] make them, whose key
attests nothing else. --check computes the figures of a snapshot again, from the entries that
it names: exit 1 where they differ.`,
		Example: `  countersign cohort snapshot --key analyst.pem --trust trust
  countersign cohort snapshot --check 5711 --trust trust`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if a.format == "csv" || a.format == "svg" {
				return wrong("--format %s: this command writes text, json", a.format)
			}
			if f.check != "" {
				return a.checkSnapshot(c.Context(), &f)
			}
			return a.makeSnapshot(c.Context(), &f)
		},
	}
	trustFlag(c, &f.trust)
	f.flags(c)
	c.Flags().StringVar(&f.check, "check", "", "index of a snapshot whose figures are computed again")
	return c
}

func (a *app) makeSnapshot(ctx context.Context, f *snapshotFlags) error {
	s, _, err := a.figures(ctx, f.trust, nil)
	if err != nil {
		return err
	}
	return a.logStatement(ctx, s.Statement(), fmt.Sprintf("figures of %s as of %s", entries(s.Size), s.AsOf.Format(time.RFC3339)), f.signing)
}

// figures computes a snapshot of the newest state of the log, or of the one that another
// names, under the people that it had then. last is when it took the last entry of it.
func (a *app) figures(ctx context.Context, trustDir string, of *attest.CohortSnapshot) (s *attest.CohortSnapshot, last time.Time, err error) {
	src, history, err := a.openLogAndPolicy(ctx, trustDir)
	if err != nil {
		return nil, last, err
	}
	if of != nil {
		if of.Size > src.view.Size {
			return nil, last, refused("it is of %s, and the log has %d", entries(of.Size), src.view.Size)
		}
		src.until, src.asOf = of.Size, of.AsOf.Time
	}
	root, err := src.tree.Root(ctx, src.until)
	if err != nil {
		return nil, last, broken("root of %s: %v", entries(src.until), err)
	}
	then, err := history.Before(src.until)
	if err != nil {
		return nil, last, classifyEvidence(err)
	}
	l, err := src.read(ctx, history, then.InForce(src.asOf))
	if err != nil {
		return nil, last, err
	}
	return l.Snapshot(root.String()), src.last, nil
}

func (a *app) checkSnapshot(ctx context.Context, f *snapshotFlags) error {
	index, err := strconv.ParseUint(f.check, 10, 63)
	if err != nil {
		return wrong("--check %q is no index; entries are numbered from 0", f.check)
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	e, err := a.entry(ctx, l, index)
	if err != nil {
		return err
	}
	if e.Unseen {
		return refused("entry %d: the log has no statement of it", index)
	}
	_, st, err := statement(e)
	if err != nil {
		return err
	}
	said, ok := st.Predicate.(*attest.CohortSnapshot)
	if !ok {
		return wrong("entry %d is a %s, and no snapshot of cohorts", index, shortType(st.Predicate.Type()))
	}
	is, last, err := a.figures(ctx, f.trust, said)
	if err != nil {
		return err
	}
	return a.showChecked(index, e.Person, said, is, contradictions(said, is, last, e.LoggedAt.AsTime()))
}

// contradictions say in what a snapshot is not what was computed.
func contradictions(said, is *attest.CohortSnapshot, last, logged time.Time) []string {
	out := []string{}
	if said.Root != is.Root {
		out = append(out, fmt.Sprintf("root: it says %.16s…, and that of %s is %.16s…", said.Root, entries(said.Size), is.Root))
	}
	if said.AsOf.Before(last) || said.AsOf.After(logged) {
		out = append(out, fmt.Sprintf("asOf: it says %s, and that state was first signed between %s and %s", said.AsOf.Format(time.RFC3339), last.Format(time.RFC3339), logged.Format(time.RFC3339)))
	}
	all := slices.Concat(said.Rows, is.Rows)
	slices.SortFunc(all, attest.CompareFigures)
	all = slices.CompactFunc(all, func(a, b attest.CohortFigures) bool { return attest.CompareFigures(a, b) == 0 })
	find := func(rows []attest.CohortFigures, r attest.CohortFigures) string {
		at, ok := slices.BinarySearchFunc(rows, r, attest.CompareFigures)
		if !ok {
			return "nothing"
		}
		return fmt.Sprintf("%d of %d", rows[at].Failed, rows[at].Deployments)
	}
	for _, r := range all {
		if x, y := find(said.Rows, r), find(is.Rows, r); x != y {
			out = append(out, fmt.Sprintf("%s %s %dd: it says %s, and it is %s", r.Environment, r.Cohort, r.Days, x, y))
		}
	}
	return out
}

func (a *app) showChecked(index uint64, who string, said, is *attest.CohortSnapshot, wrongs []string) error {
	if a.json() {
		if err := a.writeJSON(map[string]any{"index": index, "signer": who, "said": said, "computed": is, "contradictions": wrongs}); err != nil {
			return err
		}
	} else if len(wrongs) == 0 {
		w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
		fmt.Fprintf(w, "ENVIRONMENT\tCOHORT\tDAYS\tDEPLOYED\tFAILED\n")
		for _, r := range is.Rows {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", printable(r.Environment, 60), printable(r.Cohort, 60), r.Days, r.Deployments, r.Failed)
		}
		if err := w.Flush(); err != nil {
			return broken("write output: %v", err)
		}
		a.printf("%s of snapshot #%d by %s: the same as computed here from %s\n", plural(len(is.Rows), "row"), index, printable(who, 60), entries(said.Size))
	} else {
		a.printf("snapshot #%d by %s does not say what the log does:\n", index, printable(who, 60))
		for _, w := range wrongs {
			a.printf("  %s\n", printable(w, 300))
		}
	}
	if len(wrongs) > 0 {
		return silent(exitNo)
	}
	return nil
}
