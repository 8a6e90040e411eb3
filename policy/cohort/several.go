package cohort

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// several are the cohorts of one change in a dimension that has many.
func (j *joined) several(d *Deployed, c *Change, by Dimension) []string {
	switch by {
	case ByDomain:
		if len(c.Domains) == 0 {
			return []string{None}
		}
		return c.Domains
	case ByTeam:
		return j.teams(c)
	}
	switch attest.Origin(c.Origin) {
	case attest.OriginHuman:
		return []string{None}
	case attest.OriginUnknown, "":
		return []string{Unknown}
	}
	if by == ByModel {
		return j.models(d.Repository, c)
	}
	if len(c.Agents) == 0 {
		return []string{"unnamed tool"}
	}
	return c.Agents
}

func (j *joined) teams(c *Change) []string {
	var out []string
	for _, a := range c.Authors {
		p := j.principals[a.Who]
		switch {
		case p == nil && !slices.Contains(c.Agents, a.Who):
			out = append(out, Unknown)
		case p == nil || p.Kind != roster.Person:
		case len(p.Teams) == 0:
			out = append(out, None)
		default:
			out = append(out, p.Teams...)
		}
	}
	if len(out) == 0 {
		return []string{Unknown}
	}
	return out
}

// models are those that authorships name; a tool without one is unknown by name.
func (j *joined) models(repository string, c *Change) []string {
	var out []string
	tools := slices.Clone(c.Agents)
	for _, a := range slices.Concat(j.authors[headKey(repository, c.Head)], j.authors[headKey(repository, c.Commit)]) {
		for _, g := range a.Agents {
			if g.Model != "" {
				out = append(out, strings.TrimSpace(g.Tool+" "+g.Model))
				tools = slices.DeleteFunc(tools, func(t string) bool { return t == g.Tool })
			}
		}
	}
	for _, t := range tools {
		out = append(out, "unknown model of "+t)
	}
	if len(out) == 0 {
		return []string{"unknown model"}
	}
	return out
}
