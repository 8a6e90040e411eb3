package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

func newPolicy(a *app) *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Write, check, show and sign a policy set"}
	c.AddCommand(newPolicyInit(a), newPolicyCheck(a), newPolicyShow(a), newPolicySign(a))
	return c
}

func newPolicyInit(a *app) *cobra.Command {
	var owners, people, agents, services []string
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a policy set to start from",
		Long: `Write policy.yaml and domains.yaml (the built-in blueprint) and people.yaml into DIR.
Files that are there already are kept, so rules of your own can be put there first.

--person, --agent and --service describe who there is, as comma-separated words:
the id, then level=, teams= (joined by +), email=, operator=, may= (joined by +),
key=FILE of a public key, and the word forge for the account that merges.`,
		Example: `  countersign policy init policy --owner alice,bob \
    --person alice,level=staff,email=alice@example.com,key=alice.pub \
    --person bob,level=senior,email=bob@example.com,key=bob.pub \
    --agent claude,operator=bob,email=noreply@anthropic.com,key=claude.pub \
    --service ci,may=change+admission,key=ci.pub --service builder,may=release,key=builder.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var all []roster.Principal
			for _, group := range []struct {
				kind  roster.Kind
				specs []string
			}{{roster.Person, people}, {roster.Agent, agents}, {roster.Service, services}} {
				for _, spec := range group.specs {
					p, err := parsePrincipal(group.kind, spec)
					if err != nil {
						return err
					}
					all = append(all, p)
				}
			}
			return a.policyInit(args[0], owners, all)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&owners, "owner", nil, "ids of the people who own the policy (two at least)")
	f.StringArrayVar(&people, "person", nil, "a person")
	f.StringArrayVar(&agents, "agent", nil, "an agent")
	f.StringArrayVar(&services, "service", nil, "a service")
	return c
}

func parsePrincipal(kind roster.Kind, spec string) (roster.Principal, error) {
	words := strings.Split(spec, ",")
	p := roster.Principal{Kind: kind, ID: words[0]}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "level":
			p.Level = value
		case "teams":
			p.Teams = strings.Split(value, "+")
		case "email":
			p.Emails = append(p.Emails, value)
		case "operator":
			p.Operator = value
		case "may":
			p.May = strings.Split(value, "+")
		case "forge":
			p.Forge = true
		case "key":
			text, err := readFile(value, 64<<10)
			if err != nil {
				return p, err
			}
			pub, err := attest.ParsePublicKeyPEM(text)
			if err != nil {
				return p, wrong("%s: %v", value, err)
			}
			name := strings.TrimSuffix(filepath.Base(value), ".pub")
			p.Keys = append(p.Keys, roster.Key{SPKI: pub.SPKI(), Name: name})
		default:
			return p, wrong("%q: %q is none of level=, teams=, email=, operator=, may=, key=, forge", spec, w)
		}
	}
	return p, nil
}

func (a *app) policyInit(dir string, owners []string, all []roster.Principal) error {
	if len(owners) == 0 || len(all) == 0 {
		return wrong("--owner and --person are needed: who owns the policy, and who is there?")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return wrong("%v", err)
	}
	// Keys hold from today on, by the day, so that the file is easy to read.
	people, err := policy.NewPeople(owners, all, a.now().UTC().Truncate(24*time.Hour))
	if err != nil {
		return wrong("%v", err)
	}
	blueprint := policy.Blueprint()
	for _, f := range []struct{ name, text string }{
		{"policy.yaml", blueprint.Policy}, {"domains.yaml", blueprint.Domains}, {"people.yaml", people},
	} {
		path := filepath.Join(dir, f.name)
		if _, err := os.Stat(path); err == nil {
			a.printf("%s  kept\n", path)
			continue
		}
		if err := writeNew(path, []byte(f.text), 0o644); err != nil {
			return err
		}
		a.printf("%s  written\n", path)
	}
	set, err := policy.ReadFolder(dir)
	if err != nil {
		return err
	}
	a.printf("policy set %s version %d, sha256:%s\n", set.Name, set.Version, set.Digest())
	return nil
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
			return nil
		},
	}
}

func newPolicyShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show DIR",
		Short:   "Show a policy set: rules, people, domains",
		Example: `  countersign policy show policy`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := policy.ReadFolder(args[0])
			if err != nil {
				return err
			}
			if a.json() {
				return a.writeJSON(set.Files())
			}
			return a.showPolicy(set)
		},
	}
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
		fmt.Fprintf(w, "%s%s\t%s\t%s\n", r.ID, mode, asks(r), when)
	}
	fmt.Fprintln(w, "\t\t\nWHO\tIS\tMAY")
	for _, p := range set.Roster.Principals() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.ID, describe(p), may(p))
	}
	fmt.Fprintln(w, "\t\t\nENVIRONMENT\tAPPROVALS COUNT\tBASELINES")
	for _, e := range set.Environments {
		var starts []string
		for _, b := range set.Baselines {
			if b.Environment == e.Name {
				starts = append(starts, b.Commit[:12])
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", e.Name, e.Approvals, strings.Join(starts, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	a.printf("\nowners: %s   tiers: %s   levels: %s\n", strings.Join(set.Roster.Owners, ", "), strings.Join(set.Tiers, " < "), strings.Join(set.Levels, " < "))
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

func newPolicySign(a *app) *cobra.Command {
	var keyFile, out, with string
	c := &cobra.Command{
		Use:   "sign DIR --key FILE --out FILE",
		Short: "Sign a policy set as one of its owners",
		Long: `Sign the policy set of DIR. Every owner signs the same bytes: the first signs as is,
the others give the first one's file with --with. The signed files become the
genesis of a log: countersignd create --genesis FILE --genesis FILE.`,
		Example: `  countersign policy sign policy --key alice.pem --out genesis-alice.json
  countersign policy sign policy --key bob.pem --with genesis-alice.json --out genesis-bob.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.policySign(args[0], keyFile, with, out) },
	}
	c.Flags().StringVar(&keyFile, "key", "", "the owner's private key")
	c.Flags().StringVar(&out, "out", "", "file for the signed policy")
	c.Flags().StringVar(&with, "with", "", "what another owner has signed")
	return c
}

func (a *app) policySign(dir, keyFile, with, out string) error {
	set, err := policy.ReadFolder(dir)
	if err != nil {
		return err
	}
	key, err := a.key(keyFile)
	if err != nil {
		return err
	}
	if out == "" {
		return wrong("--out is needed: the file for the signed policy")
	}
	owner, _, ok := set.Roster.ByKey(roster.KeyID(key.Public().ID()))
	if !ok || owner.Kind != roster.Person {
		return refused("%s is no person's key in %s/people.yaml", keyFile, dir)
	}
	at := attest.At(a.now())
	if with != "" {
		if at, err = publishedAt(with, set); err != nil {
			return err
		}
	}
	st := &attest.Statement{
		Subjects:  []attest.Subject{{Name: set.Name, Digest: map[string]string{"sha256": set.Digest().String()}}},
		Predicate: &attest.Policy{Name: set.Name, Version: set.Version, Files: set.Files(), PublishedAt: at},
	}
	b, err := attest.Sign(st, key)
	if err != nil {
		return err
	}
	text, err := b.Marshal()
	if err != nil {
		return err
	}
	if err := writeNew(out, text, 0o644); err != nil {
		return err
	}
	a.printf("%s  %s version %d, signed by %s\n", out, set.Name, set.Version, owner.ID)
	return nil
}

// publishedAt reads the time in what another owner signed, and checks that it
// is about the same set.
func publishedAt(path string, set *policy.Set) (attest.Time, error) {
	text, err := readFile(path, attest.MaxBundle)
	if err != nil {
		return attest.Time{}, err
	}
	b, err := attest.ParseBundle(text)
	if err != nil {
		return attest.Time{}, wrong("%s: %v", path, err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return attest.Time{}, wrong("%s: %v", path, err)
	}
	p, ok := st.Predicate.(*attest.Policy)
	if !ok || p.Files != set.Files() {
		return attest.Time{}, refused("%s signs another policy set than this folder holds", path)
	}
	return p.PublishedAt, nil
}
