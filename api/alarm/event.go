// Package alarm tells receivers of what was logged that somebody should look at: broken
// glass, freezes, rejections, what a gate in audit mode let go, changes of the policy. The
// log itself is the queue, so nothing is lost that was logged, and no gate waits for it.
package alarm

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
)

// Kind is what happened.
type Kind string

// The kinds.
const (
	GlassRequested  Kind = "break-glass.requested"
	GlassGranted    Kind = "break-glass.granted"
	GlassUsed       Kind = "break-glass.used"
	GlassReviewed   Kind = "break-glass.reviewed"
	FreezeStarted   Kind = "freeze.started"
	FreezeLifted    Kind = "freeze.lifted"
	Rejected        Kind = "approval.rejected"
	AuditDenied     Kind = "audit.denied"
	PolicyPublished Kind = "policy.published"
	GapRecorded     Kind = "gap.recorded"
	WasRevoked      Kind = "revocation"
)

// Kinds lists them.
func Kinds() []string {
	return []string{
		string(GlassRequested), string(GlassGranted), string(GlassUsed), string(GlassReviewed), string(FreezeStarted), string(FreezeLifted),
		string(Rejected), string(AuditDenied), string(PolicyPublished), string(GapRecorded), string(WasRevoked),
	}
}

// An Event is the body of one webhook. Data says where to look; whoever acts on it looks
// there, and believes the log's proof and not the message.
type Event struct {
	Type      Kind      `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when the log took the entry
	Data      Data      `json:"data"`
}

// Data names one entry of the log, and what it says in short.
type Data struct {
	Log         string   `json:"log"`
	Index       uint64   `json:"index"`
	Statement   string   `json:"statement"` // payload digest, sha256 hex
	By          string   `json:"by,omitempty"`
	Repository  string   `json:"repository,omitempty"`
	Environment string   `json:"environment,omitempty"`
	Change      string   `json:"change,omitempty"`
	Commit      string   `json:"commit,omitempty"`
	Artifact    string   `json:"artifact,omitempty"`
	Case        string   `json:"case,omitempty"` // of broken glass
	Ticket      string   `json:"ticket,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	Verdict     string   `json:"verdict,omitempty"`
	Rules       []string `json:"rules,omitempty"` // that failed
	Version     int      `json:"version,omitzero"`
}

// alarming are the types that an event can come from.
var alarming = []string{
	attest.TypeKey(attest.TypeBreakGlass), attest.TypeKey(attest.TypeFreeze), attest.TypeKey(attest.TypeApproval), attest.TypeKey(attest.TypeDecision),
	attest.TypeKey(attest.TypePolicy), attest.TypeKey(attest.TypeGap), attest.TypeKey(attest.TypeRevocation),
}

// EventOf reads the event of an entry; nil where there is none. An entry that cannot be read
// is an error.
func EventOf(origin string, r *ledger.Record) (*Event, error) {
	if len(r.Body) == 0 || !slices.ContainsFunc(r.Keys, func(k string) bool { return slices.Contains(alarming, k) }) {
		return nil, nil
	}
	b, err := attest.ParseBundle(r.Body)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", r.Index, err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", r.Index, err)
	}
	if carried := attest.CarriedBy(st.Predicate); carried != nil {
		b, st = carried.Bundle, carried.Statement
	}
	e := &Event{Timestamp: r.Time, Data: Data{Log: origin, Index: r.Index, Statement: b.Digest().String()}}
	if err := e.read(st); err != nil {
		return nil, fmt.Errorf("entry %d: %w", r.Index, err)
	}
	if e.Type == "" {
		return nil, nil
	}
	return e, nil
}

func (e *Event) read(st *attest.Statement) error {
	d := &e.Data
	switch p := st.Predicate.(type) {
	case *attest.BreakGlass:
		e.glass(p)
	case *attest.Freeze:
		e.Type, d.By, d.Environment, d.Reason = FreezeStarted, p.By, p.Environment, p.Reason
		if p.Action == attest.Lifted {
			e.Type = FreezeLifted
		}
	case *attest.Approval:
		if p.Decision == attest.Rejected {
			e.Type, d.By, d.Repository, d.Change, d.Reason = Rejected, p.Reviewer, p.Repository, p.Change.ID, p.Comment
			d.Commit = st.Subjects[0].Digest["gitCommit"]
		}
	case *attest.Policy:
		e.Type, d.Version = PolicyPublished, p.Version
	case *attest.Gap:
		e.Type, d.Repository, d.Commit, d.Reason, d.Ticket = GapRecorded, p.Repository, p.To, p.Reason, p.Ticket
	case *attest.Revocation:
		e.Type, d.By, d.Reason = WasRevoked, p.By, p.Reason
	case *attest.Decision:
		return e.decision(p)
	}
	return nil
}

func (e *Event) glass(p *attest.BreakGlass) {
	d := &e.Data
	d.By, d.Case = p.By, p.Case
	switch p.Action {
	case attest.GlassRequest:
		e.Type, d.Case, d.Repository, d.Environment, d.Ticket, d.Reason = GlassRequested, d.Statement, p.Repository, p.Environment, p.Ticket, p.Justification
	case attest.GlassGrant:
		e.Type, d.Reason = GlassGranted, p.Comment
	case attest.GlassReview:
		e.Type, d.Reason = GlassReviewed, string(p.Outcome)+": "+p.Comment
	}
}

// decision makes an event of a verdict that used broken glass, or that lets go what rules
// in audit mode would deny.
func (e *Event) decision(p *attest.Decision) error {
	recorded, err := policy.Recorded(p)
	if err != nil {
		return err
	}
	c, d := &recorded.Core, &e.Data
	for i := range c.Changes {
		for _, f := range c.Changes[i].Rules {
			if !f.Held && !slices.Contains(d.Rules, f.Rule) {
				d.Rules = append(d.Rules, f.Rule)
			}
		}
	}
	switch {
	case c.Verdict == policy.AllowBreakGlass:
		e.Type, d.Case, d.Ticket, d.By, d.Reason = GlassUsed, c.BreakGlass.Case, c.BreakGlass.Ticket, c.BreakGlass.RequestedBy, c.BreakGlass.Justification
	case c.Verdict == policy.AllowAudit, c.Verdict == policy.Allow && !recorded.Passed() && !recorded.Annex.Posture.DryRun:
		e.Type, d.Reason = AuditDenied, c.Why
	default:
		return nil
	}
	d.Verdict, d.Repository, d.Environment, d.Commit, d.Artifact = string(c.Verdict), c.Repository, c.Environment, c.To, cmp.Or(c.Artifact, c.Plan)
	return nil
}
