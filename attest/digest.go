package attest

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest is a SHA-256 digest: of a payload, an artifact or a policy set.
type Digest [sha256.Size]byte

// DigestOf returns the SHA-256 of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// String returns the digest in lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads 64 lower-case hex digits, and nothing else: no prefix, no
// upper case, no spaces.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) || hex.EncodeToString(b) != s {
		return Digest{}, fieldErr("digest", "%.80q is not 64 lower-case hex digits", s)
	}
	copy(d[:], b)
	return d, nil
}
