package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// sign puts an SSH signature on a commit, as `git commit -S` does.
func sign(t *testing.T, c *gitfacts.Commit, key *ecdsa.PrivateKey, namespace string) {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(c.Signed)
	over := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, HashAlgorithm string
		Hash                               []byte
	}{namespace, "", "sha512", sum[:]})...)
	sig, err := signer.Sign(rand.Reader, over)
	if err != nil {
		t.Fatal(err)
	}
	blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                            uint32
		PublicKey                          []byte
		Namespace, Reserved, HashAlgorithm string
		Signature                          []byte
	}{1, signer.PublicKey().Marshal(), namespace, "", "sha512", ssh.Marshal(sig)})...)
	c.Signature = strings.TrimSuffix(string(pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob})), "\n")
}

// people of this test: alice and bob, with a key each.
func signers2(t *testing.T, alice, bob *ecdsa.PrivateKey) *roster.Roster {
	t.Helper()
	var b strings.Builder
	b.WriteString("owners: [alice]\npeople:\n")
	for _, p := range []struct {
		id  string
		key *ecdsa.PrivateKey
	}{{"alice", alice}, {"bob", bob}} {
		der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "  - id: %s\n    level: mid\n    from: 2026-01-01T00:00:00Z\n    emails: [%s@example.com]\n    keys:\n      - name: k\n        from: 2026-01-01T00:00:00Z\n        publicKey: |\n", p.id, p.id)
		for line := range strings.Lines(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))) {
			b.WriteString("          " + line)
		}
	}
	r, err := roster.Parse("people.yaml", []byte(b.String()), roster.Terms{Levels: []string{"mid"}, Types: attest.ShortTypes})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestASignedCommitAuthenticatesItsAuthorAlone(t *testing.T) {
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	alice, bob, stranger := newKey(), newKey(), newKey()
	r := signers2(t, alice, bob)
	inForce := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		key       *ecdsa.PrivateKey
		namespace string
		at        time.Time
		revoked   bool
		tampered  bool
		want      bool
	}{
		"by the author":             {alice, "git", inForce, false, false, true},
		"by somebody else":          {bob, "git", inForce, false, false, false},
		"by a stranger":             {stranger, "git", inForce, false, false, false},
		"of a file, not a commit":   {alice, "file", inForce, false, false, false},
		"before the key was valid":  {alice, "git", inForce.AddDate(-1, 0, 0), false, false, false},
		"by a key that was revoked": {alice, "git", inForce, true, false, false},
		"over another commit":       {alice, "git", inForce, false, true, false},
	} {
		commit := &gitfacts.Commit{Signed: []byte("tree 1\nauthor alice <alice@example.com> 0 +0000\n\nm\n")}
		sign(t, commit, c.key, c.namespace)
		if c.tampered {
			commit.Signed = append(commit.Signed, 'x')
		}
		j := &judge{in: Input{Set: &Set{Roster: r}}}
		principal, _ := r.Principal("alice")
		if c.revoked {
			der, _ := x509.MarshalPKIXPublicKey(&alice.PublicKey)
			id := attest.KeyID(sha256.Sum256(der)).String()
			j.revocations.keys = map[string][]item{id: {{by: principal}}}
		}
		if got := j.signedBy(commit, &author{principal: principal}, c.at); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
