package scenario

import (
	"github.com/countersign-dev/countersign/attest"
)

// gap enacts "gap WHO,WHO FROM TO" (options env, repo): each of them signs the same payload.
func (t *teller) gap(s *step, now attest.Time) error {
	st := attest.NewGap(&attest.Gap{
		Repository: s.opt("repo", Repository), Environments: listOf(s.opt("env", "production")), From: string(t.id(s.arg(1))), To: string(t.id(s.arg(2))),
		Reason: "the runner was down", SaidAt: now,
	})
	for _, who := range listOf(s.arg(0)) {
		if err := t.write(s, st, Key(who)); err != nil {
			return err
		}
	}
	return nil
}
