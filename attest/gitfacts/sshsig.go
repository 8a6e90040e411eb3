package gitfacts

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"golang.org/x/crypto/ssh"
)

// ErrUnsigned says that a commit carries no SSH signature.
var ErrUnsigned = errors.New("commit carries no SSH signature")

// sshSigBlob is the signature blob of OpenSSH's PROTOCOL.sshsig, behind its magic.
type sshSigBlob struct {
	Version       uint32
	PublicKey     []byte
	Namespace     string
	Reserved      string
	HashAlgorithm string
	Signature     []byte
}

const sshMagic = "SSHSIG"

// SSHSigner verifies a commit's SSH signature (namespace "git") and returns the
// SubjectPublicKeyInfo of the key that made it. Whose key that is, and whether it
// counts, is for a roster to say.
func (c *Commit) SSHSigner() (spki []byte, err error) {
	block, _ := pem.Decode([]byte(c.Signature + "\n"))
	if block == nil || block.Type != "SSH SIGNATURE" {
		return nil, ErrUnsigned
	}
	rest, ok := bytes.CutPrefix(block.Bytes, []byte(sshMagic))
	if !ok {
		return nil, errors.New("SSH signature has no magic")
	}
	var blob sshSigBlob
	if err := ssh.Unmarshal(rest, &blob); err != nil {
		return nil, errors.New("SSH signature is cut short")
	}
	if blob.Version != 1 || blob.Namespace != "git" {
		return nil, errors.New("SSH signature is not one over a git object")
	}
	var sum []byte
	switch blob.HashAlgorithm {
	case "sha256":
		h := sha256.Sum256(c.Signed)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(c.Signed)
		sum = h[:]
	default:
		return nil, errors.New("SSH signature names an unknown hash")
	}
	key, err := ssh.ParsePublicKey(blob.PublicKey)
	if err != nil {
		return nil, errors.New("SSH signature holds no readable key")
	}
	if t := key.Type(); t != ssh.KeyAlgoECDSA256 && t != ssh.KeyAlgoED25519 {
		return nil, errors.New("SSH signature was made with a key that cannot be on a roster")
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal(blob.Signature, &sig); err != nil || len(sig.Rest) > 0 {
		return nil, errors.New("SSH signature is cut short")
	}
	signed := append([]byte(sshMagic), ssh.Marshal(struct {
		Namespace, Reserved, HashAlgorithm string
		Hash                               []byte
	}{blob.Namespace, blob.Reserved, blob.HashAlgorithm, sum})...)
	if err := key.Verify(signed, &sig); err != nil {
		return nil, errors.New("SSH signature does not verify")
	}
	ck, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil, errors.New("SSH signature was made with a key that cannot be on a roster")
	}
	return x509.MarshalPKIXPublicKey(ck.CryptoPublicKey())
}
