package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
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
		Use:   "lift DIGEST|INDEX --reason TEXT",
		Short: "Let releases go on, as one of two",
		Long: `Lift a freeze, by the digest that it printed or by its entry, which a denied verdict names
(FROZEN … in #41). Releases go on when two have run this.`,
		Example: `  countersign freeze lift 41 --reason 'incident 42 is over' --key alice.pem
  countersign freeze lift 8c0f… --reason 'incident 42 is over' --key bob.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Action, p.Lifts = attest.Lifted, strings.TrimPrefix(args[0], "sha256:")
			if f.offline || f.print {
				return a.logFreeze(c.Context(), &p, trust, f)
			}
			by, err := a.findFreeze(c.Context(), &p)
			if err != nil {
				return err
			}
			if err := a.logFreeze(c.Context(), &p, trust, f); err != nil {
				return err
			}
			if !slices.ContainsFunc(by, func(id string) bool { return id != p.By }) {
				a.notef("one more officer or owner must lift it\n")
			}
			return nil
		},
	}
	f.flags(c)
	trustFlag(c, &trust)
	c.Flags().StringVar(&p.Reason, "reason", "", "why (needed)")
	return c
}

// findFreeze finds the freeze that a lift names, by digest or index, and who has lifted it
// already. It sets the digest.
func (a *app) findFreeze(ctx context.Context, p *attest.Freeze) (by []string, err error) {
	l, err := a.connect()
	if err != nil {
		return nil, err
	}
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{PredicateType: attest.TypeFreeze, PageSize: 1000, WithBundles: true}, maxFreezes)
	if err != nil {
		return nil, err
	}
	named, found := p.Lifts, false
	for _, e := range entries {
		b, st, err := statement(e)
		if err != nil {
			return nil, err
		}
		q, ok := st.Predicate.(*attest.Freeze)
		switch digest := b.Digest().String(); {
		case !ok:
			return nil, lied("the log gave entry %d for a freeze, and it is none", e.Index)
		case q.Action == attest.Frozen && (digest == named || strings.TrimPrefix(named, "#") == fmt.Sprint(e.Index)):
			p.Lifts, found = digest, true
		case q.Action == attest.Lifted && q.Lifts == p.Lifts:
			by = append(by, q.By)
		}
	}
	if !found {
		return nil, refused("no freeze %.64q is in the log; see: countersign log search --type freeze", named)
	}
	return by, nil
}

// maxFreezes bounds how many statements a lift reads.
const maxFreezes = 10_000

// logFreeze signs in the name of the key's holder.
func (a *app) logFreeze(ctx context.Context, p *attest.Freeze, trust string, f signing) error {
	me, set, err := a.speaker(ctx, f.key, trust)
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
