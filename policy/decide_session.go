package policy

import (
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// badSession says why a change, or a plan, that an agent's session made cannot go: somebody
// who may has taken the session back. Whoever named the session, and whether they took that
// back, plays no part: it only adds to a suspicion.
func (j *judge) badSession(st *study) string {
	if !j.on(checkSession) {
		return ""
	}
	for _, id := range j.sessionsOf(st) {
		for _, rev := range j.revocations.sessions[id] {
			if !j.mayEndSession(rev, st) {
				j.ignore(rev, verify.UntrustedKey, st.result.Change, "%s neither ran the agent nor wrote the change, and owns no policy", rev.by.ID)
				continue
			}
			j.cite(rev, "revocation")
			return fmt.Sprintf("made in agent session %.80s, which %s took back in #%d", id, rev.by.ID, rev.Index())
		}
	}
	return ""
}

// mayEndSession: an owner of the policy, or a person among the authors, who include whoever
// runs the agent.
func (j *judge) mayEndSession(rev item, st *study) bool {
	return !j.on(checkRevoker) || j.mayRevoke(rev, nil) || rev.by.Kind == roster.Person && st.holds(rev.by.ID)
}

// sessionsOf lists the agent sessions that anybody names for a change or a plan.
func (j *judge) sessionsOf(st *study) []string {
	var out []string
	add := func(agents ...attest.Agent) {
		for _, a := range agents {
			if a.SessionID != "" && !slices.Contains(out, a.SessionID) {
				out = append(out, a.SessionID)
			}
		}
	}
	if st.plan != nil {
		for _, it := range j.operations {
			add(it.Statement().Predicate.(*attest.Operation).Agents...)
		}
		return out
	}
	for _, it := range slices.Concat(j.authorships[st.head], j.authorships[st.ID]) {
		add(it.Statement().Predicate.(*attest.Authorship).Agents...)
	}
	for _, it := range slices.Concat(j.agentMade[st.head], j.agentMade[st.ID]) {
		agent, _ := it.Statement().Predicate.(*attest.SLSAProvenance).AgentCommit()
		add(agent)
	}
	return out
}
