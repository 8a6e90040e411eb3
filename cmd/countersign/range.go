package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/authorfacts"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// ranging are the flags of attest range.
type ranging struct {
	repository, targetRef, key, outbox, as             string
	changesOnly, admissionsOnly, missingHeads, offline bool
	noAuthorship                                       bool
	inMessage                                          bool // the id is looked for in the whole message
	searching                                               // notes and traces
}

func newAttestRange(a *app) *cobra.Command {
	var f ranging
	var in string
	c := &cobra.Command{
		Use:   "range FROM..TO --repository HOST/PATH --heads PATTERN",
		Short: "Attest every change between two commits of a branch",
		Long: `Attest each commit on the first-parent line from FROM (not included) to TO: a change
for the head that was reviewed, and an admission that says how the head became the
commit. What is signed carries the raw git objects, so a verifier derives the facts
itself and believes nobody's reading of them.

The id of a change comes from the first line of the commit's message; --heads says
where its reviewed head is. Signed bundles stay in the outbox until the ledger has
answered: running the command again sends the same bytes, and what was logged
already is not signed again.

Where notes of git-ai or Agent Trace records stand beside the commits, the sessions that
they record are attested as well (authorship/v1; the key needs may: [authorship]). Such
a statement can only add a suspicion of AI, and people to the authors.

Use --changes-only before reviewers approve and --admissions-only after the merge,
so that approvals are in the log before what they approve is admitted.`,
		Example: `  countersign attest range v1.0..v1.1 --repo . --repository github.com/org/repo \
    --heads 'refs/pull/{id}/head' --key ci.pem
  countersign attest range v1.0..v1.1 --changes-only --repository github.com/org/repo \
    --heads 'refs/pull/{id}/head' --key ci.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if in != "title" && in != "message" {
				return wrong("--change-id-in %q: use title or message", in)
			}
			f.inMessage = in == "message"
			return a.attestRange(c.Context(), args[0], f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.repo, "repo", ".", "git repository to read")
	fl.StringVar(&f.repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "its id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&f.heads, "heads", "", "where reviewed heads are, such as refs/pull/{id}/head; without it every commit counts as unreviewed")
	fl.StringVar(&f.targetRef, "target-ref", "refs/heads/main", "branch that the changes went to")
	changeIDFlag(fl, &f.changeID)
	fl.StringVar(&in, "change-id-in", "title", "where --change-id looks: the first line (title), or all of the message")
	fl.StringVar(&f.key, "key", os.Getenv("COUNTERSIGN_KEY"), "private key that signs (COUNTERSIGN_KEY)")
	fl.StringVar(&f.outbox, "outbox", "", "folder for signed bundles (default: .countersign in --repo)")
	fl.BoolVar(&f.changesOnly, "changes-only", false, "attest the reviewed heads only")
	fl.BoolVar(&f.admissionsOnly, "admissions-only", false, "attest the merges only")
	fl.BoolVar(&f.missingHeads, "missing-heads", false, "admit commits whose head is not in the repository as unreviewed, instead of stopping")
	fl.BoolVar(&f.offline, "offline", false, "sign into the outbox, and send nothing")
	fl.BoolVar(&f.noAuthorship, "no-authorship", false, "attest nothing of what notes and traces record")
	fl.StringVar(&f.as, "as", "", "roster id of --key, for what is said of sessions (default: asked of the ledger)")
	f.sources(c)
	c.MarkFlagsMutuallyExclusive("changes-only", "admissions-only")
	return c
}

func (a *app) attestRange(ctx context.Context, arg string, f ranging) error {
	began := a.now()
	r, err := a.openRange(ctx, f)
	if err != nil {
		return err
	}
	defer r.repo.Close()
	commits, err := revisions(ctx, r.repo, arg)
	if err != nil {
		return err
	}
	if err := r.sign(ctx, commits); err != nil {
		return withFetch(err)
	}
	if err := r.send(ctx); err != nil {
		return err
	}
	return r.report(arg, a.now().Sub(began))
}

// openRange checks the flags and opens what they name. The caller closes its repo.
func (a *app) openRange(ctx context.Context, f ranging) (*rangeRun, error) {
	if err := attest.ParseRepository(f.repository); err != nil {
		return nil, wrong("--repository: %v", err)
	}
	pattern, err := changeIDPattern(f.changeID)
	if err != nil {
		return nil, err
	}
	if f.heads != "" && !strings.Contains(f.heads, "{id}") {
		return nil, wrong("--heads %q has no {id}; write for example refs/pull/{id}/head", f.heads)
	}
	key, err := a.key(f.key)
	if err != nil {
		return nil, err
	}
	if f.outbox == "" {
		f.outbox = filepath.Join(f.repo, ".countersign")
	}
	repo, err := gitfacts.Open(ctx, f.repo)
	if err != nil {
		return nil, wrong("--repo: %v", err)
	}
	reader, err := f.reader(repo)
	if err != nil {
		return nil, errors.Join(err, repo.Close())
	}
	box, err := openOutbox(f.outbox, key)
	if err != nil {
		return nil, errors.Join(err, repo.Close())
	}
	return &rangeRun{app: a, flags: f, repo: repo, pattern: pattern, box: box, reader: reader}, nil
}

var errNoCommit = errors.New("holds no commit")

// revisions lists the commits of FROM..TO, oldest first.
func revisions(ctx context.Context, repo *gitfacts.Repo, arg string) ([]gitfacts.ID, error) {
	from, to, ok := strings.Cut(arg, "..")
	if !ok || to == "" || strings.HasPrefix(to, ".") {
		return nil, wrong("%q is no range; write FROM..TO, such as v1.0..v1.1", arg)
	}
	var base gitfacts.ID
	var err error
	if from != "" {
		if base, err = repo.Resolve(ctx, from); err != nil {
			return nil, wrong("%v", err)
		}
	}
	head, err := repo.Resolve(ctx, to)
	if err != nil {
		return nil, wrong("%v", err)
	}
	commits, err := repo.Range(ctx, base, head)
	if err != nil {
		return nil, wrong("%v", err)
	}
	if len(commits) == 0 {
		return nil, wrong("%s %w", arg, errNoCommit)
	}
	return commits, nil
}

// A ranged commit is one of the range, and what was signed about it.
type ranged struct {
	Commit  string   `json:"commit"`
	Change  string   `json:"change"`
	Title   string   `json:"title"`
	Head    string   `json:"head,omitempty"` // reviewed; empty when nothing was
	Base    string   `json:"base,omitempty"`
	Binding string   `json:"binding,omitempty"`
	Paths   int      `json:"paths"`
	Claimed bool     `json:"claimed"` // too large to carry its objects
	Tools   []string `json:"tools"`   // AI tools that its commits, notes and traces name
	// Sessions is how many sessions with an agent notes and traces record, and Lines what
	// they say of the lines.
	Sessions   int                      `json:"sessions,omitzero"`
	Lines      *attest.AuthorshipLines  `json:"lines,omitempty"`
	Unreadable []authorfacts.Unreadable `json:"unreadable,omitempty"`

	// Indexes in the log; nil for what was not attested, or not sent.
	ChangeIndex    *uint64 `json:"changeIndex,omitempty"`
	AdmissionIndex *uint64 `json:"admissionIndex,omitempty"`

	change, admission *letter
	authorships       []*letter
}

// rangeRun is one run of attest range.
type rangeRun struct {
	*app
	flags   ranging
	repo    *gitfacts.Repo
	pattern *regexp.Regexp
	box     *outbox
	reader  *authorfacts.Reader
	commits []*ranged
	fresh   []*letter // signed in this run
}

// sign reads the facts of every commit and encloses what is to be said of it.
func (r *rangeRun) sign(ctx context.Context, commits []gitfacts.ID) error {
	bar := r.progress(len(commits), "reading git")
	defer bar.done()
	for _, id := range commits {
		x, err := r.one(ctx, id)
		if err != nil {
			return err
		}
		r.commits = append(r.commits, x)
		bar.add(1)
	}
	return nil
}

func (r *rangeRun) one(ctx context.Context, id gitfacts.ID) (*ranged, error) {
	merged, err := r.repo.Commit(ctx, id)
	if err != nil {
		return nil, err
	}
	x := &ranged{Commit: string(id), Change: string(id), Title: merged.Title(), Tools: []string{}}
	if change := changeIn(r.pattern, merged, r.flags.inMessage); change != "" {
		x.Change = change
		if err := r.findHead(ctx, x, merged); err != nil {
			return nil, err
		}
	}
	if x.Head != "" && !r.flags.admissionsOnly {
		if err := r.attestChange(ctx, x); err != nil {
			return nil, err
		}
	}
	if !r.flags.changesOnly {
		if err := r.attestAdmission(ctx, x, merged); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// changeIn is the id of the change that a merged commit names; empty when it names none.
func changeIn(pattern *regexp.Regexp, merged gitfacts.Commit, inMessage bool) string {
	text := merged.Title()
	if inMessage {
		text = merged.Message
	}
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// findHead sets the reviewed head of a commit and its base.
func (r *rangeRun) findHead(ctx context.Context, x *ranged, merged gitfacts.Commit) error {
	if r.flags.heads == "" || len(merged.Parents) == 0 {
		return nil
	}
	ref := gitfacts.HeadRef(r.flags.heads, x.Change)
	head, err := r.repo.Resolve(ctx, ref)
	if errors.Is(err, gitfacts.ErrNotFound) {
		if r.flags.missingHeads {
			return nil
		}
		return wrong("commit %.12s names change %s, and %s is not in %s\nFetch it (git fetch origin 'refs/pull/*:refs/pull/*'), or add --missing-heads to admit such commits as unreviewed",
			merged.ID, x.Change, ref, r.flags.repo)
	}
	if err != nil {
		return err
	}
	base, err := r.repo.MergeBase(ctx, merged.Parents[0], head)
	if err != nil {
		return fmt.Errorf("change %s: %w", x.Change, err)
	}
	x.Head, x.Base = string(head), string(base)
	return nil
}

func (r *rangeRun) attestChange(ctx context.Context, x *ranged) error {
	about := attest.Change{Repository: r.flags.repository, Change: attest.ChangeRef{ID: x.Change}, TargetRef: r.flags.targetRef}
	st, facts, err := r.repo.ChangeStatement(ctx, about, gitfacts.ID(x.Base), gitfacts.ID(x.Head))
	if err != nil {
		return err
	}
	x.note(facts, len(st.Predicate.(*attest.Change).Objects))
	if x.change, err = r.enclose(st); err != nil {
		return err
	}
	return r.attestAuthorship(ctx, x, facts.Commits, st.Subjects[0])
}

// attestAdmission states how a commit came to the branch.
func (r *rangeRun) attestAdmission(ctx context.Context, x *ranged, merged gitfacts.Commit) error {
	about := attest.Admission{Repository: r.flags.repository, Change: attest.ChangeRef{ID: x.Change}, TargetRef: r.flags.targetRef, AdmittedAt: attest.At(r.now())}
	st, facts, err := r.repo.AdmissionStatement(ctx, about, merged, gitfacts.ID(x.Base), gitfacts.ID(x.Head))
	if err != nil {
		return err
	}
	p := st.Predicate.(*attest.Admission)
	x.note(facts, len(p.Objects))
	x.Binding = string(p.Binding)
	if x.admission, err = r.enclose(st); err != nil {
		return err
	}
	commits := facts.Commits
	if x.Head != "" { // those of the branch belong to the change
		commits = []gitfacts.Commit{merged}
	}
	return r.attestAuthorship(ctx, x, commits, st.Subjects[0])
}

func (r *rangeRun) enclose(st *attest.Statement) (*letter, error) {
	l, found, err := r.box.enclose(st)
	if err == nil && !found {
		r.fresh = append(r.fresh, l)
	}
	return l, err
}

// note keeps what people want to see of the facts.
func (x *ranged) note(f *gitfacts.Facts, proof int) {
	x.Paths, x.Claimed = len(f.Paths), x.Claimed || proof == 0
	x.Tools = addTools(x.Tools, toolsOf(f.Commits)...)
}
