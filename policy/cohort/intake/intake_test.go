package intake_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/cohort/intake"
)

const byHand = `id: INC-7
title: Checkout is down
severity: sev1
startedAt: 2026-03-02T10:00:00Z
detectedAt: 2026-03-02T10:04:00Z
resolvedAt: 2026-03-02T16:00:00Z
domains: [pricing, checkout]
causes:
  - {kind: release, digest: "DIGEST", confidence: likely, because: it began with it}
resolvedBy: alice
reportedAt: 2026-03-02T17:00:00Z
`

const byHandJSON = `{"id":"INC-7","title":"Checkout is down","severity":"sev1","startedAt":"2026-03-02T10:00:00Z","detectedAt":"2026-03-02T10:04:00Z",
"resolvedAt":"2026-03-02T16:00:00Z","domains":["checkout","pricing"],"causes":[{"kind":"release","digest":"DIGEST","confidence":"likely","because":"it began with it"}],
"resolvedBy":"alice","reportedAt":"2026-03-02T17:00:00Z"}`

const paged = `{"event":{"id":"01","event_type":"incident.resolved","resource_type":"incident","occurred_at":"2026-03-02T16:00:00.000Z","agent":{"id":"U"},"client":null,
"data":{"id":"PGR0VU2","type":"incident","html_url":"https://acme.pagerduty.example/incidents/PGR0VU2","number":2,"status":"resolved","created_at":"2026-03-02T10:00:00Z",
"title":"A bump","service":{"id":"S","summary":"API"},"priority":{"id":"P","summary":"P1","type":"priority_reference"},"urgency":"high"}}}`

const alerted = `{"action":"Close","alert":{"alertId":"052652ac","tinyId":"23","message":"A bump","priority":"P3","createdAt":1772445600000,"updatedAt":1772467200000000000,"tags":[]},
"source":{"name":"","type":"web"},"integrationId":"37c8f316","integrationName":"Webhook"}`

func digest(s string) string { return strings.ReplaceAll(s, "DIGEST", strings.Repeat("e", 64)) }

func TestBothSpellingsOfAnIncidentAreTheSame(t *testing.T) {
	y, err := intake.YAML("incident.yaml", []byte(digest(byHand)))
	if err != nil {
		t.Fatal(err)
	}
	j, err := intake.JSON([]byte(digest(byHandJSON)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(y, j); diff != "" {
		t.Error(diff)
	}
	if _, err := y.Statement().Marshal(); err != nil {
		t.Error(err)
	}
}

func TestWebhooksGiveIncidents(t *testing.T) {
	for name, c := range map[string]struct {
		read func([]byte) (*attest.Incident, error)
		text string
		id   string
		sev  attest.Severity
	}{
		"PagerDuty": {intake.PagerDuty, paged, "pagerduty:PGR0VU2", attest.Sev1},
		"Opsgenie":  {intake.Opsgenie, alerted, "opsgenie:052652ac", attest.Sev3},
	} {
		i, err := c.read([]byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if i.ID != c.id || i.Severity != c.sev || i.Title != "A bump" {
			t.Errorf("%s: %+v", name, i)
		}
		if i.ResolvedAt == nil || i.ResolvedAt.Sub(i.StartedAt.Time).Hours() != 6 {
			t.Errorf("%s: from %v to %v, want six hours", name, i.StartedAt, i.ResolvedAt)
		}
		i.ReportedAt = *i.ResolvedAt
		if _, err := i.Statement().Marshal(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoIncidentIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		read     func([]byte) (*attest.Incident, error)
		text     string
		old, new string
	}{
		"a service's event":         {intake.PagerDuty, paged, "incident.resolved", "service.updated"},
		"an event about an alert":   {intake.PagerDuty, paged, `"type":"incident"`, `"type":"alert"`},
		"an unknown status":         {intake.PagerDuty, paged, `"status":"resolved"`, `"status":"merged"`},
		"a time that is a number":   {intake.PagerDuty, paged, `"2026-03-02T10:00:00Z"`, `1772445600`},
		"an id twice":               {intake.PagerDuty, paged, `"id":"PGR0VU2"`, `"id":"PGR0VU2","id":"OTHER"`},
		"bytes behind":              {intake.PagerDuty, paged, `"urgency":"high"}}}`, `"urgency":"high"}}} {}`},
		"a note":                    {intake.Opsgenie, alerted, `"Close"`, `"AddNote"`},
		"a time in seconds":         {intake.Opsgenie, alerted, "1772445600000", "1772445600"},
		"a time with a fraction":    {intake.Opsgenie, alerted, "1772445600000", "1772445600000.5"},
		"an alert without id":       {intake.Opsgenie, alerted, `"alertId":"052652ac"`, `"alertId":""`},
		"an unknown field":          {intake.JSON, byHandJSON, `"title"`, `"titel"`},
		"a name in another case":    {intake.JSON, byHandJSON, `"severity"`, `"Severity"`},
		"a local time":              {intake.JSON, byHandJSON, `10:00:00Z`, `10:00:00+14:00`},
		"an unknown field in YAML":  {yaml, byHand, "title", "titel"},
		"an unknown severity":       {yaml, byHand, "sev1", "sev0"},
		"a domain twice":            {yaml, byHand, "[pricing, checkout]", "[pricing, pricing]"},
		"a cause that is a comment": {yaml, byHand, "kind: release", "kind: comment"},
	} {
		bad := strings.Replace(digest(c.text), c.old, c.new, 1)
		if bad == digest(c.text) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := c.read([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func yaml(text []byte) (*attest.Incident, error) { return intake.YAML("incident.yaml", text) }

func TestNobodyGuessesASeverity(t *testing.T) {
	i, err := intake.PagerDuty([]byte(strings.Replace(paged, `"summary":"P1"`, `"summary":"Urgent"`, 1)))
	if !errors.Is(err, intake.ErrNoSeverity) || i == nil || i.Severity != "" {
		t.Errorf("%v, %v", i, err)
	}
	if _, err := intake.Opsgenie([]byte(strings.Replace(alerted, `"P3"`, `""`, 1))); !errors.Is(err, intake.ErrNoSeverity) {
		t.Error(err)
	}
}

func FuzzIncidents(f *testing.F) {
	for _, s := range []string{digest(byHand), digest(byHandJSON), paged, alerted, "{}", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func([]byte) (*attest.Incident, error){intake.JSON, yaml, intake.PagerDuty, intake.Opsgenie} {
			i, err := read(text)
			if err != nil {
				continue
			}
			i.ReportedAt = i.DetectedAt
			payload, err := i.Statement().Marshal()
			if err != nil {
				continue // Validate has the last word
			}
			if _, err := attest.ParseStatement(payload); err != nil {
				t.Fatalf("what was written cannot be read: %v\n%s", err, payload)
			}
		}
	})
}
