package credential

import (
	"crypto/elliptic"
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/ssh"
)

// To every ECDSA signature r, s there is a second one, r, n-s, that anybody can compute. All
// other spellings of these numbers are refused, so that there are two of each signature with
// P-256, and one of each with Ed25519.

// Respelled is the answer with the other signature; false where there is none.
func (p *PasskeyAnswer) Respelled() (*PasskeyAnswer, bool) {
	var n struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(p.Signature, &n); err != nil || len(rest) > 0 {
		return nil, false // Ed25519
	}
	other, err := asn1.Marshal(struct{ R, S *big.Int }{n.R, otherS(n.S)})
	if err != nil {
		return nil, false
	}
	out := *p
	out.Signature = other
	return &out, true
}

// RespelledSSH is an SSH signature, in its binary form, with the other signature; false
// where there is none.
func RespelledSSH(b []byte) ([]byte, bool) {
	s, err := ParseSSH(b)
	if err != nil {
		return nil, false
	}
	if t := s.Key.key.Type(); t != ssh.KeyAlgoECDSA256 && t != ssh.KeyAlgoSKECDSA256 {
		return nil, false
	}
	var n struct{ R, S *big.Int }
	if err := ssh.Unmarshal(s.sig.Blob, &n); err != nil {
		return nil, false
	}
	n.S = otherS(n.S)
	var w blob
	if err := ssh.Unmarshal(b[len(magic):], &w); err != nil {
		return nil, false
	}
	other := s.sig
	other.Blob = ssh.Marshal(n)
	w.Signature = ssh.Marshal(other)
	return append([]byte(magic), ssh.Marshal(w)...), true
}

func otherS(s *big.Int) *big.Int { return new(big.Int).Sub(elliptic.P256().Params().N, s) }
