package scenario

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// Party is for whose pages the passkeys of stories answer.
var Party = credential.RelyingParty{ID: "approve.example.com", Origins: []string{"https://approve.example.com"}}

// Flags of an authenticator.
const (
	Touched  = 0x01
	Verified = 0x04
)

// An SSHKey is somebody's SSH key: on disk, or in a security key, which says what the
// person did.
type SSHKey struct {
	Public *credential.SSHKey
	key    ed25519.PrivateKey
}

const sshApplication = "ssh:"

// NewSSHKey makes one.
func NewSSHKey(hardware bool) *SSHKey {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	wire := ssh.Marshal(struct{ Type, Key string }{ssh.KeyAlgoED25519, string(public)})
	if hardware {
		wire = ssh.Marshal(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, string(public), sshApplication})
	}
	k, err := credential.ParseSSHKey(wire)
	if err != nil {
		panic(err)
	}
	return &SSHKey{k, private}
}

// Sign makes an SSHSIG. Flags and counter are a security key's.
func (k *SSHKey) Sign(namespace string, message []byte, flags byte, counter uint32) []byte {
	input, err := credential.SSHInput(namespace, credential.SSHHash, message)
	if err != nil {
		panic(err)
	}
	sig := &ssh.Signature{Format: ssh.KeyAlgoED25519}
	if !k.Public.Hardware() {
		sig.Blob = ed25519.Sign(k.key, input)
		return credential.MarshalSSH(k.Public, namespace, sig)
	}
	application, digest := sha256.Sum256([]byte(sshApplication)), sha256.Sum256(input)
	tail := binary.BigEndian.AppendUint32([]byte{flags}, counter)
	sig.Format, sig.Rest = ssh.KeyAlgoSKED25519, tail
	sig.Blob = ed25519.Sign(k.key, append(append(application[:], tail...), digest[:]...))
	return credential.MarshalSSH(k.Public, namespace, sig)
}

// A Passkey is somebody's WebAuthn credential.
type Passkey struct {
	ID []byte
	// Count is what its counter says.
	Count uint32
	key   *ecdsa.PrivateKey
}

// NewPasskey makes one.
func NewPasskey() *Passkey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	p := &Passkey{ID: make([]byte, 32), Count: 7, key: k}
	rand.Read(p.ID)
	return p
}

// SPKI is its public key.
func (p *Passkey) SPKI() []byte {
	der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	if err != nil {
		panic(err)
	}
	return der
}

// Answer is what it answers on a page, which edit may change before it is signed.
func (p *Passkey) Answer(presented []byte, flags byte, edit func(client map[string]any)) *credential.PasskeyAnswer {
	challenge := credential.Challenge(presented)
	client := map[string]any{
		"type": "webauthn.get", "challenge": base64.RawURLEncoding.EncodeToString(challenge[:]),
		"origin": Party.Origins[0], "crossOrigin": false,
	}
	party := Party.ID
	if edit != nil {
		edit(client)
		if other, ok := client["party"].(string); ok {
			party = other
			delete(client, "party")
		}
	}
	text, err := json.Marshal(client)
	if err != nil {
		panic(err)
	}
	id, client256 := sha256.Sum256([]byte(party)), sha256.Sum256(text)
	data := binary.BigEndian.AppendUint32(append(id[:], flags), p.Count)
	sum := sha256.Sum256(append(append([]byte(nil), data...), client256[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, p.key, sum[:])
	if err != nil {
		panic(err)
	}
	return &credential.PasskeyAnswer{CredentialID: p.ID, AuthenticatorData: data, ClientDataJSON: text, Signature: sig}
}

// Register is what it answers when it is made on one of the party's pages. It attests
// nothing about itself.
func (p *Passkey) Register(challenge []byte, flags byte) *credential.Registration {
	text, err := json.Marshal(map[string]any{
		"type": "webauthn.create", "challenge": base64.RawURLEncoding.EncodeToString(challenge), "origin": Party.Origins[0], "crossOrigin": false,
	})
	if err != nil {
		panic(err)
	}
	const attested = 0x40
	id := sha256.Sum256([]byte(Party.ID))
	data := binary.BigEndian.AppendUint32(append(id[:], flags|attested), 0)
	data = append(data, make([]byte, 16)...) // no model
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(p.ID))), p.ID...)
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	data = append(data, 0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32)
	data = append(append(data, point[1:33]...), 0x22, 0x58, 32)
	data = append(data, point[33:]...)
	return &credential.Registration{
		CredentialID: p.ID, SPKI: p.SPKI(), AuthenticatorData: data, ClientDataJSON: text, AttestationObject: []byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData"),
	}
}

// CarolsPasskey is hers in every story.
func CarolsPasskey() *Passkey { return credentials().passkey }

// carolsKeys are what carol has besides: an SSH key on disk, one in a security key, and
// a passkey; the owners vouch for touch with the second, and for all with the third.
type carolsKeys struct {
	ssh, touch *SSHKey
	passkey    *Passkey
}

var credentials = sync.OnceValue(func() *carolsKeys {
	return &carolsKeys{NewSSHKey(false), NewSSHKey(true), NewPasskey()}
})

// touchKeys are the security keys of those who are in trials, made once.
var touchKeys sync.Map

func touchKey(name string) *SSHKey {
	k, ok := touchKeys.Load(name)
	if !ok {
		k, _ = touchKeys.LoadOrStore(name, NewSSHKey(true))
	}
	return k.(*SSHKey)
}

// yaml is the keys as people.yaml has them.
func (k *carolsKeys) yaml() string {
	var b strings.Builder
	const from = "        from: 2026-01-01T00:00:00Z\n"
	fmt.Fprintf(&b, "      - name: ssh\n%s        ssh: %s\n", from, k.ssh.Public.Line())
	fmt.Fprintf(&b, "      - name: touch\n%s        ssh: %s\n        assurance: presence\n", from, k.touch.Public.Line())
	fmt.Fprintf(&b, "      - name: passkey\n%s        assurance: verified\n        passkey:\n          credential: %s\n          publicKey: |\n", from, base64.RawURLEncoding.EncodeToString(k.passkey.ID))
	for line := range strings.Lines(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.passkey.SPKI()}))) {
		b.WriteString("            " + line)
	}
	return b.String()
}

// assert puts carol's own signature into her approval, as a step says: via=ssh, touch
// or passkey; flags=none, touched or verified is what the person did; namespace, origin
// and party change where it was made, for=other what it was made over.
func (t *teller) assert(s *step, st *attest.Statement) error {
	a, ok := st.Predicate.(*attest.Approval)
	if !ok {
		return fmt.Errorf("via= is for approvals")
	}
	a.Nonce = fmt.Sprintf("line-%d", s.line)
	presented, err := attest.Presented(s.opt("log", t.log.signer.Origin()), st)
	if err != nil {
		return err
	}
	if s.has("for") {
		presented = append(presented, ' ')
	}
	flags := map[string]byte{"none": 0, "touched": Touched, "verified": Touched | Verified}[s.opt("flags", "verified")]
	k := credentials()
	switch s.opts["via"] {
	case "ssh":
		a.Assertion = &attest.Assertion{SSH: k.ssh.Sign(attest.SSHNamespace, presented, 0, 0)}
	case "touch":
		key := k.touch
		if s.raw { // of a trial, where everybody has one
			key = touchKey(s.arg(0))
		}
		a.Assertion = &attest.Assertion{SSH: key.Sign(attest.SSHNamespace, presented, flags, 3)}
	case "passkey":
		a.Assertion = &attest.Assertion{Passkey: k.passkey.Answer(presented, flags, func(client map[string]any) {
			for _, name := range []string{"origin", "party", "type"} {
				if s.has(name) {
					client[name] = s.opts[name]
				}
			}
			if s.has("framed") {
				client["crossOrigin"] = true
			}
		})}
	default:
		return fmt.Errorf("carol has no %q", s.opts["via"])
	}
	return nil
}

// console is what a trust folder says of it.
func console() *verify.Console {
	return &verify.Console{Key: Key("console").Public(), Valid: roster.Validity{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, Party: Party}
}
