package follow

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/countersign-dev/countersign/attest"
)

// An Identity is somebody as a certificate names them: who vouched for them
// (Fulcio's issuer extension, OID 1.3.6.1.4.1.57264.1.8, or .1.1 in older
// certificates), and one subject alternative name.
type Identity struct {
	Issuer, Subject string
}

// ParseIdentity reads "ISSUER,SUBJECT". Neither may be empty; a subject may hold
// further commas.
func ParseIdentity(s string) (Identity, error) {
	issuer, subject, ok := strings.Cut(s, ",")
	if !ok || issuer == "" || subject == "" {
		return Identity{}, fmt.Errorf("%.200q is not ISSUER,SUBJECT, such as https://issuer.example,alice@example.com", s)
	}
	return Identity{Issuer: issuer, Subject: subject}, nil
}

func (i Identity) String() string { return i.Issuer + "," + i.Subject }

// A Watch is whom somebody looks for in a log: themselves, mostly.
type Watch struct {
	Keys       []attest.KeyID
	Identities []Identity
}

// Match says whom of the watch a leaf names as its signer; empty when nobody. What
// the log was told is what counts: nothing is verified, because a leaf that only
// pretends to be somebody's is of interest as well.
func (w Watch) Match(p attest.LeafParts) string {
	s := signerOf(p)
	for _, id := range w.Keys {
		if id == s.key && id != (attest.KeyID{}) {
			return "key " + id.String()
		}
	}
	if len(s.certificate) == 0 {
		return ""
	}
	for _, id := range w.Identities {
		if id.in(s.certificate) {
			return "identity " + id.String()
		}
	}
	return ""
}

// signer is whom a leaf names: the id of a key or an identity (zeros where it has
// none that we accept), and the certificate where the leaf has one, in DER.
type signer struct {
	key         attest.KeyID
	certificate []byte
}

// signerOf is the one place that knows what kinds of signers a leaf may name.
func signerOf(p attest.LeafParts) signer {
	if p.Certificate == nil {
		return signer{key: attest.KeyID(attest.DigestOf(p.SPKI))}
	}
	s := signer{certificate: p.Certificate}
	if k, err := p.Key(); err == nil {
		s.key = k.ID()
	}
	return s
}

// in reports whether a certificate is the identity's. All of its names count, not
// only the first one that a summary gives.
func (i Identity) in(der []byte) bool {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	summary, err := certificate.SummarizeCertificate(c)
	if err != nil || summary.Issuer != i.Issuer {
		return false
	}
	names := append([]string{summary.SubjectAlternativeName}, c.EmailAddresses...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return slices.Contains(names, i.Subject)
}

// String lists whom the watch looks for, sorted, for the purpose of a state folder:
// one that was passed looking for fewer would never find the others.
func (w Watch) String() string {
	var all []string
	for _, k := range w.Keys {
		all = append(all, "key "+k.String())
	}
	for _, i := range w.Identities {
		all = append(all, fmt.Sprintf("identity %q", i))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "\n")
}
