package cohort

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
)

// coverage says for every environment and repository who attests what runs there.
func (j *joined) coverage(q *Query, bypasses []Bypass) []Coverage {
	at := make(map[[2]string]*Coverage)
	get := func(environment, repository string) *Coverage {
		c := at[[2]string{environment, repository}]
		if c == nil {
			c = &Coverage{Environment: environment, Repository: repository, AttestedBy: []string{}}
			at[[2]string{environment, repository}] = c
		}
		return c
	}
	for _, d := range j.deployed {
		if q.holds(d) {
			c := get(d.Environment, d.Repository)
			c.Deployments++
			if !slices.Contains(c.AttestedBy, d.Signer) {
				c.AttestedBy = append(c.AttestedBy, d.Signer)
			}
		}
	}
	for i := range j.log.Decisions { // what was allowed should show up
		d := &j.log.Decisions[i]
		if policy.Verdict(d.Verdict).Opens() && q.within(d.Time) && (q.Environment == "" || q.Environment == d.Environment) && (q.Repository == "" || q.Repository == d.Repository) {
			get(d.Environment, d.Repository)
		}
	}
	for _, name := range j.log.Environments {
		if !slices.ContainsFunc(values(at), func(c *Coverage) bool { return c.Environment == name }) && (q.Environment == "" || q.Environment == name) {
			get(name, q.Repository)
		}
	}
	builders := j.builders()
	out := make([]Coverage, 0, len(at))
	for _, c := range values(at) {
		c.judge(builders, bypasses)
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Coverage) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Repository, b.Repository))
	})
	return out
}

func values[K comparable, V any](m map[K]V) []V {
	out := make([]V, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// builders are those who ever said what a change, a merge or a release is: CI.
func (j *joined) builders() map[string]bool {
	m := make(map[string]bool)
	for i := range j.log.Activities {
		switch a := &j.log.Activities[i]; a.Type {
		case attest.TypeChange, attest.TypeAdmission, attest.TypeRelease, attest.TypeSLSAProvenance:
			m[a.Signer] = true
		}
	}
	return m
}

func (c *Coverage) judge(builders map[string]bool, bypasses []Bypass) {
	slices.Sort(c.AttestedBy)
	c.Known = slices.ContainsFunc(c.AttestedBy, func(who string) bool { return !builders[who] })
	switch {
	case c.Deployments == 0:
		c.Why = "coverage unknown: nobody attests what runs there"
	case !c.Known:
		c.Why = fmt.Sprintf("coverage unknown: what runs is attested by %s alone, who builds it too", strings.Join(c.AttestedBy, ", "))
	default:
		n := 0
		for i := range bypasses {
			if bypasses[i].Environment == c.Environment && bypasses[i].Repository == c.Repository {
				n++
			}
		}
		c.Bypasses = &n
	}
}

// Known reports whether coverage is known everywhere.
func (r *Register) Known() bool {
	return !slices.ContainsFunc(r.Coverage, func(c Coverage) bool { return !c.Known })
}
