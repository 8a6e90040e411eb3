package credential

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
)

// A Registration is what an authenticator answered when it made a passkey, and what a
// browser read out of that (WebAuthn Level 3, section 5.2.1).
type Registration struct {
	CredentialID      []byte
	SPKI              []byte // from getPublicKey
	AuthenticatorData []byte // from getAuthenticatorData
	ClientDataJSON    []byte
	AttestationObject []byte // only its format is read
}

// Made is what a registration says of the passkey. None of it is signed by anybody who
// could be held to it: it is for the eyes of those who decide whom they vouch for.
type Made struct {
	Presence
	// Format of the authenticator's attestation, such as packed; "none" when there is
	// none. Its statement is not checked.
	Format string
	Model  string // AAGUID, hex; all zero where the authenticator does not say
	// Syncs: the key may leave the authenticator (backup eligible), so it is no hardware's.
	Syncs bool
}

const (
	attestedData = authenticatorData + 16 + 2 // up to the credential id (WebAuthn Level 3, section 6.5.1)
	maxMade      = 16 << 10
)

// Verify checks that a passkey was made for a challenge, on one of the party's pages, by
// somebody whom the authenticator verified, and that the key is the authenticator's.
func (r *Registration) Verify(challenge []byte, party RelyingParty) (Made, error) {
	if len(r.AuthenticatorData)+len(r.ClientDataJSON)+len(r.AttestationObject) > maxMade {
		return Made{}, fmt.Errorf("has more than %d bytes", maxMade)
	}
	if err := checkClient(r.ClientDataJSON, "webauthn.create", challenge, party); err != nil {
		return Made{}, err
	}
	data := r.AuthenticatorData
	if len(data) < attestedData {
		return Made{}, fmt.Errorf("authenticatorData has %d bytes; at least %d are needed", len(data), attestedData)
	}
	if id := sha256.Sum256([]byte(party.ID)); !bytes.Equal(data[:sha256.Size], id[:]) {
		return Made{}, fmt.Errorf("%w: authenticatorData is for another relying party than %.200q", ErrElsewhere, party.ID)
	}
	const present, verified, syncs, attested = 0x01, 0x04, 0x08, 0x40
	flags := data[sha256.Size]
	made := Made{
		Presence: Presence{Touched: flags&present != 0, Verified: flags&verified != 0, Counter: binary.BigEndian.Uint32(data[sha256.Size+1:])},
		Model:    hex.EncodeToString(data[authenticatorData : authenticatorData+16]), Syncs: flags&syncs != 0, Format: attestationFormat(r.AttestationObject),
	}
	size := int(binary.BigEndian.Uint16(data[attestedData-2:]))
	switch {
	case !made.Touched || !made.Verified:
		return Made{}, errors.New("authenticatorData: nobody was verified by the authenticator (PIN, finger or face)")
	case flags&attested == 0 || len(data) < attestedData+size || !bytes.Equal(data[attestedData:attestedData+size], r.CredentialID):
		return Made{}, errors.New("authenticatorData is of another credential")
	}
	key, err := coseKey(r.SPKI)
	if err != nil {
		return Made{}, err
	}
	if !bytes.HasPrefix(data[attestedData+size:], key) {
		return Made{}, errors.New("authenticatorData holds another key than the browser gave")
	}
	return made, nil
}

// checkClient holds what a browser says of an answer against what it was asked for.
func checkClient(text []byte, typ string, challenge []byte, party RelyingParty) error {
	var c clientData
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("clientDataJSON: %.200w", err)
	}
	switch {
	case c.Type != typ:
		return fmt.Errorf("%w: clientDataJSON.type is %.40q, and not %s", ErrElsewhere, c.Type, typ)
	case c.Challenge != base64.RawURLEncoding.EncodeToString(challenge):
		return fmt.Errorf("%w: clientDataJSON.challenge is not that of this approval", ErrSubject)
	case !slices.Contains(party.Origins, c.Origin):
		return fmt.Errorf("%w: clientDataJSON.origin %.200q is no page of this log's console", ErrElsewhere, c.Origin)
	case c.CrossOrigin || c.TopOrigin != "":
		return fmt.Errorf("%w: the page was in a frame of another", ErrElsewhere)
	}
	return nil
}

// coseKey is a passkey's key in the one form in which authenticators write it (CTAP 2,
// section 8, canonical CBOR; RFC 9053, sections 2 and 7).
func coseKey(spki []byte) ([]byte, error) {
	key, err := ParsePasskeyKey(spki)
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4 ‖ x ‖ y
		if err != nil {
			return nil, err
		}
		out := []byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}
		out = append(append(out, point[1:33]...), 0x22, 0x58, 32)
		return append(out, point[33:]...), nil
	case ed25519.PublicKey:
		return append([]byte{0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32}, k...), nil
	}
	return nil, errors.New("is no key of a passkey")
}

// attestationFormat is the fmt of an attestation object, which stands first in it;
// "unknown" where it does not.
func attestationFormat(object []byte) string {
	const head = "\xa3\x63fmt"
	if len(object) <= len(head) || !bytes.HasPrefix(object, []byte(head)) {
		return "unknown"
	}
	size := int(object[len(head)]) - 0x60 // a CBOR text of up to 23 bytes
	rest := object[len(head)+1:]
	if size < 1 || size > 23 || len(rest) < size {
		return "unknown"
	}
	name := rest[:size]
	if bytes.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' && (r < '0' || r > '9') }) {
		return "unknown"
	}
	return string(name)
}
