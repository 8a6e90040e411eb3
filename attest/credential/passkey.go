package credential

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
)

// A PasskeyAnswer is what an authenticator answered (WebAuthn Level 3, section 5.2.2).
type PasskeyAnswer struct {
	CredentialID      []byte `json:"credentialId"`
	AuthenticatorData []byte `json:"authenticatorData"`
	ClientDataJSON    []byte `json:"clientDataJSON"`
	Signature         []byte `json:"signature"`
}

// Limits on an answer, in bytes.
const (
	maxCredentialID = 1023 // WebAuthn Level 3, section 4
	maxAnswer       = 4 << 10
)

// Check looks at sizes only. The error names the field.
func (p *PasskeyAnswer) Check() error {
	switch {
	case len(p.CredentialID) == 0 || len(p.CredentialID) > maxCredentialID:
		return fmt.Errorf("credentialId has %d bytes; 1 to %d are possible", len(p.CredentialID), maxCredentialID)
	case len(p.AuthenticatorData)+len(p.ClientDataJSON)+len(p.Signature) > maxAnswer:
		return fmt.Errorf("has more than %d bytes", maxAnswer)
	}
	return nil
}

// PasskeyID is the id of a passkey on a roster: SHA-256 of "countersign passkey v1\n" ‖
// credential id.
func PasskeyID(credential []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte("countersign passkey v1\n"), credential...))
}

// A RelyingParty is for whose pages a passkey answers (WebAuthn Level 3, section 4).
type RelyingParty struct {
	ID      string   // a domain
	Origins []string // exact, such as https://approve.example.com
}

// A clientData is what a browser says about an answer (WebAuthn Level 3, section
// 5.8.1). Browsers may add members, so others are skipped.
type clientData struct {
	Type        string `json:"type"`
	Challenge   string `json:"challenge"`
	Origin      string `json:"origin"`
	CrossOrigin bool   `json:"crossOrigin"`
	TopOrigin   string `json:"topOrigin"`
}

// Challenge is what a passkey is asked to answer for what is presented: its SHA-256.
func Challenge(presented []byte) [sha256.Size]byte { return sha256.Sum256(presented) }

// Verify checks an answer (WebAuthn Level 3, section 7.2): made for what was presented,
// on a page of exactly one of the party's origins and in no frame of another page, by
// this key (SubjectPublicKeyInfo in DER, P-256 or Ed25519). Whether somebody was there
// comes back; an answer without a touch is refused.
func (p *PasskeyAnswer) Verify(presented []byte, party RelyingParty, spki []byte) (Presence, error) {
	want := Challenge(presented)
	if err := checkClient(p.ClientDataJSON, "webauthn.get", want[:], party); err != nil {
		return Presence{}, err
	}
	return p.verifySigned(party.ID, spki)
}

// The authenticator data in front of its extensions (WebAuthn Level 3, section 6.1):
// SHA-256 of the relying party's id, flags, and a counter.
const authenticatorData = sha256.Size + 1 + 4

// Counter is the authenticator's, unverified; 0 where it does not count.
func (p *PasskeyAnswer) Counter() uint32 {
	if len(p.AuthenticatorData) < authenticatorData {
		return 0
	}
	return binary.BigEndian.Uint32(p.AuthenticatorData[sha256.Size+1:])
}

func (p *PasskeyAnswer) verifySigned(party string, spki []byte) (Presence, error) {
	data := p.AuthenticatorData
	if len(data) < authenticatorData {
		return Presence{}, fmt.Errorf("authenticatorData has %d bytes; at least %d are needed", len(data), authenticatorData)
	}
	if id := sha256.Sum256([]byte(party)); !bytes.Equal(data[:sha256.Size], id[:]) {
		return Presence{}, fmt.Errorf("%w: authenticatorData is for another relying party than %.200q", ErrElsewhere, party)
	}
	client := sha256.Sum256(p.ClientDataJSON)
	if err := verifyPasskey(spki, append(bytes.Clone(data), client[:]...), p.Signature); err != nil {
		return Presence{}, err
	}
	const present, verified = 0x01, 0x04
	flags := data[sha256.Size]
	at := Presence{Touched: flags&present != 0, Verified: flags&verified != 0, Counter: p.Counter()}
	if !at.Touched {
		return Presence{}, errors.New("authenticatorData: nobody touched the authenticator")
	}
	return at, nil
}

func verifyPasskey(spki, message, signature []byte) error {
	key, err := ParsePasskeyKey(spki)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(message)
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(k, sum[:], signature) {
			return nil
		}
	case ed25519.PublicKey:
		if ed25519.Verify(k, message, signature) {
			return nil
		}
	}
	return fmt.Errorf("%w: that of a passkey", ErrSignature)
}

// ParsePasskeyKey reads the key of a passkey, as a browser's getPublicKey gives it:
// SubjectPublicKeyInfo in DER, ECDSA P-256 or Ed25519.
func ParsePasskeyKey(spki []byte) (any, error) {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("no SubjectPublicKeyInfo: %w", err)
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	case ed25519.PublicKey:
		if weak(k) {
			return nil, errWeak
		}
		return k, nil
	}
	return nil, fmt.Errorf("%T; a passkey has an ECDSA P-256 or an Ed25519 key", key)
}
