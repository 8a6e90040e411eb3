// Package tlog is the pure part of a transparency log: hashes, tiles,
// checkpoints, proofs and receipts, and who is trusted to sign them. It does no
// I/O, reads no clock and logs nothing, so the server, the client and an
// auditor run exactly the same code.
//
// Specifications: RFC 6962 section 2.1 (hashes and proofs), C2SP tlog-tiles,
// tlog-cosignature, tlog-policy,
// C2SP tlog-checkpoint and C2SP signed-note.
package tlog

import (
	"encoding/hex"
	"fmt"
)

// HashSize is the size of every hash in the tree, in bytes.
const HashSize = 32

// Hash is a SHA-256 hash of a leaf or of an interior node (RFC 6962 2.1).
type Hash [HashSize]byte

// String returns the hash in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads 64 lower-case hex digits, and nothing else.
func ParseHash(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != HashSize || hex.EncodeToString(b) != s {
		return Hash{}, fmt.Errorf("hash %.80q is not 64 lower-case hex digits", s)
	}
	copy(h[:], b)
	return h, nil
}

// A Checkpoint is a claim about the whole tree: the log named Origin held Size
// entries, and their Merkle tree hash was Root.
type Checkpoint struct {
	Origin string // the log's name, a bare host name
	Size   uint64 // number of entries
	Root   Hash
}

// A Receipt is the log's proof that it holds an entry: the entry's place, a
// signed checkpoint, the path from the leaf to the checkpoint's root, and an
// RFC 3161 timestamp token over the entry's signature.
type Receipt struct {
	LogID      Hash   // SHA-256 of the log's name and key: see Verifier.LogID
	Index      uint64 // of the entry; zero-based
	Checkpoint []byte // the signed note, as the log wrote it
	Proof      []Hash // inclusion, from leaf to root (RFC 6962 2.1.1)
	Token      []byte // RFC 3161 TimeStampToken's response, DER
}
