package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// held is what holding a plan against the permissions of the agents that made it gave.
type held struct {
	byAgent bool     // an agent made it, or somebody says that AI did
	beyond  []string // what was not permitted, "agent: verb address: why"
	permits []item   // what was permitted, of which all rests
}

// maxBeyond bounds how much of what was not permitted a decision lists, and fewBeyond how
// much of it a reason names.
const (
	maxBeyond = 100
	fewBeyond = 3
)

// HoldsAgents reports whether a rule asks what agents are permitted: only then is it
// gathered, and only then do decisions speak of it.
func (s *Set) HoldsAgents() bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool {
		return r.About == AboutPlan && (r.Require.Permitted || r.When != nil && strings.Contains(r.When.Source(), "unpermitted"))
	})
}

// holdAgents holds what a plan does against what every agent may do that made it. All of
// it must be permitted to each: whose part was whose nobody knows. Of a plan whose maker
// nobody knows, and of AI that nobody names, nothing is.
func (j *judge) holdAgents(st *study, origin attest.Origin) {
	h := &st.held
	h.byAgent = len(st.agents) > 0 || origin == attest.OriginAI || origin == attest.OriginMixed
	if origin == attest.OriginHuman || !j.in.Set.HoldsAgents() {
		return
	}
	switch {
	case !h.byAgent:
		h.beyond = []string{"everything: who made it is not known, and might be an agent"}
	case len(st.agents) == 0:
		h.beyond = []string{"everything: AI made it, and nobody says which agent"}
	}
	acts := make([]Act, 0, len(st.plan.operations))
	for _, op := range st.plan.operations {
		acts = append(acts, Act{Verb: string(op.Verb), Resource: op.Address, Kind: op.Kind, Environment: j.env.Name, Reversible: op.Reversible})
	}
	for _, agent := range st.result.Agents {
		pr, known := j.in.Set.Roster.Principal(agent)
		if known = known && pr.Kind == roster.Agent; !known {
			if j.on(checkNamed) {
				h.beyond = append(h.beyond, clean(agent)+": everything: no agent of the roster has this id")
			}
			continue
		}
		j.holdAgent(h, pr, acts)
	}
	if n := st.plan.omitted; n > 0 && j.on(checkWhole) {
		h.beyond = append(h.beyond, plural(n, "operation")+" that nobody lists")
	}
	st.result.Plan.Unpermitted = cleanAll(h.beyond[:min(len(h.beyond), maxBeyond)])
}

func (j *judge) holdAgent(h *held, agent *roster.Principal, acts []Act) {
	permit, why := j.permitOf(agent)
	if why != "" {
		h.beyond = append(h.beyond, agent.ID+": everything: "+why)
		return
	}
	h.permits = append(h.permits, permit)
	not := HoldAgainst(permit.Statement().Predicate.(*attest.AgentPermissions), acts, j.in.Now)
	if len(not) > 0 && len(not) >= len(acts) && !slices.ContainsFunc(not, func(u Unpermitted) bool { return u.Why != not[0].Why }) {
		h.beyond = append(h.beyond, agent.ID+": everything: "+not[0].Why)
		return
	}
	for _, u := range not {
		h.beyond = append(h.beyond, agent.ID+": "+u.Act.Verb+" "+u.Act.Resource+": "+u.Why)
	}
}

// permitOf is the newest that was said of what an agent may do. What came before it plays no part, also where it was taken back, has
// ended, or is by somebody who does not answer for the agent any more: else a revocation
// could give back what a narrower grant took. why says that it permits nothing.
func (j *judge) permitOf(agent *roster.Principal) (permit item, why string) {
	said := j.permissions[agent.ID]
	if len(said) == 0 {
		return item{}, "nobody permitted this agent anything"
	}
	newest := said[len(said)-1]
	if !j.on(checkNewest) {
		newest = said[0]
	}
	by := newest.Statement().Predicate.(*attest.AgentPermissions).GrantedBy
	switch {
	case j.on(checkInOrder) && slices.ContainsFunc(said, func(o item) bool { return signedBefore(newest, o) }):
		return item{}, fmt.Sprintf("what it was permitted (#%d) was signed before what was logged first: permit it again", newest.Index())
	case j.revoked(newest):
		return item{}, fmt.Sprintf("what it was permitted (#%d) was taken back", newest.Index())
	case !j.answersFor(agent, by) && j.on(checkGrantor):
		return item{}, fmt.Sprintf("%s, who permitted it (#%d), neither runs it nor owns the policy", by, newest.Index())
	}
	return newest, ""
}

// signedBefore reports whether a permission says that it was given before another that was
// logged first: then somebody held it back, and it may be the wider one. A permission that
// begins later was signed, at the latest, when it was logged.
func signedBefore(newest, before item) bool {
	given := func(it item) time.Time { return it.Statement().Predicate.(*attest.AgentPermissions).GrantedAt.Time }
	return before.Index() < newest.Index() && given(newest).Before(earlier(given(before), before.Time()))
}

// answersFor reports whether somebody may say what an agent may do.
func (j *judge) answersFor(agent *roster.Principal, who string) bool {
	return who == agent.Operator || slices.Contains(j.in.Set.Roster.Owners, who)
}

// filePermissions keeps what agents were permitted, where it is said in the signer's name.
func (j *judge) filePermissions(it item, p *attest.AgentPermissions) {
	if j.in.Request.Plan == nil || !j.in.Set.HoldsAgents() {
		return
	}
	if p.GrantedBy != it.by.ID {
		j.ignore(it, verify.UntrustedKey, "", "says that %s permits it, and %s signed it", p.GrantedBy, it.by.ID)
		return
	}
	j.permissions[p.Agent] = append(j.permissions[p.Agent], it)
}

// unpermitted holds `permitted: true` against a plan. It returns what was not permitted;
// empty means that all of it was, or that people made the plan.
func (j *judge) unpermitted(st *study) string {
	h := &st.held
	for _, it := range h.permits {
		j.cite(it, "permissions of "+it.Statement().Predicate.(*attest.AgentPermissions).Agent)
	}
	if len(h.beyond) == 0 {
		return ""
	}
	text := strings.Join(h.beyond[:min(len(h.beyond), fewBeyond)], "; ")
	if more := len(h.beyond) - fewBeyond; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// permittedWhy says why a plan holds that was asked to be permitted.
func (h *held) permittedWhy() string {
	if len(h.permits) == 0 {
		return "people made it"
	}
	return "all of it was permitted to its agents (" + entries(h.permits) + ")"
}
