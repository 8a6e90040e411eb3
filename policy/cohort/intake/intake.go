// Package intake reads incidents as people and paging services write them down: YAML or
// JSON by hand, and what the webhooks of PagerDuty and Opsgenie send. Whoever signs the
// incident answers for it; no webhook's own signature is looked at here.
package intake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// MaxFile is the size of what is read, in bytes.
const MaxFile = 1 << 20

// JSON reads an incident by the names of incident/v1, strictly: unknown, repeated or
// differently spelled names are refused. reportedAt may be missing; nothing else is
// filled in, and attest.Incident.Validate has the last word.
func JSON(text []byte) (*attest.Incident, error) {
	if err := checkSize(text); err != nil {
		return nil, err
	}
	var i attest.Incident
	if err := json.Unmarshal(text, &i, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read incident: %w", err)
	}
	return &i, nil
}

// YAML reads the same from YAML; errors name file, line and column.
func YAML(file string, text []byte) (*attest.Incident, error) {
	if err := checkSize(text); err != nil {
		return nil, err
	}
	root, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	i := &attest.Incident{}
	known := []string{"id", "title", "severity", "startedAt", "detectedAt", "resolvedAt", "domains", "causes", "resolvedBy", "source", "supersedes", "reportedAt"}
	return i, root.Fields(known, func(key string, v strictyaml.Node) error { return field(i, key, v) })
}

func field(i *attest.Incident, key string, v strictyaml.Node) (err error) {
	switch key {
	case "id":
		i.ID, err = v.Text()
	case "title":
		i.Title, err = v.Text()
	case "severity":
		i.Severity, err = word(v, "severity", attest.Severities())
	case "startedAt":
		i.StartedAt, err = moment(v)
	case "detectedAt":
		i.DetectedAt, err = moment(v)
	case "reportedAt":
		i.ReportedAt, err = moment(v)
	case "resolvedAt":
		i.ResolvedAt = new(attest.Time)
		*i.ResolvedAt, err = moment(v)
	case "domains":
		i.Domains, err = v.Texts()
		slices.Sort(i.Domains)
	case "resolvedBy":
		i.ResolvedBy, err = v.Text()
	case "supersedes":
		i.Supersedes, err = v.Text()
	case "source":
		i.Source = &attest.IncidentSource{}
		err = v.Fields([]string{"system", "ref"}, func(key string, v strictyaml.Node) (err error) {
			if key == "system" {
				i.Source.System, err = v.Text()
			} else {
				i.Source.Ref, err = v.Text()
			}
			return err
		})
	case "causes":
		err = v.Items(func(item strictyaml.Node) error {
			c, err := cause(item)
			i.Causes = append(i.Causes, c)
			return err
		})
		slices.SortFunc(i.Causes, attest.CompareCauses)
	}
	return err
}

func cause(v strictyaml.Node) (c attest.Cause, err error) {
	err = v.Fields([]string{"kind", "digest", "confidence", "because"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "kind":
			c.Kind, err = word(v, "kind", []attest.CauseKind{attest.CauseDeployment, attest.CauseRelease})
		case "digest":
			c.Digest, err = v.Text()
		case "confidence":
			c.Confidence, err = word(v, "confidence", attest.Confidences())
		case "because":
			c.Because, err = v.Text()
		}
		return err
	})
	return c, err
}

func word[T ~string](v strictyaml.Node, what string, allowed []T) (T, error) {
	words := make([]string, len(allowed))
	for i, w := range allowed {
		words[i] = string(w)
	}
	s, err := v.OneOf(what, words)
	return T(s), err
}

func moment(v strictyaml.Node) (attest.Time, error) {
	t, err := v.Time()
	return attest.At(t), err
}

func checkSize(text []byte) error {
	if len(text) > MaxFile {
		return fmt.Errorf("has %d bytes; the limit is %d", len(text), MaxFile)
	}
	return nil
}

// ErrNoSeverity says that a webhook gives no priority that stands for a severity: then
// somebody has to say it.
var ErrNoSeverity = errors.New("names no priority from P1 to P5 or SEV1 to SEV4")

// severityOf reads a priority. P5 is the least severity that there is.
func severityOf(priority string) attest.Severity {
	switch strings.ToUpper(priority) {
	case "P1", "SEV1", "SEV-1":
		return attest.Sev1
	case "P2", "SEV2", "SEV-2":
		return attest.Sev2
	case "P3", "SEV3", "SEV-3":
		return attest.Sev3
	case "P4", "P5", "SEV4", "SEV-4":
		return attest.Sev4
	}
	return ""
}

// decode reads the fields of a webhook that are used; names twice are refused, others
// that are not used are skipped.
func decode(what string, text []byte, into any) error {
	if err := checkSize(text); err != nil {
		return fmt.Errorf("read %s webhook: %w", what, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %s webhook: %w", what, err)
	}
	return nil
}

// title cuts what others wrote to what a statement may hold.
func title(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
	for len(s) > 1000 {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "")
}

func at(t time.Time) *attest.Time {
	a := attest.At(t)
	return &a
}
