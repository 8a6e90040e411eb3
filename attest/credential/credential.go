// Package credential verifies what a person signs an approval with, where that is no key
// for statements: an SSH key, on disk or in a security key, or a passkey. Whose a
// credential is, and whether it counts, is for others to say.
package credential

import "errors"

// Presence is what an authenticator says of the person before it.
type Presence struct {
	Touched  bool // somebody touched it
	Verified bool // and gave a PIN, a finger or a face that it knows
	// Counter of the signatures that it made, where it counts; else 0.
	Counter uint32
}

// Errors of Verify. All others are about form.
var (
	// ErrSignature: it was not made with this key, or over something else.
	ErrSignature = errors.New("signature does not verify")
	// ErrElsewhere: it was made for another purpose, page or site.
	ErrElsewhere = errors.New("made for something else")
	// ErrSubject: it was made over something else.
	ErrSubject = errors.New("made over something else")
)
