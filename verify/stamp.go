package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/verification"
)

// StampPolicy is the policy of the tokens that say when a log took an entry or
// signed a checkpoint. Those that its authority gives to anybody who asks have
// another, and stand for nothing here.
var StampPolicy = asn1.ObjectIdentifier{2, 25, 93640812, 1}

// maxToken is more than a response of our authority has, in bytes.
const maxToken = 16 << 10

// An authority verifies RFC 3161 responses of one timestamp authority.
type authority struct {
	opts verification.VerifyOpts
}

// newAuthority takes a chain of certificates: the signer's first, then those
// that lead to the root, which is last. A signer that signed itself is its own
// root.
func newAuthority(chain []*x509.Certificate) (*authority, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, fmt.Errorf("has %d certificates; 1 to %d are allowed", len(chain), maxChain)
	}
	signer, root := chain[0], chain[len(chain)-1]
	a := &authority{opts: verification.VerifyOpts{TSACertificate: signer, Roots: []*x509.Certificate{root}, OID: StampPolicy}}
	if len(chain) > 2 {
		a.opts.Intermediates = chain[1 : len(chain)-1]
	}
	if err := checkSigner(signer); err != nil {
		return nil, err
	}
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		if err := c.CheckSignatureFrom(issuer); err != nil && !(len(chain) == 1 && selfSigned(c)) {
			return nil, fmt.Errorf("certificate %d (%s) is not signed by the one that follows it: %w", i+1, c.Subject, err)
		}
	}
	return a, nil
}

// checkSigner wants what RFC 3161 2.3 does: one extended key usage, critical.
func checkSigner(c *x509.Certificate) error {
	critical := slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(verification.EKUOID) && e.Critical })
	switch {
	case c.IsCA:
		return errors.New("the first certificate is a CA; it must be the timestamp key's own")
	case len(c.ExtKeyUsage) != 1 || len(c.UnknownExtKeyUsage) != 0 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || !critical:
		return errors.New("the first certificate must have timeStamping as its only extended key usage, and critical")
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// verify returns the time that the token gives to the message, in whole seconds.
// The certificates must have been valid then.
func (a *authority) verify(token, message []byte) (time.Time, error) {
	if len(token) == 0 {
		return time.Time{}, errors.New("the timestamp token is missing")
	}
	if len(token) > maxToken {
		return time.Time{}, fmt.Errorf("the timestamp token has %d bytes; the limit is %d", len(token), maxToken)
	}
	ts, err := verification.VerifyTimestampResponse(token, bytes.NewReader(message), a.opts)
	if err != nil {
		return time.Time{}, fmt.Errorf("the timestamp token does not verify: %w", err)
	}
	return inSeconds(ts.Time), nil
}

// inSeconds cuts a time to what an RFC 3161 token can say, so that the log's own
// process and everybody else see the same.
func inSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
