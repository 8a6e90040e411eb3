package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/verify"
)

// freezes are those of the log, and by which words they were lifted.
type freezes struct {
	frozen []item
	lifted map[string][]item // by payload digest of the freeze, hex
}

func (f *freezes) add(it item, p *attest.Freeze) {
	if f.lifted == nil {
		f.lifted = make(map[string][]item)
	}
	if p.Action == attest.Lifted {
		f.lifted[p.Lifts] = append(f.lifted[p.Lifts], it)
	} else {
		f.frozen = append(f.frozen, it)
	}
}

// frozen says why a change cannot go now: the first freeze in force that covers it. One
// that was signed is taken back by nobody's revocation; two officers lift it, and the
// one who froze may be one of them.
func (j *judge) frozen(st *study) string {
	if !j.on(checkFrozen) {
		return ""
	}
	for _, it := range j.freezes.frozen {
		p := it.Statement().Predicate.(*attest.Freeze)
		switch {
		case !j.officer(it):
			j.ignore(it, verify.WrongScope, "", "%s is no officer, and owns no policy: who may not freeze stops nothing", it.by.ID)
		case p.Until != nil && !j.in.Now.Before(p.Until.Time), !p.Covers(j.env.Name, j.in.Request.Repository), !touches(st, p.Domains):
		case j.thawed(it):
		default:
			j.cite(it, "freeze")
			return fmt.Sprintf("releases to %s are frozen by %s in #%d%s: %s", p.Environment, it.by.ID, it.Index(), only(p.Domains), p.Reason)
		}
	}
	return ""
}

func only(domains []string) string {
	if len(domains) == 0 {
		return ""
	}
	return " (" + strings.Join(domains, ", ") + ")"
}

// officer asks the roster in force when the word was logged.
func (j *judge) officer(it item) bool { return j.rosterFor(it.Evidence).MayFreeze(it.by) }

// touches reports whether a change reaches one of the domains. One whose paths are only
// claimed, or that touches what no domain claims, may reach any.
func touches(st *study, domains []string) bool {
	return len(domains) == 0 || touchesAny(st) ||
		slices.ContainsFunc(domains, func(d string) bool { return slices.Contains(st.class.Domains, d) })
}

// touchesAny reports whether nobody knows all that a change touches.
func touchesAny(st *study) bool { return st.vars.Claimed || st.class.Unclaimed }

// thawed reports whether enough officers lifted a freeze after it was logged.
func (j *judge) thawed(freeze item) bool {
	var people []string
	for _, it := range j.credit(j.freezes.lifted[freeze.Digest().String()], "") {
		if it.Index() > freeze.Index() && j.officer(it) && !slices.Contains(people, it.by.ID) {
			people = append(people, it.by.ID)
			j.cite(it, "lift of #"+fmt.Sprint(freeze.Index()))
		}
	}
	return len(people) >= minOwners(j.in.Trust) || !j.on(checkLift) && len(people) > 0
}
