package credential_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/countersign-dev/countersign/attest/credential"
)

// The other spelling of an ECDSA signature verifies as well, and its other spelling is the
// first one: there are two.
func TestThereAreTwoSpellings(t *testing.T) {
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
	first := credential.MarshalSSH(key, namespace, &ssh.Signature{Format: ssh.KeyAlgoECDSA256, Blob: ssh.Marshal(struct{ R, S *big.Int }{r, s})})
	second, ok := credential.RespelledSSH(first)
	if !ok || bytes.Equal(first, second) {
		t.Fatal("there is no other spelling")
	}
	for _, b := range [][]byte{first, second} {
		sig, err := credential.ParseSSH(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sig.Verify(namespace, message); err != nil {
			t.Error(err)
		}
	}
	if third, ok := credential.RespelledSSH(second); !ok || !bytes.Equal(third, first) {
		t.Error("there is a third spelling")
	}

	sum = sha256.Sum256(message)
	der, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	answer := &credential.PasskeyAnswer{Signature: der}
	other, ok := answer.Respelled()
	if !ok || !ecdsa.VerifyASN1(&private.PublicKey, sum[:], other.Signature) || bytes.Equal(other.Signature, der) {
		t.Error("the other spelling of a passkey's signature does not verify")
	}
	if third, ok := other.Respelled(); !ok || !bytes.Equal(third.Signature, der) {
		t.Error("a passkey's signature has a third spelling")
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := (&credential.PasskeyAnswer{Signature: ed25519.Sign(edwards, message)}).Respelled(); ok {
		t.Error("an Ed25519 signature has another spelling")
	}
}
