package console

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

// An enrolment is a passkey that is being made.
type enrolment struct {
	person, name string
	challenge    [32]byte
}

// offering is what a page wants a passkey for.
type offering struct {
	As   string `json:"as"`
	Name string `json:"name"` // of the key on the roster
}

// offered is what an authenticator is given to make a passkey (WebAuthn Level 3, section
// 5.4). Only the two algorithms that rosters take are asked for.
type offered struct {
	Nonce     string   `json:"nonce"`
	Challenge bytes64  `json:"challenge"`
	Party     string   `json:"party"`
	Log       string   `json:"log"`
	User      bytes64  `json:"user"`
	Person    string   `json:"person"`
	Exclude   []string `json:"exclude"` // credentials that are on the roster
}

// register is the page on which a person makes a passkey.
func (s *Console) register(r *http.Request, f *frame) (string, any, error) {
	f.Title = "Register a passkey"
	body := map[string]any{"Owners": s.config.Ledger.Policy().Roster.Owners, "Name": "passkey"}
	if p, err := s.reviewer(f.As); err == nil {
		for n := 2; hasKey(p, body["Name"].(string)); n++ {
			body["Name"] = fmt.Sprintf("passkey-%d", n)
		}
		body["Keys"] = p.Keys
	}
	return "register.html", body, nil
}

func hasKey(p *roster.Principal, name string) bool {
	for _, k := range p.Keys {
		if k.Name == name {
			return true
		}
	}
	return false
}

// offer begins to make a passkey.
func (s *Console) offer(r *http.Request) (any, error) {
	var q offering
	if err := read(r, &q); err != nil {
		return nil, err
	}
	p, err := s.reviewer(q.As)
	if err != nil {
		return nil, err
	}
	if q.Name == "" || len(q.Name) > 40 || strings.Trim(q.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || hasKey(p, q.Name) {
		return nil, &Fault{http.StatusBadRequest, "MALFORMED", "Give the passkey a name of letters, digits and . _ - that none of " + p.ID + "'s keys has."}
	}
	e := enrolment{person: p.ID, name: q.Name}
	_, _ = rand.Read(e.challenge[:])
	out := &offered{Challenge: e.challenge[:], Party: s.config.Party.ID, Log: s.config.Origin, User: []byte(p.ID), Person: p.ID, Exclude: credentials(s.passkeys(p))}
	if len(out.User) > 64 { // the most that an authenticator takes
		out.User = out.User[:64]
	}
	out.Nonce, _, err = s.enrolls.hold(s.config.Now(), func(string) (enrolment, error) { return e, nil })
	return out, err
}

// registering is the passkey that was made.
type registering struct {
	Nonce             string  `json:"nonce"`
	CredentialID      bytes64 `json:"credentialId"`
	PublicKey         bytes64 `json:"publicKey"`
	AuthenticatorData bytes64 `json:"authenticatorData"`
	ClientDataJSON    bytes64 `json:"clientDataJSON"`
	AttestationObject bytes64 `json:"attestationObject"`
}

// A made passkey may be shown to be of somebody who has another one.
type made struct {
	person    string
	key       roster.Key
	note      string // for the owners
	presented []byte
}

// endorsing is what another passkey of the same person is asked to sign for a new one.
type endorsing struct {
	Nonce       string   `json:"nonce"`
	Presented   string   `json:"presented"`
	Party       string   `json:"party"`
	Credentials []string `json:"credentials"`
}

// stanza is what the owners of the policy put into people.yaml. The page writes nothing:
// that they publish it is what makes it count.
type stanza struct {
	Person     string `json:"person"`
	Stanza     string `json:"stanza"`
	KeyID      string `json:"keyId"`
	Format     string `json:"attestation"`
	Model      string `json:"model"`
	Syncs      bool   `json:"syncs"`
	Credential string `json:"credential"`
	// Endorse is there when the person has another passkey.
	Endorse *endorsing `json:"endorse,omitempty"`
}

// registered checks a passkey that was made, and writes its stanza. Nothing here shows
// who made it, so it proves no more than that somebody has the key, until the owners say
// that they know better.
func (s *Console) registered(r *http.Request) (any, error) {
	var in registering
	if err := read(r, &in); err != nil {
		return nil, err
	}
	e, ok := s.enrolls.take(s.config.Now(), in.Nonce)
	if !ok {
		return nil, &Fault{http.StatusConflict, "EXPIRED", "This was answered already, or asked too long ago. Load the page again."}
	}
	answer, err := (&credential.Registration{
		CredentialID: in.CredentialID, SPKI: in.PublicKey, AuthenticatorData: in.AuthenticatorData,
		ClientDataJSON: in.ClientDataJSON, AttestationObject: in.AttestationObject,
	}).Verify(e.challenge[:], s.config.Party)
	if err != nil {
		return nil, &Fault{http.StatusForbidden, kindOf(err), "The passkey is not in order: " + err.Error()}
	}
	id := credential.PasskeyID(in.CredentialID)
	if p, _, taken := s.config.Ledger.Policy().Roster.ByKey(id); taken {
		return nil, &Fault{http.StatusConflict, "UNTRUSTED_KEY", "This passkey is " + p.ID + "'s already."}
	}
	where := "in one authenticator"
	if answer.Syncs {
		where = "may leave its authenticator (it syncs)"
	}
	m := made{
		person: e.person, key: roster.Key{Name: e.name, Passkey: &roster.Passkey{Credential: in.CredentialID, SPKI: in.PublicKey}, Assurance: roster.ByKey},
		note: fmt.Sprintf("# Under `keys:` of %s. Made for %s; attestation %s, model %s; the key %s.\n", e.person, s.config.Party.ID, answer.Format, answer.Model, where),
	}
	out := &stanza{
		Person: e.person, KeyID: fmt.Sprintf("%x", id), Format: answer.Format, Model: answer.Model, Syncs: answer.Syncs,
		Credential: base64.RawURLEncoding.EncodeToString(in.CredentialID),
	}
	if out.Stanza, err = s.stanzaOf(&m); err != nil {
		return nil, err
	}
	p, err := s.reviewer(e.person)
	if err != nil {
		return nil, err
	}
	if keys := s.passkeys(p); len(keys) > 0 {
		m.presented = fmt.Appendf(nil, "countersign registration v1\n%s\n%s\n%x\n%x\n", s.config.Origin, e.person, id, sha256.Sum256(in.PublicKey))
		out.Endorse = &endorsing{Presented: string(m.presented), Party: s.config.Party.ID, Credentials: credentials(keys)}
		out.Endorse.Nonce, _, err = s.made.hold(s.config.Now(), func(string) (made, error) { return m, nil })
	}
	return out, err
}

// stanzaOf writes what belongs into people.yaml.
func (s *Console) stanzaOf(m *made) (string, error) {
	var b strings.Builder
	b.WriteString(m.note)
	if m.key.RegisteredWith == "" {
		b.WriteString("# Owners raise the assurance to presence or verified for what they saw being made.\n")
	} else {
		fmt.Fprintf(&b, "# Whoever made it showed %s, and it proves no more than that; so says the console.\n", m.key.RegisteredWith)
	}
	err := policy.WriteKey(&b, m.key, s.config.Now())
	return b.String(), err
}

// endorse takes the signature of a passkey that the person has over the one that they
// made. The new one then has at most the assurance of that.
func (s *Console) endorse(r *http.Request) (any, error) {
	var in answering
	if err := read(r, &in); err != nil {
		return nil, err
	}
	m, ok := s.made.take(s.config.Now(), in.Nonce)
	if !ok {
		return nil, &Fault{http.StatusConflict, "EXPIRED", "This was answered already, or asked too long ago. Register the passkey again."}
	}
	p, err := s.reviewer(m.person)
	if err != nil {
		return nil, err
	}
	k, _, err := s.check(p, in.passkeyAnswer, m.presented)
	if err != nil {
		return nil, err
	}
	m.key.RegisteredWith, m.key.Assurance = k.Name, k.Assurance
	text, err := s.stanzaOf(&m)
	return &stanza{Person: m.person, Stanza: text, KeyID: fmt.Sprintf("%x", credential.PasskeyID(m.key.Passkey.Credential)), Credential: base64.RawURLEncoding.EncodeToString(m.key.Passkey.Credential)}, err
}
