package tlog

import (
	"crypto/sha256"
	"encoding/binary"
)

// ChainNegative is the head of the chain of negative evidence after one more entry:
// SHA-256("countersign negative v1\n" ‖ previous head ‖ index as 8 big-endian bytes
// ‖ leaf hash). Before the first entry the head is all zeros. Whoever holds the head
// of a log's chain cannot be shown a shorter list of vetoes.
func ChainNegative(previous Hash, index uint64, leaf Hash) Hash {
	b := append(make([]byte, 0, 128), "countersign negative v1\n"...)
	b = append(b, previous[:]...)
	b = binary.BigEndian.AppendUint64(b, index)
	return sha256.Sum256(append(b, leaf[:]...))
}
