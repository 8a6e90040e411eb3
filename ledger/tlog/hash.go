package tlog

import (
	"crypto/sha256"

	"github.com/transparency-dev/merkle/rfc6962"
)

// LeafHash returns the RFC 6962 hash of a log entry: SHA-256(0x00 ‖ entry).
func LeafHash(entry []byte) Hash {
	h := sha256.New()
	h.Write([]byte{rfc6962.RFC6962LeafHashPrefix})
	h.Write(entry)
	return Hash(h.Sum(nil))
}

// EmptyRoot is the root of the tree without entries: SHA-256 of nothing.
func EmptyRoot() Hash { return Hash(rfc6962.DefaultHasher.EmptyRoot()) }

// nodeHash returns the hash of an interior node: SHA-256(0x01 ‖ left ‖ right).
func nodeHash(left, right []byte) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = rfc6962.RFC6962NodeHashPrefix
	copy(b[1:], left)
	copy(b[1+HashSize:], right)
	return sha256.Sum256(b[:])
}

// hasher is rfc6962.DefaultHasher with one allocation for an interior node
// instead of three. Children come from typed hashes, so their sizes are right.
type hasher struct{ *rfc6962.Hasher }

func (hasher) HashChildren(left, right []byte) []byte {
	h := nodeHash(left, right)
	return h[:]
}

var rfc6962Hasher = hasher{rfc6962.DefaultHasher}
