package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

// diveFlags are those of attest deep-dive.
type diveFlags struct {
	signing
	summary, ref, of, second string
	actions                  []string
	yes                      bool
}

func newAttestDeepDive(a *app) *cobra.Command {
	var f diveFlags
	c := &cobra.Command{
		Use:   "deep-dive INCIDENT --summary TEXT --action TEXT… | --second INDEX",
		Short: "Say why something broke, and what is done about it",
		Long: `Log the review of an incident: what happened and why, and what is done so that it does not
happen again. A rule may hold back what touches the incident's domains until two people have
signed the same review (require: {deepDives: sev1}): --second INDEX signs what the entry
says, after showing it. Agents and services sign none.

The review names what the incident was thought to be. Where it turns out worse later, a
review is owed again.`,
		Example: `  countersign attest deep-dive INC-7 --summary 'A price feed was read twice' --action 'A test of the feed' --key alice.pem
  countersign attest deep-dive --second 61 --key bob.pem`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.attestDeepDive(c.Context(), args, &f) },
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.summary, "summary", "", "what happened, and why")
	fl.StringArrayVar(&f.actions, "action", nil, "what is done so that it does not happen again (can be repeated)")
	fl.StringVar(&f.ref, "ref", "", "link to the whole review, for people")
	fl.StringVar(&f.of, "of", "", "payload digest of the incident's statement that was reviewed (default: the one in force)")
	fl.StringVar(&f.second, "second", "", "index of an entry whose review a second person signs")
	fl.BoolVar(&f.yes, "yes", false, "with --second: sign without asking")
	c.MarkFlagsMutuallyExclusive("second", "summary")
	c.MarkFlagsOneRequired("second", "summary")
	return c
}

func (a *app) attestDeepDive(ctx context.Context, args []string, f *diveFlags) error {
	if f.second != "" {
		return a.secondDive(ctx, args, f)
	}
	if len(args) != 1 {
		return wrong("which incident? Give its id, as incident/v1 has it")
	}
	d := &attest.DeepDive{Incident: args[0], Of: f.of, Summary: f.summary, Actions: f.actions, Ref: f.ref, ReviewedAt: attest.At(a.now())}
	if d.Of == "" {
		now, err := a.latestIncident(ctx, d.Incident)
		if err != nil {
			return err
		}
		if now == nil {
			return wrong("the log has no incident %s; countersign log search --type incident lists them", printable(d.Incident, 80))
		}
		d.Of = now.Digest
	}
	return a.logStatement(ctx, d.Statement(), "deep dive of "+printable(d.Incident, 80), f.signing)
}

func (a *app) secondDive(ctx context.Context, args []string, f *diveFlags) error {
	index, err := strconv.ParseUint(f.second, 10, 63)
	if err != nil {
		return wrong("--second %q is no index; entries are numbered from 0", f.second)
	}
	if len(args) > 0 || f.of != "" || f.ref != "" || len(f.actions) > 0 {
		return wrong("--second signs exactly what the entry says; nothing can be added to it")
	}
	return a.second(ctx, index, f.yes, f.signing, func(p attest.Predicate) (string, error) {
		d, ok := p.(*attest.DeepDive)
		if !ok {
			return "", wrong("entry %d is a %s, and no deep dive", index, shortType(p.Type()))
		}
		return "deep dive of " + printable(d.Incident, 80), nil
	})
}
