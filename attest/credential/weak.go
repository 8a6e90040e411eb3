package credential

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"

	"golang.org/x/crypto/ssh"
)

// errWeak: a key for which anybody can make signatures is nobody's.
var errWeak = errors.New("the Ed25519 key is a point of small order, for which anybody can make signatures")

// smallOrder are the encodings of the points of small order on Ed25519's curve, without
// the sign of x, and with those that are not canonical (RFC 8032 section 5.1.3).
var smallOrder = func() map[[ed25519.PublicKeySize]byte]bool {
	m := make(map[[ed25519.PublicKeySize]byte]bool)
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			panic(err) // ours
		}
		m[[ed25519.PublicKeySize]byte(b)] = true
	}
	return m
}()

// weak reports whether an Ed25519 key is of small order.
func weak(key []byte) bool {
	if len(key) != ed25519.PublicKeySize {
		return true
	}
	k := [ed25519.PublicKeySize]byte(key)
	k[31] &= 0x7f
	return smallOrder[k]
}

// weakSSH is weak for the two kinds of SSH keys that are Ed25519.
func weakSSH(k ssh.PublicKey) bool {
	switch k.Type() {
	case ssh.KeyAlgoED25519:
		var w struct {
			Type string
			Key  []byte
		}
		return ssh.Unmarshal(k.Marshal(), &w) != nil || weak(w.Key)
	case ssh.KeyAlgoSKED25519:
		var w struct {
			Type        string
			Key         []byte
			Application string
		}
		return ssh.Unmarshal(k.Marshal(), &w) != nil || weak(w.Key)
	}
	return false
}
