package verify_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// savedTree is a tree of a few leaves that differ from another one's.
func savedTree(t testing.TB, name byte, size int) *tlog.Tree {
	t.Helper()
	leaves := make([]tlog.Hash, size)
	for i := range leaves {
		leaves[i] = tlog.LeafHash([]byte{name, byte(i)})
	}
	edge, _ := tlog.Edge{}.Append(leaves)
	tree, err := tlog.OpenTree(t.Context(), tlog.Checkpoint{Size: edge.Size(), Root: edge.Root()}, 16,
		func(_ context.Context, level int, _ uint64) ([]byte, error) { return edge.Tile(level), nil })
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// Rows H18 and H27: what a file proves, and what it only pretends to.
func TestSavedProofOfAContradiction(t *testing.T) {
	s := tlog.NewSigner("log.example", ed25519.NewKeyFromSeed(make([]byte, 32)))
	sign := func(tree *tlog.Tree, size uint64) string {
		root, err := tree.Root(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		note, err := s.Sign(tlog.Checkpoint{Origin: s.Origin(), Size: size, Root: root})
		if err != nil {
			t.Fatal(err)
		}
		return string(note)
	}
	a, b := savedTree(t, 'a', 9), savedTree(t, 'b', 9)
	path, err := a.Consistency(t.Context(), 5, 9)
	if err != nil {
		t.Fatal(err)
	}
	root, err := a.Root(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	held := base64.StdEncoding.EncodeToString(root[:])
	hashes := verify.EncodeHashes(path)
	const holds, split, nothing = "holds", "split", "nothing"
	for name, c := range map[string]struct {
		p    verify.SavedProof
		want string
	}{
		"the log went on":                       {verify.SavedProof{From: sign(a, 5), Checkpoint: sign(a, 9), Hashes: hashes}, holds},
		"from nothing":                          {verify.SavedProof{From: sign(a, 0), Checkpoint: sign(a, 9)}, holds},
		"H27 from nothing, with hashes":         {verify.SavedProof{From: sign(a, 0), Checkpoint: sign(a, 9), Hashes: hashes}, nothing},
		"H18 the later tree holds another root": {verify.SavedProof{From: sign(b, 5), Checkpoint: sign(a, 9), Root: held, Hashes: hashes}, split},
		"H18 two of one size":                   {verify.SavedProof{From: sign(b, 9), Checkpoint: sign(a, 9)}, split},
		"no proof of the other root":            {verify.SavedProof{From: sign(b, 5), Checkpoint: sign(a, 9), Root: held}, nothing},
		"the proof of another root":             {verify.SavedProof{From: sign(b, 5), Checkpoint: sign(a, 9), Root: verify.EncodeHashes(path)[0], Hashes: hashes}, nothing},
		"the root that was signed":              {verify.SavedProof{From: sign(a, 5), Checkpoint: sign(a, 9), Root: held, Hashes: hashes}, nothing},
		"another root of nothing":               {verify.SavedProof{From: sign(a, 0), Checkpoint: sign(a, 9), Root: held}, nothing},
		"no proof at all, and no other root":    {verify.SavedProof{From: sign(b, 5), Checkpoint: sign(a, 9), Hashes: hashes}, nothing},
	} {
		c.p.Kind = verify.ConsistencyProof
		text, err := c.p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		p, err := verify.ParseSavedProof(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = p.Check(s.Verifier())
		var lie *verify.SplitView
		got := nothing
		switch {
		case err == nil:
			got = holds
		case errors.As(err, &lie) && lie.Proven():
			got = split
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, c.want)
		}
	}
}

func FuzzParseSavedProof(f *testing.F) {
	for _, s := range []string{
		`{"countersignProof":"inclusion","index":57,"leaf":"x","hashes":["AA=="],"checkpoint":"y"}`,
		`{"countersignProof":"consistency","from":"x","root":"AA==","hashes":[],"checkpoint":"y"}`,
		`{"countersignProof":"inclusion","root":"AA==","hashes":[],"checkpoint":"y"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := verify.ParseSavedProof(text)
		if err != nil {
			return
		}
		written, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := verify.ParseSavedProof(written)
		if err != nil {
			t.Fatalf("%q is not read again: %v", written, err)
		}
		if twice, err := again.Marshal(); err != nil || string(twice) != string(written) {
			t.Errorf("%q prints as %q", written, twice)
		}
	})
}
