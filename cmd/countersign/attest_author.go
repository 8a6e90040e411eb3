package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

func newAttestAuthorship(a *app) *cobra.Command {
	var f signing
	var repository, head, origin, operator, session string
	var tools []string
	c := &cobra.Command{
		Use:   "authorship ID… --origin human|ai|mixed",
		Short: "Say, as its author, who or what wrote a change",
		Long: `Say who or what wrote the newest attested head of each change. Your own signature
authenticates you as an author. Only the author's own word "human" is believed;
"ai" is believed of anybody.`,
		Example: `  countersign attest authorship 1145 1141 --repository github.com/org/repo --origin ai --agent claude:opus-4.6 --key me.pem`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			agents, err := agentsNamed(tools, session)
			if err != nil {
				return err
			}
			return a.authorship(c.Context(), args, repository, head, attest.Origin(origin), operator, agents, f)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	c.Flags().StringVar(&head, "head", "", "another head than the newest")
	c.Flags().StringVar(&origin, "origin", "", "human, ai, mixed or unknown (needed)")
	c.Flags().StringArrayVar(&tools, "agent", nil, "tool, or tool:model, that wrote code")
	c.Flags().StringVar(&operator, "operator", "", "roster id of who ran the agent")
	c.Flags().StringVar(&session, "session", "", "id of the agent's session, so that what was made in it can be taken back")
	return c
}

func (a *app) authorship(ctx context.Context, idsOf []string, repository, head string, origin attest.Origin, operator string, agents []attest.Agent, f signing) error {
	me, _, err := a.speaker(ctx, f.key, "")
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
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

// agentsNamed reads tool or tool:model; a session is that of the one agent.
func agentsNamed(tools []string, session string) ([]attest.Agent, error) {
	if session != "" && len(tools) != 1 {
		return nil, wrong("--session is of one --agent: which?")
	}
	var agents []attest.Agent
	for _, t := range tools {
		tool, model, _ := strings.Cut(t, ":")
		agents = append(agents, attest.Agent{Tool: tool, Model: model, SessionID: session})
	}
	return agents, nil
}
