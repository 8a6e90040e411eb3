package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

func newAttestDeployment(a *app) *cobra.Command {
	var f signing
	var environment, target, actor, decision, at string
	var exposed []string
	c := &cobra.Command{
		Use:   "deployment ARTIFACT --environment NAME --actor ID",
		Short: "Say that an artifact was deployed",
		Long: `Say that an artifact (a file, or sha256:DIGEST) went live, by whom, and under which
decision. This should come from what deploys, or from what sees it run, and not from the
CI that built the release: "countersign cohort bypasses" calls an environment covered only
where somebody else than CI says what runs there.`,
		Example: `  countersign attest deployment app.tar --environment production --actor deployer --decision DIGEST --key gate.pem
  countersign attest deployment sha256:9f86… --environment production --actor deployer \
    --exposed-to "10% of customers" --key gate.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			sub, err := artifactSubject(args[0])
			if err != nil {
				return err
			}
			slices.Sort(exposed)
			d := &attest.Deployment{Environment: environment, Target: target, Actor: actor, Decision: decision,
				DeployedAt: attest.At(a.now()), ExposedTo: slices.Compact(exposed)}
			if at != "" {
				if err := d.DeployedAt.UnmarshalText([]byte(at)); err != nil {
					return wrong("--at: %v", err)
				}
			}
			st := &attest.Statement{Subjects: []attest.Subject{sub}, Predicate: d}
			return a.logStatement(c.Context(), st, "deployment to "+environment, f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringVar(&environment, "environment", "", "where to (needed)")
	fl.StringVar(&target, "target", "", "cluster, region or host")
	fl.StringVar(&actor, "actor", "", "roster id of who deployed (needed)")
	fl.StringVar(&decision, "decision", "", "payload digest of the decision that allowed it")
	fl.StringArrayVar(&exposed, "exposed-to", nil, "who or what met it, such as \"10% of customers\" (can be repeated)")
	fl.StringVar(&at, "at", "", "when, RFC 3339 in UTC (default: now)")
	return c
}

// artifactSubject is a file, or a digest that stands for one.
func artifactSubject(arg string) (attest.Subject, error) {
	if hex, ok := strings.CutPrefix(arg, "sha256:"); ok {
		if _, err := attest.ParseDigest(hex); err != nil {
			return attest.Subject{}, wrong("%.80q: %v", arg, err)
		}
		return attest.Subject{Digest: map[string]string{"sha256": hex}}, nil
	}
	d, err := digestFile(arg)
	if err != nil {
		return attest.Subject{}, wrong("%v", err)
	}
	return attest.Subject{Name: filepath.Base(arg), Digest: map[string]string{"sha256": d.String()}}, nil
}
