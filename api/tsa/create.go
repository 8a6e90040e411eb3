package tsa

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// Lifetime is how long the certificates of Create hold. The key of their root is
// thrown away, so that nobody can ever add to what it signed: before the end a new
// pair is created and verifiers get its root as well.
const Lifetime = 10 * 365 * 24 * time.Hour

const (
	pemKey         = "PRIVATE KEY"
	pemCertificate = "CERTIFICATE"
)

// Create makes a new authority for the log of this name: its key as PKCS#8 in
// PEM, and its certificate with the root that signed it, in PEM.
func Create(origin string, at time.Time) (key, chain []byte, err error) {
	at = at.UTC().Truncate(time.Second)
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("create timestamp authority: %w", err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("create timestamp authority: %w", err)
	}
	root := &x509.Certificate{
		SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: origin + " timestamp root"},
		NotBefore: at, NotAfter: at.Add(Lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	// Go would write the extended key usage as not critical.
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, nil, fmt.Errorf("create timestamp authority: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: origin + " timestamps"},
		NotBefore: at, NotAfter: at.Add(Lifetime), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: usage}},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	if err == nil {
		root, err = x509.ParseCertificate(rootDER)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("create timestamp root: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, rootKey)
	if err != nil {
		return nil, nil, fmt.Errorf("create timestamp certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode timestamp key: %w", err)
	}
	chain = append(encode(pemCertificate, leafDER), encode(pemCertificate, rootDER)...)
	return encode(pemKey, pkcs8), chain, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serialNumber() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// maxChain bounds the certificates of a chain.
const maxChain = 5

// Parse reads what Create wrote.
func Parse(keyPEM, chainPEM []byte) (*Authority, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil || block.Type != pemKey {
		return nil, errors.New("timestamp key: no PEM block of type " + pemKey)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("timestamp key: %w", err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("timestamp key: %T is not ECDSA", k)
	}
	var chain []*x509.Certificate
	for len(chainPEM) > 0 && len(chain) <= maxChain {
		if block, chainPEM = pem.Decode(chainPEM); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("timestamp certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) > maxChain {
		return nil, fmt.Errorf("timestamp certificates: more than %d", maxChain)
	}
	return New(key, chain)
}
