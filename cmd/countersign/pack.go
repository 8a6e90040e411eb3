package main

import (
	"cmp"
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// maxPack bounds what is taken from a server, in bytes.
const maxPack = 256 << 20

func newPack(a *app) *cobra.Command {
	var environment, repository, out string
	var plan bool
	c := &cobra.Command{
		Use:   "pack SUBJECT --environment NAME --out FILE",
		Short: "Fetch the evidence of a decision as one file",
		Long: `Write an evidence pack: every attestation that speaks of the release, each proven in
one timestamped checkpoint, the policy from genesis on, and the negative entries.
Whoever holds the trust folder can decide from it again, without the ledger:

  countersign verify SUBJECT --environment NAME --trust DIR --pack FILE

A pack shows the log as it was when the pack was made, not that nothing came after.`,
		Example: `  countersign pack app.tar --repository github.com/org/repo --environment production --out app.pack`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.pack(c.Context(), args[0], plan, repository, environment, out)
		},
	}
	fl := c.Flags()
	fl.StringVar(&environment, "environment", "", "environment that the decision is for (needed)")
	fl.StringVar(&repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&out, "out", "", "file for the pack (needed)")
	fl.BoolVar(&plan, "plan", false, "SUBJECT is a plan (so is what is named *.tfplan)")
	return c
}

func (a *app) pack(ctx context.Context, arg string, plan bool, repository, environment, out string) error {
	if environment == "" || repository == "" || out == "" {
		return wrong("--environment, --repository and --out are needed")
	}
	req := policy.Request{Repository: repository, Environment: environment}
	if err := subjectOf(&req, arg, plan); err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	text, err := a.fetchPack(ctx, l, req, 0)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, text, 0o644); err != nil {
		return wrong("--out: %v", err)
	}
	if a.json() {
		return a.writeJSON(map[string]any{"pack": out, "bytes": len(text)})
	}
	a.printf("%s  evidence about %s for %s, %d KiB\n", out, describeSubject(cmp.Or(req.Artifact, req.Plan), req.Commit), environment, (len(text)+1023)/1024)
	return nil
}

// fetchPack reads a whole pack from the ledger. Nothing in it is checked here.
// size is that of the log as it is to be shown; zero for as it is.
func (a *app) fetchPack(ctx context.Context, l *ledger, req policy.Request, size uint64) ([]byte, error) {
	msg := &countersignv1.EvidenceRequest{Repository: req.Repository, Environment: req.Environment, TreeSize: size}
	switch {
	case req.Plan != nil:
		msg.Subject = &countersignv1.EvidenceRequest_PlanSha256{PlanSha256: req.Plan.String()}
	case req.Artifact != nil:
		msg.Subject = &countersignv1.EvidenceRequest_ArtifactSha256{ArtifactSha256: req.Artifact.String()}
	default:
		msg.Subject = &countersignv1.EvidenceRequest_Commit{Commit: string(req.Commit)}
	}
	return a.fetchEvidence(ctx, l, msg)
}
