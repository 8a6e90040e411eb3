package attest

import (
	"slices"
	"strings"
)

// AgentPermissions says what an agent may do to the world. A person signs it who
// answers for the agent: its operator, or an owner of the policy. What no grant names
// is not permitted, and a denial outweighs every grant. The newest that counts takes
// the place of those before it. Its subject is the agent, by AgentDigest.
type AgentPermissions struct {
	Agent    string  `json:"agent"`    // roster id
	Operator string  `json:"operator"` // roster id of the person who runs it
	Grants   []Grant `json:"grants"`
	Denies   []Deny  `json:"denies,omitempty"`
	// NotAfter is when the permissions end.
	NotAfter Time `json:"notAfter"`
	// ConfigDigest is the SHA-256, in hex, of the configuration that the agent runs
	// with. It is for people and their tools: nothing here can see what runs.
	ConfigDigest string `json:"configDigest,omitempty"`
	GrantedBy    string `json:"grantedBy"` // roster id of the signer
	GrantedAt    Time   `json:"grantedAt"`
}

// A Grant permits what matches all of it.
type Grant struct {
	// Capability is the verb of an operation, such as update, or "*" for every verb.
	Capability string `json:"capability"`
	// Resource is a pattern of addresses, and Kind of their kinds. "*" in them is any
	// text. An empty Kind matches every kind; Resource must be there.
	Resource string `json:"resource"`
	Kind     string `json:"kind,omitempty"`
	// Environments are exact names; at least one.
	Environments []string `json:"environments"`
	// Reversible permits only what can be undone. False permits the rest as well, and
	// has to be written.
	Reversible *bool `json:"reversible"`
	// MaxScope is how many resources one operation may touch under this grant.
	MaxScope int `json:"maxScope"`
}

// A Deny forbids what matches all of it, whatever is granted.
type Deny struct {
	Capability   string   `json:"capability"`
	Resource     string   `json:"resource"`
	Kind         string   `json:"kind,omitempty"`
	Environments []string `json:"environments,omitempty"` // empty: all
}

// Limits of one AgentPermissions.
const (
	maxGrants = 1000
	maxScope  = 1_000_000
)

// AgentDigest is what stands for an agent in the subject of a statement: SHA-256 of
// "agent:" and its roster id.
func AgentDigest(agent string) Digest { return DigestOf([]byte("agent:" + agent)) }

// Type implements Predicate.
func (p *AgentPermissions) Type() string { return TypeAgentPermissions }

// Validate implements Predicate.
func (p *AgentPermissions) Validate() error {
	err := first(
		checkID("predicate.agent", p.Agent),
		checkID("predicate.operator", p.Operator),
		checkID("predicate.grantedBy", p.GrantedBy),
		checkTime("predicate.grantedAt", p.GrantedAt),
		checkTime("predicate.notAfter", p.NotAfter),
	)
	if err == nil && p.ConfigDigest != "" {
		err = checkHex("predicate.configDigest", p.ConfigDigest, 64)
	}
	if err == nil && !p.NotAfter.After(p.GrantedAt.Time) {
		err = fieldErr("predicate.notAfter", "is not after grantedAt")
	}
	if err == nil && len(p.Grants)+len(p.Denies) > maxGrants {
		err = faultErr(TooLarge, "predicate.grants", "has %d items with denies; the limit is %d", len(p.Grants)+len(p.Denies), maxGrants)
	}
	for i := range p.Grants {
		g := &p.Grants[i]
		err = first(err, checkReach("predicate.grants", g.Capability, g.Resource, g.Kind, g.Environments), g.validate())
	}
	for i := range p.Denies {
		d := &p.Denies[i]
		err = first(err, checkReach("predicate.denies", d.Capability, d.Resource, d.Kind, d.Environments))
	}
	return err
}

func (g *Grant) validate() error {
	const field = "predicate.grants"
	switch {
	case len(g.Environments) == 0:
		return faultErr(WrongScope, field+".environments", "is empty: a grant for no environment permits nothing")
	case g.Reversible == nil:
		return fieldErr(field+".reversible", "is missing: write true, or false to permit what cannot be undone")
	case g.MaxScope < 1 || g.MaxScope > maxScope:
		return fieldErr(field+".maxScope", "is %d; 1 to %d resources are allowed", g.MaxScope, maxScope)
	}
	return nil
}

// checkReach checks what grants and denies have in common.
func checkReach(field, capability, resource, kind string, environments []string) error {
	err := first(checkName(field+".capability", capability), checkName(field+".resource", resource), checkText(field+".kind", kind, 256))
	if err == nil && (len(capability) > 64 || capability != "*" && strings.Trim(capability, "abcdefghijklmnopqrstuvwxyz-") != "") {
		err = fieldErr(field+".capability", "%.80q is neither a verb in lower case nor *", capability)
	}
	for _, e := range environments {
		err = first(err, checkID(field+".environments", e))
	}
	if err == nil && !slices.IsSorted(environments) || len(slices.Compact(slices.Clone(environments))) != len(environments) {
		err = first(err, fieldErr(field+".environments", "are not sorted and distinct"))
	}
	return err
}

func (p *AgentPermissions) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	if got := sub.Digest["sha256"]; got != AgentDigest(p.Agent).String() {
		return faultErr(SubjectMismatch, "statement.subject.digest.sha256", "is %.64q, and agent %s is %s", got, p.Agent, AgentDigest(p.Agent))
	}
	return nil
}
