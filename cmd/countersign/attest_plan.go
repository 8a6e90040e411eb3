package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/planfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

type planning struct {
	signing
	deriving
	repository, environment, jsonFile, manifest, kubernetes, origin, plannedBy string
	agents                                                                     []string
}

func newAttestPlan(a *app) *cobra.Command {
	var f planning
	c := &cobra.Command{
		Use:   "plan FILE --environment NAME",
		Short: "Say what applying a plan does",
		Long: `Say what applying FILE does to an environment: verbs, addresses and kinds of resources,
and no value of any attribute. FILE is what will be applied, byte for byte.

A saved Terraform or OpenTofu plan is read by the tool itself, where it is installed;
that is "derived". What comes beside the file is "claimed", and a policy gives it the
highest tier: --json (terraform show -json), --kubernetes (the output of kubectl diff, or
of --dry-run=server), --manifest (operation.yaml, for everything else).

A service says what a plan does. Who made the plan says so too, under their own key:
that is how they are known as its author, and the only way to be believed "human".`,
		Example: `  terraform plan -out prod.tfplan
  countersign attest plan prod.tfplan --repository github.com/org/infra --environment production --origin human --key me.pem
  countersign attest plan prod.tfplan --json prod.json --no-derive --repository github.com/org/infra --environment production --key ci.pem
  kubectl diff -f app.yaml > app.diff
  countersign attest plan app.yaml --kubernetes app.diff --repository github.com/org/infra --environment production --key ci.pem
  countersign attest plan V7__drop.sql --manifest operation.yaml --repository github.com/org/app --environment production --key ci.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.attestPlan(c.Context(), args[0], f) },
	}
	f.signing.flags(c)
	f.deriving.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "id of the repository that was planned from, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&f.environment, "environment", "", "where it will be applied (needed)")
	fl.StringVar(&f.jsonFile, "json", "", "the plan as JSON; where a tool reads the file too, the two must agree")
	fl.StringVar(&f.manifest, "manifest", "", "operation.yaml that says what FILE does")
	fl.StringVar(&f.kubernetes, "kubernetes", "", "what kubectl says that applying FILE does")
	fl.StringVar(&f.origin, "origin", "", "of the plan: human, ai, mixed or unknown (default: ai for an agent's key, else unknown)")
	fl.StringVar(&f.plannedBy, "planned-by", "", "roster id or address of who made the plan; adds to its authors")
	fl.StringArrayVar(&f.agents, "agent", nil, "tool, or tool:model, that made the plan")
	c.MarkFlagsMutuallyExclusive("json", "manifest", "kubernetes")
	return c
}

func (a *app) attestPlan(ctx context.Context, path string, f planning) error {
	if f.environment == "" || f.repository == "" {
		return wrong("--environment and --repository are needed: where will it be applied, and what was planned from?")
	}
	facts, digest, derived, err := a.readPlan(ctx, path, f)
	if err != nil {
		return err
	}
	me, set, err := a.speaker(ctx, f.key, "")
	if err != nil {
		return err
	}
	o := &attest.Operation{
		Repository: f.repository, Environment: f.environment, Derived: derived, PlannedBy: f.plannedBy,
		Origin: originOf(f.origin, me), DeclaredBy: me.ID, DeclaredAt: attest.At(a.now()),
	}
	for _, t := range f.agents {
		tool, model, _ := strings.Cut(t, ":")
		o.Agents = append(o.Agents, attest.Agent{Tool: tool, Model: model})
	}
	facts.State(o, set.Domains.Kinds())
	st := &attest.Statement{Subjects: []attest.Subject{{Name: filepath.Base(path), Digest: map[string]string{"sha256": digest.String()}}}, Predicate: o}
	if !a.json() && !f.print {
		a.printf("%s  sha256:%.12s…, %s\n", a.bold(filepath.Base(path)), digest, map[attest.Derivation]string{
			attest.DerivedFromPlan: "read by " + facts.Tool.Name + " " + facts.Tool.Version, attest.Claimed: "claimed: no tool read it out of the file, so it has the highest tier"}[derived])
		a.showOperations(set, facts.Operations)
	}
	return a.logStatement(ctx, st, fmt.Sprintf("%s says what plan %.12s does to %s: %s", me.ID, digest, f.environment, countsOf(facts.Operations)), f.signing)
}

func originOf(said string, me *roster.Principal) attest.Origin {
	switch {
	case said != "":
		return attest.Origin(said)
	case me.Kind == roster.Agent:
		return attest.OriginAI
	}
	return attest.OriginUnknown
}

// readPlan reads what the file does: derived from it where it can be, or as is claimed.
func (a *app) readPlan(ctx context.Context, path string, f planning) (*planfacts.Facts, attest.Digest, attest.Derivation, error) {
	var none attest.Digest
	facts, digest, err := a.derive(ctx, path, f.deriving)
	if err != nil {
		return nil, none, "", err
	}
	claimed, err := f.readClaim()
	if err != nil {
		return nil, none, "", err
	}
	switch {
	case facts != nil && claimed != nil && attest.OperationsDigest(claimed.Operations) != attest.OperationsDigest(facts.Operations):
		return nil, none, "", wrong("BAD_FACTS: what is claimed is not what %s does:\nclaimed   %s\nit does   %s", path, countsOf(claimed.Operations), countsOf(facts.Operations))
	case facts != nil:
		return facts, digest, attest.DerivedFromPlan, nil
	case claimed == nil:
		return nil, none, "", wrong("what does %s do? Neither terraform nor tofu reads it here; say so with --json, --kubernetes or --manifest", path)
	}
	d, err := digestFile(path)
	if err != nil {
		return nil, none, "", wrong("%v", err)
	}
	return claimed, *d, attest.Claimed, nil
}

// readClaim reads the description beside the file; nil when none was given.
func (f *planning) readClaim() (*planfacts.Facts, error) {
	if f.manifest != "" {
		text, err := readFile(f.manifest, strictyaml.MaxFile)
		if err != nil {
			return nil, err
		}
		return planfacts.ReadManifest(f.manifest, text)
	}
	name := f.jsonFile + f.kubernetes // one of them at most
	if name == "" {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, wrong("%v", err)
	}
	defer file.Close()
	if f.kubernetes != "" {
		return planfacts.ReadKubernetes(file)
	}
	source := attest.TerraformPlan
	if strings.Contains(filepath.Base(f.tool), "tofu") {
		source = attest.OpenTofuPlan
	}
	return planfacts.ReadPlan(file, source)
}
