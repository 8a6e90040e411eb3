package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

func newPolicyTest(a *app) *cobra.Command {
	var blueprint bool
	c := &cobra.Command{
		Use:   "test DIR [FILE…]",
		Short: "Try a policy set on releases that you imagine",
		Long: `Run trials: releases in a few lines of YAML, and what the policy set of DIR ought to say of
them. Everybody of people.yaml gets a key that is thrown away; commits, attestations, log and
proofs are made for real, and the decision is the one that a gate makes. Without files, all of
DIR/trials/*.yaml are run.

  trials:
    - name: a junior's AI-assisted change needs somebody senior
      environment: production            # when it is not said
      changes:                           # in the order of merging
        - author: carol                  # roster id, or a stranger's address
          paths: [src/a.go]
          origin: ai                     # what the author declares; or message with trailers
          approved: [bob]                # and rejected; late: after the merge
      incidents:                         # after the last merge; and open: true, lowered: [alice, bob]
        - {severity: sev1, domains: [checkout], reviewed: [alice, bob]}
      wait: 24h                          # before the release
      expect:
        verdict: deny
        kind: NOT_SENIOR
        failed: [senior-for-ai]          # these rules and no others
        who: [alice]                     # who could still approve

--blueprint runs those of the built-in policy.`,
		Example: `  countersign policy test policy
  countersign policy test next trials.yaml
  countersign policy test --blueprint`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) (err error) {
			defer func() {
				if cleaned := scenario.Clean(); err == nil {
					err = cleaned
				}
			}()
			if blueprint == (len(args) > 0) {
				return wrong("give the folder of a policy set, or --blueprint")
			}
			if blueprint {
				set, trials, err := scenario.BlueprintTrials()
				if err != nil {
					return err
				}
				return a.runTrials(set, trials)
			}
			set, err := policy.ReadFolder(args[0])
			if err != nil {
				return err
			}
			trials, err := readTrials(args[0], args[1:])
			if err != nil {
				return err
			}
			return a.runTrials(set, trials)
		},
	}
	c.Flags().BoolVar(&blueprint, "blueprint", false, "try the built-in policy, with people of its own")
	return c
}

// readTrials reads files of trials, or those of a policy set's folder.
func readTrials(dir string, files []string) ([]scenario.Trial, error) {
	if len(files) == 0 {
		var err error
		if files, err = filepath.Glob(filepath.Join(dir, "trials", "*.yaml")); err != nil {
			return nil, wrong("%v", err)
		}
	}
	if len(files) == 0 {
		return nil, wrong("%s has no trials/*.yaml; name a file", dir)
	}
	var all []scenario.Trial
	for _, f := range files {
		text, err := readFile(f, strictyaml.MaxFile)
		if err != nil {
			return nil, err
		}
		trials, err := scenario.ParseTrials(f, text)
		if err != nil {
			return nil, wrong("%v", err)
		}
		all = append(all, trials...)
	}
	return all, nil
}

// runTrials says of each whether the decision is what was expected.
func (a *app) runTrials(set *policy.Set, trials []scenario.Trial) error {
	failed := 0
	report := []map[string]any{}
	for i := range trials {
		tr := &trials[i]
		d, err := tr.Run(set)
		if err != nil {
			return wrong("%s: %v", tr.Name, err)
		}
		misses := tr.Want.Misses(d)
		if len(misses) > 0 {
			failed++
		}
		if a.json() {
			report = append(report, map[string]any{"name": tr.Name, "environment": tr.Environment, "verdict": d.Core.Verdict, "kind": d.Core.Kind, "why": d.Core.Why, "misses": append([]string{}, misses...)})
			continue
		}
		if len(misses) == 0 {
			a.printf("%s    %s\n", a.green("ok"), tr)
			continue
		}
		a.printf("%s  %s\n", a.red("FAIL"), tr)
		for _, m := range misses {
			a.printf("      %s\n", m)
		}
	}
	if a.json() {
		if err := a.writeJSON(map[string]any{"trials": report, "failed": failed}); err != nil {
			return err
		}
	} else {
		a.printf("%s, %d not as expected, under %s version %d\n", plural(len(trials), "trial"), failed, set.Name, set.Version)
	}
	if failed > 0 {
		return silent(exitNo)
	}
	return nil
}
