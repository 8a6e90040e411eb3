package cohort

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A Dimension is what deployments are told apart by.
type Dimension string

// The dimensions. A deployment can be in several cohorts of tool, model, domain and team,
// and is in one of every other.
const (
	ByOrigin      Dimension = "origin"      // none, some or all of its changes by AI
	ByTool        Dimension = "tool"        // AI tools
	ByModel       Dimension = "model"       // their models
	ByAutonomy    Dimension = "autonomy"    // assisted: a person is among the authors; autonomous: agents alone
	ByTier        Dimension = "tier"        // highest of its changes
	ByDomain      Dimension = "domain"      // that it touched
	ByTeam        Dimension = "team"        // of its authors
	BySeniority   Dimension = "seniority"   // lowest level among its authors
	ByApprovals   Dimension = "approvals"   // fewest that any of its changes has
	ByAssurance   Dimension = "assurance"   // least that any approval proves of its person
	ByRepository  Dimension = "repository"  // where it comes from
	ByEnvironment Dimension = "environment" // where it went
	ByAftermath   Dimension = "aftermath"   // worst of sev1 and sev2 of its domains, within a week before
	ByCritical    Dimension = "critical"    // how many domains of the highest tier it touched: none, one, several
)

// Dimensions lists them.
func Dimensions() []Dimension {
	return []Dimension{ByOrigin, ByTool, ByModel, ByAutonomy, ByTier, ByDomain, ByTeam, BySeniority, ByApprovals, ByAssurance, ByRepository, ByEnvironment, ByAftermath, ByCritical}
}

// Several reports whether one deployment can be in several cohorts of the dimension.
func (by Dimension) Several() bool {
	return slices.Contains([]Dimension{ByTool, ByModel, ByDomain, ByTeam}, by)
}

// Unknown is the cohort of what nobody knows. It is a cohort of its own in every
// dimension, and never counts as human, low or approved.
const Unknown = "unknown"

// None is the cohort without any: no AI, no domain, no team.
const None = "none"

// cohorts are those that a deployment belongs to, sorted; at least one.
func (j *joined) cohorts(d *Deployed, by Dimension) []string {
	switch by {
	case ByEnvironment:
		return []string{d.Environment}
	case ByRepository:
		return []string{cmp.Or(d.Repository, Unknown)}
	}
	if len(d.Changes) == 0 {
		return []string{Unknown}
	}
	switch by {
	case ByOrigin:
		return []string{origin(d.Changes)}
	case ByAutonomy:
		return []string{j.autonomy(d.Repository, d.Changes)}
	case ByTier:
		return []string{extreme(d.Changes, j.log.Tiers, func(c *Change) int { return slices.Index(j.log.Tiers, c.Tier) }, true)}
	case BySeniority:
		return []string{extreme(d.Changes, j.log.Levels, j.lowestLevel, false)}
	case ByApprovals:
		return []string{approvals(d.Changes)}
	case ByAssurance:
		return []string{assurance(d.Changes)}
	case ByAftermath:
		return []string{j.aftermath(d)}
	case ByCritical:
		return []string{j.critical(d)}
	}
	var out []string
	for i := range d.Changes {
		out = append(out, j.several(d, &d.Changes[i], by)...)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > 1 { // "none" is said where there is nothing else
		out = slices.DeleteFunc(out, func(s string) bool { return s == None })
	}
	return out
}

// origin is "all" where every change has AI, "some" where one has, "none" only where
// every one is believed to be human, and unknown otherwise.
func origin(changes []Change) string {
	ai, human := 0, 0
	for i := range changes {
		switch attest.Origin(changes[i].Origin) {
		case attest.OriginAI:
			ai++
		case attest.OriginMixed:
			ai++ // a person had a hand in it, and so had AI
		case attest.OriginHuman:
			human++
		}
	}
	switch {
	case ai == len(changes):
		return "all"
	case ai > 0:
		return "some"
	case human == len(changes):
		return None
	}
	return Unknown
}

// autonomy looks at the changes with AI: one by agents of the roster alone makes the
// deployment autonomous; one with an author whom nobody knows cannot be told.
func (j *joined) autonomy(repository string, changes []Change) string {
	assisted, untold := false, false
	for i := range changes {
		c := &changes[i]
		switch attest.Origin(c.Origin) {
		case attest.OriginAI, attest.OriginMixed:
		case attest.OriginHuman:
			continue
		default:
			untold = true
			continue
		}
		switch people, agents, strangers := j.hands(repository, c); {
		case agents > 0 && people+strangers == 0:
			return "autonomous"
		case people > 0:
			assisted = true
		default:
			untold = true
		}
	}
	switch {
	case untold:
		return Unknown
	case assisted:
		return "assisted"
	}
	return None
}

// hands counts who wrote a change. An agent's operator is in its author set, and wrote
// only where git says so.
func (j *joined) hands(repository string, c *Change) (people, agents, strangers int) {
	operators := make(map[string]bool)
	for _, a := range c.Authors {
		if p := j.principals[a.Who]; p != nil && p.Kind == roster.Agent {
			operators[p.Operator] = true
		}
	}
	request := j.requests[headKey(repository, c.Head)]
	for _, a := range c.Authors {
		p := j.principals[a.Who]
		switch {
		case p != nil && p.Kind == roster.Agent, p == nil && slices.Contains(c.Agents, a.Who): // or a tool's own address
			agents++
		case p == nil:
			strangers++
		case p.Kind != roster.Person:
		case !operators[p.ID]:
			people++
		case request == nil || request.Writers == nil:
			strangers++
		case slices.Contains(request.Writers, p.ID):
			people++
		}
	}
	return people, agents, strangers
}

// extreme is the highest or lowest word of all changes; one that has none makes it
// unknown.
func extreme(changes []Change, words []string, rank func(*Change) int, highest bool) string {
	best := -1
	for i := range changes {
		r := rank(&changes[i])
		if r < 0 || r >= len(words) {
			return Unknown
		}
		if best < 0 || highest && r > best || !highest && r < best {
			best = r
		}
	}
	return words[best]
}

// lowestLevel is the lowest level among the authors; -1 with a stranger or nobody.
func (j *joined) lowestLevel(c *Change) int {
	lowest := len(j.log.Levels)
	for _, a := range c.Authors {
		switch p := j.principals[a.Who]; {
		case p == nil && slices.Contains(c.Agents, a.Who), p != nil && p.Kind != roster.Person:
		case p == nil:
			return -1
		default:
			lowest = min(lowest, slices.Index(j.log.Levels, a.Level))
		}
	}
	return lowest
}

// approvals is the least that any change has; four and more are one cohort.
func approvals(changes []Change) string {
	least := len(changes[0].Approved)
	for i := range changes {
		least = min(least, len(changes[i].Approved))
	}
	if least >= 4 {
		return "4 or more"
	}
	return fmt.Sprint(least)
}

// assurance is the least that any approval that counted proves of its person.
func assurance(changes []Change) string {
	least := len(roster.Assurances)
	for i := range changes {
		if len(changes[i].Approved) == 0 {
			return None
		}
		for _, v := range changes[i].Approved {
			rank := slices.Index(roster.Assurances, v.Assurance)
			if rank < 0 {
				return Unknown
			}
			least = min(least, rank)
		}
	}
	return roster.Assurances[least]
}
