package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// saved makes one file of each kind that log verify takes.
func saved(t *testing.T) (n *notary, files map[string]string) {
	n = newNotary(t)
	_, key := keyFile(t, "alice")
	var last *attest.Bundle
	for _, name := range []string{"v1", "v2", "v3"} {
		b, err := attest.Sign(releaseNamed(name), key)
		if err != nil {
			t.Fatal(err)
		}
		n.log(b, key.Public())
		last = b
	}
	text, err := last.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	_, note := n.checkpoint(n.leaves)
	_, old := n.checkpoint(n.leaves[:2])
	inclusion := &verify.SavedProof{Kind: verify.InclusionProof, Index: 2, Leaf: string(last.Leaf), Checkpoint: string(note)}
	inclusion.Hashes = verify.EncodeHashes(last.Receipt.Proof)
	consistency := &verify.SavedProof{Kind: verify.ConsistencyProof, From: string(old), Checkpoint: string(note)}
	third := tlog.LeafHash(last.Leaf)
	consistency.Hashes = verify.EncodeHashes([]tlog.Hash{third})
	files = map[string]string{
		"receipt": n.file("receipt.json", text), "checkpoint": n.file("checkpoint.txt", note),
		"inclusion": n.file("inclusion.json", marshalProof(t, inclusion)), "consistency": n.file("consistency.json", marshalProof(t, consistency)),
	}
	return n, files
}

func marshalProof(t *testing.T, p *verify.SavedProof) []byte {
	t.Helper()
	text, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSavedProofsHoldOffline(t *testing.T) {
	n, files := saved(t)
	c := &client{t: t}
	for name, path := range files {
		if out := c.want(exitYes, "log", "verify", path, "--trust", n.dir); !strings.Contains(out, "holds") {
			t.Errorf("%s: %s", name, out)
		}
	}
	other := newNotary(t)
	for name, path := range files {
		c.want(exitNo, "log", "verify", path, "--trust", other.dir)
		if out := c.out.String(); !strings.Contains(out, "does not hold") {
			t.Errorf("%s under another log's key: %s", name, out)
		}
	}
}

// Whatever single byte is flipped, the file no longer holds, or says the same.
func TestFlippedByteIsCaught(t *testing.T) {
	n, files := saved(t)
	for name, path := range files {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		said, err := checkSaved(n.trust, good, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1
			if got, err := checkSaved(n.trust, bad, nil); err == nil && (got != said || name != "receipt" && bad[i] > ' ') {
				t.Errorf("%s with byte %d flipped (%q) holds: %s", name, i, bad[max(0, i-20):min(len(bad), i+20)], got)
			}
		}
	}
}

func TestTwoTruthsOfOneSizeAreALie(t *testing.T) {
	n, _ := saved(t)
	_, one := n.checkpoint(n.leaves)
	_, two := n.checkpoint(append([]tlog.Hash{{1}}, n.leaves[1:]...))
	path := n.file("split.json", marshalProof(t, &verify.SavedProof{Kind: verify.ConsistencyProof, From: string(one), Checkpoint: string(two)}))
	c := &client{t: t}
	c.want(exitLied, "log", "verify", path, "--trust", n.dir)
}

func TestReceiptsAreNotBelievedForOthers(t *testing.T) {
	n := newNotary(t)
	_, key := keyFile(t, "alice")
	_, other := keyFile(t, "bob")
	fresh := func(name string, k *attest.PrivateKey) *attest.Bundle {
		b, err := attest.Sign(releaseNamed(name), k)
		if err != nil {
			t.Fatal(err)
		}
		n.log(b, k.Public())
		return b
	}
	a, b := fresh("v1", key), fresh("v2", other)
	for name, c := range map[string]struct {
		spoil func() attest.Bundle
		want  string
	}{
		"another bundle's receipt": {func() attest.Bundle { x := *a; x.Receipt, x.Leaf = b.Receipt, b.Leaf; return x }, "BAD_SIGNATURE"},
		"another bundle's proof":   {func() attest.Bundle { x := *a; x.Receipt = b.Receipt; return x }, "BAD_PROOF"},
		"another's token":          {func() attest.Bundle { x, r := *a, *a.Receipt; r.Token = b.Receipt.Token; x.Receipt = &r; return x }, "TIME_UNTRUSTED"},
		"no receipt":               {func() attest.Bundle { x := *a; x.Receipt = nil; return x }, "NOT_LOGGED"},
		"another statement":        {func() attest.Bundle { x := *a; x.Payload = b.Payload; return x }, "BAD_SIGNATURE"},
		"a checkpoint of nobody here": {func() attest.Bundle {
			x, r := *a, *a.Receipt
			r.Checkpoint = append([]byte("x"), r.Checkpoint...)
			x.Receipt = &r
			return x
		}, "BAD_CHECKPOINT"},
	} {
		x := c.spoil()
		if _, err := checkReceipt(n.trust, &x); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for _, good := range []*attest.Bundle{a, b} {
		if _, err := checkReceipt(n.trust, good); err != nil {
			t.Errorf("twin: %v", err)
		}
	}
}

func TestVerifyForPrograms(t *testing.T) {
	n, files := saved(t)
	c := &client{t: t}
	var out []struct{ File, What, Why string }
	if err := json.Unmarshal([]byte(c.want(exitYes, "log", "verify", files["receipt"], files["checkpoint"], "--trust", n.dir, "--format", "json")), &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != 2 || out[0].What == "" || out[0].Why != "" {
		t.Errorf("%+v", out)
	}
}
