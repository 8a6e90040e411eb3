package credential_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy/scenario"
)

const namespace = "approval@countersign.dev"

// What ssh-keygen signs, we verify; what we frame, it would.
func TestSSHKeygenAgrees(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := exec.Command("ssh-keygen", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
	}
	message := []byte("what is approved")
	if err := os.WriteFile(filepath.Join(dir, "message"), message, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{"ed25519", "ecdsa"} {
		run("-q", "-t", typ, "-N", "", "-f", typ)
		run("-q", "-Y", "sign", "-n", namespace, "-f", typ, "message")
		text, err := os.ReadFile(filepath.Join(dir, "message.sig"))
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, "message.sig"))
		sig, err := credential.ParseSSHArmored(text)
		if err != nil {
			t.Fatal(err)
		}
		line, err := os.ReadFile(filepath.Join(dir, typ+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		key, _, err := credential.ParseSSHLine(string(line))
		if err != nil || key.ID() != sig.Key.ID() {
			t.Errorf("%s: another key, %v", typ, err)
		}
		if p, err := sig.Verify(namespace, message); err != nil || p.Touched {
			t.Errorf("%s: %+v, %v", typ, p, err)
		}
		if _, err := sig.Verify("git", message); !errors.Is(err, credential.ErrElsewhere) {
			t.Errorf("%s, in namespace git: %v", typ, err)
		}
		if _, err := sig.Verify(namespace, append(message, '.')); !errors.Is(err, credential.ErrSignature) {
			t.Errorf("%s, over something else: %v", typ, err)
		}
	}
	run("-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", "rsa")
	line, err := os.ReadFile(filepath.Join(dir, "rsa.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := credential.ParseSSHLine(string(line)); err == nil {
		t.Error("an RSA key may be on a roster")
	}
}

func TestSecurityKeysSayWhatThePersonDid(t *testing.T) {
	k := scenario.NewSSHKey(true)
	sig, err := credential.ParseSSH(k.Sign(namespace, []byte("m"), scenario.Touched|scenario.Verified, 9))
	if err != nil {
		t.Fatal(err)
	}
	p, err := sig.Verify(namespace, []byte("m"))
	if err != nil || !p.Touched || !p.Verified || p.Counter != 9 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := k.Public.SPKI(); err == nil {
		t.Error("the key of a security key has a plain form")
	}
}

// Lines that are no key, or more than one.
func TestLinesThatAreRefused(t *testing.T) {
	good := scenario.NewSSHKey(false).Public.Line()
	if _, _, err := credential.ParseSSHLine(good + " me@home"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "ssh-ed25519", `command="x" ` + good, good + "\n" + good, "ssh-ed25519 AAAA"} {
		if _, _, err := credential.ParseSSHLine(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestPasskeyAnswers(t *testing.T) {
	k := scenario.NewPasskey()
	presented := []byte("what is approved")
	good := func() *credential.PasskeyAnswer {
		return k.Answer(presented, scenario.Touched|scenario.Verified, nil)
	}
	if p, err := good().Verify(presented, scenario.Party, k.SPKI()); err != nil || !p.Verified {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, c := range map[string]struct {
		answer *credential.PasskeyAnswer
		key    []byte
		want   error
	}{
		"another key":       {good(), scenario.NewPasskey().SPKI(), credential.ErrSignature},
		"another challenge": {k.Answer([]byte("x"), scenario.Touched, nil), k.SPKI(), credential.ErrSubject},
		"another origin":    {k.Answer(presented, scenario.Touched, func(c map[string]any) { c["origin"] = "https://approve.example.com.evil" }), k.SPKI(), credential.ErrElsewhere},
		"a frame":           {k.Answer(presented, scenario.Touched, func(c map[string]any) { c["topOrigin"] = "https://example.org" }), k.SPKI(), credential.ErrElsewhere},
		"nobody there":      {k.Answer(presented, 0, nil), k.SPKI(), nil},
		"flags changed": {func() *credential.PasskeyAnswer {
			a := k.Answer(presented, scenario.Touched, nil)
			a.AuthenticatorData[32] |= scenario.Verified
			return a
		}(), k.SPKI(), credential.ErrSignature},
		"cut data":       {&credential.PasskeyAnswer{CredentialID: k.ID, AuthenticatorData: []byte("x"), ClientDataJSON: good().ClientDataJSON}, k.SPKI(), nil},
		"no client data": {&credential.PasskeyAnswer{CredentialID: k.ID, AuthenticatorData: good().AuthenticatorData, ClientDataJSON: []byte("{")}, k.SPKI(), nil},
		"twice the type": {&credential.PasskeyAnswer{CredentialID: k.ID, AuthenticatorData: good().AuthenticatorData, ClientDataJSON: []byte(`{"type":"webauthn.get","type":"webauthn.get"}`)}, k.SPKI(), nil},
	} {
		if _, err := c.answer.Verify(presented, scenario.Party, c.key); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseSSH(f *testing.F) {
	f.Add(scenario.NewSSHKey(false).Sign(namespace, []byte("m"), 0, 0))
	f.Add(scenario.NewSSHKey(true).Sign(namespace, []byte("m"), scenario.Touched, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		sig, err := credential.ParseSSH(b)
		if err != nil {
			return
		}
		sig.Counter()
		if _, err := sig.Verify("elsewhere", b); err == nil {
			t.Error("a signature verifies in a namespace that nobody signs in")
		}
	})
}

// The two numbers of an ECDSA signature have one spelling: with more, anybody could make
// other statements of one.
func TestNumbersHaveOneSpelling(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := credential.ParseSSHKey(public.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("what is approved")
	input, err := credential.SSHInput(namespace, credential.SSHHash, message)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(input)
	r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	check := func(blob []byte) error {
		sig, err := credential.ParseSSH(credential.MarshalSSH(key, namespace, &ssh.Signature{Format: ssh.KeyAlgoECDSA256, Blob: blob}))
		if err != nil {
			return err
		}
		_, err = sig.Verify(namespace, message)
		return err
	}
	if err := check(ssh.Marshal(struct{ R, S *big.Int }{r, s})); err != nil {
		t.Errorf("as it is: %v", err)
	}
	padded := append([]byte{0, 0, 0}, r.Bytes()...)
	if err := check(ssh.Marshal(struct {
		R []byte
		S *big.Int
	}{padded, s})); err == nil || errors.Is(err, credential.ErrSignature) {
		t.Errorf("with zeros in front: %v", err)
	}
}
