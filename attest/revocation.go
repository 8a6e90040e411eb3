package attest

// A Revocation takes evidence back. It is negative evidence: one that cannot be
// read denies. Its subjects are the sha256 digests of what it revokes: a
// statement's payload, or a key's SubjectPublicKeyInfo.
type Revocation struct {
	Revokes []Revoked `json:"revokes"`
	Reason  string    `json:"reason"` // mistake, compromise, departed, superseded
	// EffectiveFrom is for keys: what was logged at or after this time no longer
	// counts. Without it, everything that the key ever signed is out.
	EffectiveFrom *Time  `json:"effectiveFrom,omitempty"`
	By            string `json:"by"` // roster id of the signer
	Comment       string `json:"comment,omitempty"`
}

// Revoked names one thing that is revoked.
type Revoked struct {
	Kind   RevokedKind `json:"kind"`
	Digest string      `json:"digest,omitempty"` // sha256 hex, for statement and key
	Person string      `json:"person,omitempty"` // roster id, for person
}

// RevokedKind says what a digest or id in a Revocation stands for.
type RevokedKind string

// What can be revoked.
const (
	RevokedStatement RevokedKind = "statement"
	RevokedKey       RevokedKind = "key"
	RevokedPerson    RevokedKind = "person"
)
