package credential_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/countersign-dev/countersign/attest/credential"
)

// Keys for which anybody can sign are nobody's, in whatever way they come.
func TestWeakKeys(t *testing.T) {
	parse := func(key []byte) (passkey, disk, touch error) {
		spki, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(key))
		if err != nil {
			t.Fatal(err)
		}
		_, passkey = credential.ParsePasskeyKey(spki)
		_, disk = credential.ParseSSHKey(ssh.Marshal(struct{ Type, Key string }{ssh.KeyAlgoED25519, string(key)}))
		_, touch = credential.ParseSSHKey(ssh.Marshal(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, string(key), "ssh:"}))
		return passkey, disk, touch
	}
	good, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if a, b, c := parse(good); a != nil || b != nil || c != nil {
		t.Errorf("a key as it should be: %v, %v, %v", a, b, c)
	}
	identity := make([]byte, 32)
	identity[0] = 1
	forged := append(append([]byte(nil), identity...), make([]byte, 32)...)
	if !ed25519.Verify(identity, []byte("anything"), forged) {
		t.Error("the identity verifies nothing: this test is not needed")
	}
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if a, b, c := parse(key); a == nil || b == nil || c == nil {
			t.Errorf("%s: %v, %v, %v", text, a, b, c)
		}
	}
}
