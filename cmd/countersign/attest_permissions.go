package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/planfacts"
	"github.com/countersign-dev/countersign/policy"
)

func newAttestPermissions(a *app) *cobra.Command {
	var f signing
	var grants, denies []string
	var operator, by, notAfter, config string
	c := &cobra.Command{
		Use:   "agent-permissions AGENT --grant WHAT… --not-after TIME",
		Short: "Say what an agent may do",
		Long: `Say, as the person who runs an agent or as an owner of the policy, what the agent may do
to the world. What no grant names is not permitted, and a denial outweighs every grant. The
newest statement about an agent takes the place of those before it.

A grant has capability=VERB, resource=PATTERN, environment=NAME, max=N (resources that one
operation may touch; 1 unless said) and perhaps kind=PATTERN and irreversible. A denial has
capability and resource, and perhaps kind and environment; without one it holds
everywhere. "*" stands for every verb, and in patterns for any text.`,
		Example: `  countersign attest agent-permissions claude --operator carol --by carol --not-after 2026-06-01T00:00:00Z \
    --grant 'capability=update,resource=aws_instance.web*,environment=staging,max=5' \
    --deny 'capability=delete,resource=*' --key carol.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p := &attest.AgentPermissions{Agent: args[0], Operator: operator, GrantedBy: by, Grants: []attest.Grant{}, GrantedAt: attest.At(a.now())}
			if p.GrantedBy == "" {
				p.GrantedBy = operator
			}
			for _, spec := range grants {
				g, err := parseGrant(spec)
				if err != nil {
					return err
				}
				p.Grants = append(p.Grants, g)
			}
			for _, spec := range denies {
				g, err := parseGrant(spec)
				if err != nil {
					return err
				}
				p.Denies = append(p.Denies, attest.Deny{Capability: g.Capability, Resource: g.Resource, Kind: g.Kind, Environments: g.Environments})
			}
			return a.permit(c.Context(), p, notAfter, config, f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringArrayVar(&grants, "grant", nil, "what it may do (repeat for more)")
	fl.StringArrayVar(&denies, "deny", nil, "what it may not do, whatever is granted (repeat for more)")
	fl.StringVar(&operator, "operator", "", "roster id of the person who runs it (needed)")
	fl.StringVar(&by, "by", "", "roster id of the signer (default: --operator)")
	fl.StringVar(&notAfter, "not-after", "", "when the permissions end, as 2026-06-01T00:00:00Z (needed)")
	fl.StringVar(&config, "config", "", "file of the agent's configuration, whose digest is recorded")
	return c
}

func (a *app) permit(ctx context.Context, p *attest.AgentPermissions, notAfter, config string, f signing) error {
	end, err := time.Parse(time.RFC3339, notAfter)
	if err != nil {
		return wrong("--not-after %q: write a time such as 2026-06-01T00:00:00Z", notAfter)
	}
	p.NotAfter = attest.At(end)
	if config != "" {
		d, err := digestFile(config)
		if err != nil {
			return wrong("--config: %v", err)
		}
		p.ConfigDigest = d.String()
	}
	st := &attest.Statement{
		Subjects:  []attest.Subject{{Name: p.Agent, Digest: map[string]string{"sha256": attest.AgentDigest(p.Agent).String()}}},
		Predicate: p,
	}
	return a.logStatement(ctx, st, "permissions of "+p.Agent+": "+plural(len(p.Grants), "grant")+" until "+notAfter, f)
}

// parseGrant reads "capability=update,resource=aws_instance.*,environment=staging,max=5".
func parseGrant(spec string) (attest.Grant, error) {
	reversible := true
	g := attest.Grant{Reversible: &reversible, MaxScope: 1}
	for _, w := range strings.Split(spec, ",") {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "capability":
			g.Capability = value
		case "resource":
			g.Resource = value
		case "kind":
			g.Kind = value
		case "environment":
			g.Environments = append(g.Environments, value)
		case "irreversible":
			reversible = false
		case "max":
			n, err := strconv.Atoi(value)
			if err != nil {
				return g, wrong("%q: max=%s is no number", spec, value)
			}
			g.MaxScope = n
		default:
			return g, wrong("%q: %q is none of capability=, resource=, kind=, environment=, max=, irreversible", spec, w)
		}
	}
	slices.Sort(g.Environments)
	return g, nil
}

func newExplainPermissions(a *app) *cobra.Command {
	var act policy.Act
	var resources []string
	var irreversible bool
	c := &cobra.Command{
		Use:   "agent-permissions BUNDLE --verb VERB --resource ADDRESS… --environment NAME",
		Short: "Show whether an agent may do something, and why not",
		Long: `Hold an operation against what a signed statement permits an agent. Exit 0: all of it is
permitted; 1: some of it is not. Whose signature the bundle has is not checked here.`,
		Example: `  countersign explain agent-permissions claude.json --verb delete --resource aws_db_instance.main --environment production`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readFile(args[0], attest.MaxBundle)
			if err != nil {
				return err
			}
			b, err := attest.ParseBundle(text)
			if err != nil {
				return wrong("%s: %v", args[0], err)
			}
			st, err := attest.ParseStatement(b.Payload)
			if err != nil {
				return wrong("%s: %v", args[0], err)
			}
			p, ok := st.Predicate.(*attest.AgentPermissions)
			if !ok {
				return wrong("%s is a %s, and not what an agent was permitted", args[0], shortType(st.Predicate.Type()))
			}
			var acts []policy.Act
			for _, r := range resources {
				one := act
				one.Resource, one.Reversible = r, !irreversible && planfacts.BuiltinKinds().Reversible(attest.Verb(act.Verb), act.Kind)
				acts = append(acts, one)
			}
			return a.showHeld(p, policy.HoldAgainst(p, acts, a.now()))
		},
	}
	fl := c.Flags()
	fl.StringVar(&act.Verb, "verb", "", "what is done, such as update (needed)")
	fl.StringArrayVar(&resources, "resource", nil, "address of what it is done to (repeat for more)")
	fl.StringVar(&act.Kind, "kind", "", "kind of the resources")
	fl.StringVar(&act.Environment, "environment", "", "where (needed)")
	fl.BoolVar(&irreversible, "irreversible", false, "it cannot be undone; deleting, invoking, and replacing what holds state never can")
	return c
}

func (a *app) showHeld(p *attest.AgentPermissions, not []policy.Unpermitted) error {
	if a.json() {
		type refusal struct {
			Verb     string `json:"verb"`
			Resource string `json:"resource"`
			Why      string `json:"why"`
		}
		out := []refusal{}
		for _, u := range not {
			out = append(out, refusal{u.Act.Verb, u.Act.Resource, u.Why})
		}
		if err := a.writeJSON(map[string]any{"agent": p.Agent, "permitted": len(not) == 0, "refused": out}); err != nil {
			return err
		}
	} else {
		for _, u := range not {
			a.printf("%s  %s %s: %s\n", a.red("NO "), u.Act.Verb, u.Act.Resource, u.Why)
		}
		if len(not) == 0 {
			a.printf("%s  %s may do this, says %s, until %s\n", a.green("YES"), p.Agent, p.GrantedBy, p.NotAfter.Format(time.RFC3339))
		}
	}
	if len(not) > 0 {
		return silent(exitNo)
	}
	return nil
}
