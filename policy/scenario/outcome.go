package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// What happens to releases, in a story:
//
//	i: incident pager INC-7 sev1 domains=core    it broke an hour ago, and is over
//	j: incident bob INC-7 sev3 over=i            bob makes less of it
//	second carol j                               and carol signs the same
//	d: dive bob INC-7 of=i                       bob signs a review of what i says
//	second carol d                               and so does carol
//
// Options of incident: domains, over (the statement that it supersedes), open =yes (it lasts),
// for (how long it lasted, an hour when missing), by (who ended it), cause (an artifact), if
// (only where this artifact or plan went to production).
func (t *teller) outcome(s *step, now attest.Time) error {
	switch s.verb {
	case "second":
		st, ok := t.statements[s.arg(1)]
		if !ok {
			return fmt.Errorf("no statement %q", s.arg(1))
		}
		return t.write(s, st.st, Key(s.arg(0)))
	case "dive":
		of, err := t.payload(s.opts["of"])
		if err != nil {
			return err
		}
		return t.write(s, (&attest.DeepDive{Incident: s.arg(1), Of: of, Summary: "why", Actions: []string{"a test"}, ReviewedAt: now}).Statement(), Key(s.arg(0)))
	}
	if after := s.opt("if", ""); after != "" && !t.wentOn(after) {
		return nil
	}
	lasted, err := time.ParseDuration(s.opt("for", "1h"))
	if err != nil {
		return err
	}
	began := attest.At(now.Add(-lasted))
	i := &attest.Incident{ID: s.arg(1), Severity: attest.Severity(s.arg(2)), StartedAt: began, DetectedAt: began, Domains: listOf(s.opts["domains"]), ReportedAt: now}
	if !s.has("open") {
		i.ResolvedAt, i.ResolvedBy = &now, s.opts["by"]
	}
	if artifact := s.opt("cause", ""); artifact != "" {
		i.Causes = []attest.Cause{{Kind: attest.CauseRelease, Digest: attest.DigestOf([]byte(artifact)).String(), Confidence: attest.Confirmed}}
	}
	if over := s.opts["over"]; over != "" {
		if i.Supersedes, err = t.payload(over); err != nil {
			return err
		}
		was := t.statements[over].st.Predicate.(*attest.Incident)
		if i.StartedAt, i.DetectedAt = was.StartedAt, was.DetectedAt; i.ResolvedAt != nil && was.ResolvedAt != nil {
			i.ResolvedAt = was.ResolvedAt
		}
	}
	return t.write(s, i.Statement(), Key(s.arg(0)))
}

// payload is the digest of what a named statement says.
func (t *teller) payload(name string) (string, error) {
	said, ok := t.statements[name]
	if !ok {
		return "", fmt.Errorf("no statement %q", name)
	}
	b, err := said.st.Marshal()
	return attest.DigestOf(b).String(), err
}

// snapshot enacts "snapshot WHO COHORT,DAYS,FAILED,DEPLOYMENTS…": somebody's figures of
// cohorts in production, as of now. Options: ago (as of before), size (of the log that was read).
func (t *teller) snapshot(s *step, now attest.Time) error {
	ago, err := time.ParseDuration(s.opt("ago", "0s"))
	if err != nil {
		return err
	}
	size, err := strconv.ParseUint(s.opt("size", strconv.Itoa(len(t.log.entries))), 10, 64)
	if err != nil {
		return err
	}
	p := &attest.CohortSnapshot{Size: size, Root: t.log.tree.Edge().Root().String(), AsOf: attest.At(now.Add(-ago)), Rows: []attest.CohortFigures{}}
	for _, text := range s.args[1:] {
		row := attest.CohortFigures{Environment: "production"}
		if _, err := fmt.Sscanf(strings.ReplaceAll(text, ",", " "), "%s %d %d %d", &row.Cohort, &row.Days, &row.Failed, &row.Deployments); err != nil {
			return err
		}
		p.Rows = append(p.Rows, row)
	}
	slices.SortFunc(p.Rows, attest.CompareFigures)
	return t.write(s, p.Statement(), Key(s.arg(0)))
}
