package attest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// maxCertificate is the size of a certificate, in bytes of DER: leaves must stay
// below what tlog-tiles allows.
const maxCertificate = 16 << 10

// An Identity is whom a certificate of Fulcio's profile names: the OIDC issuer that
// authenticated them, and the only subject alternative name. Claims are what else the
// issuer said, such as sourceRepositoryURI, by the names of Fulcio's documentation.
// Whether an authority that anybody trusts made the certificate is not known here.
type Identity struct {
	Issuer, Subject string
	Claims          map[string]string
}

// IdentityID is the id under which a roster and an index know an identity: SHA-256 of
// "countersign identity v1\n" ‖ issuer ‖ "\n" ‖ subject. Certificates live for minutes,
// each with a key of its own; who signed is the identity.
func IdentityID(issuer, subject string) KeyID {
	return sha256.Sum256([]byte("countersign identity v1\n" + issuer + "\n" + subject))
}

// ClaimNames are the names that Claims can have, sorted.
func ClaimNames() []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[certificate.Extensions]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "issuer" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ParseCertificate reads the certificate of somebody who signs without a key of their
// own: X.509 in DER, with a P-256 key, an issuer (Fulcio's extension 1.8, or 1.1) and
// exactly one subject alternative name, which is an e-mail address or a URI.
func ParseCertificate(der []byte) (*PublicKey, error) {
	const field = "certificate"
	if len(der) > maxCertificate {
		return nil, faultErr(TooLarge, field, "has %d bytes; the limit is %d", len(der), maxCertificate)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fieldErr(field, "is no X.509 certificate: %v", err)
	}
	if c.IsCA {
		return nil, faultErr(Unsupported, field, "is of an authority (CA:TRUE), which signs certificates and no statements")
	}
	ec, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, faultErr(Unsupported, field, "has a key of type %T; only ECDSA P-256 is accepted", c.PublicKey)
	}
	spki, err := x509.MarshalPKIXPublicKey(ec)
	if err != nil {
		return nil, fieldErr(field, "has a key that cannot be encoded: %v", err)
	}
	k, err := ParsePublicKey(spki)
	if err != nil {
		return nil, err
	}
	if k.identity, err = identityOf(c); err != nil {
		return nil, err
	}
	k.certificate, k.id = c, IdentityID(k.identity.Issuer, k.identity.Subject)
	return k, nil
}

func identityOf(c *x509.Certificate) (*Identity, error) {
	subject, err := subjectOf(c)
	if err != nil {
		return nil, err
	}
	ext, err := certificate.ParseExtensions(c.Extensions)
	if err != nil {
		return nil, fieldErr("certificate.extensions", "%v", err)
	}
	for _, e := range c.Extensions { // the library lets the later of two win
		issuer := ext.Issuer
		switch {
		case e.Id.Equal(oidIssuerV1):
			issuer = string(e.Value)
		case e.Id.Equal(certificate.OIDIssuerV2):
			err = certificate.ParseDERString(e.Value, &issuer)
		}
		if err != nil || issuer != ext.Issuer {
			return nil, fieldErr("certificate.issuer", "is %.80q in one extension, and %.80q in another", issuer, ext.Issuer)
		}
	}
	id := &Identity{Issuer: ext.Issuer, Subject: subject}
	if err := first(checkName("certificate.issuer", id.Issuer), checkName("certificate.subject", id.Subject)); err != nil {
		return nil, err
	}
	named, err := json.Marshal(ext)
	if err == nil {
		err = json.Unmarshal(named, &id.Claims)
	}
	if err != nil {
		return nil, fieldErr("certificate.extensions", "%v", err)
	}
	delete(id.Claims, "issuer")
	return id, nil
}

// oidIssuerV1 is where Fulcio wrote the issuer at first, and some still read it.
var oidIssuerV1 = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// subjectOf wants one name in all: with two, two readers could see two people.
func subjectOf(c *x509.Certificate) (string, error) {
	const field = "certificate.subjectAltName"
	var all []asn1.RawValue
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return "", fieldErr(field, "is not in DER")
		}
		all = append(all, names...)
	}
	if len(all) != 1 {
		return "", faultErr(Unsupported, field, "has %d names; exactly one is accepted", len(all))
	}
	const email, uri = 1, 6 // tags of GeneralName (RFC 5280 4.2.1.6)
	if n := all[0]; n.Class == asn1.ClassContextSpecific && (n.Tag == email || n.Tag == uri) {
		return string(n.Bytes), nil
	}
	return "", faultErr(Unsupported, field, "is neither an e-mail address nor a URI")
}
