package scenario

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// permit lets somebody say what an agent may do: permit WHO AGENT capability:resource….
// Options: env (production unless said), max, deny=capability:resource, for (how long; a
// day unless said), irreversible, operator, at (when it was signed, from now).
func (t *teller) permit(s *step, now attest.Time) error {
	said, err := time.ParseDuration(s.opt("at", "0s"))
	if err != nil {
		return err
	}
	now = attest.At(now.Add(said))
	long, err := time.ParseDuration(s.opt("for", "24h"))
	if err != nil {
		return err
	}
	most, err := strconv.Atoi(s.opt("max", "10"))
	if err != nil {
		return err
	}
	operator := s.opt("operator", "")
	if p, ok := t.set.Roster.Principal(s.arg(1)); ok && operator == "" {
		operator = p.Operator
	}
	reversible := !s.has("irreversible")
	p := &attest.AgentPermissions{
		Agent: s.arg(1), Operator: operator, Grants: []attest.Grant{}, GrantedBy: s.opt("as", principal(s.arg(0))),
		GrantedAt: now, NotAfter: attest.At(now.Add(long)),
	}
	environments := strings.Split(s.opt("env", "production"), ",")
	slices.Sort(environments)
	for _, text := range s.args[2:] {
		capability, resource, _ := strings.Cut(text, ":")
		p.Grants = append(p.Grants, attest.Grant{Capability: capability, Resource: resource, Environments: environments, Reversible: &reversible, MaxScope: most})
	}
	if s.has("deny") {
		capability, resource, _ := strings.Cut(s.opts["deny"], ":")
		p.Denies = []attest.Deny{{Capability: capability, Resource: resource}}
	}
	subject := []attest.Subject{{Name: p.Agent, Digest: map[string]string{"sha256": attest.AgentDigest(p.Agent).String()}}}
	return t.sign(s, s.arg(0), subject, p)
}
