package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/incident"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// latest stands for the statement in force.
const latest = "latest"

// carryOver keeps what people have said of an incident and its webhook does not know: a
// worse severity, domains, causes, an earlier start.
func carryOver(i *attest.Incident, now *incident.Incident, severity bool) {
	if severity && i.Severity.Below(now.Severity) {
		i.Severity = now.Severity
	}
	i.Domains = append(i.Domains, now.Said.Domains...)
	slices.Sort(i.Domains)
	i.Domains = slices.Compact(i.Domains)
	for _, c := range now.Said.Causes {
		at := slices.IndexFunc(i.Causes, func(have attest.Cause) bool { return attest.CompareCauses(have, c) == 0 })
		if at < 0 {
			i.Causes = append(i.Causes, c)
		} else if c.Confidence.AtLeast(i.Causes[at].Confidence) {
			i.Causes[at] = c
		}
	}
	slices.SortFunc(i.Causes, attest.CompareCauses)
	if now.Said.StartedAt.Before(i.StartedAt.Time) {
		i.StartedAt = now.Said.StartedAt
	}
}

// latestIncident asks the ledger for the statement in force about an incident; nil when
// there is none. What a ledger hides cannot make less of an incident: a statement that
// supersedes another than the one in force counts for nothing.
func (a *app) latestIncident(ctx context.Context, id string) (*incident.Incident, error) {
	l, err := a.connect()
	if err != nil {
		return nil, err
	}
	set, err := a.policySet(ctx, l, "")
	if err != nil {
		return nil, err
	}
	q := &countersignv1.SearchRequest{Subject: "sha256:" + attest.IncidentSubject(id).Digest["sha256"], PredicateType: attest.TypeIncident, WithBundles: true, PageSize: 1000}
	found, err := a.search(ctx, l, q, maxStatements)
	if err != nil {
		return nil, err
	}
	h := incident.History{MayRevoke: func(string, string) bool { return false }}
	for _, e := range found {
		if e.Unseen {
			continue
		}
		b, st, err := statement(e)
		if err != nil {
			return nil, err
		}
		i, ok := st.Predicate.(*attest.Incident)
		p, known := set.Roster.Principal(e.Person)
		if ok && known {
			h.Said = append(h.Said, incident.Said{Index: e.Index, Time: e.LoggedAt.AsTime(), Digest: b.Digest().String(), Signer: p.ID, Key: e.Signer, Kind: p.Kind, What: i})
		}
	}
	for _, inc := range h.At(tlog.MaxSize) {
		if inc.ID == id {
			return inc, nil
		}
	}
	return nil, nil
}

// maxStatements is how many statements about one incident are looked at.
const maxStatements = 10_000

// secondIncident signs the very payload of an entry, as the second person who stands
// behind it.
func (a *app) secondIncident(ctx context.Context, f *incidentFlags) error {
	index, err := strconv.ParseUint(f.second, 10, 63)
	if err != nil {
		return wrong("--second %q is no index; entries are numbered from 0", f.second)
	}
	if f.severity != "" || f.supersedes != "" || len(f.domains)+len(f.causes) > 0 {
		return wrong("--second signs exactly what the entry says; nothing can be added to it")
	}
	return a.second(ctx, index, f.yes, f.signing, func(p attest.Predicate) (string, error) {
		i, ok := p.(*attest.Incident)
		if !ok {
			return "", wrong("entry %d is a %s, and no incident", index, shortType(p.Type()))
		}
		return fmt.Sprintf("incident %s, %s", printable(i.ID, 80), i.Severity), nil
	})
}

// second shows what an entry says, and signs the very same; about names it in a few words,
// or refuses.
func (a *app) second(ctx context.Context, index uint64, yes bool, f signing, about func(attest.Predicate) (string, error)) error {
	l, err := a.connect()
	if err != nil {
		return err
	}
	e, err := a.entry(ctx, l, index)
	if err != nil {
		return err
	}
	if e.Unseen {
		return refused("entry %d: the log has no statement of it", index)
	}
	b, st, err := statement(e)
	if err != nil {
		return err
	}
	what, err := about(st.Predicate)
	if err != nil {
		return err
	}
	a.notef("%s\n", b.Payload)
	if !yes {
		yes, err := a.ask("Sign this too, as a second person: " + what + "?")
		if err != nil {
			return err
		}
		if !yes {
			return refused("not signed")
		}
	}
	if f.print {
		a.printf("%s\n", b.Payload)
		return nil
	}
	key, err := a.key(f.key)
	if err != nil {
		return err
	}
	signed, err := attest.SignPayload(b.Payload, key)
	if err != nil {
		return err
	}
	return a.logBundle(ctx, signed, what, f)
}
