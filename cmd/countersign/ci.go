package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/cifacts"
)

// inCI are the flags of ci. Those that name what the CI would say win over it.
type inCI struct {
	repo, remote, repository, heads, changeID, key, as string
	change, head, from, release, targetRef             string
	branches                                           []string
	environment, trust                                 string
	noVerify, dry, fetch, missingHeads, noAuthorship   bool
	fulcio                                             string
}

func newCI(a *app) *cobra.Command {
	var f inCI
	c := &cobra.Command{
		Use:   "ci [ARTIFACT…]",
		Short: "Do what a CI job has to do: attest a change, a push or a release",
		Long: `Find out from the CI's environment what the job is about, say what was found and which
variable said so, and do what is to be done:

  a change under review     attest its head, so that it can be approved
  a group of a merge queue  attest the heads of its changes
  a push to a kept branch   attest its commits: changes and admissions
  a tag, with ARTIFACTs     attest the release, and verify it for --environment

GitHub Actions, GitLab CI, Gitea Actions and Forgejo Actions are known. Elsewhere the flags
say it: --change ID, --from REV or --release NAME. A branch is kept when it is the default
one, when the CI calls it protected, or when --branch names it; a push to another one is
nothing to attest, and done.

With ARTIFACTs or --environment the answer is a gate's: exit 0 says that the release may go
there. A job that is about no release then ends with 2, a dry run with 3, and neither with 0.

The key is a file (--key, COUNTERSIGN_KEY) or its text (COUNTERSIGN_KEY_PEM). Without one,
--fulcio names a certificate authority that gives the job's identity a certificate, for a
token that the CI gives (SIGSTORE_ID_TOKEN, or GitHub's permission id-token). A job that
releases needs another key or identity than one that admits. Where the clone lacks commits or reviewed
heads, the command that fetches them is shown; --fetch runs it.

In GITHUB_STEP_SUMMARY, where that is set, is a summary; in GITHUB_OUTPUT "kind" and, of a
release, "verdict".`,
		Example: `  countersign ci --dry-run
  countersign ci --fetch
  countersign ci dist/app.tar --environment production --trust trust
  countersign ci --from v1.0 --repository example.com/org/app --key ci.pem`,
		RunE: func(c *cobra.Command, args []string) error { return a.ci(c.Context(), c, args, f) },
	}
	f.flags(c)
	c.MarkFlagsMutuallyExclusive("change", "from", "release")
	return c
}

func (f *inCI) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.repo, "repo", ".", "git repository to read")
	fl.StringVar(&f.remote, "remote", "origin", "remote that target branches and heads come from")
	fl.StringVar(&f.repository, "repository", "", "id of the repository, host/path (default: COUNTERSIGN_REPOSITORY, or what the CI says)")
	fl.StringVar(&f.heads, "heads", "", "where reviewed heads are (default: where the CI's forge keeps them)")
	fl.StringVar(&f.changeID, "change-id", "", "regular expression whose first group is the change's id in the first line of a merged commit (default: as the forge writes it)")
	fl.StringVar(&f.key, "key", os.Getenv("COUNTERSIGN_KEY"), "private key that signs (COUNTERSIGN_KEY; or its text in COUNTERSIGN_KEY_PEM)")
	fl.StringVar(&f.fulcio, "fulcio", os.Getenv("COUNTERSIGN_FULCIO"), "without a key: URL of the Fulcio that certifies who the CI says this job is (COUNTERSIGN_FULCIO)")
	fl.StringVar(&f.as, "as", "", "roster id of --key, for what is said of sessions (default: asked of the ledger)")
	fl.StringVar(&f.change, "change", "", "the job is about this change")
	fl.StringVar(&f.head, "head", "", "head of --change, or end of --from (default: the change's head, or HEAD)")
	fl.StringVar(&f.from, "from", "", "the job is about the commits after this one")
	fl.StringVar(&f.release, "release", "", "the job is about the release of this name")
	fl.StringVar(&f.targetRef, "target-ref", "", "branch that changes go to, such as refs/heads/main")
	fl.StringArrayVar(&f.branches, "branch", nil, "branch whose pushes are attested as well (repeat for more)")
	fl.StringVar(&f.environment, "environment", os.Getenv("COUNTERSIGN_ENVIRONMENT"), "where the release is to go (COUNTERSIGN_ENVIRONMENT)")
	fl.StringVar(&f.trust, "trust", os.Getenv("COUNTERSIGN_TRUST"), "trust folder: decide about the release here (COUNTERSIGN_TRUST)")
	fl.BoolVar(&f.noVerify, "no-verify", false, "attest the release, and leave the gate to another job")
	fl.BoolVar(&f.dry, "dry-run", false, "say what would be done, and do nothing")
	fl.BoolVar(&f.fetch, "fetch", false, "fetch what the clone lacks")
	fl.BoolVar(&f.missingHeads, "missing-heads", false, "admit commits whose head is nowhere as unreviewed, instead of stopping")
	fl.BoolVar(&f.noAuthorship, "no-authorship", false, "attest nothing of what notes and traces record")
}

// A ciRun is one job.
type ciRun struct {
	*app
	flags     inCI
	job       *cifacts.Job
	artifacts []string
	steps     []*ciStep
	needs     needs // what the clone must have for them
}

func (a *app) ci(ctx context.Context, c *cobra.Command, artifacts []string, f inCI) error {
	job, err := cifacts.Read(cifacts.Source{Env: os.Getenv, File: func(path string) ([]byte, error) { return readFile(path, cifacts.MaxEvent) }})
	if err != nil {
		return wrong("%v", err)
	}
	r := &ciRun{app: a, flags: f, job: job, artifacts: artifacts}
	if err := r.settle(ctx, c); err != nil {
		return err
	}
	if err := r.plan(); err != nil {
		return r.report(err)
	}
	return r.report(r.work(ctx))
}

// settle puts together what the CI says, what the clone says, and what the flags say.
func (r *ciRun) settle(ctx context.Context, c *cobra.Command) error {
	f, j := &r.flags, r.job
	r.fromClone(ctx)
	from := func(flag, variable string) string {
		if c.Flags().Changed(flag) {
			return "--" + flag
		}
		return variable
	}
	override := func(member *string, fact, value, flag string) {
		if value != "" {
			*member = value
			j.Note(fact, value, "--"+flag)
		}
	}
	if env := os.Getenv("COUNTERSIGN_REPOSITORY"); env != "" && f.repository == "" {
		j.Repository = env
		j.Note("repository", env, "COUNTERSIGN_REPOSITORY")
	}
	override(&j.Repository, "repository", f.repository, "repository")
	override(&j.Target, "branch", f.targetRef, "target-ref")
	if f.changeID != "" {
		j.ChangeID, j.InMessage = f.changeID, false
	}
	override(&j.Heads, "heads", f.heads, "heads")
	r.overrideKind()
	if slices.Contains(f.branches, strings.TrimPrefix(j.Target, "refs/heads/")) {
		j.Kept = true
		j.Note("branch is", "kept", "--branch")
	}
	if f.environment != "" {
		j.Environment = f.environment
		j.Note("environment", f.environment, from("environment", "COUNTERSIGN_ENVIRONMENT"))
	}
	server := "COUNTERSIGN_SERVER"
	if os.Getenv(server) == "" {
		server = "the default; set COUNTERSIGN_SERVER"
	}
	j.Note("server", redacted(r.server), from("server", server))
	if f.trust != "" {
		j.Note("trust", f.trust, from("trust", "COUNTERSIGN_TRUST"))
	}
	if err := attest.ParseRepository(j.Repository); err != nil {
		return wrong("which repository is this? %v\nSet COUNTERSIGN_REPOSITORY, or --repository host/path", err)
	}
	for _, rev := range []string{j.Head, j.Before} { // git would take it for an option
		if strings.HasPrefix(rev, "-") {
			return wrong("%q is no commit", printable(rev, 80))
		}
	}
	if err := r.identify(ctx, from); err != nil {
		return err
	}
	slices.SortStableFunc(j.Found, func(x, y cifacts.Found) int {
		return slices.Index(factOrder, x.Fact) - slices.Index(factOrder, y.Fact)
	})
	return nil
}

// factOrder is the order in which facts are said.
var factOrder = []string{"event", "repository", "change", "heads", "release", "tag", "before", "head", "branch", "branch is", "environment", "server", "trust", "signs", "issuer"}

// overrideKind lets the flags say what the job is about.
func (r *ciRun) overrideKind() {
	f, j := &r.flags, r.job
	switch {
	case f.change != "":
		if j.Kind != cifacts.Change || j.Change != f.change { // the CI's head is another's
			j.Head = strings.ReplaceAll(j.Heads, "{id}", f.change)
			j.Note("head", j.Head, "--change")
		}
		j.Kind, j.Change = cifacts.Change, f.change
		j.Note("change", f.change, "--change")
	case f.from != "":
		j.Kind, j.Before, j.Kept = cifacts.Push, f.from, true
		j.Note("before", f.from, "--from")
	case f.release != "":
		j.Kind, j.Tag = cifacts.Tag, f.release
		j.Note("release", f.release, "--release")
	}
	if f.head != "" {
		j.Head = f.head
		j.Note("head", f.head, "--head")
	}
}

// identify says who will sign. Without a key there is nothing to say yet: what needs one
// asks for it.
func (r *ciRun) identify(ctx context.Context, from func(flag, variable string) string) error {
	source := from("key", "COUNTERSIGN_KEY")
	switch f := &r.flags; {
	case f.key == "" && os.Getenv(keyText) != "":
		source = keyText
	case f.key == "" && f.fulcio != "":
		return r.identifyKeyless(ctx, from("fulcio", "COUNTERSIGN_FULCIO"))
	case f.key == "":
		return nil
	}
	key, err := r.key(r.flags.key)
	if err != nil {
		return err
	}
	r.job.Note("signs", "key "+key.Public().ID().String()[:16]+"…", source)
	return nil
}
