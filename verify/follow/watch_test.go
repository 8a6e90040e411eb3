package follow

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

func TestWatchFindsItsKeysOnly(t *testing.T) {
	var keys []*attest.PrivateKey
	for range 2 {
		k, err := attest.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	leaf := func(k *attest.PrivateKey) attest.LeafParts {
		p, err := attest.ParseLeaf(attest.Leaf(&attest.Bundle{Payload: []byte("x"), Signature: []byte("y")}, k.Public()))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	w := Watch{Keys: []attest.KeyID{keys[0].Public().ID()}, Identities: []Identity{{"https://issuer.example", "alice@example.com"}}}
	if got, want := w.Match(leaf(keys[0])), "key "+keys[0].Public().ID().String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := w.Match(leaf(keys[1])); got != "" {
		t.Errorf("another's leaf matches as %q", got)
	}
	if got := (Watch{}).Match(leaf(keys[0])); got != "" {
		t.Errorf("nobody is looked for, and found as %q", got)
	}
}

// selfSigned is a certificate with names and an issuer extension.
func selfSigned(t *testing.T, issuer string, v2 bool, emails []string, uri string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ext := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)}
	if v2 {
		der, err := asn1.MarshalWithParams(issuer, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		ext = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: der}
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<31, 0), EmailAddresses: emails, ExtraExtensions: []pkix.Extension{ext}}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestIdentityIsFoundInCertificates(t *testing.T) {
	const issuer, alice, flow = "https://issuer.example", "alice@example.com", "https://forge.example/org/app/.flows/build@main"
	for name, c := range map[string]struct {
		der  []byte
		id   Identity
		want bool
	}{
		"an address":              {selfSigned(t, issuer, true, []string{alice}, ""), Identity{issuer, alice}, true},
		"the older extension":     {selfSigned(t, issuer, false, []string{alice}, ""), Identity{issuer, alice}, true},
		"the second address":      {selfSigned(t, issuer, true, []string{"bob@example.com", alice}, ""), Identity{issuer, alice}, true},
		"a workflow":              {selfSigned(t, issuer, true, nil, flow), Identity{issuer, flow}, true},
		"an address beside a URI": {selfSigned(t, issuer, true, []string{alice}, flow), Identity{issuer, alice}, true},
		"another issuer":          {selfSigned(t, "https://other.example", true, []string{alice}, ""), Identity{issuer, alice}, false},
		"another subject":         {selfSigned(t, issuer, true, []string{"bob@example.com"}, ""), Identity{issuer, alice}, false},
		"a prefix of the subject": {selfSigned(t, issuer, true, []string{alice + ".org"}, ""), Identity{issuer, alice}, false},
		"no names":                {selfSigned(t, issuer, true, nil, ""), Identity{issuer, alice}, false},
		"no certificate":          {[]byte("x"), Identity{issuer, alice}, false},
	} {
		if got := c.id.in(c.der); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestIdentityHasAnIssuerAndASubject(t *testing.T) {
	for _, bad := range []string{"", "alice@example.com", ",alice", "https://issuer.example,"} {
		if got, err := ParseIdentity(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
	for _, good := range []string{"https://issuer.example,alice@example.com", "https://issuer.example,a,b"} {
		if got, err := ParseIdentity(good); err != nil || got.String() != good {
			t.Errorf("%q: %v, %v", good, got, err)
		}
	}
}
