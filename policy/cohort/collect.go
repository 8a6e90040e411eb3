package cohort

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/verify"
)

// A Collector reduces evidence to a Log. Entries may come in any order, from several
// goroutines.
type Collector struct {
	set *policy.Set

	mu         sync.Mutex // guards what follows
	log        Log
	activities map[[2]string]*Activity
}

// NewCollector collects under the policy set whose roster says who is who.
func NewCollector(set *policy.Set) *Collector {
	c := &Collector{set: set, activities: make(map[[2]string]*Activity)}
	c.log.Tiers, c.log.Levels, c.log.Owners = set.Tiers, set.Levels, set.Roster.Owners
	c.log.Critical = set.Domains.Critical(set.Domains.Names())
	for _, e := range set.Environments {
		c.log.Environments = append(c.log.Environments, e.Name)
	}
	for _, p := range set.Roster.Principals() {
		c.log.People = append(c.log.People, Principal{p.ID, p.Kind, p.Level, p.Teams, p.Operator})
	}
	return c
}

// Add takes one piece of evidence.
func (c *Collector) Add(e *verify.Evidence) {
	entry := Entry{Index: e.Index(), Time: e.Time(), Digest: e.Digest().String(), Signer: Service, Key: attest.KeyID(e.Signer()).String()}
	if p, _, ok := c.set.Roster.ByKey(e.Signer()); ok {
		entry.Signer, entry.Kind = p.ID, p.Kind
	}
	c.Record(entry, e.Statement(), e.Facts())
}

// Refuse notes an entry that became no evidence.
func (c *Collector) Refuse(index uint64, r *verify.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Refused = append(c.log.Refused, Refused{index, string(r.Kind), r.Check + ": " + r.Why})
}

// Unseen notes an entry whose statement the log does not have.
func (c *Collector) Unseen(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Unseen = append(c.log.Unseen, index)
}

// Record takes a statement that the caller answers for; facts may be nil. It is what Add
// does with evidence.
func (c *Collector) Record(e Entry, st *attest.Statement, facts *gitfacts.Facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.log
	c.active(e, st.Predicate.Type())
	switch p := st.Predicate.(type) {
	case *attest.Deployment:
		l.Deployments = append(l.Deployments, Deployment{e, artifacts(st), p.Environment, p.Target, p.Actor, p.DeployedAt.Time, p.Decision, p.ExposedTo})
	case *attest.Incident:
		l.Said = append(l.Said, incident.Said{Index: e.Index, Time: e.Time, Digest: e.Digest, Signer: e.Signer, Key: e.Key, Kind: e.Kind, What: p})
	case *attest.Decision:
		d, err := policy.Recorded(p)
		if err != nil {
			l.Refused = append(l.Refused, Refused{e.Index, string(verify.Malformed), err.Error()})
			return
		}
		l.Decisions = append(l.Decisions, decided(e, &d.Core))
	case *attest.Change:
		l.Requests = append(l.Requests, Request{e, p.Repository, p.Change.ID, p.Head, len(p.Paths), firstCommit(facts), c.writers(facts)})
	case *attest.Approval:
		if p.WitnessedBy != nil { // a forge's key, and the reviewer's word
			e.Signer, e.Kind = p.Reviewer, ""
			if who, ok := c.set.Roster.Principal(p.Reviewer); ok {
				e.Kind = who.Kind
			}
		}
		if p.Decision == attest.Approved {
			l.Approvals = append(l.Approvals, Approval{e, p.Repository, p.Change.ID, st.Subjects[0].Digest["gitCommit"]})
		}
	case *attest.Authorship:
		l.Authorships = append(l.Authorships, Authorship{e, p.Repository, st.Subjects[0].Digest["gitCommit"], p.Agents, p.HumanOperator})
	case *attest.Release:
		l.Releases = append(l.Releases, Release{e, p.Repository, p.Name, artifacts(st)})
	case *attest.SLSAProvenance:
		if repository, _, clear := p.Source(); clear {
			l.Releases = append(l.Releases, Release{e, repository, "", artifacts(st)})
		}
	case *attest.Gap:
		c.gap(e, p)
	case *attest.Revocation:
		r := incident.Revocation{Index: e.Index, Signer: e.Signer, Revokes: p.Revokes}
		if p.EffectiveFrom != nil {
			r.EffectiveFrom = p.EffectiveFrom.Time
		}
		l.Revocations = append(l.Revocations, r)
	}
}

// Finish returns what was collected, as of a state of the log. The Collector must not
// be used any more.
func (c *Collector) Finish(view verify.LogView) *Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.log
	l.Origin, l.Size, l.Time = view.Origin, view.Size, view.Time
	sortEntries(l.Deployments, func(d *Deployment) uint64 { return d.Index })
	sortEntries(l.Said, func(d *incident.Said) uint64 { return d.Index })
	sortEntries(l.Decisions, func(d *Decision) uint64 { return d.Index })
	sortEntries(l.Requests, func(d *Request) uint64 { return d.Index })
	sortEntries(l.Approvals, func(d *Approval) uint64 { return d.Index })
	sortEntries(l.Authorships, func(d *Authorship) uint64 { return d.Index })
	sortEntries(l.Releases, func(d *Release) uint64 { return d.Index })
	sortEntries(l.Revocations, func(d *incident.Revocation) uint64 { return d.Index })
	sortEntries(l.Refused, func(d *Refused) uint64 { return d.Index })
	sortEntries(l.Gaps, func(g *Gap) uint64 { return g.Index })
	slices.Sort(l.Unseen)
	for _, a := range c.activities {
		l.Activities = append(l.Activities, *a)
	}
	slices.SortFunc(l.Activities, func(a, b Activity) int {
		return cmp.Or(cmp.Compare(a.Signer, b.Signer), cmp.Compare(a.Type, b.Type))
	})
	return l
}

func sortEntries[T any](list []T, index func(*T) uint64) {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(index(&a), index(&b)) })
}

// gap puts the statements of one payload together.
func (c *Collector) gap(e Entry, p *attest.Gap) {
	l := &c.log
	at := slices.IndexFunc(l.Gaps, func(g Gap) bool { return g.digest == e.Digest })
	if at < 0 {
		l.Gaps, at = append(l.Gaps, Gap{e.Index, p.Repository, p.Environments, p.From, p.To, p.Commits, p.Reason, nil, e.Digest}), len(l.Gaps)
	}
	g := &l.Gaps[at]
	g.Index = min(g.Index, e.Index)
	if !slices.Contains(g.SignedBy, e.Signer) {
		g.SignedBy = append(g.SignedBy, e.Signer)
		slices.Sort(g.SignedBy)
	}
}

func (c *Collector) active(e Entry, typ string) {
	key := [2]string{e.Signer, typ}
	a := c.activities[key]
	if a == nil {
		a = &Activity{Signer: e.Signer, Kind: e.Kind, Type: typ, First: e.Index, Last: e.Index}
		c.activities[key] = a
	}
	a.Count++
	a.First, a.Last = min(a.First, e.Index), max(a.Last, e.Index)
}

func artifacts(st *attest.Statement) []string {
	var out []string
	for _, s := range st.Subjects {
		if d := s.Digest["sha256"]; d != "" {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// firstCommit is the earliest author time of a reviewed range.
func firstCommit(facts *gitfacts.Facts) time.Time {
	var first time.Time
	if facts == nil {
		return first
	}
	for i := range facts.Commits {
		if at := facts.Commits[i].Author.When; first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first.UTC()
}

// writers are the authors of the commits of a range.
func (c *Collector) writers(facts *gitfacts.Facts) []string {
	if facts == nil {
		return nil
	}
	out := []string{}
	for i := range facts.Commits {
		who := facts.Commits[i].Author.Email
		if p, ok := c.set.Roster.ByEmail(who); ok {
			who = p.ID
		}
		out = append(out, who)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func decided(e Entry, c *policy.Core) Decision {
	d := Decision{Entry: e, Verdict: string(c.Verdict), Repository: c.Repository, Environment: c.Environment, Artifact: c.Artifact, Release: c.Release,
		DecidedAt: c.DecidedAt.Time, ExpiresAt: c.ExpiresAt.Time, Glass: c.BreakGlass}
	for i := range c.Changes {
		r := &c.Changes[i]
		d.Changes = append(d.Changes, Change{r.Change, cmp.Or(r.Head, r.Commit), r.Commit, r.Tier, r.Origin, r.Domains, r.Agents, r.Authors, r.Approved})
		for _, f := range r.Rules {
			if (f.Audit || c.Verdict == policy.AllowAudit) && !f.Held {
				d.AuditFailed = append(d.AuditFailed, f.Rule)
			}
		}
	}
	slices.Sort(d.AuditFailed)
	d.AuditFailed = slices.Compact(d.AuditFailed)
	return d
}

// principals is the roster by id.
func (l *Log) principals() map[string]*Principal {
	m := make(map[string]*Principal, len(l.People))
	for i := range l.People {
		m[l.People[i].ID] = &l.People[i]
	}
	return m
}
