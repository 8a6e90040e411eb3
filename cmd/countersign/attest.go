package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

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
	c.AddCommand(newAttestRange(a), newAttestChange(a), newAttestAuthorship(a), newAttestRisk(a),
		newAttestRelease(a), newAttestDeployment(a), newAttestRevocation(a), newAttestStatement(a))
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
			st, _, err := changeStatement(ctx, r, repository, args[0], targetRef, openedBy, b, h)
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

// changeStatement reads base..head and states it.
func changeStatement(ctx context.Context, r *gitfacts.Repo, repository, id, targetRef, openedBy string, base, head gitfacts.ID) (*attest.Statement, *gitfacts.Facts, error) {
	blob, facts, err := r.Change(ctx, base, head)
	if err != nil {
		return nil, nil, fmt.Errorf("read change %s: %w", id, err)
	}
	return &attest.Statement{
		Subjects: []attest.Subject{{Name: repository, Digest: map[string]string{"gitCommit": string(head), "gitTree": string(facts.HeadTree)}}},
		Predicate: &attest.Change{
			Repository: repository, Change: attest.ChangeRef{ID: id}, TargetRef: targetRef,
			Base: string(base), Head: string(head), Objects: blob, Paths: facts.PathNames(), OpenedBy: openedBy,
		},
	}, facts, nil
}

func newAttestAuthorship(a *app) *cobra.Command {
	var f signing
	var repository, head, origin, operator string
	var agents []string
	c := &cobra.Command{
		Use:   "authorship ID… --origin human|ai|mixed",
		Short: "Say, as its author, who or what wrote a change",
		Long: `Say who or what wrote the newest attested head of each change. Your own signature
authenticates you as an author. Only the author's own word "human" is believed;
"ai" is believed of anybody.`,
		Example: `  countersign attest authorship 1145 1141 --repository github.com/org/repo --origin ai --agent claude:opus-4.6 --key me.pem`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.authorship(c.Context(), args, repository, head, attest.Origin(origin), operator, agents, f)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	c.Flags().StringVar(&head, "head", "", "another head than the newest")
	c.Flags().StringVar(&origin, "origin", "", "human, ai, mixed or unknown (needed)")
	c.Flags().StringArrayVar(&agents, "agent", nil, "tool, or tool:model, that wrote code")
	c.Flags().StringVar(&operator, "operator", "", "roster id of who ran the agent")
	return c
}

func (a *app) authorship(ctx context.Context, idsOf []string, repository, head string, origin attest.Origin, operator string, tools []string, f signing) error {
	l, err := a.connect()
	if err != nil {
		return err
	}
	key, err := a.key(f.key)
	if err != nil {
		return err
	}
	set, err := a.policySet(ctx, l, nil)
	if err != nil {
		return err
	}
	me, err := signer(set.Roster, key, f.key)
	if err != nil {
		return err
	}
	var agents []attest.Agent
	for _, t := range tools {
		tool, model, _ := strings.Cut(t, ":")
		agents = append(agents, attest.Agent{Tool: tool, Model: model})
	}
	for _, id := range idsOf {
		ch, err := a.findChange(ctx, l, repository, id, head)
		if err != nil {
			return err
		}
		st := &attest.Statement{
			Subjects: []attest.Subject{{Name: repository, Digest: map[string]string{"gitCommit": ch.change.Head, "gitTree": ch.tree}}},
			Predicate: &attest.Authorship{
				Repository: repository, Change: ch.change.Change, Origin: origin, Agents: agents,
				HumanOperator: operator, DeclaredBy: me.ID, DeclaredAt: attest.At(a.now()),
			},
		}
		if err := a.logStatement(ctx, st, fmt.Sprintf("authorship of %s by %s: %s", id, me.ID, origin), f); err != nil {
			return err
		}
	}
	return nil
}

func newAttestRisk(a *app) *cobra.Command {
	var f signing
	var repository, tier, classifier, reason string
	c := &cobra.Command{
		Use:   "risk ID --tier TIER",
		Short: "Raise the tier of a change",
		Long: `Say that a change reaches further than its paths show. A verifier computes a tier
itself; what is attested can raise it, never lower it.`,
		Example: `  countersign attest risk 1145 --repository github.com/org/repo --tier critical --reason "touches the restore path" --key me.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.connect()
			if err != nil {
				return err
			}
			ch, err := a.findChange(c.Context(), l, repository, args[0], "")
			if err != nil {
				return err
			}
			st := &attest.Statement{
				Subjects: []attest.Subject{{Name: repository, Digest: map[string]string{"gitCommit": ch.change.Head, "gitTree": ch.tree}}},
				Predicate: &attest.Risk{Repository: repository, Change: ch.change.Change, Tier: tier,
					Rules:      []attest.RiskRule{{Reason: reason}},
					Classifier: attest.Classifier{ID: classifier}, AssessedAt: attest.At(a.now())},
			}
			return a.logStatement(c.Context(), st, fmt.Sprintf("risk of %s: %s", args[0], tier), f)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	c.Flags().StringVar(&tier, "tier", "", "tier of the policy (needed)")
	c.Flags().StringVar(&reason, "reason", "", "why")
	c.Flags().StringVar(&classifier, "classifier", "person", "what assessed it")
	return c
}

func newAttestRelease(a *app) *cobra.Command {
	var f signing
	var repo, repository, name, to, from string
	c := &cobra.Command{
		Use:   "release ARTIFACT… --to REV",
		Short: "Say which commit artifacts were built from",
		Example: `  countersign attest release litestream-0.5.9.tar --repo . --repository github.com/org/repo \
    --name v0.5.9 --from v0.5.8 --to v0.5.9 --key builder.pem`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			r, err := gitfacts.Open(ctx, repo)
			if err != nil {
				return wrong("--repo: %v", err)
			}
			defer r.Close()
			rel := &attest.Release{Repository: repository, Name: name, ReleasedAt: attest.At(a.now())}
			id, err := r.Resolve(ctx, to)
			if err != nil {
				return wrong("--to: %v", err)
			}
			rel.To = string(id)
			if from != "" {
				if id, err = r.Resolve(ctx, from); err != nil {
					return wrong("--from: %v", err)
				}
				rel.From = string(id)
			}
			if rel.Name == "" {
				rel.Name = to
			}
			st := &attest.Statement{Predicate: rel}
			for _, path := range args {
				d, err := digestFile(path)
				if err != nil {
					return wrong("%v", err)
				}
				st.Subjects = append(st.Subjects, attest.Subject{Name: filepath.Base(path), Digest: map[string]string{"sha256": d.String()}})
			}
			return a.logStatement(ctx, st, fmt.Sprintf("release %s of %.12s", rel.Name, rel.To), f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringVar(&repo, "repo", ".", "git repository to read")
	fl.StringVar(&repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "its id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&name, "name", "", "name of the release (default: --to)")
	fl.StringVar(&to, "to", "", "commit or tag that was built (needed)")
	fl.StringVar(&from, "from", "", "where the release begins; a hint, the verifier finds it itself")
	return c
}

func newAttestDeployment(a *app) *cobra.Command {
	var f signing
	var environment, target, actor, decision string
	c := &cobra.Command{
		Use:     "deployment ARTIFACT --environment NAME",
		Short:   "Say that an artifact was deployed",
		Example: `  countersign attest deployment app.tar --environment production --actor deployer --decision DIGEST --key gate.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := digestFile(args[0])
			if err != nil {
				return wrong("%v", err)
			}
			st := &attest.Statement{
				Subjects: []attest.Subject{{Name: filepath.Base(args[0]), Digest: map[string]string{"sha256": d.String()}}},
				Predicate: &attest.Deployment{Environment: environment, Target: target, Actor: actor,
					DeployedAt: attest.At(a.now()), Decision: decision},
			}
			return a.logStatement(c.Context(), st, "deployment to "+environment, f)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&environment, "environment", "", "where to (needed)")
	c.Flags().StringVar(&target, "target", "", "cluster, region or host")
	c.Flags().StringVar(&actor, "actor", "", "roster id of who deployed (needed)")
	c.Flags().StringVar(&decision, "decision", "", "payload digest of the decision that allowed it")
	return c
}

func newAttestRevocation(a *app) *cobra.Command {
	var f signing
	var statements, keys, people []string
	var reason, by, comment string
	c := &cobra.Command{
		Use:   "revocation --reason REASON",
		Short: "Take back a statement, a key or a person's word",
		Example: `  countersign attest revocation --statement DIGEST --reason mistake --by alice --key alice.pem
  countersign attest revocation --revoke-key KEYID --reason compromise --by alice --key alice-2.pem`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rev := &attest.Revocation{Reason: reason, By: by, Comment: comment}
			st := &attest.Statement{Predicate: rev}
			add := func(kind attest.RevokedKind, digest, person string) {
				rev.Revokes = append(rev.Revokes, attest.Revoked{Kind: kind, Digest: digest, Person: person})
				if digest == "" {
					digest = attest.DigestOf([]byte("person:" + person)).String()
				}
				st.Subjects = append(st.Subjects, attest.Subject{Digest: map[string]string{"sha256": digest}})
			}
			for _, d := range statements {
				add(attest.RevokedStatement, d, "")
			}
			for _, d := range keys {
				add(attest.RevokedKey, d, "")
			}
			for _, p := range people {
				add(attest.RevokedPerson, "", p)
			}
			return a.logStatement(c.Context(), st, "revocation: "+reason, f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringArrayVar(&statements, "statement", nil, "payload digest of a statement")
	fl.StringArrayVar(&keys, "revoke-key", nil, "id of a key")
	fl.StringArrayVar(&people, "person", nil, "roster id of a person")
	fl.StringVar(&reason, "reason", "", "mistake, compromise, departed or superseded (needed)")
	fl.StringVar(&by, "by", "", "roster id of the signer (needed)")
	fl.StringVar(&comment, "comment", "", "what happened")
	return c
}

func newAttestStatement(a *app) *cobra.Command {
	var f signing
	c := &cobra.Command{
		Use:   "statement FILE",
		Short: "Sign an in-toto statement that another tool wrote",
		Long: `Sign the in-toto Statement v1 in FILE as it stands, byte for byte. SLSA provenance of
a builder comes into the ledger this way.`,
		Example: `  countersign attest statement provenance.json --key builder.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := readFile(args[0], attest.MaxPayload)
			if err != nil {
				return err
			}
			st, err := attest.ParseStatement(payload)
			if err != nil {
				return wrong("%s: %v", args[0], err)
			}
			key, err := a.key(f.key)
			if err != nil {
				return err
			}
			b, err := attest.SignPayload(payload, key)
			if err != nil {
				return err
			}
			return a.logBundle(c.Context(), b, shortType(st.Predicate.Type()), f)
		},
	}
	f.flags(c)
	return c
}

// digestFile is the SHA-256 of a file.
func digestFile(path string) (*attest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	d := attest.Digest(h.Sum(nil))
	return &d, nil
}
