package sigstoreroot

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// Limits of Services.
const (
	maxServices = 16       // of each kind
	maxChain    = 5        // certificates of an authority
	maxURL      = 1 << 10  // bytes
	maxOperator = 256      // bytes
	maxPEM      = 64 << 10 // bytes of a file of certificates or of a key
)

// Services are where clients find what they sign with, and the authorities besides
// the ledger's own whose word counts. A trust folder may have them in sigstore.yaml.
type Services struct {
	URL      string // of the ledger: http or https, without a slash at its end
	Operator string // who runs the services; the log's origin when empty
	Fulcio   []Authority
	CTLogs   []CTLog
	OIDC     []string // URLs of identity providers
}

// An Authority issues certificates to those who authenticate (Fulcio).
type Authority struct {
	URL   string
	Chain []*x509.Certificate // intermediates first, the root last
	Valid roster.Validity     // what it issued outside of this does not count
}

// A CTLog logs certificates, and proves it by a timestamp inside of them.
type CTLog struct {
	URL   string
	Key   []byte // SubjectPublicKeyInfo of an ECDSA P-256 key, DER
	Valid roster.Validity
}

func (s Services) operator(t *verify.Trust) string {
	if s.Operator != "" {
		return s.Operator
	}
	return t.Log.Origin()
}

// check names the setting that does not hold.
func (s Services) check() error {
	if err := checkURL(s.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if len(s.Operator) > maxOperator || strings.ContainsFunc(s.Operator, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return fmt.Errorf("operator: %.100q is not printable ASCII without quotes, of at most %d bytes", s.Operator, maxOperator)
	}
	if len(s.Fulcio) > maxServices || len(s.CTLogs) > maxServices || len(s.OIDC) > maxServices {
		return fmt.Errorf("more than %d services of one kind", maxServices)
	}
	for i, a := range s.Fulcio {
		if err := a.check(); err != nil {
			return fmt.Errorf("fulcio %d: %w", i+1, err)
		}
	}
	for i, c := range s.CTLogs {
		if err := c.check(); err != nil {
			return fmt.Errorf("ctlogs %d: %w", i+1, err)
		}
	}
	for _, u := range s.OIDC {
		if err := checkURL(u); err != nil {
			return fmt.Errorf("oidc: %w", err)
		}
	}
	return nil
}

func (a Authority) check() error {
	if err := checkURL(a.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if len(a.Chain) == 0 || len(a.Chain) > maxChain {
		return fmt.Errorf("certificates: %d, and 1 to %d are allowed", len(a.Chain), maxChain)
	}
	for i, c := range a.Chain {
		issuer := a.Chain[min(i+1, len(a.Chain)-1)]
		if !c.IsCA {
			return fmt.Errorf("certificates: %d (%s) is no CA's", i+1, c.Subject)
		}
		if err := c.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("certificates: %d (%s) is not signed by the one that follows it: %w", i+1, c.Subject, err)
		}
	}
	return checkValidity(a.Valid)
}

func (c CTLog) check() error {
	if err := checkURL(c.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	k, err := x509.ParsePKIXPublicKey(c.Key)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if p, ok := k.(*ecdsa.PublicKey); !ok || p.Curve != elliptic.P256() {
		return errors.New("key: only ECDSA P-256 is supported")
	}
	return checkValidity(c.Valid)
}

func checkValidity(v roster.Validity) error {
	if v.From.IsZero() {
		return errors.New("from is missing: since when does its word count?")
	}
	return nil
}

// checkURL wants an absolute URL that clients can append a path to.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL {
		return fmt.Errorf("%.100q is not a URL of at most %d bytes", text, maxURL)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		return fmt.Errorf("%.100q is not http://HOST or https://HOST", text)
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "/") || strings.HasSuffix(text, "#") {
		return fmt.Errorf("%.100q has a query, a fragment or a slash at its end", text)
	}
	return nil
}

// ParseChain reads certificates in PEM, and nothing between them: intermediates
// first, the root last; at most five.
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	err := blocks(text, "CERTIFICATE", func(der []byte) error {
		c, err := x509.ParseCertificate(der)
		if chain = append(chain, c); err == nil && len(chain) > maxChain {
			return fmt.Errorf("more than %d certificates", maxChain)
		}
		return err
	})
	if err == nil && len(chain) == 0 {
		err = errors.New("no certificate")
	}
	return chain, err
}

func parseKey(text []byte) (spki []byte, err error) {
	err = blocks(text, "PUBLIC KEY", func(der []byte) error {
		if spki != nil {
			return errors.New("more than one key")
		}
		spki = der
		return nil
	})
	if err == nil && spki == nil {
		err = errors.New("no key")
	}
	return spki, err
}

func blocks(text []byte, kind string, take func(der []byte) error) error {
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != kind || len(block.Headers) > 0 || !bytes.HasPrefix(rest, []byte("-----BEGIN")) {
			return fmt.Errorf("there is something besides PEM blocks of type %s", kind)
		}
		if err := take(block.Bytes); err != nil {
			return err
		}
		rest = bytes.TrimSpace(after)
	}
	return nil
}
