package credential

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	magic   = "SSHSIG"
	version = 1
	pemType = "SSH SIGNATURE"
	// maxBlob is the size of a signature, in bytes; one with a P-256 key of a security
	// key has about 300.
	maxBlob = 4 << 10
)

// blob is the signature behind its magic.
type blob struct {
	Version       uint32
	PublicKey     []byte
	Namespace     string
	Reserved      string
	HashAlgorithm string
	Signature     []byte
}

// signed is what is signed, behind the same magic.
type signed struct {
	Namespace, Reserved, HashAlgorithm string
	Hash                               []byte
}

// An SSHSignature is one that was parsed, and not verified: as ssh-keygen -Y sign, git
// and ssh-agent make them (OpenSSH's PROTOCOL.sshsig and PROTOCOL.u2f).
type SSHSignature struct {
	Key       *SSHKey
	Namespace string
	hash      string
	sig       ssh.Signature
}

// ParseSSH reads the binary form.
func ParseSSH(b []byte) (*SSHSignature, error) {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(b) > maxBlob {
		return nil, fmt.Errorf("no SSH signature of at most %d bytes", maxBlob)
	}
	var w blob
	if err := ssh.Unmarshal(rest, &w); err != nil {
		return nil, errors.New("SSH signature is cut short")
	}
	if w.Version != version || w.Reserved != "" {
		return nil, fmt.Errorf("SSH signature of version %d, which is not known", w.Version)
	}
	s := &SSHSignature{Namespace: w.Namespace, hash: w.HashAlgorithm}
	var err error
	if s.Key, err = ParseSSHKey(w.PublicKey); err != nil {
		return nil, err
	}
	if err := ssh.Unmarshal(w.Signature, &s.sig); err != nil {
		return nil, errors.New("SSH signature is cut short")
	}
	if !plain(s.Key, &s.sig) {
		return nil, errors.New("SSH signature has numbers in another spelling than their own")
	}
	if s.Key.Hardware() != (len(s.sig.Rest) > 0) {
		return nil, errors.New("SSH signature has flags without a security key, or none with one")
	}
	return s, nil
}

// plain reports whether the two numbers of an ECDSA signature are written as they should
// be (RFC 4251 section 5): with zeros in front there would be no end of spellings.
func plain(k *SSHKey, sig *ssh.Signature) bool {
	if t := k.key.Type(); t != ssh.KeyAlgoECDSA256 && t != ssh.KeyAlgoSKECDSA256 {
		return true
	}
	var n struct{ R, S *big.Int }
	return ssh.Unmarshal(sig.Blob, &n) == nil && bytes.Equal(ssh.Marshal(n), sig.Blob)
}

// ParseSSHArmored reads the text form.
func ParseSSHArmored(text []byte) (*SSHSignature, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("no SSH signature in PEM")
	}
	return ParseSSH(block.Bytes)
}

// Verify checks the signature over a message in a namespace, which must be the one
// that it was made for: a signature over a commit (git) or a file is none here.
func (s *SSHSignature) Verify(namespace string, message []byte) (Presence, error) {
	if s.Namespace != namespace {
		return Presence{}, fmt.Errorf("%w: the SSH signature is for namespace %.80q, and not %q", ErrElsewhere, s.Namespace, namespace)
	}
	input, err := SSHInput(namespace, s.hash, message)
	if err != nil {
		return Presence{}, err
	}
	if err := s.Key.key.Verify(input, &s.sig); err != nil {
		return Presence{}, fmt.Errorf("%w: that of an SSH key", ErrSignature)
	}
	if !s.Key.Hardware() {
		return Presence{}, nil
	}
	tail, err := s.tail()
	if err != nil {
		return Presence{}, err
	}
	const present, verified = 0x01, 0x04 // PROTOCOL.u2f
	return Presence{Touched: tail.Flags&present != 0, Verified: tail.Flags&verified != 0, Counter: tail.Counter}, nil
}

// Counter is the security key's, unverified; 0 for keys on disk.
func (s *SSHSignature) Counter() uint32 {
	tail, err := s.tail()
	if err != nil {
		return 0
	}
	return tail.Counter
}

// A tail is what a security key adds to its signature (PROTOCOL.u2f).
type tail struct {
	Flags   byte
	Counter uint32
}

func (s *SSHSignature) tail() (t tail, err error) {
	if err := ssh.Unmarshal(s.sig.Rest, &t); err != nil {
		return t, errors.New("SSH signature of a security key is cut short")
	}
	return t, nil
}

// SSHHash is the hash algorithm of the signatures that are made here.
const SSHHash = "sha512"

// SSHInput is what a key signs for a message in a namespace.
func SSHInput(namespace, hash string, message []byte) ([]byte, error) {
	var sum []byte
	switch hash {
	case "sha256":
		h := sha256.Sum256(message)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(message)
		sum = h[:]
	default:
		return nil, fmt.Errorf("SSH signature names the hash %.40q; sha256 and sha512 are known", hash)
	}
	return append([]byte(magic), ssh.Marshal(signed{namespace, "", hash, sum})...), nil
}

// MarshalSSH writes a signature that a key made over SSHInput with SSHHash.
func MarshalSSH(key *SSHKey, namespace string, sig *ssh.Signature) []byte {
	return append([]byte(magic), ssh.Marshal(blob{version, key.wire, namespace, "", SSHHash, ssh.Marshal(sig)})...)
}

// An SSHKey is a public key of a kind that may be on a roster: Ed25519 or ECDSA P-256, on
// disk or in a security key.
type SSHKey struct {
	key  ssh.PublicKey
	wire []byte
}

// ParseSSHKey reads SSH's wire form.
func ParseSSHKey(wire []byte) (*SSHKey, error) {
	k, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, errors.New("no readable SSH key")
	}
	switch k.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
	default:
		return nil, fmt.Errorf("an SSH key of type %.60s cannot be on a roster; Ed25519 and ECDSA P-256 can, also in security keys", k.Type())
	}
	if !bytes.Equal(k.Marshal(), wire) {
		return nil, errors.New("the SSH key has another spelling than its own")
	}
	if weakSSH(k) {
		return nil, errWeak
	}
	return &SSHKey{k, wire}, nil
}

// ParseSSHLine reads a key as a line of authorized_keys or a .pub file has it: type,
// base64 and perhaps a comment, which is returned; no options.
func ParseSSHLine(line string) (k *SSHKey, comment string, err error) {
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, "", fmt.Errorf("%.80q is not one SSH public key", line)
	}
	k, err = ParseSSHKey(key.Marshal())
	return k, comment, err
}

// Line is the key as ParseSSHLine reads it, without a comment.
func (k *SSHKey) Line() string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.key))) }

// Fingerprint is the SHA-256 fingerprint as OpenSSH prints it.
func (k *SSHKey) Fingerprint() string { return ssh.FingerprintSHA256(k.key) }

// Wire is SSH's wire form. The caller must not change it.
func (k *SSHKey) Wire() []byte { return k.wire }

// Hardware reports whether the key is in a security key.
func (k *SSHKey) Hardware() bool {
	return k.key.Type() == ssh.KeyAlgoSKED25519 || k.key.Type() == ssh.KeyAlgoSKECDSA256
}

// SPKI is the key's SubjectPublicKeyInfo in DER; an error for those of security keys,
// which sign in a way of their own.
func (k *SSHKey) SPKI() ([]byte, error) {
	c, ok := k.key.(ssh.CryptoPublicKey)
	if !ok || k.Hardware() {
		return nil, errors.New("the key of a security key has no plain form")
	}
	return x509.MarshalPKIXPublicKey(c.CryptoPublicKey())
}

// ID is the key's id on a roster: SHA-256 of its SPKI, so that it is the same key
// whether it signs statements, commits or approvals; of its wire form for security keys.
func (k *SSHKey) ID() [sha256.Size]byte {
	if spki, err := k.SPKI(); err == nil {
		return sha256.Sum256(spki)
	}
	return sha256.Sum256(k.wire)
}
