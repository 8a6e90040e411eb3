package tsa

import (
	"crypto"
	"encoding/asn1"
	"time"

	"github.com/digitorus/timestamp"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxRequest is the size of a request that Respond reads, in bytes.
const MaxRequest = 4 << 10

// maxNonce is the size of a nonce, in bits.
const maxNonce = 256

// Reasons for which a request is refused (RFC 3161 section 2.4.2, PKIFailureInfo).
const (
	badAlgorithm        = 0
	badRequest          = 2
	badDataFormat       = 5
	timeNotAvailable    = 14
	unacceptedPolicy    = 15
	unacceptedExtension = 16
)

// imprints are the hash algorithms that a request may use.
var imprints = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA256: oidSHA256,
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

// Respond answers an RFC 3161 TimeStampReq with a TimeStampResp, both in DER, under
// PublicPolicy. A request that it does not grant gets a response that says so, with
// the reason; granted tells the two apart. The error is the authority's own.
func (a *Authority) Respond(request []byte, at time.Time) (response []byte, granted bool, err error) {
	refuse := func(reason int, why string) ([]byte, bool, error) {
		response, err := rejection(reason, why)
		return response, false, err
	}
	if len(request) > MaxRequest {
		return refuse(badRequest, "the request is too large")
	}
	req, err := timestamp.ParseRequest(request)
	if err != nil {
		return refuse(badDataFormat, "the request is no TimeStampReq with a known hash: "+err.Error())
	}
	algorithm, known := imprints[req.HashAlgorithm]
	switch {
	case !known:
		return refuse(badAlgorithm, "the imprint must be SHA-256, SHA-384 or SHA-512")
	case len(req.HashedMessage) != req.HashAlgorithm.Size():
		return refuse(badDataFormat, "the imprint is not as long as its hash")
	case len(req.TSAPolicyOID) > 0 && !req.TSAPolicyOID.Equal(PublicPolicy):
		return refuse(unacceptedPolicy, "the only policy is "+PublicPolicy.String())
	case len(req.Extensions) > 0:
		return refuse(unacceptedExtension, "no extensions are known")
	case req.Nonce != nil && req.Nonce.BitLen() > maxNonce:
		return refuse(badRequest, "the nonce is too large")
	}
	if c := a.chain[0]; at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return refuse(timeNotAvailable, "the authority's certificate is not valid now")
	}
	response, err = a.issue(query{algorithm, req.HashedMessage, PublicPolicy, req.Nonce, req.Certificates}, at)
	return response, err == nil, err
}

// rejection is a TimeStampResp without a token (RFC 3161 section 2.4.2).
func rejection(reason int, why string) ([]byte, error) {
	bits := make([]byte, reason/8+1)
	bits[reason/8] = 0x80 >> (reason % 8)
	var b cryptobyte.Builder
	sequence(&b, func(b *cryptobyte.Builder) {
		sequence(b, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(2) // rejection
			sequence(b, func(b *cryptobyte.Builder) {
				b.AddASN1(der.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(why)) })
			})
			b.AddASN1(der.BIT_STRING, func(b *cryptobyte.Builder) {
				b.AddUint8(uint8(7 - reason%8)) // unused bits: DER drops zeros at the end
				b.AddBytes(bits)
			})
		})
	})
	return b.Bytes()
}
