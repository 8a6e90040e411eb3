package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// history is a clone of the real history, made once for all tests.
var history = sync.OnceValues(func() (string, error) {
	dir, err := sharedDir("history")
	if err != nil {
		return "", err
	}
	bundle, err := filepath.Abs("../../testdata/litestream-history.bundle")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"clone", "-q", "--bare", bundle, dir},
		{"-C", dir, "fetch", "-q", bundle, "refs/pull/*:refs/pull/*"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			return "", errors.New(string(out))
		}
	}
	return dir, nil
})

const litestream = "github.com/benbjohnson/litestream"

func historyDir(t testing.TB) string {
	t.Helper()
	dir, err := history()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// client runs commands as main does, in this process.
type client struct {
	t        testing.TB
	out, err bytes.Buffer
}

// run returns the exit code; what was printed is in c.out and c.err.
func (c *client) run(args ...string) int {
	c.t.Helper()
	c.out.Reset()
	c.err.Reset()
	a := &app{in: bytes.NewReader(nil), out: &c.out, err: &c.err, now: time.Now}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetOut(&c.out)
	root.SetErr(&c.err)
	return a.exitCode(root.ExecuteContext(context.Background()))
}

// want runs a command that must end with a code.
func (c *client) want(code int, args ...string) string {
	c.t.Helper()
	if got := c.run(args...); got != code {
		c.t.Fatalf("countersign %q: exit %d, want %d\n%s%s", args, got, code, &c.out, &c.err)
	}
	return c.out.String()
}

// keyFile makes a key in a file.
func keyFile(t testing.TB, name string) (string, *attest.PrivateKey) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".pem")
	c := &client{t: t}
	c.want(exitYes, "keygen", "--out", path)
	key, err := attest.ReadKeyFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return path, key
}

// A notary is a log without a server: it signs checkpoints and timestamps, and
// has a trust folder that names it.
type notary struct {
	t      testing.TB
	signer *tlog.Signer
	tsa    *tsa.Authority
	at     time.Time
	dir    string // trust folder
	trust  *verify.Trust
	leaves []tlog.Hash
}

func newNotary(t testing.TB) *notary {
	t.Helper()
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := &notary{t: t, signer: tlog.NewSigner("log.example", logKey), at: time.Now().UTC().Truncate(time.Second), dir: filepath.Join(t.TempDir(), "trust")}
	keyPEM, chainPEM, err := tsa.Create("log.example", n.at.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if n.tsa, err = tsa.Parse(keyPEM, chainPEM); err != nil {
		t.Fatal(err)
	}
	service, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	n.trust = &verify.Trust{Log: n.signer.Verifier(), Service: service.Public(), Timestamps: n.tsa.Chain(),
		Genesis: attest.DigestOf([]byte("policy")), Owners: []string{"alice", "bob"}, MaxCheckpointAge: time.Hour}
	n.trust.LogValid.From, n.trust.ServiceValid.From = n.at.Add(-time.Hour), n.at.Add(-time.Hour)
	if err := n.trust.Check(); err != nil {
		t.Fatal(err)
	}
	if err := verify.WriteTrust(n.dir, n.trust); err != nil {
		t.Fatal(err)
	}
	return n
}

// checkpoint signs the tree of some leaves.
func (n *notary) checkpoint(leaves []tlog.Hash) (tlog.Checkpoint, []byte) {
	n.t.Helper()
	edge, _ := tlog.Edge{}.Append(leaves)
	cp := tlog.Checkpoint{Origin: n.signer.Origin(), Size: uint64(len(leaves)), Root: edge.Root()}
	note, err := n.signer.Sign(cp)
	if err != nil {
		n.t.Fatal(err)
	}
	return cp, note
}

// log puts a bundle into the log and gives it a receipt.
func (n *notary) log(b *attest.Bundle, key *attest.PublicKey) {
	n.t.Helper()
	b.Leaf = attest.Leaf(b, key)
	b.Hint = key.ID().String()
	n.leaves = append(n.leaves, tlog.LeafHash(b.Leaf))
	_, note := n.checkpoint(n.leaves)
	token, err := n.tsa.Stamp(b.Signature, n.at)
	if err != nil {
		n.t.Fatal(err)
	}
	b.Receipt = &tlog.Receipt{LogID: n.trust.Log.LogID(), Index: uint64(len(n.leaves) - 1), Checkpoint: note, Proof: n.path(len(n.leaves) - 1), Token: token}
}

// path is the inclusion proof of a leaf in the tree of all (RFC 6962 2.1.1).
func (n *notary) path(index int) []tlog.Hash {
	n.t.Helper()
	edge, full := tlog.Edge{}.Append(n.leaves)
	if len(full) > 0 {
		n.t.Fatal("the notary's log is for a few entries")
	}
	tree, err := tlog.OpenTree(context.Background(), tlog.Checkpoint{Origin: n.signer.Origin(), Size: edge.Size(), Root: edge.Root()}, 8,
		func(context.Context, int, uint64) ([]byte, error) { return edge.Tile(0), nil })
	if err != nil {
		n.t.Fatal(err)
	}
	proof, err := tree.Inclusion(context.Background(), uint64(index), edge.Size())
	if err != nil {
		n.t.Fatal(err)
	}
	return proof
}

func (n *notary) file(name string, content []byte) string {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path
}
