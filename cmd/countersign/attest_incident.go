package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/cohort/intake"
)

// incidentFlags are those of attest incident.
type incidentFlags struct {
	signing
	file, pagerduty, opsgenie string
	severity, supersedes      string
	domains, causes           []string
	second                    string
	yes                       bool
}

func newAttestIncident(a *app) *cobra.Command {
	var f incidentFlags
	c := &cobra.Command{
		Use:   "incident --file FILE | --pagerduty FILE | --opsgenie FILE | --second INDEX",
		Short: "Say that something broke, and what is thought to have caused it",
		Long: `Log an incident: from a file written by hand (YAML, or JSON where its name ends so) with
the fields of incident/v1 (id, severity, startedAt and detectedAt are needed; title, domains,
causes and resolvedAt may follow), or from what a webhook of PagerDuty (V3) or Opsgenie sent. The
flags add to it: a severity that the webhook does not know, domains, causes.

A later statement names with --supersedes the payload digest of the one that it takes the
place of. One that makes less of the incident (a lower severity, a domain or cause that is
gone, less confidence, a shorter time) counts only once a second person has signed the
same statement: --second INDEX signs what the entry says, after showing it. With
"--supersedes latest" a webhook takes the place of what is in force, and keeps the domains,
causes and the worse severity that people have added since.`,
		Example: `  countersign attest incident --file incident.yaml --key alice.pem
  countersign attest incident --pagerduty webhook.json --domain checkout --key pager.pem
  countersign attest incident --file incident.yaml --severity sev3 --supersedes DIGEST --key alice.pem
  countersign attest incident --second 57 --key bob.pem`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.attestIncident(c.Context(), &f) },
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.file, "file", "", "incident in YAML or JSON")
	fl.StringVar(&f.pagerduty, "pagerduty", "", "V3 webhook of PagerDuty")
	fl.StringVar(&f.opsgenie, "opsgenie", "", "webhook of Opsgenie")
	fl.StringVar(&f.second, "second", "", "index of an entry whose statement a second person signs")
	fl.StringVar(&f.severity, "severity", "", "sev1, sev2, sev3 or sev4, instead of what the file says")
	fl.StringArrayVar(&f.domains, "domain", nil, "domain that was hit, besides those of the file (can be repeated)")
	fl.StringArrayVar(&f.causes, "cause", nil, "deployment:DIGEST=CONFIDENCE or release:DIGEST=CONFIDENCE, besides those of the file; confirmed, likely or possible (can be repeated)")
	fl.StringVar(&f.supersedes, "supersedes", "", "payload digest of the statement that this one takes the place of, or \"latest\": of the one in force, if there is one")
	fl.BoolVar(&f.yes, "yes", false, "with --second: sign without asking")
	c.MarkFlagsMutuallyExclusive("file", "pagerduty", "opsgenie", "second")
	c.MarkFlagsOneRequired("file", "pagerduty", "opsgenie", "second")
	for _, name := range []string{"file", "pagerduty", "opsgenie"} {
		_ = c.MarkFlagFilename(name)
	}
	_ = c.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions([]string{"sev1", "sev2", "sev3", "sev4"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) attestIncident(ctx context.Context, f *incidentFlags) error {
	if f.second != "" {
		return a.secondIncident(ctx, f)
	}
	i, err := readIncident(f)
	if err != nil {
		return err
	}
	if i.ReportedAt.IsZero() {
		i.ReportedAt = attest.At(a.now())
	}
	if i.Supersedes == latest {
		now, err := a.latestIncident(ctx, i.ID)
		if err != nil {
			return err
		}
		if i.Supersedes = ""; now != nil {
			i.Supersedes = now.Digest
			if f.file == "" {
				carryOver(i, now, f.severity == "")
			}
		}
	}
	return a.logStatement(ctx, i.Statement(), fmt.Sprintf("incident %s, %s", printable(i.ID, 80), i.Severity), f.signing)
}

// readIncident reads the one file that is given, and adds what the flags say.
func readIncident(f *incidentFlags) (*attest.Incident, error) {
	path := f.file + f.pagerduty + f.opsgenie
	text, err := readFile(path, intake.MaxFile)
	if err != nil {
		return nil, err
	}
	var i *attest.Incident
	switch {
	case f.pagerduty != "":
		i, err = intake.PagerDuty(text)
	case f.opsgenie != "":
		i, err = intake.Opsgenie(text)
	case filepath.Ext(path) == ".json":
		i, err = intake.JSON(text)
	default:
		i, err = intake.YAML(path, text)
	}
	if errors.Is(err, intake.ErrNoSeverity) && f.severity == "" {
		return nil, wrong("%s: %v; say which one with --severity", path, err)
	}
	if err != nil && !errors.Is(err, intake.ErrNoSeverity) {
		return nil, wrong("%s: %v", path, err)
	}
	if f.severity != "" {
		i.Severity = attest.Severity(f.severity)
	}
	if f.supersedes != "" {
		i.Supersedes = f.supersedes
	}
	i.Domains = append(i.Domains, f.domains...)
	slices.Sort(i.Domains)
	i.Domains = slices.Compact(i.Domains)
	for _, s := range f.causes {
		c, err := parseCause(s)
		if err != nil {
			return nil, err
		}
		i.Causes = append(i.Causes, c)
	}
	slices.SortFunc(i.Causes, attest.CompareCauses)
	return i, nil
}

func parseCause(s string) (attest.Cause, error) {
	what, confidence, ok := strings.Cut(s, "=")
	kind, digest, ok2 := strings.Cut(what, ":")
	if !ok || !ok2 {
		return attest.Cause{}, wrong("--cause %.120q: is not KIND:DIGEST=CONFIDENCE, such as deployment:9f86…=likely", s)
	}
	return attest.Cause{Kind: attest.CauseKind(kind), Digest: digest, Confidence: attest.Confidence(confidence)}, nil
}
