package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/planfacts"
)

// An Act is one thing that an agent does, or would do, to one resource.
type Act struct {
	Verb        string // as in operation/v1
	Resource    string // its address
	Kind        string
	Environment string
	Reversible  bool
}

// An Unpermitted act, and why it is not permitted.
type Unpermitted struct {
	Act Act
	Why string
}

// HoldAgainst holds the acts of one operation against what an agent may do at a time,
// and returns those that it may not, in the order in which they came. None means that
// all are permitted, and no act at all, which shows nothing, is not.
//
// Without permissions nothing is permitted. A denial outweighs every grant. A grant
// that matches more resources of the operation than its scope permits none of them,
// so that a large operation cannot be cut into small ones by its order.
func HoldAgainst(p *attest.AgentPermissions, acts []Act, at time.Time) []Unpermitted {
	refuse := func(why string) []Unpermitted {
		out := make([]Unpermitted, 0, max(len(acts), 1))
		for _, a := range acts {
			out = append(out, Unpermitted{a, why})
		}
		if len(acts) == 0 {
			out = append(out, Unpermitted{Why: why})
		}
		return out
	}
	switch {
	case p == nil:
		return refuse("nobody permitted this agent anything")
	case at.After(p.NotAfter.Time):
		return refuse(fmt.Sprintf("its permissions ended at %s", stamp(p.NotAfter.Time)))
	case at.Before(p.GrantedAt.Time):
		return refuse(fmt.Sprintf("its permissions begin at %s", stamp(p.GrantedAt.Time)))
	case len(acts) == 0:
		return refuse("the operation names nothing that it does")
	}
	scopes := make([]int, len(p.Grants))
	for i := range p.Grants {
		touched := make(map[[2]string]bool)
		for k := range acts {
			if g := &p.Grants[i]; reaches(g.Capability, g.Resource, g.Kind, g.Environments, &acts[k]) {
				touched[[2]string{acts[k].Kind, acts[k].Resource}] = true
			}
		}
		scopes[i] = len(touched)
	}
	var out []Unpermitted
	for i := range acts {
		if why := whyNot(p, scopes, &acts[i]); why != "" {
			out = append(out, Unpermitted{acts[i], why})
		}
	}
	return out
}

// whyNot says why one act is not permitted; it is empty when it is.
func whyNot(p *attest.AgentPermissions, scopes []int, a *Act) string {
	if i := slices.IndexFunc(p.Denies, func(d attest.Deny) bool { return denies(&d, a) }); i >= 0 {
		return fmt.Sprintf("denied: %s of %s", p.Denies[i].Capability, p.Denies[i].Resource)
	}
	why := fmt.Sprintf("no grant names %s of it in %s", a.Verb, a.Environment)
	for i := range p.Grants {
		g := &p.Grants[i]
		switch {
		case !reaches(g.Capability, g.Resource, g.Kind, g.Environments, a):
		case (g.Reversible == nil || *g.Reversible) && !a.Reversible:
			why = fmt.Sprintf("it cannot be undone, and the grant of %s on %s is for what can be", g.Capability, g.Resource)
		case scopes[i] > g.MaxScope:
			why = fmt.Sprintf("the operation touches %d resources under the grant of %s on %s, which is for %d at most", scopes[i], g.Capability, g.Resource, g.MaxScope)
		default:
			return ""
		}
	}
	return why
}

// denies reports whether a denial is about an act. What is replaced is deleted, whoever
// denies deleting it; a kind that is not told may be the one that is denied.
func denies(d *attest.Deny, a *Act) bool {
	act, environments, kind := *a, d.Environments, d.Kind
	if a.Verb == string(attest.VerbReplace) && d.Capability == string(attest.VerbDelete) {
		act.Verb = d.Capability
	}
	if len(environments) == 0 {
		environments = []string{a.Environment}
	}
	if a.Kind == "" {
		kind = ""
	}
	return reaches(d.Capability, d.Resource, kind, environments, &act)
}

// reaches reports whether a grant or denial is about an act. Without an environment
// it is about none.
func reaches(capability, resource, kind string, environments []string, a *Act) bool {
	return (capability == "*" || capability == a.Verb) && slices.Contains(environments, a.Environment) &&
		planfacts.MatchGlob(resource, a.Resource) && (kind == "" || planfacts.MatchGlob(kind, a.Kind))
}
