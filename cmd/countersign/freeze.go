package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

func newFreeze(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "freeze",
		Short: "Stop releases, and let them go on",
		Long: `An officer of the policy (officers: in people.yaml), or an owner, stops releases alone, from
the next verdict on. Letting them go on takes two of them; whoever froze may be one.`,
	}
	c.AddCommand(newFreezeStart(a), newFreezeLift(a))
	return c
}

func newFreezeStart(a *app) *cobra.Command {
	var f signing
	var p attest.Freeze
	var until, trust string
	c := &cobra.Command{
		Use:   "start --environment NAME --reason TEXT",
		Short: "Stop releases to an environment",
		Long: `Stop releases to an environment: all, or those of --repository, or those that touch a
--domain. A change of which paths are only claimed, or lie in no domain, counts as touching
every one. The digest that is printed is what a lift needs.`,
		Example: `  countersign freeze start --environment production --domain checkout --reason 'incident 42' --key alice.pem
  countersign freeze start --environment production --until 2026-12-27T06:00:00Z --reason holidays --key alice.pem`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if until != "" {
				at, err := time.Parse(time.RFC3339, until)
				if err != nil {
					return wrong("--until %q is not a time such as 2026-12-27T06:00:00Z", until)
				}
				end := attest.At(at)
				p.Until = &end
			}
			p.Action = attest.Frozen
			return a.logFreeze(c.Context(), &p, trust, f)
		},
	}
	f.flags(c)
	trustFlag(c, &trust)
	fl := c.Flags()
	fl.StringVar(&p.Environment, "environment", "", "where nothing is to go (needed)")
	fl.StringArrayVar(&p.Repositories, "repository", nil, "only releases of this repository")
	fl.StringArrayVar(&p.Domains, "domain", nil, "only releases that touch this domain")
	fl.StringVar(&until, "until", "", "when it ends by itself (default: when it is lifted)")
	fl.StringVar(&p.Reason, "reason", "", "why (needed)")
	return c
}

func newFreezeLift(a *app) *cobra.Command {
	var f signing
	var p attest.Freeze
	var trust string
	c := &cobra.Command{
		Use:     "lift DIGEST --reason TEXT",
		Short:   "Let releases go on, as one of two",
		Example: `  countersign freeze lift 8c0f… --reason 'incident 42 is over' --key alice.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Action, p.Lifts = attest.Lifted, args[0]
			return a.logFreeze(c.Context(), &p, trust, f)
		},
	}
	f.flags(c)
	trustFlag(c, &trust)
	c.Flags().StringVar(&p.Reason, "reason", "", "why (needed)")
	return c
}

// logFreeze signs in the name of the key's holder.
func (a *app) logFreeze(ctx context.Context, p *attest.Freeze, trust string, f signing) error {
	key, err := a.key(f.key)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	set, err := a.policySet(ctx, l, trust)
	if err != nil {
		return err
	}
	me, err := signer(set.Roster, key.Public().ID(), f.key)
	if err != nil {
		return err
	}
	for _, d := range p.Domains {
		if !set.Domains.Has(d) {
			return wrong("--domain %q is none of the policy's", d)
		}
	}
	if _, ok := set.Environment(p.Environment); p.Action == attest.Frozen && !ok {
		return wrong("--environment %q is none of the policy's", p.Environment)
	}
	p.By, p.FrozenAt = me.ID, attest.At(a.now())
	st := attest.NewFreeze(p)
	if err := st.Validate(); err != nil {
		return wrong("%v", err)
	}
	payload, err := st.Marshal()
	if err != nil {
		return err
	}
	return a.logStatement(ctx, st, string(p.Action)+" sha256:"+attest.DigestOf(payload).String(), f)
}
