package policy

import (
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// revocations are kept by what they take back. They only ever take credit away:
// what a statement adds against a change (a rejection, a sign of AI, one more
// author, a second source) stays, so that adding a revocation can never turn a
// deny into an allow.
type revocations struct {
	statements map[string][]item // by payload digest, hex
	keys       map[string][]item // by key id, hex
	people     map[string][]item // by roster id
	sessions   map[string][]item // by session id
}

func (r *revocations) add(it item, p *attest.Revocation) {
	if r.statements == nil {
		r.statements, r.keys, r.people, r.sessions = map[string][]item{}, map[string][]item{}, map[string][]item{}, map[string][]item{}
	}
	for _, v := range p.Revokes {
		switch v.Kind {
		case attest.RevokedStatement:
			r.statements[v.Digest] = append(r.statements[v.Digest], it)
		case attest.RevokedKey:
			r.keys[v.Digest] = append(r.keys[v.Digest], it)
		case attest.RevokedPerson:
			r.people[v.Person] = append(r.people[v.Person], it)
		case attest.RevokedSession:
			r.sessions[v.Session] = append(r.sessions[v.Session], it)
		}
	}
}

// revoked reports whether an item was taken back by somebody who may: its signer,
// the holder of the key, the person, who runs the agent that signed, or an owner
// of the policy.
func (j *judge) revoked(it item) bool {
	r := &j.revocations
	if r.statements == nil || !j.on(checkRevoked) {
		return false
	}
	taken := slices.Concat(r.statements[it.Digest().String()], r.statements[otherSpelling(it)])
	for _, other := range j.spellings[identity{it.Signer(), it.Said()}] {
		taken = slices.Concat(taken, r.statements[other])
	}
	lists := [][]item{taken}
	if it.by != nil {
		key := it.Signer()
		lists = append(lists, r.keys[attest.KeyID(key).String()], r.people[it.by.ID])
	}
	holders := []*roster.Principal{it.by}
	if it.via != nil {
		holders = append(holders, it.via)
	}
	for i, list := range lists {
		for _, rev := range list {
			p := rev.Statement().Predicate.(*attest.Revocation)
			switch {
			case i > 0 && p.EffectiveFrom != nil && it.Time().Before(p.EffectiveFrom.Time):
			case j.on(checkRevoker) && !slices.ContainsFunc(holders, func(h *roster.Principal) bool { return j.mayRevoke(rev, h) }):
				j.ignore(rev, verify.UntrustedKey, "", "%s may not take back what is not theirs; they own no policy", rev.by.ID)
			default:
				j.cite(rev, "revocation")
				return true
			}
		}
	}
	return false
}

// credit returns the items that were not taken back, and says why of the others.
func (j *judge) credit(items []item, change string) []item {
	kept := make([]item, 0, len(items))
	for _, it := range items {
		if j.revoked(it) {
			j.ignore(it, Revoked, change, "was taken back")
			continue
		}
		kept = append(kept, it)
	}
	return kept
}

// otherSpelling is the payload digest of the one other spelling that an approval with an
// assertion may have, in hex: what was taken back under it is taken back, also where a
// source leaves that one out. Empty where there is none.
func otherSpelling(it item) string {
	other, ok := it.Statement().Respelled()
	if !ok {
		return ""
	}
	payload, err := other.Marshal()
	if err != nil {
		return ""
	}
	return attest.DigestOf(payload).String()
}
