package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/authorfacts"
	"github.com/countersign-dev/countersign/attest/cifacts"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

func newExplain(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain",
		Short: "Show what evidence there is, where it was found, and what it is worth",
	}
	c.AddCommand(newExplainAuthorship(a), newExplainPermissions(a))
	return c
}

// searching are the flags that say where to look for who wrote what.
type searching struct {
	repo, heads, changeID, policy      string
	notes, traceNotes, traces, bundles []string
}

// changeIDFlag is where ids of changes are found in what was merged.
func changeIDFlag(fl *pflag.FlagSet, p *string) {
	fl.StringVar(p, "change-id", "", "regular expression whose first group is the change's id in the first line of a message (default: as GitHub and Gitea write it, \"Title (#12)\" and \"Merge pull request #12 from …\")")
}

func changeIDPattern(expr string) (*regexp.Regexp, error) {
	if expr == "" {
		expr = cifacts.TitleID
	}
	pattern, err := regexp.Compile(expr)
	if err != nil || pattern.NumSubexp() < 1 {
		return nil, wrong("--change-id %q is no regular expression with a group (%v)", expr, err)
	}
	return pattern, nil
}

func newExplainAuthorship(a *app) *cobra.Command {
	var f searching
	c := &cobra.Command{
		Use:   "authorship COMMIT",
		Short: "Show who or what wrote a commit, by everything that a clone holds",
		Long: `Show every trace of who or what wrote a commit, and the commits of its change: the
addresses, trailers and markers that the commits hold, notes of git-ai, Agent Trace
records, and statements that agents signed. Each is shown with where it was found and
its grade. Nothing is asked of a ledger.

The stronger suspicion wins. Finding nothing is unknown, and unknown is not human.`,
		Example: `  countersign explain authorship HEAD --repo .
  countersign explain authorship v1.1 --trace .agent-trace/traces.jsonl --bundle session.json --policy policy`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, args []string) error { return a.explainAuthorship(c.Context(), args[0], f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.repo, "repo", ".", "git repository to read")
	fl.StringVar(&f.heads, "heads", "refs/pull/{id}/head", "where reviewed heads are; empty: look at the commit alone")
	changeIDFlag(fl, &f.changeID)
	fl.StringArrayVar(&f.bundles, "bundle", nil, "signed statement about the commit or its head (repeat for more)")
	fl.StringVar(&f.policy, "policy", "", "policy folder: whose keys the bundles are held against, and its own signs of AI")
	f.sources(c)
	return c
}

// sources are the flags that attest range has as well.
func (f *searching) sources(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.notes, "notes", []string{authorfacts.GitAIRef}, "ref of git-ai notes")
	fl.StringArrayVar(&f.traceNotes, "trace-notes", []string{authorfacts.TraceRef}, "ref of notes that hold Agent Trace records")
	fl.StringArrayVar(&f.traces, "trace", nil, "file of Agent Trace records, JSON or one a line (repeat for more)")
}

// defaultSearching is what the flags say when nobody gives them.
func defaultSearching() searching {
	return searching{notes: []string{authorfacts.GitAIRef}, traceNotes: []string{authorfacts.TraceRef}}
}

// reader opens what the flags name.
func (f *searching) reader(repo *gitfacts.Repo) (*authorfacts.Reader, error) {
	r := &authorfacts.Reader{Repo: repo, NoteRefs: f.notes, TraceRefs: f.traceNotes}
	for _, path := range f.traces {
		text, err := readFile(path, authorfacts.MaxTraces)
		if err != nil {
			return nil, err
		}
		traces, err := authorfacts.ParseTraces(text)
		if err != nil {
			return nil, wrong("--trace %s: %v", path, err)
		}
		r.Files = append(r.Files, authorfacts.TraceFile{Name: path, Traces: traces})
	}
	var keys *roster.Roster
	if f.policy != "" {
		set, err := policy.ReadFolder(f.policy)
		if err != nil {
			return nil, err
		}
		r.Signs, keys = set.Signs(), set.Roster
	}
	for _, path := range f.bundles {
		text, err := readFile(path, attest.MaxBundle)
		if err != nil {
			return nil, err
		}
		b, err := attest.ParseBundle(text)
		if err != nil {
			return nil, wrong("--bundle %s: %v", path, err)
		}
		st, err := attest.ParseStatement(b.Payload)
		if err != nil {
			return nil, wrong("--bundle %s: %v", path, err)
		}
		by, err := signatureOf(b, keys)
		if err != nil {
			return nil, wrong("--bundle %s: %v", path, err)
		}
		r.Statements = append(r.Statements, authorfacts.SignedStatement{Name: path, Statement: st, By: by})
	}
	return r, nil
}

// signatureOf looks for the key of a roster that signed a bundle. A signature of
// nobody's is one that was not checked; one that its own key did not make is wrong.
func signatureOf(b *attest.Bundle, keys *roster.Roster) (authorfacts.Signature, error) {
	if keys == nil {
		return authorfacts.Signature{}, nil
	}
	for _, p := range keys.Principals() {
		for _, k := range p.Keys {
			if k.SPKI == nil {
				continue
			}
			key, err := attest.ParsePublicKey(k.SPKI)
			if err != nil {
				return authorfacts.Signature{}, err
			}
			switch {
			case key.Verify(b.PAE(), b.Signature) == nil:
				return authorfacts.Signature{Who: p.ID, IsAgent: p.Kind == roster.Agent, IsService: p.Kind == roster.Service}, nil
			case key.ID().String() == b.Hint:
				return authorfacts.Signature{}, fmt.Errorf("it names the key of %s, and that key did not sign it", p.ID)
			}
		}
	}
	return authorfacts.Signature{}, nil
}

// explained is the output for programs.
type explained struct {
	Commit string `json:"commit"`
	Title  string `json:"title"`
	Change string `json:"change,omitempty"`
	Head   string `json:"head,omitempty"` // of the review, where the clone has it
	// Commits are those that were looked at.
	Commits []gitfacts.ID `json:"commits"`
	// Absent are the refs that the clone does not have.
	Absent []string `json:"absent"`
	*authorfacts.Report
}

func (a *app) explainAuthorship(ctx context.Context, rev string, f searching) error {
	pattern, err := changeIDPattern(f.changeID)
	if err != nil {
		return err
	}
	repo, err := gitfacts.Open(ctx, f.repo)
	if err != nil {
		return wrong("--repo: %v", err)
	}
	defer repo.Close()
	id, err := repo.Resolve(ctx, rev)
	if err != nil {
		return wrong("%v", err)
	}
	reader, err := f.reader(repo)
	if err != nil {
		return err
	}
	e := &explained{}
	groups, err := e.find(ctx, repo, id, pattern, f.heads)
	if err != nil {
		return withFetch(err)
	}
	if e.Report, err = reader.Read(ctx, groups...); err != nil {
		return withFetch(err)
	}
	if e.Absent, err = reader.Absent(ctx); err != nil {
		return withFetch(err)
	}
	if e.Absent == nil {
		e.Absent = []string{}
	}
	if a.json() {
		return a.writeJSON(e)
	}
	a.showAuthorship(e, f.heads)
	return nil
}

// withFetch says what to do about an object that is not there.
func withFetch(err error) error {
	if errors.Is(err, gitfacts.ErrNotFound) {
		return broken("%v\nThe clone lacks an object that its own history names; run: git fetch --refetch origin", err)
	}
	return err
}

// find collects the commits of a change: those of the branch, where its head is here,
// and those that the merge brought.
func (e *explained) find(ctx context.Context, repo *gitfacts.Repo, id gitfacts.ID, pattern *regexp.Regexp, heads string) ([][]gitfacts.Commit, error) {
	c, err := repo.Commit(ctx, id)
	if err != nil {
		return nil, err
	}
	e.Commit, e.Title = string(id), c.Title()
	parent := gitfacts.ID("")
	if len(c.Parents) > 0 {
		parent = c.Parents[0]
	}
	_, merged, err := repo.Change(ctx, parent, id)
	if err != nil {
		return nil, err
	}
	groups := [][]gitfacts.Commit{merged.Commits}
	if m := pattern.FindStringSubmatch(c.Title()); m != nil && m[1] != "" {
		e.Change = m[1]
		if heads != "" && parent != "" {
			branch, err := e.branch(ctx, repo, parent, gitfacts.HeadRef(heads, e.Change))
			if err != nil {
				return nil, err
			}
			if branch != nil {
				groups = [][]gitfacts.Commit{branch, merged.Commits}
			}
		}
	}
	for _, g := range groups {
		for _, c := range g {
			e.Commits = append(e.Commits, c.ID)
		}
	}
	return groups, nil
}

// branch returns the commits that were reviewed; none when their ref is not here.
func (e *explained) branch(ctx context.Context, repo *gitfacts.Repo, parent gitfacts.ID, ref string) ([]gitfacts.Commit, error) {
	head, err := repo.Resolve(ctx, ref)
	if errors.Is(err, gitfacts.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	base, err := repo.MergeBase(ctx, parent, head)
	if errors.Is(err, gitfacts.ErrNotFound) || base == head {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e.Head = string(head)
	_, facts, err := repo.Change(ctx, base, head)
	if err != nil {
		return nil, err
	}
	return facts.Commits, nil
}

func (a *app) showAuthorship(e *explained, heads string) {
	a.printf("%s  %s\n", a.bold(e.Commit[:12]), printable(e.Title, 70))
	switch {
	case e.Head != "":
		a.printf("%s\n", a.faint(fmt.Sprintf("change %s, head %.12s, %s looked at", e.Change, e.Head, plural(len(e.Commits), "commit"))))
	case e.Change != "" && heads != "":
		a.printf("%s\n", a.faint(fmt.Sprintf("change %s; its commits before the merge are not here: git fetch origin 'refs/pull/*:refs/pull/*'", e.Change)))
	}
	verdict := string(e.Origin)
	if e.Grade != "" {
		verdict += ", by evidence of grade " + string(e.Grade)
	}
	a.printf("\norigin   %s\n", a.bold(verdict))
	if e.Origin == attest.OriginUnknown {
		a.printf("         %s\n", a.faint("unknown is not human: only the authors themselves can sign that they wrote it"))
	}
	if e.Lines != nil {
		a.printf("lines    %d by AI, %d by people, %d unknown  %s\n", e.Lines.AI, e.Lines.Human, e.Lines.Unknown, a.faint("of those that the commits add"))
	}
	if len(e.People) > 0 {
		a.printf("people   %s\n", printable(strings.Join(e.People, ", "), 200))
	}
	if len(e.Findings) > 0 {
		a.printf("\n")
		w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "GRADE\tSAYS\tTOOL\tCOMMIT\tWHERE\tWHAT")
		for i := range e.Findings {
			x := &e.Findings[i]
			what := strings.Join(nonEmpty(x.Model, x.Lines(), x.Detail, x.Person), "; ")
			fmt.Fprintf(w, "%s\t%s\t%s\t%.12s\t%s\t%s\n", x.Grade, x.Origin, printable(x.Tool, 30), x.Commit, printable(x.Where, 60), printable(what, 110))
		}
		w.Flush()
	}
	for _, x := range e.Conflicts {
		a.printf("\n%s  %s", a.red("conflict"), printable(x, 200))
	}
	for _, x := range e.Unreadable {
		a.printf("\n%s  %.12s %s: %s", a.red("unreadable"), x.Commit, x.Where, printable(x.Why, 200))
	}
	if len(e.Conflicts)+len(e.Unreadable) > 0 {
		a.printf("\n")
	}
	for _, ref := range e.Absent {
		a.printf("\n%s", a.faint(fmt.Sprintf("%s is not in this clone; if it is elsewhere: git fetch origin %s:%s", ref, ref, ref)))
	}
	if len(e.Absent) > 0 {
		a.printf("\n")
	}
}

func nonEmpty(list ...string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
