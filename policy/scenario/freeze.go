package scenario

import (
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// freeze enacts "freeze WHO" (options env, domains, until: from now) and "lift WHO NAME", which
// lifts the freeze of that name.
func (t *teller) freeze(s *step, now attest.Time) error {
	p := &attest.Freeze{Action: attest.Frozen, By: s.opt("as", principal(s.arg(0))), Environment: s.opt("env", "production"), Domains: listOf(s.opts["domains"]), Reason: "incident", FrozenAt: now}
	if repo := s.opt("repo", ""); repo != "" {
		p.Repositories = []string{repo}
	}
	if s.has("until") {
		d, err := time.ParseDuration(s.opts["until"])
		if err != nil {
			return err
		}
		until := attest.At(now.Add(d))
		p.Until = &until
	}
	if s.verb == "lift" {
		payload, err := t.statements[s.arg(1)].st.Marshal()
		if err != nil {
			return err
		}
		p = &attest.Freeze{Action: attest.Lifted, By: p.By, Lifts: attest.DigestOf(payload).String(), Reason: "over", FrozenAt: now}
	}
	return t.write(s, attest.NewFreeze(p), Key(s.arg(0)))
}
