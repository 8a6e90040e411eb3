package policy

import (
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// originOf says where a change comes from. Anybody's sign of AI is believed, taken
// back or not; "human" only when every author says so under their own key, and
// nothing speaks against it. Everything else is unknown, which is not human. The
// stronger suspicion wins, so that who says "mixed" takes nothing from a sign of AI.
func (j *judge) originOf(m *merge, s *authors, commits []*gitfacts.Commit, name string) attest.Origin {
	ai, mixed := len(s.agents) > 0, false
	if j.on(checkSigns) {
		for _, c := range commits {
			for _, sign := range j.signs.Signs([]gitfacts.Commit{*c}) {
				ai = true
				s.agents[sign.Tool] = true
			}
		}
	}
	said := false
	for _, it := range slices.Concat(j.authorships[m.head], j.authorships[m.ID]) {
		p := it.Statement().Predicate.(*attest.Authorship)
		isMixed := p.Origin == attest.OriginMixed && it.by.Kind != roster.Agent
		isAI := !isMixed && (p.Origin == attest.OriginAI || it.by.Kind == roster.Agent || len(p.Agents)+len(p.Evidence) > 0)
		if !j.on(checkDeclared) || !isAI && !isMixed {
			continue
		}
		said, mixed = said || isAI, mixed || isMixed
		for _, g := range p.Agents {
			s.agents[clean(g.Tool)] = true
		}
		j.cite(it, "origin of "+name)
	}
	for _, it := range slices.Concat(j.agentMade[m.head], j.agentMade[m.ID]) {
		agent, _ := it.Statement().Predicate.(*attest.SLSAProvenance).AgentCommit()
		if !j.on(checkDeclared) {
			continue
		}
		said = true
		s.agents[clean(agent.Tool)] = true
		j.cite(it, "origin of "+name)
	}
	switch {
	case mixed && !said && !ai:
		return attest.OriginMixed
	case ai || said:
		return attest.OriginAI
	case j.allSayHuman(m, s):
		return attest.OriginHuman
	}
	return attest.OriginUnknown
}

// allSayHuman reports whether every member of the author set signed that people
// wrote the change. A stranger can sign nothing, so with one it is false.
func (j *judge) allSayHuman(m *merge, s *authors) bool {
	if s.incomplete || len(s.list) == 0 {
		return false
	}
	said := make(map[string]bool)
	for _, it := range j.ownAuthorships(m) {
		if it.Statement().Predicate.(*attest.Authorship).Origin == attest.OriginHuman {
			said[it.by.ID] = true
		}
	}
	if !j.on(checkOwnWord) && len(said) > 0 {
		return true
	}
	return !slices.ContainsFunc(s.list, func(a *author) bool { return a.person() == nil || !said[a.who] })
}
