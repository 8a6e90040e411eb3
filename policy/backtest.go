package policy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// A Past is a decision that was logged, and the log as it was then.
type Past struct {
	Index    uint64 // of the decision
	Recorded *Decision
	Source   verify.Source
}

// A WhatIf is what a candidate set says where another said something before.
type WhatIf struct {
	Index       uint64      `json:"index"`
	DecidedAt   attest.Time `json:"decidedAt"`
	Repository  string      `json:"repository"`
	Environment string      `json:"environment"`
	Release     string      `json:"release,omitempty"`
	Commit      string      `json:"commit"`
	Was         Verdict     `json:"was"`
	WasKind     Kind        `json:"wasKind,omitempty"`
	WasPolicy   string      `json:"wasPolicy"` // name and version
	Would       Verdict     `json:"would"`
	WouldKind   Kind        `json:"wouldKind,omitempty"`
	Why         string      `json:"why,omitempty"`
	Rules       []string    `json:"rules"` // of the candidate, that would have denied
	Teams       []string    `json:"teams"` // of who wrote the release
	Tier        string      `json:"tier"`  // the highest of its changes
	Needs       []Need      `json:"needs"` // approvals that were missing
}

// A Need is what one rule would have asked for besides.
type Need struct {
	Rule   string   `json:"rule"`
	Change string   `json:"change"`
	Text   string   `json:"text"`
	Who    []string `json:"who,omitempty"` // where they could still have given it
}

// Differs reports whether the answer would have been another one.
func (w *WhatIf) Differs() bool { return (w.Was == Allow) != (w.Would == Allow) }

// Again judges a past decision with a candidate set, as of its own moment. The people of
// the candidate are taken for those of all times.
func Again(ctx context.Context, v *verify.Verifier, p *Past, candidate *Set) (*WhatIf, error) {
	c := &p.Recorded.Core
	in := Input{Set: candidate, Trust: v.Trust(), Now: c.DecidedAt.Time, MaxViewAge: 100 * 365 * 24 * time.Hour}
	in.Request = Request{Repository: c.Repository, Environment: c.Environment, Nonce: c.Nonce}
	if c.Artifact == "" {
		in.Request.Commit = gitfacts.ID(c.To)
	} else {
		d, err := attest.ParseDigest(c.Artifact)
		if err != nil {
			return nil, err
		}
		in.Request.Artifact = &d
	}
	d, _, err := Judge(ctx, p.Source, v, in)
	if d == nil {
		return nil, err
	}
	return compare(p, d, candidate), nil
}

func compare(p *Past, d *Decision, s *Set) *WhatIf {
	was := &p.Recorded.Core
	w := &WhatIf{
		Index: p.Index, DecidedAt: was.DecidedAt, Repository: was.Repository, Environment: was.Environment, Release: was.Release, Commit: was.To,
		Was: was.Verdict, WasKind: was.Kind, WasPolicy: fmt.Sprintf("%s version %d", was.Policy.Name, was.Policy.Version), Would: d.Core.Verdict, WouldKind: d.Core.Kind, Why: d.Core.Why,
		Rules: []string{}, Teams: []string{}, Needs: []Need{},
	}
	tier := -1
	for i := range d.Core.Changes {
		ch := &d.Core.Changes[i]
		tier = max(tier, slices.Index(s.Tiers, ch.Tier))
		for _, a := range ch.Authors {
			w.addTeams(s.Roster, a.Who)
		}
		for _, f := range ch.Rules {
			if f.Held || f.Audit {
				continue
			}
			if !slices.Contains(w.Rules, f.Rule) {
				w.Rules = append(w.Rules, f.Rule)
			}
			if f.Need != "" {
				w.Needs = append(w.Needs, Need{Rule: f.Rule, Change: nameOf(ch), Text: f.Need, Who: f.Who})
			}
		}
	}
	if tier >= 0 {
		w.Tier = s.Tiers[tier]
	}
	slices.Sort(w.Teams)
	return w
}

func (w *WhatIf) addTeams(r *roster.Roster, who string) {
	p, ok := r.Principal(who)
	if !ok {
		return
	}
	for _, t := range p.Teams {
		if !slices.Contains(w.Teams, t) {
			w.Teams = append(w.Teams, t)
		}
	}
}

// Waits are how long the approvals of a recorded decision took: from when the log heard
// of the change to when it took the approval. timeOf is when it took an entry.
func (d *Decision) Waits(timeOf func(index uint64) time.Time) []time.Duration {
	begun := make(map[string]time.Time)
	for _, in := range d.Core.Inputs {
		if in.Type != attest.TypeChange {
			continue
		}
		about := in.Role[min(len("review of "), len(in.Role)):]
		if at := timeOf(in.Index); begun[about].IsZero() || at.Before(begun[about]) {
			begun[about] = at
		}
	}
	var out []time.Duration
	for i := range d.Core.Changes {
		ch := &d.Core.Changes[i]
		at, ok := begun[nameOf(ch)]
		for _, v := range ch.Approved {
			if took := timeOf(v.Index).Sub(at); ok && took >= 0 {
				out = append(out, took)
			}
		}
	}
	return out
}

// A Tally counts what would have been otherwise among the decisions that share something.
type Tally struct {
	Of      string `json:"of"`
	Denied  int    `json:"denied"`  // that were allowed
	Allowed int    `json:"allowed"` // that were denied
	Total   int    `json:"total"`
}

// Tallies counts by what of returns, most changed first.
func Tallies(all []*WhatIf, of func(*WhatIf) []string) []Tally {
	at := make(map[string]*Tally)
	for _, w := range all {
		for _, name := range of(w) {
			t := at[name]
			if t == nil {
				t = &Tally{Of: name}
				at[name] = t
			}
			t.Total++
			switch {
			case w.Differs() && w.Would == Allow:
				t.Allowed++
			case w.Differs():
				t.Denied++
			}
		}
	}
	out := make([]Tally, 0, len(at))
	for _, t := range at {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(b.Denied+b.Allowed, a.Denied+a.Allowed), cmp.Compare(a.Of, b.Of))
	})
	return out
}
