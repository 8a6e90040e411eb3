package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

// words are flags that take one of a few.
var words = map[string][]string{
	"format":     {"text", "json"},
	"origin":     {string(attest.OriginHuman), string(attest.OriginAI), string(attest.OriginMixed), string(attest.OriginUnknown)},
	"severity":   {"sev1", "sev2", "sev3", "sev4"},
	"confidence": {"confirmed", "likely", "possible"},
}

// folders are flags that name one; flags of files complete as shells do by themselves.
var folders = []string{"trust", "state", "repo", "policy", "followed", "baseline", "outbox", "dir"}

// ofPolicy are flags and arguments that the policy in force knows the words of.
var ofPolicy = map[string]func(*policy.Set) []string{
	"environment": func(s *policy.Set) []string {
		return names(s.Environments, func(e policy.Environment) string { return e.Name })
	},
	"domain": func(s *policy.Set) []string { return s.Domains.Names() },
	"tier":   func(s *policy.Set) []string { return s.Tiers },
	"repository": func(s *policy.Set) []string {
		return names(s.Baselines, func(b policy.Baseline) string { return b.Repository })
	},
	"agent":    func(s *policy.Set) []string { return principals(s, roster.Agent) },
	"as":       func(s *policy.Set) []string { return principals(s, roster.Person) },
	"operator": func(s *policy.Set) []string { return principals(s, roster.Person) },
}

func names[T any](all []T, name func(T) string) []string {
	out := make([]string, 0, len(all))
	for i := range all {
		out = append(out, name(all[i]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func principals(s *policy.Set, kind roster.Kind) []string {
	var out []string
	for _, p := range s.Roster.Principals() {
		if p.Kind == kind {
			out = append(out, p.ID)
		}
	}
	return out
}

// patience is how long a shell waits for the ledger's words before it shows none.
const patience = 2 * time.Second

// complete gives the flags of every command what a shell can complete them with. A
// command that knows better has said so already.
func (a *app) complete(c *cobra.Command) {
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, set := c.GetFlagCompletionFunc(f.Name); set || f.Value.Type() == "bool" {
			return
		}
		if list, ok := words[f.Name]; ok {
			_ = c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
		} else if pick, ok := ofPolicy[f.Name]; ok {
			_ = c.RegisterFlagCompletionFunc(f.Name, func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
				return a.knownToPolicy(c.Context(), pick), cobra.ShellCompDirectiveNoFileComp
			})
		} else if slices.Contains(folders, f.Name) {
			_ = c.MarkFlagDirname(f.Name)
		}
	})
	for _, sub := range c.Commands() {
		a.complete(sub)
	}
}

// knownToPolicy asks the ledger at --server for the words of its policy. They are a help
// for typing, so they are believed; a ledger that does not answer leaves none.
func (a *app) knownToPolicy(ctx context.Context, pick func(*policy.Set) []string) []string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := a.connect()
	if err != nil {
		return nil
	}
	set, err := a.policySet(ctx, l, "")
	if err != nil {
		return nil
	}
	return pick(set)
}
