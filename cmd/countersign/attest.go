package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

func newAttest(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "attest",
		Short: "Sign an attestation and put it into the ledger",
		Long: `Each kind of attestation has a command. All of them sign with --key, send the
signed bundle to the ledger, and print the index that it got.`,
	}
	c.AddCommand(newAttestRange(a), newAttestChange(a), newAttestAuthorship(a), newAttestRisk(a), newAttestPlan(a), newAttestPermissions(a),
		newAttestRelease(a), newAttestDeployment(a), newAttestIncident(a), newAttestDeepDive(a), newAttestRevocation(a), newAttestStatement(a))
	return c
}

func newAttestChange(a *app) *cobra.Command {
	var f signing
	var repo, repository, head, target, base, targetRef, openedBy string
	c := &cobra.Command{
		Use:   "change ID --head REV",
		Short: "Attest one head of a change, as a reviewer sees it",
		Example: `  countersign attest change 1145 --repo . --repository github.com/org/repo \
    --head refs/pull/1145/head --target main --key ci.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			r, err := gitfacts.Open(ctx, repo)
			if err != nil {
				return wrong("--repo: %v", err)
			}
			defer r.Close()
			h, err := r.Resolve(ctx, head)
			if err != nil {
				return wrong("--head: %v", err)
			}
			var b gitfacts.ID
			if base != "" {
				b, err = r.Resolve(ctx, base)
			} else if b, err = r.Resolve(ctx, target); err == nil {
				b, err = r.MergeBase(ctx, b, h)
			}
			if err != nil {
				return wrong("--target: %v", err)
			}
			about := attest.Change{Repository: repository, Change: attest.ChangeRef{ID: args[0]}, TargetRef: targetRef, OpenedBy: openedBy}
			st, _, err := r.ChangeStatement(ctx, about, b, h)
			if err != nil {
				return err
			}
			return a.logStatement(ctx, st, fmt.Sprintf("change %s at %.12s", args[0], h), f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringVar(&repo, "repo", ".", "git repository to read")
	fl.StringVar(&repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "its id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&head, "head", "HEAD", "the reviewed head")
	fl.StringVar(&target, "target", "origin/HEAD", "revision of the branch that it goes to")
	fl.StringVar(&base, "base", "", "merge base (default: found from --target)")
	fl.StringVar(&targetRef, "target-ref", "refs/heads/main", "branch that it goes to")
	fl.StringVar(&openedBy, "opened-by", "", "who opened the change: roster id or e-mail; adds to the authors")
	return c
}

// digestFile is the SHA-256 of a file.
