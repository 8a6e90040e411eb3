package tlog

import "testing"

// The chain is written into journals and packs: its bytes stay as they are.
func TestNextLink(t *testing.T) {
	var head Hash
	for i, want := range []string{
		"71b0070808c0e84535f73556bd460bd934d44a5c7a2738757ee8f43b7f8a4a34",
		"4a904537c608074b030cab0256830eadbc48d65be123973683faf1b8fdc01ff7",
	} {
		var leaf Hash
		leaf[0] = byte(i + 1)
		l := NextLink(head, uint64(i*256+7), leaf, ScopeOf("everything"))
		if head = l.Chain; head.String() != want || l.Leaf != leaf || l.Index != uint64(i*256+7) {
			t.Errorf("after %d: %+v, want %s", i, l, want)
		}
	}
}
