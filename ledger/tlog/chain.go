package tlog

import (
	"crypto/sha256"
	"encoding/binary"
)

// A Link is one entry of a log's chain of negative evidence: what takes credit
// away. Whoever holds the head of the chain cannot be shown a shorter one.
type Link struct {
	Index uint64
	Leaf  Hash
	Scope Hash // what the entry may take credit from: ScopeOf
	Chain Hash // head of the chain after this link
}

// ScopeOf is the scope that a text names, SHA-256 of it: the links of a chain say
// whom they concern only to those who know what to ask for.
func ScopeOf(text string) Hash { return sha256.Sum256([]byte(text)) }

// NextLink extends a chain whose head is previous; before the first link that is
// all zeros. The new head is SHA-256("countersign negative v1\n" ‖ previous ‖ index
// as 8 big-endian bytes ‖ leaf ‖ scope).
func NextLink(previous Hash, index uint64, leaf, scope Hash) Link {
	b := append(make([]byte, 0, 160), "countersign negative v1\n"...)
	b = append(b, previous[:]...)
	b = binary.BigEndian.AppendUint64(b, index)
	b = append(b, leaf[:]...)
	return Link{Index: index, Leaf: leaf, Scope: scope, Chain: sha256.Sum256(append(b, scope[:]...))}
}
