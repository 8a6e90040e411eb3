package cohort

import (
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/policy/roster"
)

var epoch = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func hexOf(c string) string { return strings.Repeat(c, 64) }

// office has two people, one agent, and a service that pages.
func office() *Log {
	return &Log{Origin: "log.example", Tiers: []string{"low", "high"}, Levels: []string{"junior", "senior"}, Owners: []string{"olga"}, Environments: []string{"production"},
		People: []Principal{
			{"alice", roster.Person, "senior", []string{"shop"}, ""}, {"bob", roster.Person, "junior", []string{"shop"}, ""}, {"olga", roster.Person, "senior", nil, ""},
			{"robot", roster.Agent, "", nil, "bob"}, {"pager", roster.Service, "", nil, ""}, {"ci", roster.Service, "", nil, ""}, {"gate", roster.Service, "", nil, ""},
		}}
}

// say logs a statement about an incident; the same digest is the same payload.
func (l *Log) say(who, digest string, edit func(*attest.Incident)) {
	end := attest.At(epoch.Add(6 * time.Hour))
	i := &attest.Incident{ID: "INC-7", Severity: attest.Sev1, StartedAt: attest.At(epoch), DetectedAt: attest.At(epoch), ResolvedAt: &end, Domains: []string{"checkout"},
		Causes: []attest.Cause{{Kind: attest.CauseRelease, Digest: hexOf("e"), Confidence: attest.Likely}}}
	if edit != nil {
		edit(i)
	}
	l.Said = append(l.Said, said(l.next(who, digest), i))
}

func said(e Entry, i *attest.Incident) incident.Said {
	return incident.Said{Index: e.Index, Time: e.Time, Digest: e.Digest, Signer: e.Signer, Key: e.Key, Kind: e.Kind, What: i}
}

func (l *Log) next(who, digest string) Entry {
	e := Entry{Index: l.Size, Time: epoch.Add(time.Duration(l.Size) * time.Minute), Digest: hexOf(digest), Signer: who, Kind: l.principals()[who].Kind, Key: hexOf("0")}
	l.Size++
	return e
}
