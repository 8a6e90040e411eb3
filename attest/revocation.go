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
	// Session is the id of an agent's session, as authorships, operations and provenance
	// name it: what was made in it does not go.
	Session string `json:"session,omitempty"`
}

// RevokedKind says what a digest or id in a Revocation stands for.
type RevokedKind string

// What can be revoked.
const (
	RevokedStatement RevokedKind = "statement"
	RevokedKey       RevokedKind = "key"
	RevokedPerson    RevokedKind = "person"
	RevokedSession   RevokedKind = "session"
)

// Type implements Predicate.
func (r *Revocation) Type() string { return TypeRevocation }

// Validate implements Predicate.
func (r *Revocation) Validate() error {
	err := first(
		oneOf("predicate.reason", r.Reason, "mistake", "compromise", "departed", "superseded"),
		checkID("predicate.by", r.By),
		checkComment("predicate.comment", r.Comment),
	)
	if err == nil && (len(r.Revokes) == 0 || len(r.Revokes) > MaxSubjects) {
		err = fieldErr("predicate.revokes", "has %d items; 1 to %d are allowed", len(r.Revokes), MaxSubjects)
	}
	for _, v := range r.Revokes {
		err = first(err, oneOf("predicate.revokes.kind", v.Kind, RevokedStatement, RevokedKey, RevokedPerson, RevokedSession), v.validate())
	}
	return err
}

// validate wants the one field that the kind has.
func (r *Revoked) validate() error {
	const field = "predicate.revokes."
	switch r.Kind {
	case RevokedPerson:
		return checkID(field+"person", r.Person)
	case RevokedSession:
		return first(checkName(field+"session", r.Session), checkText(field+"session", r.Session, 256))
	}
	return checkHex(field+"digest", r.Digest, 64)
}
