package tlog

import "testing"

// The chain is written into journals and packs: its bytes stay as they are.
func TestChainNegative(t *testing.T) {
	var head Hash
	for i, want := range []string{
		"7ed4f5a1bfbaab21fe5ae031965cf036d6d83614902ace51e87ded30908eb455",
		"d5bfe8a3a9c76013ed796bcb2a951e37b7fdb402850a0dfa1e7e15e76302b6d3",
	} {
		var leaf Hash
		leaf[0] = byte(i + 1)
		if head = ChainNegative(head, uint64(i*256+7), leaf); head.String() != want {
			t.Errorf("after %d: %s, want %s", i, head, want)
		}
	}
}
