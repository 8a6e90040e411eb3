package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// Issuer is the OIDC issuer of the identities that stories use.
const Issuer = "https://accounts.example.com"

// An Authority is a certificate authority of Fulcio's profile, with a root, an
// intermediate, and certificates that live for ten minutes.
type Authority struct {
	root, middle *x509.Certificate
	key          *ecdsa.PrivateKey
	from         time.Time
	serial       int64
}

// NewAuthority makes an authority that speaks from a time on, for ten years.
func NewAuthority(from time.Time) (*Authority, error) {
	a := &Authority{from: from}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.root, err = a.make(a.ca("root"), nil, &rootKey.PublicKey, rootKey); err != nil {
		return nil, err
	}
	a.middle, err = a.make(a.ca("intermediate"), a.root, &a.key.PublicKey, rootKey)
	return a, err
}

func (a *Authority) ca(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: a.from, NotAfter: a.from.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
}

func (a *Authority) make(c, parent *x509.Certificate, pub any, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	a.serial++
	c.SerialNumber = big.NewInt(a.serial)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Trusted is the authority as a trust folder names it.
func (a *Authority) Trusted() verify.CertificateAuthority {
	return verify.CertificateAuthority{Certificates: []*x509.Certificate{a.middle, a.root}, Validity: roster.Validity{From: a.from}}
}

// Issue makes a certificate, from a time on, that gives a key to an identity: an e-mail
// address, or a URI where it has a colon. Claims are by their OIDs below Fulcio's arc;
// edit may change what is signed.
func (a *Authority) Issue(key *attest.PublicKey, issuer, subject string, from time.Time, claims map[int]string, edit func(*x509.Certificate)) (*x509.Certificate, error) {
	pub, err := x509.ParsePKIXPublicKey(key.SPKI())
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		NotBefore: from, NotAfter: from.Add(10 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if strings.Contains(subject, ":") {
		u, err := url.Parse(subject)
		if err != nil {
			return nil, err
		}
		c.URIs = []*url.URL{u}
	} else {
		c.EmailAddresses = []string{subject}
	}
	extensions := map[int]string{8: issuer}
	for n, text := range claims {
		extensions[n] = text
	}
	for n, text := range extensions {
		der, err := asn1.MarshalWithParams(text, "utf8")
		if err != nil {
			return nil, fmt.Errorf("claim %d: %w", n, err)
		}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: der})
	}
	if edit != nil {
		edit(c)
	}
	return a.make(c, a.middle, pub, a.key)
}
