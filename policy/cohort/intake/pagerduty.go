package intake

import (
	"fmt"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// pagerDuty is a V3 webhook of PagerDuty about an incident: the fields that are used.
type pagerDuty struct {
	Event struct {
		EventType    string    `json:"event_type"`
		ResourceType string    `json:"resource_type"`
		OccurredAt   time.Time `json:"occurred_at"`
		Data         struct {
			ID        string    `json:"id"`
			Type      string    `json:"type"`
			Status    string    `json:"status"`
			CreatedAt time.Time `json:"created_at"`
			Title     string    `json:"title"`
			HTMLURL   string    `json:"html_url"`
			Priority  *struct {
				Summary string `json:"summary"`
			} `json:"priority"`
		} `json:"data"`
	} `json:"event"`
}

// PagerDuty reads a V3 webhook (https://developer.pagerduty.com/docs/webhooks-overview) of
// an event incident.*: the incident began and was detected when it was created there, and
// ended when an event with the status "resolved" occurred. The priority gives the
// severity; without one the error is ErrNoSeverity, beside everything else.
func PagerDuty(text []byte) (*attest.Incident, error) {
	const what = "PagerDuty"
	var w pagerDuty
	if err := decode(what, text, &w); err != nil {
		return nil, err
	}
	e, d := &w.Event, &w.Event.Data
	switch {
	case !strings.HasPrefix(e.EventType, "incident.") || e.ResourceType != "incident" || d.Type != "incident":
		return nil, fmt.Errorf("read %s webhook: event %.80q about %.40q is about no incident", what, e.EventType, d.Type)
	case d.ID == "" || d.CreatedAt.IsZero() || e.OccurredAt.IsZero():
		return nil, fmt.Errorf("read %s webhook: id, created_at and occurred_at are needed", what)
	}
	i := &attest.Incident{
		ID: "pagerduty:" + d.ID, Title: title(d.Title), StartedAt: attest.At(d.CreatedAt), DetectedAt: attest.At(d.CreatedAt),
		Source: &attest.IncidentSource{System: "pagerduty", Ref: d.HTMLURL},
	}
	switch d.Status {
	case "resolved":
		i.ResolvedAt = at(e.OccurredAt)
	case "triggered", "acknowledged":
	default:
		return nil, fmt.Errorf("read %s webhook: status %.40q is none of triggered, acknowledged, resolved", what, d.Status)
	}
	if d.Priority != nil {
		i.Severity = severityOf(d.Priority.Summary)
	}
	if i.Severity == "" {
		return i, fmt.Errorf("%s webhook: %w", what, ErrNoSeverity)
	}
	return i, nil
}
