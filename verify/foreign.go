package verify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/countersign-dev/countersign/attest"
)

// A ForeignLog is a Sigstore instance that is not ours and whose word is taken for the
// bundles that it logged: the public good instance, GitHub's, another team's.
type ForeignLog struct {
	Name string // for reports
	// TrustedRoot is Sigstore's trusted_root.json.
	TrustedRoot []byte
	// Issuers are as those of a CertificateAuthority, for the authorities that the
	// instance believes.
	Issuers []string

	verifier *sigstore.Verifier
}

// check reads the trusted root. What the instance has is what it must give: a promise
// of a certificate log where it has any, an entry of its log where it has one, and
// always a time that somebody else than the signer vouches for.
func (f *ForeignLog) check() error {
	if f.Name == "" {
		return errors.New("name is missing")
	}
	if slices.Contains(f.Issuers, "") {
		return fmt.Errorf("%s: issuers: one of them is empty", f.Name)
	}
	trusted, err := root.NewTrustedRootFromJSON(f.TrustedRoot)
	if err != nil {
		return fmt.Errorf("%s: trustedRoot: %w", f.Name, err)
	}
	if len(trusted.FulcioCertificateAuthorities()) == 0 || len(trusted.RekorLogs())+len(trusted.TimestampingAuthorities()) == 0 {
		return fmt.Errorf("%s: trustedRoot: names no certificate authority, or neither log nor timestamp authority", f.Name)
	}
	options := []sigstore.VerifierOption{sigstore.WithObserverTimestamps(1)}
	if len(trusted.RekorLogs()) > 0 {
		options = append(options, sigstore.WithTransparencyLog(1))
	}
	if len(trusted.CTLogs()) > 0 {
		options = append(options, sigstore.WithSignedCertificateTimestamps(1))
	}
	if f.verifier, err = sigstore.NewVerifier(trusted, options...); err != nil {
		return fmt.Errorf("%s: trustedRoot: %w", f.Name, err)
	}
	return nil
}

// vouches verifies a bundle as Sigstore's own clients do, whoever of the issuers' people
// signed it, and returns the latest time at which it was seen.
func (f *ForeignLog) vouches(b *bundle.Bundle, issuer string) (time.Time, error) {
	if err := speaksFor(f.Issuers, issuer); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", f.Name, err)
	}
	result, err := f.verifier.Verify(b, sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), sigstore.WithoutIdentitiesUnsafe()))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", f.Name, err)
	}
	var seen time.Time
	for _, t := range result.VerifiedTimestamps {
		if t.Timestamp.After(seen) {
			seen = t.Timestamp
		}
	}
	if seen.IsZero() {
		return time.Time{}, fmt.Errorf("%s: nobody says when it was signed", f.Name)
	}
	return seen, nil
}

// VouchedBy names the foreign log of the trust folder that vouches for a bundle.
func (v *Verifier) VouchedBy(text []byte) (string, *Refusal) {
	c, err := attest.ParseForeignBundle(text)
	if err != nil {
		return "", refuse(Kind(attest.FaultOf(err)), "%v", err)
	}
	name, _, r := v.vouched(text, c.Key.Identity().Issuer)
	if r != nil {
		r.Check = "carried"
	}
	return name, r
}

// vouched finds the foreign log that vouches for a bundle, whose certificate names an
// issuer.
func (v *Verifier) vouched(text []byte, issuer string) (name string, seen time.Time, r *Refusal) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		return "", time.Time{}, refuse(Malformed, "%v", err)
	}
	var why []error
	for i := range v.trust.Foreign {
		f := &v.trust.Foreign[i]
		seen, err := f.vouches(&b, issuer)
		if err == nil {
			return f.Name, seen, nil
		}
		why = append(why, err)
	}
	if len(why) == 0 {
		return "", time.Time{}, refuse(NotLogged, "the trust folder names no foreignLogs that could vouch for it")
	}
	return "", time.Time{}, refuse(NotLogged, "no log of the trust folder's foreignLogs vouches for it: %v", errors.Join(why...))
}
