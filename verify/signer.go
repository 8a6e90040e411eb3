package verify

import (
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// checkSigner finds whose key signed, and whether they may say such a thing. The
// hint in the bundle plays no part: the key is the leaf's.
func (v *Verifier) checkSigner(it *item) *Refusal {
	id := roster.KeyID(it.key.ID())
	typ := it.statement.Predicate.Type()
	ours := ofService(typ)
	if it.key == v.trust.Service {
		if !ours {
			return refuse(WrongScope, "the trusted service signs verdicts, and what it carries for others, and nothing else")
		}
		it.validity = []roster.Validity{v.trust.ServiceValid, v.trust.ServiceValid}
		return nil
	}
	if c := v.trust.Console; c != nil && it.key == c.Key {
		return v.checkAssertion(it)
	}
	if a, ok := it.statement.Predicate.(*attest.Approval); ok && a.Assertion != nil {
		return refuse(WrongScope, "an approval with an assertion is signed around by the trust folder's console, and by nobody else")
	}
	people := v.rosterFor(it)
	p, k, ok := people.ByKey(id)
	if !ok {
		return refuse(UntrustedKey, "%s is nobody's in the roster", nameOf(it.key))
	}
	it.principal, it.validity = p, []roster.Validity{p.Validity, k.Validity}
	if ours && !it.summary() {
		return refuse(UntrustedKey, "%s signed a %s; only the trusted service's count", p.ID, typ)
	}
	if r := checkClaims(it.key, k); r != nil {
		return r
	}
	if a, ok := it.statement.Predicate.(*attest.Approval); ok && (a.WitnessedBy != nil || p.Kind == roster.Service) {
		return v.checkWitnessed(it, people, a)
	}
	it.assurance = roster.ByKey
	return v.checkSpeaker(it, people)
}

// checkSpeaker asks whether the principal may say such a thing, and says it themselves.
func (v *Verifier) checkSpeaker(it *item, people *roster.Roster) *Refusal {
	p, typ := it.principal, it.statement.Predicate.Type()
	if !MayMake(people, p, typ) && !(it.summary() && p.Kind == roster.Service && p.MaySign(typ)) {
		return refuse(WrongScope, "%s %s may not make %s", p.Kind, p.ID, typ)
	}
	if said := speaker(it.statement.Predicate); said != "" && said != p.ID {
		return refuse(UntrustedKey, "the statement is in the name of %q, and %s signed it", said, p.ID)
	}
	return v.checkGrantor(it, p)
}

// checkGrantor lets only the person who runs an agent, as the roster has it, or an
// owner of the policy say what the agent may do.
func (v *Verifier) checkGrantor(it *item, by *roster.Principal) *Refusal {
	p, ok := it.statement.Predicate.(*attest.AgentPermissions)
	if !ok {
		return nil
	}
	people := v.rosterFor(it)
	agent, known := people.Principal(p.Agent)
	switch {
	case !known || agent.Kind != roster.Agent:
		return refuse(WrongScope, "%q is no agent of the roster", p.Agent)
	case agent.Operator != p.Operator:
		return refuse(WrongScope, "the roster has another operator for %s than %q", p.Agent, p.Operator)
	case by.ID != agent.Operator && !slices.Contains(people.Owners, by.ID):
		return refuse(WrongScope, "%s neither runs agent %s nor owns the policy", by.ID, p.Agent)
	}
	return nil
}

// summary reports whether this is a verification summary that another verifier made and
// another log vouches for. It is kept and found, and opens nothing.
func (it *item) summary() bool {
	return it.vouched != "" && it.statement.Predicate.Type() == attest.TypeVSA
}

// ofService reports whether a predicate type is the trusted service's alone.
func ofService(predicateType string) bool {
	switch predicateType {
	case attest.TypeDecision, attest.TypeVSA, attest.TypeAttachment, attest.TypeImport:
		return true
	}
	return false
}

// MayMake reports whether a principal may make statements of a predicate type.
// Services may make what their entry lists; people and agents speak for
// themselves, only people who own the policy publish it and record gaps, only they and officers freeze,
// and only they and those who run an agent permit the agent something. What an agent
// approves, or says of broken glass, is let in to be seen, and never counts. Verdicts are the trusted service's alone.
func MayMake(r *roster.Roster, p *roster.Principal, predicateType string) bool {
	switch {
	case ofService(predicateType):
		return false
	case predicateType == attest.TypeFreeze:
		return r.MayFreeze(p)
	case predicateType == attest.TypeCohortSnapshot && p.Kind == roster.Person: // who stops releases may say how they fared
		return r.MayFreeze(p)
	case predicateType == attest.TypePolicy, predicateType == attest.TypeGap:
		return p.Kind == roster.Person && slices.Contains(r.Owners, p.ID)
	case predicateType == attest.TypeAgentPermissions:
		return p.Kind == roster.Person
	}
	if p.Kind == roster.Service {
		return predicateType != attest.TypeDeepDive && p.MaySign(predicateType) // approvals: as a forge, see Witness
	}
	switch predicateType {
	case attest.TypeApproval, attest.TypeAuthorship, attest.TypeRevocation, attest.TypeRisk, attest.TypeOperation, attest.TypeBreakGlass:
		return true
	case attest.TypeLink: // an agent answers for no step of a build
		return p.Kind == roster.Person
	case attest.TypeIncident, attest.TypeDeepDive: // an agent neither reports incidents nor plays them down
		return p.Kind == roster.Person
	}
	return false
}

// speaker is the roster id in whose name a statement is made; "" when it names none.
func speaker(p attest.Predicate) string {
	switch p := p.(type) {
	case *attest.Approval:
		return p.Reviewer
	case *attest.Authorship:
		return p.DeclaredBy
	case *attest.Revocation:
		return p.By
	case *attest.Operation:
		return p.DeclaredBy
	case *attest.Freeze:
		return p.By
	case *attest.AgentPermissions:
		return p.GrantedBy
	case *attest.BreakGlass:
		return p.By
	}
	return ""
}
