package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

func newBreakGlass(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "break-glass",
		Short: "Let a release go that the rules would stop, and review it afterwards",
		Long: `In an emergency one person asks for a release to go although rules fail, another person
grants it, for named artifacts, plans or heads, one environment, some hours and some uses, all
within what the policy's section breakGlass allows. The verdict is "allow (break-glass)": the
gate opens, nothing passed, and others than the two owe a review. While a review is late, the
same team breaks no glass. Rejections, freezes and what is not proven are never bent.`,
		Example: `  countersign break-glass request app.tar --environment production --for 1h --ticket INC-7 --justification 'checkout is down' --key bob.pem
  countersign break-glass grant 8c0f… --key carol.pem
  countersign break-glass review 8c0f… --outcome justified --comment 'the fix was right, test added' --key dave.pem
  countersign break-glass list`,
	}
	c.AddCommand(newGlassRequest(a), newGlassAnswer(a, attest.GlassGrant), newGlassAnswer(a, attest.GlassReview), newGlassList(a))
	return c
}

type glassRequest struct {
	signing
	p         attest.BreakGlass
	trust     string
	notBefore string
	length    time.Duration
}

func newGlassRequest(a *app) *cobra.Command {
	var f glassRequest
	c := &cobra.Command{
		Use:   "request SUBJECT… --environment NAME --ticket ID --justification TEXT",
		Short: "Ask for it",
		Long: `Ask that each SUBJECT may go: a file (an artifact or a plan), sha256:DIGEST, or a full
commit id, which is the reviewed head of one change. An artifact stands for every change in it.
The digest that is printed is the case: what a grant and a review are about.`,
		Example: `  countersign break-glass request app.tar --environment production --for 1h --ticket INC-7 --justification 'checkout is down' --key bob.pem
  countersign break-glass request sha256:9f86… --environment production --for 2h --uses 2 --not-before 2026-12-27T06:00:00Z …`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.requestGlass(c.Context(), args, f) },
	}
	f.signing.flags(c)
	trustFlag(c, &f.trust)
	fl := c.Flags()
	fl.StringVar(&f.p.Repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&f.p.Environment, "environment", "", "where it is to go (needed)")
	fl.StringVar(&f.p.Ticket, "ticket", "", "where the emergency is written down (needed)")
	fl.StringVar(&f.p.Justification, "justification", "", "why it cannot wait (needed)")
	fl.StringVar(&f.notBefore, "not-before", "", "when it begins (default: now)")
	fl.DurationVar(&f.length, "for", time.Hour, "how long, within the policy's limit")
	fl.IntVar(&f.p.Uses, "uses", 1, "how often, within the policy's limit")
	return c
}

func (a *app) requestGlass(ctx context.Context, args []string, f glassRequest) error {
	p := &f.p
	for _, arg := range args {
		artifact, commit, err := parseSubject(arg)
		switch {
		case err != nil:
			return err
		case artifact != nil:
			p.Artifacts = append(p.Artifacts, artifact.String())
		default:
			p.Heads = append(p.Heads, string(commit))
		}
	}
	for _, list := range []*[]string{&p.Artifacts, &p.Heads} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	begin := attest.At(a.now())
	if f.notBefore != "" {
		at, err := time.Parse(time.RFC3339, f.notBefore)
		if err != nil {
			return wrong("--not-before %q is not a time such as 2026-12-27T06:00:00Z", f.notBefore)
		}
		begin = attest.At(at)
	}
	end := attest.At(begin.Add(f.length))
	p.Action, p.NotBefore, p.NotAfter = attest.GlassRequest, &begin, &end
	return a.logGlass(ctx, p, f.trust, f.signing, func(set *policy.Set) error {
		b := set.BreakGlass
		switch {
		case b == nil:
			return refused("the policy %s version %d has no section breakGlass: nothing bends it. Its owners can publish one that has", set.Name, set.Version)
		case !slices.Contains(b.Environments, p.Environment):
			return refused("the policy lets nobody break the glass in %q; it does in %s", p.Environment, strings.Join(b.Environments, ", "))
		case f.length > b.MaxDuration || p.Uses > b.MaxUses:
			return refused("the policy's limits are %s (--for) and %s (--uses)", b.MaxDuration, plural(b.MaxUses, "use"))
		}
		return nil
	})
}

func newGlassAnswer(a *app, action attest.BreakGlassAction) *cobra.Command {
	var f signing
	p := attest.BreakGlass{Action: action}
	var trust, outcome string
	c := &cobra.Command{
		Use:     "grant CASE",
		Short:   "Grant it, as another than who asked, and none of the authors",
		Example: `  countersign break-glass grant 8c0f… --comment 'seen with bob on the bridge' --key carol.pem`,
	}
	if action == attest.GlassReview {
		c.Use, c.Short = "review CASE --outcome justified|unjustified --comment TEXT", "Review what was done, as another than who asked, granted or wrote it"
		c.Example = `  countersign break-glass review 8c0f… --outcome justified --comment 'the fix was right, test added' --key dave.pem`
		c.Flags().StringVar(&outcome, "outcome", "", "justified or unjustified (needed); both end what is owed")
		_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions([]string{string(attest.GlassJustified), string(attest.GlassUnjustified)}, cobra.ShellCompDirectiveNoFileComp))
	}
	c.Args = cobra.ExactArgs(1)
	c.ValidArgsFunction = a.completeCases
	c.RunE = func(c *cobra.Command, args []string) error {
		p.Case, p.Outcome = strings.TrimPrefix(args[0], "sha256:"), attest.BreakGlassOutcome(outcome)
		return a.answerGlass(c.Context(), &p, trust, f)
	}
	f.flags(c)
	trustFlag(c, &trust)
	c.Flags().StringVar(&p.Comment, "comment", "", "a word about it")
	return c
}

// answerGlass shows what is granted or reviewed before it signs: a case that the log does
// not have is none.
func (a *app) answerGlass(ctx context.Context, p *attest.BreakGlass, trust string, f signing) error {
	if !f.offline && !f.print {
		l, err := a.connect()
		if err != nil {
			return err
		}
		cases, err := a.glassCases(ctx, l, "")
		if err != nil {
			return err
		}
		at := slices.IndexFunc(cases, func(c *glassCase) bool { return c.Digest == p.Case })
		if at < 0 {
			return refused("no request %.64q is in the log; see: countersign break-glass list", p.Case)
		}
		a.notef("%s\n", cases[at].sentence())
		return a.logGlass(ctx, p, trust, f, func(set *policy.Set) error {
			if why := willNotCount(set, cases[at], p); why != "" {
				a.notef("%s: this is put on record and does not count\n", why)
			}
			return nil
		})
	}
	return a.logGlass(ctx, p, trust, f, func(*policy.Set) error { return nil })
}

// willNotCount says why an answer will not count, where that is known before; as every
// answer it is put on record.
func willNotCount(set *policy.Set, c *glassCase, p *attest.BreakGlass) string {
	grants := p.Action == attest.GlassGrant
	me, ok := set.Roster.Principal(p.By)
	switch b := set.BreakGlass; {
	case p.By == c.Request.By:
		return p.By + " asked for it"
	case !grants && slices.Contains(c.Granted, p.By):
		return p.By + " granted it"
	case ok && me.Kind != roster.Person:
		return p.By + " is " + article(string(me.Kind))
	case grants && ok && b != nil && slices.Index(set.Levels, me.Level) < slices.Index(set.Levels, b.Level):
		return fmt.Sprintf("%s is of level %s, and the policy wants %s or above to grant", p.By, me.Level, b.Level)
	}
	return ""
}

// logGlass signs in the name of the key's holder.
func (a *app) logGlass(ctx context.Context, p *attest.BreakGlass, trust string, f signing, allowed func(*policy.Set) error) error {
	me, set, err := a.speaker(ctx, f.key, trust)
	if err != nil {
		return err
	}
	p.By, p.SaidAt = me.ID, attest.At(a.now())
	st := attest.NewBreakGlass(p)
	if err := st.Validate(); err != nil {
		return wrong("%v", err)
	}
	if err := allowed(set); err != nil {
		return err
	}
	payload, err := st.Marshal()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("break-glass %s of case sha256:%s", p.Action, p.Case)
	if p.Action == attest.GlassRequest {
		what = "break-glass request sha256:" + attest.DigestOf(payload).String()
	}
	return a.logStatement(ctx, st, what, f)
}
