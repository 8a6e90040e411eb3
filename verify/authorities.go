package verify

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A CertificateAuthority is believed about who held a key for some minutes: a Fulcio
// of one's own, or the public one.
type CertificateAuthority struct {
	Certificates []*x509.Certificate // intermediates first, the root last
	roster.Validity
	// TransparencyLogs are the keys of the certificate logs of which one must have
	// promised to log a certificate (RFC 6962 section 3.2). None means that the
	// trust folder says outright that no such promise is asked for.
	TransparencyLogs []crypto.PublicKey
	// Issuers are those whose identities it certifies, exactly. Without any it is
	// believed about all: then it is everybody whom a roster knows by an identity.
	Issuers []string
}

// speaksFor says why an authority is not believed about an issuer; nil where it is.
func speaksFor(issuers []string, issuer string) error {
	if len(issuers) == 0 || slices.Contains(issuers, issuer) {
		return nil
	}
	return fmt.Errorf("the trust folder believes it about %s, and not about %.200q", strings.Join(issuers, ", "), issuer)
}

// check holds an authority's certificates against each other.
func (a *CertificateAuthority) check() error {
	n := len(a.Certificates)
	switch {
	case n == 0 || n > maxChain:
		return fmt.Errorf("certificates: has %d; 1 to %d are allowed", n, maxChain)
	case slices.Contains(a.Issuers, ""):
		return errors.New("issuers: one of them is empty")
	case a.From.IsZero():
		return errors.New("from is missing: since when does this authority speak?")
	}
	for i, c := range a.Certificates {
		if !c.IsCA {
			return fmt.Errorf("certificates: number %d (%s) is no authority's", i+1, c.Subject)
		}
		if err := c.CheckSignatureFrom(a.Certificates[min(i+1, n-1)]); err != nil {
			return fmt.Errorf("certificates: number %d (%s) is not signed by the one that follows it: %w", i+1, c.Subject, err)
		}
	}
	return nil
}

// Vouches reports whether the authority made a certificate, which was valid at a time.
func (a *CertificateAuthority) Vouches(c *x509.Certificate, at time.Time) error {
	n := len(a.Certificates)
	ca := root.FulcioCertificateAuthority{
		Root: a.Certificates[n-1], Intermediates: a.Certificates[:n-1],
		ValidityPeriodStart: a.From, ValidityPeriodEnd: a.Until,
	}
	chains, err := ca.Verify(c, at)
	if err != nil || len(a.TransparencyLogs) == 0 {
		return err
	}
	material := certificateLogs{logs: make(map[string]*root.TransparencyLog)}
	for _, key := range a.TransparencyLogs {
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return err
		}
		id := sha256.Sum256(spki)
		material.logs[hex.EncodeToString(id[:])] = &root.TransparencyLog{
			ID: id[:], PublicKey: key, ValidityPeriodStart: a.From, ValidityPeriodEnd: a.Until,
			HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA256,
		}
	}
	return sigstore.VerifySignedCertificateTimestamp(chains, 1, &material)
}

// certificateLogs is trusted material of certificate logs only.
type certificateLogs struct {
	root.BaseTrustedMaterial
	logs map[string]*root.TransparencyLog
}

func (l *certificateLogs) CTLogs() map[string]*root.TransparencyLog { return l.logs }

// checkCertificate wants the certificate of a key to be from an authority of the trust
// folder, and valid when it signed. A key of its own has none.
func (v *Verifier) checkCertificate(key *attest.PublicKey, signed time.Time) *Refusal {
	c := key.Certificate()
	if c == nil {
		return nil
	}
	if signed.Before(c.NotBefore) || signed.After(c.NotAfter) {
		return refuse(KeyTime, "the certificate was valid from %s to %s, and the signature is of %s", stamp(c.NotBefore), stamp(c.NotAfter), stamp(signed))
	}
	var why []error
	for i := range v.trust.Authorities {
		a := &v.trust.Authorities[i]
		err := speaksFor(a.Issuers, key.Identity().Issuer)
		if err == nil {
			err = a.Vouches(c, signed)
		}
		if err == nil {
			return nil
		}
		why = append(why, err)
	}
	if len(why) == 0 {
		return refuse(UntrustedKey, "%s signed with a certificate, and the trust folder names no certificateAuthorities", key.Identity().Subject)
	}
	return refuse(UntrustedKey, "the certificate of %s is of no authority of the trust folder: %v", key.Identity().Subject, errors.Join(why...))
}

// Unpinned names the first claim in which an identity is not as the roster pins it for
// a key; empty where it is, and for keys of their own.
func Unpinned(id *attest.Identity, k *roster.Key) (claim string) {
	if k.Identity == nil {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(k.Identity.Claims)) {
		if id == nil || id.Claims[name] != k.Identity.Claims[name] {
			return name
		}
	}
	return ""
}

// checkClaims wants a certificate to say what the roster pins for the identity.
func checkClaims(key *attest.PublicKey, k *roster.Key) *Refusal {
	name := Unpinned(key.Identity(), k)
	if name == "" {
		return nil
	}
	return refuse(WrongScope, "the certificate says %s %.200q, and the roster wants %.200q", name, key.Identity().Claims[name], k.Identity.Claims[name])
}
