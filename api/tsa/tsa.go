// Package tsa is an RFC 3161 timestamp authority inside the process: it has a
// key of its own, and says when something existed.
package tsa

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/countersign-dev/countersign/verify"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// The policies under which tokens are issued, of UUID arc 2.25, which needs no
// registration. A token for the log says when the log took an entry; verifiers want
// that policy there, so that nobody can put a token of their own in its place.
var (
	Policy       = verify.StampPolicy                        // for the log
	PublicPolicy = asn1.ObjectIdentifier{2, 25, 93640812, 2} // for everybody else: Respond
)

// Accuracy is how far the time of a token may be from the clock's: tokens say
// whole seconds, which every client can read, and drop the rest.
const Accuracy = time.Second

var (
	oidSignedData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertV2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA256          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

// An Authority mints timestamps. It is safe for concurrent use.
type Authority struct {
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate
	sid   []byte // IssuerAndSerialNumber of the certificate, DER
	// constant attributes of every signature: content type, and which certificate
	contentType, signingCert []byte
}

// New returns the authority with this key, whose certificate is the first of the
// chain; the last one is the root that verifiers trust. The certificate must be
// for timestamping and nothing else, marked critical (RFC 3161 section 2.3).
func New(key *ecdsa.PrivateKey, chain []*x509.Certificate) (*Authority, error) {
	if len(chain) == 0 {
		return nil, errors.New("timestamp authority: no certificate")
	}
	cert := chain[0]
	if key.Curve != elliptic.P256() || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("timestamp authority: the certificate is not that of the P-256 key")
	}
	if !onlyTimestamps(cert) {
		return nil, errors.New("timestamp authority: the certificate has no critical extended key usage of timestamping alone")
	}
	a := &Authority{key: key, chain: chain}
	var err error
	if a.sid, err = issuerAndSerial(cert); err != nil {
		return nil, err
	}
	if a.contentType, err = attribute(oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidTSTInfo) }); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(cert.Raw)
	a.signingCert, err = attribute(oidSigningCertV2, func(b *cryptobyte.Builder) { // RFC 5816; SHA-256 is the default
		sequence(b, func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) {
				sequence(b, func(b *cryptobyte.Builder) { b.AddASN1OctetString(sum[:]) })
			})
		})
	})
	return a, err
}

func onlyTimestamps(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(c.UnknownExtKeyUsage) > 0 {
		return false
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidExtKeyUsage) {
			return e.Critical
		}
	}
	return false
}

// Chain returns the certificates, the signer's first and the root last. The
// caller must not change it.
func (a *Authority) Chain() []*x509.Certificate { return a.chain }

// ErrExpired says that the authority's certificate is not valid at the time that
// it should attest: nobody would believe the token.
var ErrExpired = errors.New("timestamp certificate is not valid at this time")

// Stamp returns an RFC 3161 response, in DER, that says that the message existed
// at that time: status granted, one token over its SHA-256, with the authority's
// certificate. It takes about as long as one P-256 signature.
func (a *Authority) Stamp(message []byte, at time.Time) ([]byte, error) {
	sum := sha256.Sum256(message)
	return a.issue(query{algorithm: oidSHA256, imprint: sum[:], policy: Policy, certificates: true}, at)
}

// A query is what a token is asked for.
type query struct {
	algorithm    asn1.ObjectIdentifier
	imprint      []byte
	policy       asn1.ObjectIdentifier
	nonce        *big.Int // nil where none was given
	certificates bool
}

// issue answers a query with a granted response.
func (a *Authority) issue(q query, at time.Time) ([]byte, error) {
	at = at.UTC().Truncate(time.Second)
	if c := a.chain[0]; at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return nil, fmt.Errorf("%w: %s is not within %s and %s", ErrExpired, at.Format(time.RFC3339), c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	content, err := tstInfo(q, at)
	if err != nil {
		return nil, err
	}
	signed, err := a.signedAttributes(content)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(signed)
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign timestamp: %w", err)
	}
	return a.response(content, signed, signature, q.certificates)
}

// tstInfo is the TSTInfo of RFC 3161 section 2.4.2.
func tstInfo(q query, at time.Time) ([]byte, error) {
	var serial [16]byte
	rand.Read(serial[:])
	serial[0] = serial[0]&0x7f | 0x40 // positive, and always 16 bytes
	b := cryptobyte.NewBuilder(make([]byte, 0, 192))
	sequence(b, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1ObjectIdentifier(q.policy)
		sequence(b, func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(q.algorithm) })
			b.AddASN1OctetString(q.imprint)
		})
		b.AddASN1(der.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial[:]) })
		b.AddASN1GeneralizedTime(at)
		sequence(b, func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(Accuracy / time.Second)) })
		if q.nonce != nil {
			b.AddASN1BigInt(q.nonce)
		}
	})
	return b.Bytes()
}

// signedAttributes is the SET that is signed (RFC 5652 section 5.4). Its members
// are in DER order because each is longer than the one before.
func (a *Authority) signedAttributes(content []byte) ([]byte, error) {
	sum := sha256.Sum256(content)
	digest, err := attribute(oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(sum[:]) })
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 192))
	b.AddASN1(der.SET, func(b *cryptobyte.Builder) {
		b.AddBytes(a.contentType)
		b.AddBytes(digest)
		b.AddBytes(a.signingCert)
	})
	return b.Bytes()
}

// response is the TimeStampResp around SignedData (RFC 3161 section 2.4.2, RFC
// 5652 section 5.1).
func (a *Authority) response(content, signed, signature []byte, certificates bool) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 640+len(a.chain[0].Raw)))
	sequence(b, func(b *cryptobyte.Builder) {
		sequence(b, func(b *cryptobyte.Builder) { b.AddASN1Int64(0) }) // PKIStatusInfo: granted
		sequence(b, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSignedData)
			b.AddASN1(explicit0, func(b *cryptobyte.Builder) {
				sequence(b, func(b *cryptobyte.Builder) { a.signedData(b, content, signed, signature, certificates) })
			})
		})
	})
	return b.Bytes()
}

func (a *Authority) signedData(b *cryptobyte.Builder, content, signed, signature []byte, certificates bool) {
	b.AddASN1Int64(3)
	b.AddASN1(der.SET, addSHA256)
	sequence(b, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidTSTInfo)
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
	})
	if certificates {
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddBytes(a.chain[0].Raw) })
	}
	b.AddASN1(der.SET, func(b *cryptobyte.Builder) {
		sequence(b, func(b *cryptobyte.Builder) { // SignerInfo
			b.AddASN1Int64(1)
			b.AddBytes(a.sid)
			addSHA256(b)
			b.AddBytes([]byte{byte(explicit0)}) // [0] IMPLICIT in place of the SET's tag
			b.AddBytes(signed[1:])
			sequence(b, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidECDSAWithSHA256) })
			b.AddASN1OctetString(signature)
		})
	})
}

const explicit0 = der.Tag(0x80 | 0x20) // [0], constructed

func sequence(b *cryptobyte.Builder, f func(*cryptobyte.Builder)) { b.AddASN1(der.SEQUENCE, f) }

func addSHA256(b *cryptobyte.Builder) {
	sequence(b, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidSHA256) })
}

func attribute(oid asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	sequence(&b, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(der.SET, value)
	})
	return b.Bytes()
}

func issuerAndSerial(c *x509.Certificate) ([]byte, error) {
	var b cryptobyte.Builder
	sequence(&b, func(b *cryptobyte.Builder) {
		b.AddBytes(c.RawIssuer)
		b.AddASN1BigInt(c.SerialNumber)
	})
	return b.Bytes()
}
