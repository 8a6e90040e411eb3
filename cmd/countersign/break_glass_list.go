package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// glassCase is what the log says of one case, for showing: verdicts count for themselves.
type glassCase struct {
	Digest   string             `json:"case"`
	Index    uint64             `json:"index"`
	State    string             `json:"state"`
	Request  *attest.BreakGlass `json:"request"`
	Granted  []string           `json:"granted"`
	Uses     []uint64           `json:"uses"` // indexes of the first verdict of each use
	Reviewed []glassReview      `json:"reviewed"`
	wrote    []string           // what went through, or run an agent that did
	used     time.Time          // last, by the verdict of the use
}

type glassReview struct {
	By      string                   `json:"by"`
	Index   uint64                   `json:"index"`
	Outcome attest.BreakGlassOutcome `json:"outcome"`
	Comment string                   `json:"comment"`
	said    time.Time
}

func newGlassList(a *app) *cobra.Command {
	var repository string
	var all bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List cases: asked, granted, used, and what is still to be reviewed",
		Long: `List what the log holds of broken glass. Without --all, cases that ended unused or were
reviewed since their last use are left out. Whether a case serves is for a verdict to say.`,
		Example:           `  countersign break-glass list --all --format json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.connect()
			if err != nil {
				return err
			}
			cases, err := a.glassCases(c.Context(), l, repository)
			if err != nil {
				return err
			}
			if !all {
				cases = slices.DeleteFunc(cases, func(g *glassCase) bool { return g.State == "reviewed" || g.State == "ended" })
			}
			return a.showCases(cases)
		},
	}
	c.Flags().StringVar(&repository, "repository", "", "only of this repository")
	c.Flags().BoolVar(&all, "all", false, "also what is over")
	return c
}

func (a *app) showCases(cases []*glassCase) error {
	if a.json() {
		return a.writeJSON(map[string]any{"cases": append([]*glassCase{}, cases...)})
	}
	if len(cases) == 0 {
		a.printf("no case is open, and no review is owed\n")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CASE\tSTATE\tTO\tASKED BY\tGRANTED BY\tUSED\tUNTIL\tTICKET")
	for _, c := range cases {
		granted := strings.Join(c.Granted, " ")
		if granted == "" {
			granted = "nobody"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s of %d\t%s\t%s\n", c.Digest, c.State, c.Request.Environment, c.Request.By, granted,
			plural(len(c.Uses), "use"), c.Request.Uses, c.Request.NotAfter.Format(time.RFC3339), printable(c.Request.Ticket, 40))
	}
	return w.Flush()
}

func (c *glassCase) sentence() string {
	p := c.Request
	var what []string
	for _, d := range p.Artifacts {
		what = append(what, "sha256:"+d[:12]+"…")
	}
	for _, h := range p.Heads {
		what = append(what, h[:12])
	}
	return fmt.Sprintf("%s asks in #%d that %s of %s go to %s until %s, %s, for %s:\n  %s", p.By, c.Index, strings.Join(what, " "), p.Repository, p.Environment,
		p.NotAfter.Format(time.RFC3339), plural(p.Uses, "use"), printable(p.Ticket, 80), printable(p.Justification, 400))
}

// maxGlass bounds how many statements a list reads.
const maxGlass = 10_000

// glassCases reads every case, in log order.
func (a *app) glassCases(ctx context.Context, l *ledger, repository string) ([]*glassCase, error) {
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{PredicateType: attest.TypeBreakGlass, PageSize: 1000, WithBundles: true}, maxGlass)
	if err != nil {
		return nil, err
	}
	byDigest := make(map[string]*glassCase)
	var out []*glassCase
	for _, e := range entries {
		b, st, err := statement(e)
		if err != nil {
			return nil, err
		}
		p, ok := st.Predicate.(*attest.BreakGlass)
		if !ok {
			return nil, lied("the log gave entry %d for broken glass, and it is none", e.Index)
		}
		switch c := byDigest[p.Case]; {
		case p.Action == attest.GlassRequest && (repository == "" || p.Repository == repository):
			c := &glassCase{Digest: b.Digest().String(), Index: e.Index, Request: p, Granted: []string{}, Uses: []uint64{}, Reviewed: []glassReview{}}
			if byDigest[c.Digest] == nil {
				byDigest[c.Digest], out = c, append(out, c)
			}
		case c == nil:
		case p.Action == attest.GlassGrant:
			c.Granted = append(c.Granted, p.By)
		case p.Action == attest.GlassReview:
			c.Reviewed = append(c.Reviewed, glassReview{p.By, e.Index, p.Outcome, p.Comment, p.SaidAt.Time})
		}
	}
	for _, c := range out {
		if err := a.glassUses(ctx, l, c); err != nil {
			return nil, err
		}
		c.State = c.state(a.now())
	}
	return out, nil
}

// glassUses finds the verdicts that used a case.
func (a *app) glassUses(ctx context.Context, l *ledger, c *glassCase) error {
	var subjects []string
	for _, d := range c.Request.Artifacts {
		subjects = append(subjects, "sha256:"+d)
	}
	for _, h := range c.Request.Heads {
		subjects = append(subjects, "gitCommit:"+h)
	}
	for _, s := range subjects {
		var until time.Time
		entries, err := a.search(ctx, l, &countersignv1.SearchRequest{Subject: s, PredicateType: attest.TypeDecision, PageSize: 100, WithBundles: true}, maxGlass)
		if err != nil {
			return err
		}
		for _, e := range entries {
			_, st, err := statement(e)
			if err != nil {
				return err
			}
			// Verdicts about one subject that end no later than the first of them are one use.
			d, ok := st.Predicate.(*attest.Decision)
			if !ok {
				return lied("the log gave entry %d for a decision, and it is none", e.Index)
			}
			if d.BreakGlass == c.Digest && d.ExpiresAt.After(until) {
				until = d.ExpiresAt.Time
				c.Uses = append(c.Uses, e.Index)
				if d.DecidedAt.After(c.used) {
					c.used = d.DecidedAt.Time
				}
				c.wrote = append(c.wrote, policy.AuthorsIn(d)...)
			}
		}
	}
	slices.Sort(c.Uses)
	c.Uses = slices.Compact(c.Uses)
	return nil
}

// state says in a word what is next.
func (c *glassCase) state(now time.Time) string {
	reviewed := len(c.Uses) > 0 && slices.ContainsFunc(c.Reviewed, func(r glassReview) bool {
		return r.Index > c.Uses[len(c.Uses)-1] && !r.said.Before(c.used) && r.By != c.Request.By && !slices.Contains(c.Granted, r.By) && !slices.Contains(c.wrote, r.By)
	})
	switch over := !now.Before(c.Request.NotAfter.Time); {
	case reviewed:
		return "reviewed"
	case len(c.Uses) > 0:
		return "to be reviewed"
	case over:
		return "ended"
	case len(c.Granted) > 0:
		return "open"
	}
	return "asked for"
}

// completeCases offers the cases of the ledger to a shell.
func (a *app) completeCases(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	l, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	cases, err := a.glassCases(c.Context(), l, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, g := range cases {
		if g.State != "reviewed" && g.State != "ended" {
			out = append(out, g.Digest+"\t"+g.State+", "+g.Request.Environment+", "+g.Request.By)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// renderGlass says why the gate opens although rules failed, and what is owed.
func (a *app) renderGlass(c *policy.Core) {
	g := c.BreakGlass
	if g == nil {
		return
	}
	a.printf("\n%s  use %d of %d, until %s: rules failed, and people let it go\n", a.red("GLASS BROKEN"), g.Use, g.Uses, g.NotAfter.Format(time.RFC3339))
	a.printf("  asked by %s (#%d), granted by %s; %s: %s\n", g.RequestedBy, g.Index, strings.Join(g.GrantedBy, ", "), printable(g.Ticket, 80), printable(g.Justification, 400))
	a.printf("  bent: %s\n", strings.Join(g.Bent, ", "))
	a.printf("  others owe a review by %s:\n    countersign break-glass review %s --outcome justified --comment TEXT --key YOUR-KEY.pem\n", g.ReviewBy.Format(time.RFC3339), g.Case)
}
