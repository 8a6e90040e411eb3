package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

type inboxing struct {
	as, key, ssh, repository, environment, since string
	all                                          bool
}

func newInbox(a *app) *cobra.Command {
	var f inboxing
	c := &cobra.Command{
		Use:   "inbox --as PERSON",
		Short: "List what waits for your approval, the highest tier first",
		Long: `List changes under review, plans and releases that wait for an approval which you could
give, the highest tier first, each with what it needs and the command that gives it. Who
you are is --as, or whose key --key or --ssh is. --all lists what waits for anybody.

The list is the ledger's word, and leaves out what no approval can help. What you approve
is shown once more before you sign.`,
		Example: `  countersign inbox --key me.pem
  countersign inbox --as bob --environment production
  countersign inbox --all --format json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.inbox(c.Context(), f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.as, "as", "", "roster id of a person")
	fl.StringVar(&f.key, "key", os.Getenv("COUNTERSIGN_KEY"), "your key: the private file or the .pub beside it (COUNTERSIGN_KEY)")
	fl.StringVar(&f.ssh, "ssh", "", "your key in the ssh-agent")
	fl.Lookup("ssh").NoOptDefVal = anyKey
	fl.StringVar(&f.repository, "repository", "", "only of this repository")
	fl.StringVar(&f.environment, "environment", "", "only for this environment")
	fl.StringVar(&f.since, "since", "", "logged at this time or later (default: 30 days ago)")
	fl.BoolVar(&f.all, "all", false, "what waits for anybody")
	return c
}

func (a *app) inbox(ctx context.Context, f inboxing) error {
	since, err := parseWhen("--since", f.since)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	set, err := a.policySet(ctx, l, "")
	if err != nil {
		return err
	}
	var me *roster.Principal
	if !f.all {
		if me, err = a.whoAmI(set, f); err != nil {
			return err
		}
	}
	q := &countersignv1.InboxRequest{Repository: f.repository, Environment: f.environment, Since: since}
	if me != nil {
		q.Person = me.ID
	}
	resp, err := l.verifier.Inbox(ctx, connect.NewRequest(q))
	if err != nil {
		return err
	}
	if resp.Msg.Truncated {
		a.notef("there is more than one list holds: the oldest is left out; ask for one --repository or --environment\n")
	}
	rows := together(resp.Msg.Items)
	if a.json() {
		out := []any{}
		for _, r := range rows {
			out = append(out, r.describe(me, resp.Msg.Console))
		}
		return a.writeJSON(out)
	}
	for _, r := range rows {
		a.showWaiting(r, me, resp.Msg.Console)
	}
	if len(rows) == 0 {
		a.printf("nothing waits\n")
	}
	return nil
}

// whoAmI is the person that the flags name.
func (a *app) whoAmI(set *policy.Set, f inboxing) (*roster.Principal, error) {
	var p *roster.Principal
	switch {
	case f.as != "":
		var ok bool
		if p, ok = set.Roster.Principal(f.as); !ok {
			return nil, refused("the roster has no %q", f.as)
		}
	case f.ssh != "":
		pen, err := a.openAgent(f.ssh)
		if err != nil {
			return nil, err
		}
		defer pen.close()
		if p, err = signer(set.Roster, pen.id(), pen.String()); err != nil {
			return nil, err
		}
	case f.key != "":
		id, err := a.keyID(f.key)
		if err != nil {
			return nil, err
		}
		if p, err = signer(set.Roster, id, f.key); err != nil {
			return nil, err
		}
	default:
		return nil, wrong("who are you? --as, --key or --ssh says so; --all lists what waits for anybody")
	}
	if p.Kind != roster.Person {
		return nil, refused("%s is %s, and only people approve", p.ID, article(string(p.Kind)))
	}
	return p, nil
}

// keyID is the id of a key file, public or private; the public one needs no passphrase.
func (a *app) keyID(path string) (attest.KeyID, error) {
	if text, err := readFile(path, 64<<10); err == nil {
		if pub, err := attest.ParsePublicKeyPEM(text); err == nil {
			return pub.ID(), nil
		}
	}
	key, err := a.key(path)
	if err != nil {
		return attest.KeyID{}, err
	}
	return key.Public().ID(), nil
}

// A row is one thing that waits, in all its environments.
type row struct {
	*countersignv1.InboxItem
	environments []string
}

// together puts the environments of a change or a plan into one row.
func together(items []*countersignv1.InboxItem) []row {
	var rows []row
	for _, i := range items {
		at := slices.IndexFunc(rows, func(r row) bool {
			return i.Kind != "release" && r.Kind == i.Kind && r.Repository == i.Repository && r.Change == i.Change && r.Head == i.Head && r.PlanSha256 == i.PlanSha256
		})
		if at < 0 {
			rows = append(rows, row{i, []string{i.Environment}})
			continue
		}
		rows[at].environments = append(rows[at].environments, i.Environment)
		for _, n := range i.Need {
			if !slices.Contains(rows[at].Need, n) {
				rows[at].Need = append(rows[at].Need, n)
			}
		}
		if roster.ParseAssurance(i.Assurance) > roster.ParseAssurance(rows[at].Assurance) {
			rows[at].Assurance = i.Assurance
		}
	}
	return rows
}

// command is what gives the approval: with a key, or, where it must prove more than a key
// file can, with a security key or on a page.
func (r row) command(me *roster.Principal, pages string) string {
	least := roster.ParseAssurance(r.Assurance)
	how := "--key=YOUR-KEY.pem"
	if least > roster.ByKey {
		how = "--ssh=YOUR-SECURITY-KEY.pub"
		hardware := me != nil && slices.ContainsFunc(me.Keys, func(k roster.Key) bool { return k.SSH != nil && k.Assurance >= least })
		if !hardware && pages != "" {
			return "open " + r.page(me, pages)
		}
	}
	ids := r.Changes
	if r.Kind == "change" {
		ids = []string{r.Change}
	}
	words := []string{"countersign", "approve"}
	to := []string{"--repository", r.Repository, "--environment", strings.Join(r.environments, ","), how}
	// Ids are somebody else's words, and this is copied into a shell.
	switch dashed := slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "-") }); {
	case r.Kind == "plan":
		words = append(append(words, "--plan", "sha256:"+r.PlanSha256), to...)
	case dashed:
		words = slices.Concat(words, to, []string{"--"}, ids)
	default:
		words = slices.Concat(words, ids, to)
	}
	return shellWords(words)
}

// page is where it is approved in a browser.
func (r row) page(me *roster.Principal, pages string) string {
	q := url.Values{"repository": {r.Repository}}
	if me != nil {
		q.Set("as", me.ID)
	}
	switch r.Kind {
	case "plan":
		q.Set("digest", r.PlanSha256)
	case "release":
		q.Set("environment", r.Environment)
		q.Set("artifact", r.ArtifactSha256)
		if r.ArtifactSha256 == "" {
			q.Set("artifact", r.Commit)
		}
	default:
		q.Set("id", r.Change)
	}
	return pages + r.Kind + "?" + q.Encode()
}

func (r row) name() string {
	switch r.Kind {
	case "plan":
		return fmt.Sprintf("plan sha256:%.12s…", r.PlanSha256)
	case "release":
		return "release " + r.Title
	}
	return "change " + r.Change
}

func (a *app) showWaiting(r row, me *roster.Principal, pages string) {
	title := ""
	if r.Kind != "release" {
		title = "  " + printable(r.Title, 100)
	}
	a.printf("%s  %s%s\n", a.bold(strings.ToUpper(r.Tier)), a.bold(r.name()), title)
	by := ""
	if len(r.Authors) > 0 {
		by = ", by " + printable(strings.Join(r.Authors, ", "), 100) + " (" + r.Origin + ")"
	}
	a.printf("    %s → %s%s, %s\n", r.Repository, strings.Join(r.environments, " and "), by, a.faint(r.LoggedAt.AsTime().Format(time.RFC3339)))
	for _, n := range r.Need {
		a.printf("    needs  %s\n", printable(n, 200))
	}
	if me == nil {
		a.printf("    from   %s\n", strings.Join(r.Who, ", "))
	}
	a.printf("    %s\n", r.command(me, pages))
}

// describe is a row for programs.
func (r row) describe(me *roster.Principal, pages string) map[string]any {
	out := map[string]any{
		"kind": r.Kind, "repository": r.Repository, "environments": r.environments, "title": r.Title, "tier": r.Tier, "index": r.Index,
		"loggedAt": r.LoggedAt.AsTime(), "need": append([]string{}, r.Need...), "who": append([]string{}, r.Who...), "command": r.command(me, pages),
		"assurance": r.Assurance,
	}
	add := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	add("change", r.Change)
	add("head", r.Head)
	add("plan", r.PlanSha256)
	add("artifact", r.ArtifactSha256)
	add("commit", r.Commit)
	add("origin", r.Origin)
	if r.Kind == "release" {
		out["changes"] = r.Changes
	} else {
		out["authors"] = append([]string{}, r.Authors...)
	}
	if pages != "" {
		out["page"] = r.page(me, pages)
	}
	return out
}
