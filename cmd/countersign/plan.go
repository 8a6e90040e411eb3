package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/planfacts"
	"github.com/countersign-dev/countersign/policy"
)

// deriving are the flags of commands that let a tool read a plan file.
type deriving struct {
	tool, dir string
	not       bool
}

func (f *deriving) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.tool, "tool", "", "terraform or tofu, or a path to one, that reads the plan file (default: whichever is installed)")
	c.Flags().StringVar(&f.dir, "dir", "", "folder of the initialised configuration (default: the plan file's)")
	c.Flags().BoolVar(&f.not, "no-derive", false, "do not let a tool read the plan file")
}

// derive lets the tool read a plan file. Where no tool was asked for by name there are
// no facts and no error when none is installed, or the file does not look like a plan.
func (a *app) derive(ctx context.Context, path string, f deriving) (*planfacts.Facts, attest.Digest, error) {
	if f.not || f.tool == "" && !planfacts.IsPlanFile(path) {
		return nil, attest.Digest{}, nil
	}
	dir := f.dir
	if dir == "" {
		dir = filepath.Dir(path)
	}
	tool, err := planfacts.FindTool(f.tool, dir)
	if errors.Is(err, planfacts.ErrNoTool) && f.tool == "" {
		return nil, attest.Digest{}, nil
	}
	if err != nil {
		return nil, attest.Digest{}, wrong("--tool: %v", err)
	}
	facts, digest, err := tool.Derive(ctx, path)
	if err != nil {
		return nil, digest, broken("%s cannot read the plan: %v\nIs %s the initialised configuration that it was made in (--dir), and did this tool make it (--tool)? With --no-derive none is asked", filepath.Base(tool.Path), err, dir)
	}
	return facts, digest, nil
}

// isPlan says whether a command line means a plan: by flag, or by the name that
// whoever wrote the command gave. What is in the file plays no part, so nobody can
// make a gate for releases take something for a plan.
func isPlan(arg string, flag bool) bool { return flag || strings.HasSuffix(arg, ".tfplan") }

// planSubject reads a plan's digest from a file, or from sha256:DIGEST.
func planSubject(arg string) (*attest.Digest, error) {
	d, commit, err := parseSubject(arg)
	if err == nil && commit != "" {
		err = wrong("%q is a commit; a plan is a file, or sha256:DIGEST", arg)
	}
	return d, err
}

// subjectOf reads what a command line asks about.
func subjectOf(req *policy.Request, arg string, plan bool) (err error) {
	if isPlan(arg, plan) {
		req.Plan, err = planSubject(arg)
		return err
	}
	req.Artifact, req.Commit, err = parseSubject(arg)
	return err
}

// recomputePlan reads the plan file again and holds what it does against what was
// judged.
func (a *app) recomputePlan(ctx context.Context, arg string, core *policy.Core, f deriving) error {
	if _, err := os.Stat(arg); err != nil || len(core.Changes) == 0 || core.Changes[0].Plan == nil {
		return nil // a digest was asked about, or nothing was judged
	}
	facts, digest, err := a.derive(ctx, arg, f)
	if err != nil {
		return err
	}
	if facts == nil {
		if !a.json() {
			a.printf("%s\n", a.faint("what the plan does was not read here: no tool was asked"))
		}
		return nil
	}
	judged := core.Changes[0].Plan
	switch {
	case digest.String() != core.Plan:
		return refused("SUBJECT_MISMATCH: %s changed while it was looked at", arg)
	case attest.OperationsDigest(facts.Operations).String() != judged.Operations:
		return refused("BAD_FACTS: %s does something else than was judged:\nhere      %s\njudged    %s", arg, countsOf(facts.Operations), counted(judged.Counts))
	}
	if !a.json() {
		a.printf("read here from %s with %s %s: it does what was judged, %s\n", arg, facts.Tool.Name, facts.Tool.Version, countsOf(facts.Operations))
	}
	return nil
}

func countsOf(all []attest.ResourceOperation) string {
	return counted(countMap(all))
}

// counted says how many of each verb, the most harmful first.
func counted(counts map[attest.Verb]int) string {
	var parts []string
	for _, verb := range attest.Verbs() {
		if n := counts[verb]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, verb))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// showOperations shows what a plan does, what cannot be undone first.
func (a *app) showOperations(set *policy.Set, all []attest.ResourceOperation) {
	class := set.Domains.ClassifyOperations(all)
	a.printf("  does     %s\n", counted(countMap(all)))
	a.printf("  reaches  %s  %s\n", set.Tiers[class.Tier], a.faint(strings.Join(class.Domains, ", ")))
	const few = 20
	shown := 0
	for _, harmful := range []bool{true, false} {
		for _, op := range all {
			op = set.Domains.Kinds().Judge(op)
			if op.Reversible == harmful {
				continue
			}
			if shown++; shown > few {
				continue
			}
			line := fmt.Sprintf("%s %s", op.Verb, op.Address)
			if harmful {
				line = a.red(line + "  (cannot be undone)")
			}
			a.printf("           %s\n", line)
		}
	}
	if shown > few {
		a.printf("           … and %d more\n", shown-few)
	}
}

func countMap(all []attest.ResourceOperation) map[attest.Verb]int {
	counts := make(map[attest.Verb]int)
	for _, op := range all {
		counts[op.Verb]++
	}
	return counts
}

// union adds operations that are not there yet.
func union(all, more []attest.ResourceOperation) []attest.ResourceOperation {
	bare := func(op attest.ResourceOperation) attest.ResourceOperation {
		op.Reversible, op.Stateful = false, false
		return op
	}
	known := make(map[attest.ResourceOperation]bool, len(all))
	for _, op := range all {
		known[bare(op)] = true
	}
	for _, op := range more {
		if !known[bare(op)] {
			known[bare(op)] = true
			all = append(all, op)
		}
	}
	slices.SortFunc(all, func(x, y attest.ResourceOperation) int { return strings.Compare(x.Address, y.Address) })
	return all
}
