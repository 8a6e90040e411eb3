package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// KeyID is the SHA-256 of a key's SubjectPublicKeyInfo in DER.
type KeyID [sha256.Size]byte

// String returns the id in lower-case hex.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// A PublicKey is an ECDSA P-256 key, the one kind that every Sigstore client
// verifies: a key of its own, or the one that a certificate gives to an identity.
type PublicKey struct {
	key         *ecdsa.PublicKey
	spki        []byte
	id          KeyID
	certificate *x509.Certificate // nil for a key of its own, like identity
	identity    *Identity
}

// ParsePublicKey reads a SubjectPublicKeyInfo in DER. Other kinds of keys, and
// other encodings of the same key, are refused.
func ParsePublicKey(spki []byte) (*PublicKey, error) {
	if len(spki) > 1024 {
		return nil, faultErr(TooLarge, "publicKey", "has %d bytes; a P-256 key has 91", len(spki))
	}
	k, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fieldErr("publicKey", "is no SubjectPublicKeyInfo: %v", err)
	}
	ec, ok := k.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, faultErr(Unsupported, "publicKey", "is %T; only ECDSA P-256 is accepted", k)
	}
	canonical, err := x509.MarshalPKIXPublicKey(ec)
	if err != nil || string(canonical) != string(spki) {
		return nil, fieldErr("publicKey", "is not in canonical DER")
	}
	return &PublicKey{key: ec, spki: canonical, id: sha256.Sum256(canonical)}, nil
}

// ParsePublicKeyPEM reads one PEM block "PUBLIC KEY" and nothing behind it.
func ParsePublicKeyPEM(text []byte) (*PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fieldErr("publicKey", "is no PEM block of type PUBLIC KEY")
	}
	if len(trimSpace(rest)) > 0 {
		return nil, fieldErr("publicKey", "has text behind its PEM block")
	}
	return ParsePublicKey(block.Bytes)
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == '\n' || b[0] == '\r' || b[0] == ' ') {
		b = b[1:]
	}
	return b
}

// ID is who signs with the key: the SHA-256 of its SPKI, or with a certificate the
// IdentityID of whom it names.
func (k *PublicKey) ID() KeyID { return k.id }

// Certificate is what names the key's holder; nil for a key of its own. The caller
// must not change it.
func (k *PublicKey) Certificate() *x509.Certificate { return k.certificate }

// Identity is whom the certificate names; nil without one. The caller must not change it.
func (k *PublicKey) Identity() *Identity { return k.identity }

// SPKI is the SubjectPublicKeyInfo in DER. The caller must not change it.
func (k *PublicKey) SPKI() []byte { return k.spki }

// PEM is the key as text.
func (k *PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.spki})
}

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("signature does not verify")

// Verify checks an ASN.1 ECDSA signature over SHA-256 of message.
func (k *PublicKey) Verify(message, signature []byte) error {
	return k.VerifyDigest(sha256.Sum256(message), signature)
}

// VerifyDigest is Verify for a message whose SHA-256 the caller computed.
func (k *PublicKey) VerifyDigest(message Digest, signature []byte) error {
	if len(signature) > 80 || !ecdsa.VerifyASN1(k.key, message[:], signature) {
		return ErrSignature
	}
	return nil
}

// A PrivateKey signs statements.
type PrivateKey struct {
	key *ecdsa.PrivateKey
	pub *PublicKey
}

// GenerateKey makes a new P-256 key.
func GenerateKey() (*PrivateKey, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return newPrivateKey(k)
}

func newPrivateKey(k *ecdsa.PrivateKey) (*PrivateKey, error) {
	spki, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	pub, err := ParsePublicKey(spki)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: k, pub: pub}, nil
}

// Public is the public half.
func (k *PrivateKey) Public() *PublicKey { return k.pub }

// Sign makes an ASN.1 ECDSA signature over SHA-256 of message.
func (k *PrivateKey) Sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, k.key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// Request asks an authority for a certificate of the key: a PKCS#10 request in DER, which
// names nobody. Its signature shows that the key is here; who holds it the authority is told by others.
func (k *PrivateKey) Request() ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return der, nil
}

// Named is the key in the hand of whom a certificate (DER) names: what it signs is by that
// identity. The certificate must be of this key.
func (k *PrivateKey) Named(certificate []byte) (*PrivateKey, error) {
	pub, err := ParseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(pub.SPKI(), k.pub.SPKI()) {
		return nil, fieldErr("certificate", "is of another key")
	}
	return &PrivateKey{key: k.key, pub: pub}, nil
}

const (
	pemPlain     = "PRIVATE KEY"
	pemEncrypted = "ENCRYPTED SIGSTORE PRIVATE KEY"
)

// MarshalPEM writes the key as PKCS#8. With a passphrase it is encrypted in
// Sigstore's format (scrypt and NaCl secretbox), which cosign reads too.
func (k *PrivateKey) MarshalPEM(passphrase []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	if len(passphrase) == 0 {
		return pem.EncodeToMemory(&pem.Block{Type: pemPlain, Bytes: der}), nil
	}
	sealed, err := encrypted.Encrypt(der, passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypt key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemEncrypted, Bytes: sealed}), nil
}

// ErrPassphrase says that an encrypted key could not be opened.
var ErrPassphrase = errors.New("wrong passphrase")

// ParsePrivateKeyPEM reads what MarshalPEM writes, and cosign's key files.
// passphrase is called only for encrypted keys.
func ParsePrivateKeyPEM(text []byte, passphrase func() ([]byte, error)) (*PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fieldErr("key", "is not PEM")
	}
	der := block.Bytes
	switch block.Type {
	case pemPlain:
	case pemEncrypted, "ENCRYPTED COSIGN PRIVATE KEY":
		pass, err := passphrase()
		if err != nil {
			return nil, fmt.Errorf("read passphrase: %w", err)
		}
		if der, err = encrypted.Decrypt(block.Bytes, pass); err != nil {
			return nil, ErrPassphrase
		}
	default:
		return nil, faultErr(Unsupported, "key", "is a PEM block of type %.40q; a PKCS#8 %q is needed", block.Type, pemPlain)
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fieldErr("key", "is no PKCS#8 key: %v", err)
	}
	ec, ok := k.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, faultErr(Unsupported, "key", "is %T; only ECDSA P-256 is accepted", k)
	}
	return newPrivateKey(ec)
}

// ReadKeyFile reads a private key. A file that group or others can read is refused.
func ReadKeyFile(path string, passphrase func() ([]byte, error)) (*PrivateKey, error) {
	text, err := ReadSecret(path)
	if err != nil {
		return nil, err
	}
	k, err := ParsePrivateKeyPEM(text, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// ErrExposed says that a secret file can be read by others than its owner.
var ErrExposed = errors.New("can be read by others than its owner")

const maxSecret = 64 << 10 // bytes

// ReadSecret reads a small file that only its owner may read.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s (mode %04o): %w; run: chmod 600 %s", path, mode, ErrExposed, path)
	}
	if st.Size() > maxSecret {
		return nil, fmt.Errorf("%s: has %d bytes, too many for a key", path, st.Size())
	}
	return io.ReadAll(io.LimitReader(f, maxSecret))
}
