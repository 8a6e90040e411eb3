package verify

import (
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Witness finds whose word it is that a forge witnessed: the holder of the account, who
// the statement must name as its reviewer. by is who signed. A forge speaks for accounts
// of the hosts that the roster gives it, and for nobody else (attack E06).
func Witness(people *roster.Roster, by *roster.Principal, a *attest.Approval) (*roster.Principal, *Refusal) {
	w := a.WitnessedBy
	if w == nil {
		return nil, refuse(WrongScope, "%s %s may not approve; a forge says whose decision it saw (witnessedBy)", by.Kind, by.ID)
	}
	if by.Kind != roster.Service || !by.Forge || !by.MaySign(attest.TypeApproval) {
		return nil, refuse(WrongScope, "%s %s is no forge that may witness approvals", by.Kind, by.ID)
	}
	if !by.Witnesses(w.Forge, attest.TypeApproval) {
		return nil, refuse(UntrustedKey, "%s does not speak for accounts on %s", by.ID, w.Forge)
	}
	p, ok := people.ByAccount(w.Forge, w.Account)
	if !ok {
		return nil, refuse(UntrustedKey, "account %.80q on %s is nobody's in the roster", w.Account, w.Forge)
	}
	if p.ID != a.Reviewer {
		return nil, refuse(UntrustedKey, "the statement is in the name of %q, and account %.80q on %s is %s's", a.Reviewer, w.Account, w.Forge, p.ID)
	}
	return p, nil
}

// checkWitnessed is checkSigner for what a forge says that a reviewer decided. It proves
// the least of all: the account was used.
func (v *Verifier) checkWitnessed(it *item, people *roster.Roster, a *attest.Approval) *Refusal {
	reviewer, r := Witness(people, it.principal, a)
	if r != nil {
		return r
	}
	it.validity = append(it.validity, reviewer.Validity)
	it.assurance = roster.ByForge
	return nil
}
