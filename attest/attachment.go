package attest

import (
	"bytes"

	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// An Attachment hands over the statement of an entry of this log of which the log had
// only hash and signature. It counts from where it is logged itself: else somebody
// could log a hash early, and show later what it was an approval of.
//
// The subject is the payload that it carries. It is the service's (nothing
// rests on its word, as what it carries is signed and proven by itself).
type Attachment struct {
	// Bundle is the statement's, in JSON, with the receipt of its entry.
	Bundle []byte `json:"bundle"`

	opened *Carried // once Validate has seen it
}

// An Import brings in a bundle that another log vouches for: Sigstore's public good
// instance, GitHub's, or any whose trusted root a verifier has. It counts from where it
// is logged here, and is the service's like an Attachment.
type Import struct {
	// Bundle is as it came, in JSON. Whether the other log vouches for it is for
	// verifiers to see.
	Bundle []byte `json:"bundle"`

	opened *Carried // once Validate has seen it
}

// MaxCarried is the size of a bundle that can be attached or imported, in bytes of
// its JSON.
const MaxCarried = 700 << 10

// A Carried is a bundle that stands in another statement.
type Carried struct {
	Bundle    *Bundle
	Statement *Statement
	Key       *PublicKey
}

// CarriedBy returns what an Attachment or an Import of a parsed statement carries, of
// which no signature was checked; nil for all other predicates.
func CarriedBy(p Predicate) *Carried {
	switch p := p.(type) {
	case *Attachment:
		return p.opened
	case *Import:
		return p.opened
	}
	return nil
}

// refuseCarrier keeps what is carried from carrying in its turn.
func (c *Carried) refuseCarrier() error {
	if CarriedBy(c.Statement.Predicate) != nil {
		return faultErr(WrongType, "predicate.bundle", "carries another bundle itself")
	}
	return nil
}

// Type implements Predicate.
func (a *Attachment) Type() string { return TypeAttachment }

// Validate implements Predicate.
func (a *Attachment) Validate() (err error) {
	a.opened, err = a.open()
	return err
}

func (a *Attachment) about(subjects []Subject) error { return a.opened.about(subjects) }

func (a *Attachment) open() (*Carried, error) {
	if err := checkCarried(a.Bundle); err != nil {
		return nil, err
	}
	b, err := ParseBundle(a.Bundle)
	if err != nil {
		return nil, err
	}
	if b.Receipt == nil || b.Receipt.Token == nil {
		return nil, fieldErr("predicate.bundle", "has no receipt with a timestamp: which entry is it?")
	}
	parts, err := ParseLeaf(b.Leaf)
	if err != nil {
		return nil, err
	}
	c := &Carried{Bundle: b}
	if c.Key, err = parts.Key(); err != nil {
		return nil, err
	}
	if !parts.Equal(PartsOf(b, c.Key)) {
		return nil, fieldErr("predicate.bundle", "is not of the entry that its receipt is for")
	}
	if again, err := b.Marshal(); err != nil || !bytes.Equal(again, a.Bundle) {
		return nil, fieldErr("predicate.bundle", "is not in the form in which the log writes bundles")
	}
	if c.Statement, err = ParseStatement(b.Payload); err != nil {
		return nil, err
	}
	return c, c.refuseCarrier()
}

// Type implements Predicate.
func (i *Import) Type() string { return TypeImport }

// Validate implements Predicate.
func (i *Import) Validate() (err error) {
	i.opened, err = i.open()
	return err
}

func (i *Import) about(subjects []Subject) error { return i.opened.about(subjects) }

func (i *Import) open() (*Carried, error) {
	if err := checkCarried(i.Bundle); err != nil {
		return nil, err
	}
	return ParseForeignBundle(i.Bundle)
}

// ParseForeignBundle reads a Sigstore bundle of version 0.1 to 0.3 that another log
// answered, and opens its statement, which may be an in-toto Statement v0.1 too. Who
// signed must be named by a certificate: a roster knows such people by identity, and
// the bundle of a bare key does not hold that key. No signature is checked.
func ParseForeignBundle(text []byte) (*Carried, error) {
	const field = "bundle"
	if len(text) > MaxCarried {
		return nil, faultErr(TooLarge, field, "has %d bytes; the limit is %d", len(text), MaxCarried)
	}
	if err := checkShape(field, text); err != nil {
		return nil, err
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		return nil, fieldErr(field, "is no Sigstore bundle: %v", err)
	}
	env := b.GetDsseEnvelope()
	switch {
	case env == nil:
		return nil, faultErr(WrongType, field+".dsseEnvelope", "is missing: only DSSE envelopes are attestations")
	case env.PayloadType != PayloadType:
		return nil, faultErr(WrongType, field+".dsseEnvelope.payloadType", "%.80q is not %s", env.PayloadType, PayloadType)
	case len(env.Signatures) != 1:
		return nil, fieldErr(field+".dsseEnvelope.signatures", "has %d items; a bundle has exactly one", len(env.Signatures))
	}
	content, err := b.VerificationContent()
	if err != nil || content.Certificate() == nil {
		return nil, faultErr(Unsupported, field+".verificationMaterial", "names no certificate; bundles of bare keys cannot be imported")
	}
	c := &Carried{Bundle: &Bundle{Payload: env.Payload, Signature: env.Signatures[0].Sig, Certificate: content.Certificate().Raw}}
	if c.Key, err = ParseCertificate(c.Bundle.Certificate); err != nil {
		return nil, err
	}
	if c.Statement, err = parseStatement(env.Payload, StatementType, statementV01); err != nil {
		return nil, err
	}
	return c, c.refuseCarrier()
}

func checkCarried(text []byte) error {
	if len(text) == 0 || len(text) > MaxCarried {
		return faultErr(TooLarge, "predicate.bundle", "has %d bytes; 1 to %d are possible", len(text), MaxCarried)
	}
	return nil
}

// statement is the one in which a bundle is carried.
func (c *Carried) statement(p Predicate) *Statement {
	return &Statement{Subjects: []Subject{{Digest: map[string]string{"sha256": c.Bundle.Digest().String()}}}, Predicate: p}
}

// about requires the sole subject to be the payload.
func (c *Carried) about(subjects []Subject) error {
	sub, err := soleSubject(subjects)
	if err != nil {
		return err
	}
	if got, want := sub.Digest["sha256"], c.Bundle.Digest().String(); got != want {
		return faultErr(SubjectMismatch, "statement.subject.digest.sha256", "is %.64q, and the payload's is %s", got, want)
	}
	return nil
}

// NewAttachment is the statement that attaches a bundle, which has its receipt.
func NewAttachment(b *Bundle) (*Statement, error) {
	text, err := b.Marshal()
	if err != nil {
		return nil, err
	}
	a := &Attachment{Bundle: text}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	return a.opened.statement(a), nil
}

// NewImport is the statement that imports a foreign bundle.
func NewImport(text []byte) (*Statement, error) {
	i := &Import{Bundle: text}
	if err := i.Validate(); err != nil {
		return nil, err
	}
	return i.opened.statement(i), nil
}
