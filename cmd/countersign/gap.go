package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

func newGap(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "gap",
		Short: "Record commits that nobody attested because tooling failed",
		Long: `When CI could not attest for a while, releases are denied: commits of their range are not
proven (NO_CHANGE). Attest them afterwards where that is still possible (countersign attest range).
Where it is not, owners of the policy can record the gap: as many as publish a policy set, each by
signing the same statement. A range may then begin after it. Every verdict that does says so, and
the posture and the bypass register count the gap for ever.`,
		Example: `  countersign gap record --environment production --from 8b1c… --to 77aa… --repo . --reason 'the runner was down' --key alice.pem
  countersign gap sign 8c0f… --key bob.pem
  countersign gap list`,
	}
	c.AddCommand(newGapRecord(a), newGapSign(a), newGapList(a))
	return c
}

func newGapRecord(a *app) *cobra.Command {
	var f signing
	var p attest.Gap
	var repo string
	c := &cobra.Command{
		Use:   "record --from COMMIT --to COMMIT --environment NAME --reason TEXT",
		Short: "Record a gap, as its first owner",
		Long: `Record that the commits above --from, up to and with --to, were not attested. --from is where
the record ended: a baseline, or a commit that was allowed into the environment. With --repo, both
may be any revision, --from must lie below --to on its first parents, and the commits are counted.
The digest that is printed is what the other owners sign.`,
		Example: `  countersign gap record --environment production --from v1.2 --to main --repo . --reason 'the runner was down' --ticket INC-7 --key alice.pem`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			slices.Sort(p.Environments)
			p.SaidAt = attest.At(a.now())
			if repo != "" {
				if err := countGap(c.Context(), repo, &p); err != nil {
					return err
				}
			}
			if !isCommit(p.From) || !isCommit(p.To) {
				return wrong("--from and --to are full commit ids; with --repo they may be any revision")
			}
			st := attest.NewGap(&p)
			if err := st.Validate(); err != nil {
				return wrong("%v", err)
			}
			return a.logGap(c.Context(), st, f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringVar(&p.Repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringSliceVar(&p.Environments, "environment", nil, "where the record begins again (needed)")
	fl.StringVar(&p.From, "from", "", "the commit where the record ended (needed)")
	fl.StringVar(&p.To, "to", "", "the last commit that was not attested (needed)")
	fl.StringVar(&repo, "repo", "", "clone of the repository: find the commits and count them")
	fl.StringVar(&p.Reason, "reason", "", "what failed (needed)")
	fl.StringVar(&p.Ticket, "ticket", "", "where that is written down")
	return c
}

// countGap finds both ends in a clone, and counts what lies between.
func countGap(ctx context.Context, dir string, p *attest.Gap) error {
	r, err := gitfacts.Open(ctx, dir)
	if err != nil {
		return wrong("--repo: %v", err)
	}
	defer r.Close()
	for _, end := range []*string{&p.From, &p.To} {
		id, err := r.Resolve(ctx, *end)
		if err != nil {
			return wrong("%v", err)
		}
		*end = string(id)
	}
	commits, err := r.Range(ctx, gitfacts.ID(p.From), gitfacts.ID(p.To))
	if err != nil {
		return wrong("%v", err)
	}
	p.Commits = len(commits)
	return nil
}

func (a *app) logGap(ctx context.Context, st *attest.Statement, f signing) error {
	payload, err := st.Marshal()
	if err != nil {
		return err
	}
	g := st.Predicate.(*attest.Gap)
	what := fmt.Sprintf("gap sha256:%s of %s from %.12s to %.12s", attest.DigestOf(payload), g.Repository, g.From, g.To)
	if g.Commits > 0 {
		what += ", " + plural(g.Commits, "commit")
	}
	return a.logStatement(ctx, st, what, f)
}

func newGapSign(a *app) *cobra.Command {
	var f signing
	c := &cobra.Command{
		Use:               "sign DIGEST",
		Short:             "Sign a gap that another owner recorded",
		Example:           `  countersign gap sign 8c0f… --key bob.pem`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeGaps,
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.connect()
			if err != nil {
				return err
			}
			gaps, err := a.recordedGaps(c.Context(), l, "")
			if err != nil {
				return err
			}
			at := slices.IndexFunc(gaps, func(g *recordedGap) bool { return g.Digest == strings.TrimPrefix(args[0], "sha256:") })
			if at < 0 {
				return refused("no gap %.64q is in the log; see: countersign gap list", args[0])
			}
			a.notef("%s: %s\n", gaps[at].sentence(), printable(gaps[at].Gap.Reason, 400))
			return a.logGap(c.Context(), attest.NewGap(gaps[at].Gap), f)
		},
	}
	f.flags(c)
	return c
}

// recordedGap is a gap as the log has it, for showing: verdicts count its owners themselves.
type recordedGap struct {
	Digest string      `json:"digest"`
	Index  uint64      `json:"index"` // of the first statement
	Signed []string    `json:"signed"`
	Gap    *attest.Gap `json:"gap"`
}

func (g *recordedGap) sentence() string {
	count := "commits that nobody counted"
	if g.Gap.Commits > 0 {
		count = plural(g.Gap.Commits, "commit")
	}
	return fmt.Sprintf("#%d says that %s of %s above %.12s up to %.12s were not attested, for %s", g.Index, count, g.Gap.Repository, g.Gap.From, g.Gap.To, strings.Join(g.Gap.Environments, ", "))
}

// maxGaps bounds how many statements a list reads.
const maxGaps = 10_000

func (a *app) recordedGaps(ctx context.Context, l *ledger, repository string) ([]*recordedGap, error) {
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{PredicateType: attest.TypeGap, Repository: repository, PageSize: 1000, WithBundles: true}, maxGaps)
	if err != nil {
		return nil, err
	}
	var out []*recordedGap
	for _, e := range entries {
		b, st, err := statement(e)
		if err != nil {
			return nil, err
		}
		p, ok := st.Predicate.(*attest.Gap)
		if !ok {
			return nil, lied("the log gave entry %d for a gap, and it is none", e.Index)
		}
		at := slices.IndexFunc(out, func(g *recordedGap) bool { return g.Digest == b.Digest().String() })
		if at < 0 {
			out, at = append(out, &recordedGap{Digest: b.Digest().String(), Index: e.Index, Gap: p}), len(out)
		}
		if !slices.Contains(out[at].Signed, e.Signer) {
			out[at].Signed = append(out[at].Signed, e.Signer)
		}
	}
	return out, nil
}

func newGapList(a *app) *cobra.Command {
	var repository string
	c := &cobra.Command{
		Use:               "list",
		Short:             "List recorded gaps, and who signed them",
		Example:           `  countersign gap list --format json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.connect()
			if err != nil {
				return err
			}
			gaps, err := a.recordedGaps(c.Context(), l, repository)
			if err != nil {
				return err
			}
			if a.json() {
				return a.writeJSON(map[string]any{"gaps": append([]*recordedGap{}, gaps...)})
			}
			if len(gaps) == 0 {
				a.printf("no gap is recorded\n")
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "GAP\tENTRY\tFROM\tTO\tCOMMITS\tENVIRONMENTS\tSIGNED BY\tREASON")
			for _, g := range gaps {
				commits := "?"
				if g.Gap.Commits > 0 {
					commits = fmt.Sprint(g.Gap.Commits)
				}
				fmt.Fprintf(w, "%s\t#%d\t%.12s\t%.12s\t%s\t%s\t%s\t%s\n", g.Digest, g.Index, g.Gap.From, g.Gap.To, commits, strings.Join(g.Gap.Environments, ", "), plural(len(g.Signed), "key"), printable(g.Gap.Reason, 120))
			}
			return w.Flush()
		},
	}
	c.Flags().StringVar(&repository, "repository", "", "only of this repository")
	return c
}

// completeGaps offers the gaps of the ledger to a shell.
func (a *app) completeGaps(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	l, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	gaps, err := a.recordedGaps(c.Context(), l, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, g := range gaps {
		out = append(out, g.Digest+"\t"+g.sentence())
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
