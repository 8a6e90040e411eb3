// Package published tells cases that were reported in public as scenarios: real evidence,
// the verdict with and without the blueprint, and what a cohort report says afterwards.
// Names, dates and sizes are made up; what was reported is in each case's Published.
package published

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/cohort"
	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/policy/scenario"
)

//go:embed cases
var files embed.FS

// A Case is something that happened, retold.
type Case struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Published string `json:"published"` // what was reported
	Told      string `json:"told"`      // what is made up to tell it
	Had       string `json:"had"`       // what there was instead of the blueprint
	// Rules are what there was, as rules of a policy.yaml; empty: nobody asked a gate.
	Rules string `json:"-"`
}

const onePerson = `
  - id: reviewed
    title: A person other than the author approves every change
    require:
      approvals: [{count: 1}]
      timing: beforeRelease
`

// Cases lists them.
func Cases() []Case {
	return []Case{
		{Name: "outage", Title: "Six hours without a checkout",
			Published: "A retailer's site was down for six hours after an AI-assisted deployment that touched pricing, checkout and accounts at once.",
			Told:      "A junior author and a coding agent write one change across three domains; one person approves it.",
			Had:       "one person approves every change", Rules: onePerson},
		{Name: "four-in-a-week", Title: "Four Sev1 in one week",
			Published: "One organisation had four incidents of the highest severity in a single week.",
			Told:      "Four AI-assisted releases of one domain, two days apart, each reviewed by one person; each that goes out breaks it for an hour.",
			Had:       "one person approves every change", Rules: onePerson},
		{Name: "recreated", Title: "The environment that was deleted and made anew",
			Published: "A coding agent that worked with an operator's permission deleted an environment and created it again.",
			Told:      "The agent makes a plan that replaces a database and deletes a server. It may apply what it plans.",
			Had:       "the agent has an operator's permission, and asks nobody"},
		{Name: "unattended", Title: "Incidents that no person ended",
			Published: "Agents were given incidents to resolve, and resolved them without a human.",
			Told:      "One agent writes a fix, another approves it, and the first says that the incident is over.",
			Had:       "an approval by an agent is one, and no gate asks for a person"},
		{Name: "two-person", Title: "The rule that was not enforced",
			Published: "A rule demanded that two people approve changes, and nothing enforced it.",
			Told:      "The rule is there in audit mode. An AI-assisted change of checkout goes out with one approval.",
			Had:       "two people approve what reaches far, in audit mode", Rules: onePerson + `
  - id: two-people
    title: Two people approve what has a high blast radius
    when: change.tier >= tiers.high
    mode: audit
    require:
      approvals: [{count: 2}]
`},
	}
}

// A Told is a case in one world.
type Told struct {
	Gated   []scenario.Gated     `json:"gated"`
	Broke   []*incident.Incident `json:"-"`
	Report  *cohort.Report       `json:"report"`
	Bypass  []cohort.Bypass      `json:"bypasses"`
	Signals *cohort.Signals      `json:"signals"`
	Entries uint64               `json:"entries"`
}

// Run tells a case without the blueprint and with it. It needs git.
func (c *Case) Run(ctx context.Context) (without, with *Told, err error) {
	text, err := files.ReadFile("cases/" + c.Name + ".txt")
	if err != nil {
		return nil, nil, err
	}
	b := policy.Blueprint()
	_, rules, ok := strings.Cut(b.Policy, "\nrules:\n")
	if !ok {
		return nil, nil, fmt.Errorf("%w: the blueprint has no rules", policy.ErrInvalid)
	}
	story := scenario.Story{Text: string(text), Rules: c.Rules, Domains: b.Domains, Unasked: c.Rules == ""}
	if without, err = tell(ctx, story, scenario.Attack); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	story.Rules, story.Unasked = rules, false
	if with, err = tell(ctx, story, scenario.Harmless); err != nil {
		return nil, nil, fmt.Errorf("%s, under the blueprint: %w", c.Name, err)
	}
	return without, with, nil
}

// tell tells a case in one world: lines with "-" are of the world without the blueprint,
// those with "+" of the one with it.
func tell(ctx context.Context, s scenario.Story, world scenario.Twin) (*Told, error) {
	told, err := scenario.Tell(s, world)
	if err != nil {
		return nil, err
	}
	l, err := collect(ctx, told)
	if err != nil {
		return nil, err
	}
	return &Told{Gated: told.Gated, Broke: l.Incidents(), Entries: l.Size,
		Report: l.Report(cohort.Query{By: cohort.ByOrigin}), Bypass: l.Bypasses(cohort.Query{}).Bypasses, Signals: l.Signals(cohort.Query{})}, nil
}
