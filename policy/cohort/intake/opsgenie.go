package intake

import (
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// opsgenie is a webhook of Opsgenie about an alert: the fields that are used.
type opsgenie struct {
	Action string `json:"action"`
	Alert  struct {
		AlertID   string `json:"alertId"`
		TinyID    string `json:"tinyId"`
		Message   string `json:"message"`
		Priority  string `json:"priority"`
		CreatedAt int64  `json:"createdAt"`
		UpdatedAt int64  `json:"updatedAt"`
	} `json:"alert"`
}

// Opsgenie reads a webhook of Opsgenie's outgoing integration about an alert: the incident
// began and was detected when the alert was created, and ended at updatedAt of the action
// Close. Only Create, Acknowledge, Close and UpdatePriority say anything of an incident.
// The priority gives the severity; without one the error is ErrNoSeverity, beside
// everything else.
func Opsgenie(text []byte) (*attest.Incident, error) {
	const what = "Opsgenie"
	var w opsgenie
	if err := decode(what, text, &w); err != nil {
		return nil, err
	}
	created, err := stamp(w.Alert.CreatedAt)
	if err != nil {
		return nil, fmt.Errorf("read %s webhook: createdAt: %w", what, err)
	}
	if w.Alert.AlertID == "" {
		return nil, fmt.Errorf("read %s webhook: alertId is missing", what)
	}
	i := &attest.Incident{
		ID: "opsgenie:" + w.Alert.AlertID, Title: title(w.Alert.Message), Severity: severityOf(w.Alert.Priority),
		StartedAt: attest.At(created), DetectedAt: attest.At(created), Source: &attest.IncidentSource{System: "opsgenie"},
	}
	switch w.Action {
	case "Close":
		closed, err := stamp(w.Alert.UpdatedAt)
		if err != nil {
			return nil, fmt.Errorf("read %s webhook: updatedAt: %w", what, err)
		}
		i.ResolvedAt = at(closed)
	case "Create", "Acknowledge", "UpdatePriority":
	default:
		return nil, fmt.Errorf("read %s webhook: action %.40q is none of Create, Acknowledge, UpdatePriority, Close", what, w.Action)
	}
	if i.Severity == "" {
		return i, fmt.Errorf("%s webhook: %w", what, ErrNoSeverity)
	}
	return i, nil
}

// stamp reads a time in milliseconds or nanoseconds since 1970, both of which Opsgenie
// writes; which it is shows by the number of digits, of which both have one between
// 2001 and 2286.
func stamp(n int64) (time.Time, error) {
	switch {
	case n >= 1e12 && n < 1e13:
		return time.UnixMilli(n).UTC(), nil
	case n >= 1e18:
		return time.Unix(0, n).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%d is no time in milliseconds or nanoseconds", n)
}
