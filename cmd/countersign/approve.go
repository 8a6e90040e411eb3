package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

type approving struct {
	signing
	repository, head, decision, comment, link, trust string
	environments                                     []string
	yes, again, alone                                bool   // alone: one change only
	ssh                                              string // key in the ssh-agent, instead of a key file
	pen                                              pen
	plan, release                                    string
	deriving
}

// A pen is what a reviewer signs approvals with.
type pen interface {
	id() attest.KeyID
	String() string // for messages
	write(ctx context.Context, l *ledger, st *attest.Statement, what string, f signing) error
	close() error
}

// keyPen is a key for statements.
type keyPen struct {
	app  *app
	key  *attest.PrivateKey
	file string
}

func (p *keyPen) id() attest.KeyID { return p.key.Public().ID() }
func (p *keyPen) String() string   { return p.file }
func (p *keyPen) close() error     { return nil }

func (p *keyPen) write(ctx context.Context, _ *ledger, st *attest.Statement, what string, f signing) error {
	return p.app.logStatement(ctx, st, what, f)
}

func (a *app) openPen(f *approving) (pen, error) {
	if f.ssh != "" {
		if f.offline {
			return nil, wrong("--ssh cannot be --offline: the ledger signs around what you sign")
		}
		return a.openAgent(f.ssh)
	}
	key, err := a.key(f.key)
	if err != nil {
		return nil, err
	}
	return &keyPen{a, key, f.key}, nil
}

func newApprove(a *app) *cobra.Command {
	var f approving
	c := &cobra.Command{
		Use:   "approve ID… --repository HOST/PATH --environment NAME",
		Short: "Approve changes or a plan (or reject, or withdraw), after showing what is signed",
		Long: `Show each change at its newest attested head: who wrote it, what it touches, how far
it reaches, which signs of AI it carries. Then ask, and sign. An approval is for this
head and these environments; a push after it needs a new one. What you have approved with
this key already is not signed again (--again signs it, where a rule wants a younger one).

With --release, approve each change of an artifact (or a commit) that waits for you: there is
no approval of a release besides.

With --plan, approve what applying a file does. The approval is for exactly this file;
where terraform or tofu is installed it reads the file, and what it does must be what
was said of it.`,
		Example: `  countersign approve 1145 --repository github.com/org/repo --environment production --key me.pem
  countersign approve 1145 --environment production --ssh=~/.ssh/id_ed25519_sk.pub
  countersign approve 1145 --decision rejected --comment "breaks restore" …
  countersign approve --release app.tar --repository github.com/org/repo --environment staging --key me.pem
  countersign approve --plan prod.tfplan --repository github.com/org/infra --environment production --key me.pem`,
		Args: func(_ *cobra.Command, args []string) error {
			if named := map[bool]int{true: 1}; named[len(args) > 0]+named[f.plan != ""]+named[f.release != ""] != 1 {
				return fmt.Errorf("name changes, or one --plan, or one --release")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.approve(c.Context(), args, f) },
	}
	f.signing.flags(c)
	f.deriving.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.plan, "plan", "", "a plan file, or sha256:DIGEST of one, instead of changes")
	fl.StringVar(&f.release, "release", "", "an artifact, sha256:DIGEST or a commit, whose changes wait for you")
	fl.StringVar(&f.repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringSliceVar(&f.environments, "environment", nil, "environments that this is for (needed)")
	fl.StringVar(&f.head, "head", "", "another head than the newest")
	fl.StringVar(&f.decision, "decision", string(attest.Approved), "approved, rejected or withdrawn")
	fl.StringVar(&f.comment, "comment", "", "a word about it")
	fl.StringVar(&f.link, "link", "", "URL of the review")
	fl.StringVar(&f.trust, "trust", "", "trust folder that pins the policy shown")
	fl.StringVar(&f.ssh, "ssh", "", "sign with a key in your ssh-agent: its .pub file, fingerprint or comment (none: the only one)")
	fl.Lookup("ssh").NoOptDefVal = anyKey
	fl.BoolVar(&f.yes, "yes", false, "do not ask")
	fl.BoolVar(&f.again, "again", false, "sign once more what you have approved, where a rule wants a younger approval")
	return c
}

func (a *app) approve(ctx context.Context, changes []string, f approving) error {
	if len(f.environments) == 0 {
		return wrong("--environment is needed: what is the approval for?")
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	if f.pen, err = a.openPen(&f); err != nil {
		return err
	}
	defer f.pen.close()
	set, err := a.policySet(ctx, l, f.trust)
	if err != nil {
		return err
	}
	for _, name := range f.environments {
		if _, ok := set.Environment(name); !ok {
			return wrong("--environment %q is none of the policy's, which has %s", name, strings.Join(names(set.Environments, func(e policy.Environment) string { return e.Name }), ", "))
		}
	}
	me, err := signer(set.Roster, f.pen.id(), f.pen.String())
	if err != nil {
		return err
	}
	if me.Kind != roster.Person {
		a.notef("%s is %s: what it signs is put on record and never counts\n", me.ID, article(string(me.Kind)))
	}
	switch {
	case f.plan != "":
		return a.approvePlan(ctx, l, set, me, f)
	case f.release != "":
		return a.approveRelease(ctx, l, set, me, f)
	}
	f.alone = len(changes) == 1
	for _, id := range changes {
		ch, err := a.findChange(ctx, l, f.repository, id, f.head)
		if err != nil {
			return err
		}
		if err := a.approveOne(ctx, l, set, me, ch, f); err != nil {
			return err
		}
	}
	return nil
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func (a *app) approveOne(ctx context.Context, l *ledger, set *policy.Set, me *roster.Principal, ch *found, f approving) error {
	if !a.json() && (!f.yes || f.alone) {
		a.showChange(set, ch)
	}
	switch index, ok, err := a.approvedBefore(ctx, l, me, ch, &f); {
	case err != nil:
		return err
	case ok && a.json():
		return a.writeJSON(map[string]any{"what": me.ID + " has approved " + ch.change.Change.ID, "index": index, "duplicate": true})
	case ok:
		a.printf("#%d  %s has approved %s at %.12s already; nothing is signed (--again signs it once more)\n", index, me.ID, ch.change.Change.ID, ch.change.Head)
		return nil
	}
	if f.decision == string(attest.Approved) && wrote(set.Roster, me, ch) {
		a.notef("%s is among the authors of change %s, or runs an agent that is: this is put on record and does not count\n", me.ID, ch.change.Change.ID)
	}
	if !f.yes {
		verb := map[string]string{"approved": "Approve", "rejected": "Reject", "withdrawn": "Withdraw your approval of"}[f.decision]
		ok, err := a.ask(fmt.Sprintf("%s change %s at %.12s for %s, as %s?", verb, ch.change.Change.ID, ch.change.Head, strings.Join(f.environments, " and "), me.ID))
		if err != nil {
			return err
		}
		if !ok {
			return refused("nothing was signed")
		}
	}
	st := &attest.Statement{
		Subjects: []attest.Subject{{Name: f.repository, Digest: map[string]string{"gitCommit": ch.change.Head, "gitTree": ch.tree}}},
		Predicate: &attest.Approval{
			Decision: attest.ApprovalDecision(f.decision), Reviewer: me.ID, Repository: f.repository,
			Change: ch.change.Change, TargetRef: ch.change.TargetRef, Scope: attest.Scope{Environments: f.environments},
			ApprovedAt: attest.At(a.now()), Comment: f.comment, ReviewLink: f.link,
		},
	}
	what := fmt.Sprintf("%s %s %s at %.12s", me.ID, f.decision, ch.change.Change.ID, ch.change.Head)
	return f.pen.write(ctx, l, st, what, f.signing)
}

// wrote reports whether git names somebody, or an agent that they run, in the commits of a
// change. A verdict knows of more authors: those who merged, or said so under their own keys.
func wrote(people *roster.Roster, me *roster.Principal, ch *found) bool {
	if ch.facts == nil {
		return false
	}
	for _, co := range ch.facts.Commits {
		for _, p := range append([]gitfacts.Person{co.Author, co.Committer}, co.CoAuthors...) {
			if by, ok := people.ByEmail(p.Email); ok && (by.ID == me.ID || by.Kind == roster.Agent && by.Operator == me.ID) {
				return true
			}
		}
	}
	return false
}

// showChange shows what a reviewer is about to answer for.
func (a *app) showChange(set *policy.Set, ch *found) {
	c := ch.change
	a.printf("%s  head %.12s of %s, attested at #%d\n", a.bold("change "+c.Change.ID), c.Head, c.Repository, ch.index)
	if ch.facts == nil {
		a.printf("  %s\n", a.red("its facts are claimed, not proven: it is too large to carry its objects"))
		return
	}
	class := set.Domains.Classify(ch.facts.Paths)
	a.printf("  reaches  %s  %s\n", set.Tiers[class.Tier], a.faint(strings.Join(class.Domains, ", ")))
	if class.Unclaimed {
		a.printf("           %s\n", a.faint(strings.Join(class.Because, "\n           ")))
	}
	authors := map[string]bool{}
	var names []string
	for _, co := range ch.facts.Commits {
		for _, p := range append([]gitfacts.Person{co.Author}, co.CoAuthors...) {
			if !authors[p.Email] {
				authors[p.Email] = true
				names = append(names, p.Name)
			}
		}
	}
	a.printf("  written  by %s, in %s\n", strings.Join(names, ", "), plural(len(ch.facts.Commits), "commit"))
	tools := map[string]bool{}
	for _, s := range gitfacts.DefaultSigns().Signs(ch.facts.Commits) {
		tools[s.Tool] = true
	}
	switch {
	case len(tools) == 0:
		a.printf("  AI       no sign of it, which says nothing\n")
	default:
		var list []string
		for t := range tools {
			list = append(list, t)
		}
		a.printf("  AI       %s\n", a.bold(strings.Join(list, ", ")))
	}
	names = ch.facts.PathNames()
	shown := names[:min(len(names), 8)]
	a.printf("  touches  %s", strings.Join(shown, "\n           "))
	if more := len(names) - len(shown); more > 0 {
		a.printf("\n           and %d more", more)
	}
	a.printf("\n")
}
