// Package roster says who there is: people, agents and services, their keys and
// when each held, and what each may sign and take back. It judges nothing else.
package roster

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest/credential"
)

// KeyID is the SHA-256 of a key's SubjectPublicKeyInfo in DER.
type KeyID [32]byte

// Kind separates those who can answer for a change from those who cannot.
type Kind string

// The kinds of principal.
const (
	Person  Kind = "person"
	Agent   Kind = "agent"
	Service Kind = "service"
)

// A Principal is one person, agent or service.
type Principal struct {
	ID   string
	Kind Kind
	// Level and Teams are a person's; Level is one of the policy's levels.
	Level string
	Teams []string
	// Operator is the id of the person who runs an agent; "" when unknown, and
	// then every human author of a change counts as the operator.
	Operator string
	// May lists the predicate types that a service may make, in full.
	May []string
	// Forge marks a service that commits on behalf of others: as a committer
	// it is no author.
	Forge bool
	// Hosts are the forges whose accounts a forge may speak for, in lower case.
	Hosts    []string
	Emails   []string // git identities, exact
	Accounts []Account
	Keys     []Key // and identities
	Validity
}

// An Identity is what a certificate says of its holder: who authenticated them
// (the OIDC issuer) and as whom (the subject alternative name). Both are compared
// as they are: no patterns, no case folding.
type Identity struct {
	Issuer  string // URL
	Subject string // e-mail address or URI
	// Claims are what a certificate must say besides, each exactly, by the names of
	// Fulcio's documentation, such as sourceRepositoryURI and sourceRepositoryRef.
	Claims map[string]string
	Validity
}

// An Account is an account on a forge, by its immutable id.
type Account struct {
	Forge string // host name
	ID    string
	Login string // for display
}

// A Key is what speaks for its owner, and when. It is one of four: a public key for
// statements (SPKI), an identity, which has certificates instead of a key, an SSH key,
// or a passkey; the last two sign approvals only.
type Key struct {
	ID       KeyID
	Name     string
	SPKI     []byte // DER, ECDSA P-256
	Identity *Identity
	SSH      *credential.SSHKey
	Passkey  *Passkey
	// Assurance is the most that the owners of the policy vouch for: what an
	// approval with it proves is this or less.
	Assurance Assurance
	// RegisteredWith names another key of the same principal, which whoever made this one
	// showed; then the assurance is at most that key's. Empty: the owners vouch.
	RegisteredWith string
	Validity
}

// A Passkey is a WebAuthn credential.
type Passkey struct {
	Credential []byte // its id
	SPKI       []byte // DER, ECDSA P-256 or Ed25519
}

// Assurance is how sure an approval makes us that its person was there. A greater one
// includes the lesser.
type Assurance int

// The assurances.
const (
	ByForge  Assurance = iota + 1 // a forge says so
	ByKey                         // whoever can use a key
	Present                       // somebody touched what holds the key
	Verified                      // and gave a PIN, a finger or a face that it knows
)

// Assurances are the names, from the least on.
var Assurances = []string{"forge", "key", "presence", "verified"}

// String is the name; "none" for the zero value.
func (a Assurance) String() string {
	if a < ByForge || a > Verified {
		return "none"
	}
	return Assurances[a-1]
}

// ParseAssurance is the assurance of a name, or 0.
func ParseAssurance(name string) Assurance { return Assurance(slices.Index(Assurances, name) + 1) }

// Validity is a closed interval of time. A zero From is an error in a roster
// file; a zero Until means no end.
type Validity struct {
	From, Until time.Time
}

// Holds reports whether t is within the interval, ends included.
func (v Validity) Holds(t time.Time) bool {
	return !t.Before(v.From) && (v.Until.IsZero() || !t.After(v.Until))
}

// A Roster is the content of people.yaml, checked: no key, identity, e-mail or
// account belongs to two principals.
type Roster struct {
	// Owners are the ids of the people who own the policy.
	Owners []string
	// Officers are the ids of the people who may freeze releases besides the owners.
	Officers []string

	principals []*Principal
	byID       map[string]*Principal
	byKey      map[KeyID]keyOwner
	byEmail    map[string]*Principal // by case-folded address
	byAccount  map[Account]*Principal
}

type keyOwner struct {
	principal *Principal
	key       *Key
}

// Principals lists everybody, in the order of the file. The caller must not change it.
func (r *Roster) Principals() []*Principal { return r.principals }

// Principal returns who has this id.
func (r *Roster) Principal(id string) (*Principal, bool) {
	p, ok := r.byID[id]
	return p, ok
}

// ByKey returns who holds a key, or is called by an identity (Terms.IdentityID),
// whether or not that is valid now.
func (r *Roster) ByKey(id KeyID) (*Principal, *Key, bool) {
	o, ok := r.byKey[id]
	return o.principal, o.key, ok
}

// ByAccount returns whose account on a forge this is, by its immutable id.
func (r *Roster) ByAccount(host, id string) (*Principal, bool) {
	p, ok := r.byAccount[accountOf(host, id)]
	return p, ok
}

func accountOf(host, id string) Account { return Account{Forge: strings.ToLower(host), ID: id} }

// Witnesses reports whether somebody is a forge that may say what accounts on a host decided.
func (p *Principal) Witnesses(host, approvalType string) bool {
	return p.Kind == Service && p.Forge && p.MaySign(approvalType) && slices.Contains(p.Hosts, host)
}

// MayFreeze reports whether somebody may stop releases: an officer, or an owner of the
// policy. Two of them let releases go on.
func (r *Roster) MayFreeze(p *Principal) bool {
	return p.Kind == Person && (slices.Contains(r.Officers, p.ID) || slices.Contains(r.Owners, p.ID))
}

// MayRevoke reports whether one principal may take back what another signed: what
// is its own, what an agent signed that it operates, and, for an owner of the
// policy, anything. Without a holder (a key of nobody's) owners decide.
func (r *Roster) MayRevoke(by, holder *Principal) bool {
	if by.Kind == Person && slices.Contains(r.Owners, by.ID) {
		return true
	}
	return holder != nil && (by.ID == holder.ID || holder.Kind == Agent && holder.Operator == by.ID)
}
