package tlog

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"
)

// A Verifier opens the checkpoints of one log. It is safe for concurrent use.
type Verifier struct {
	origin string
	key    ed25519.PublicKey
	id     Hash
	// opened are the notes that were accepted last, newest first: many receipts
	// of a batch or a pack share one, and what was accepted once is accepted again.
	opened atomic.Pointer[[4]openedNote]
}

type openedNote struct {
	note       []byte
	checkpoint Checkpoint
}

func newVerifier(origin string, key ed25519.PublicKey) *Verifier {
	return &Verifier{origin: origin, key: bytes.Clone(key), id: logID(origin, key)}
}

// NewVerifier reads a verifier key of C2SP signed-note, "name+hash+key", of type
// Ed25519 and with a name that CheckOrigin allows. What parses is what VKey
// prints.
func NewVerifier(vkey string) (*Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("log key %.200q is not name+hash+key", vkey)
	}
	if err := CheckOrigin(parts[0]); err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != algEd25519 {
		return nil, fmt.Errorf("log key of %q: not an Ed25519 key in base64", parts[0])
	}
	v := newVerifier(parts[0], key[1:])
	if v.VKey() != vkey {
		return nil, fmt.Errorf("log key of %q: the hash is not the key's, want %08x", parts[0], keyHash(v.id))
	}
	return v, nil
}

// Origin returns the name of the log.
func (v *Verifier) Origin() string { return v.origin }

// LogID returns SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key), which is how Sigstore
// names a log with an Ed25519 key.
func (v *Verifier) LogID() Hash { return v.id }

// PublicKey returns the log's key.
func (v *Verifier) PublicKey() ed25519.PublicKey { return bytes.Clone(v.key) }

// VKey returns the verifier key of C2SP signed-note, which NewVerifier reads.
func (v *Verifier) VKey() string {
	key := append([]byte{algEd25519}, v.key...)
	return fmt.Sprintf("%s+%08x+%s", v.origin, keyHash(v.id), base64.StdEncoding.EncodeToString(key))
}

// Open checks a signed checkpoint and returns what it says. It is stricter than
// C2SP tlog-checkpoint: the origin is the log's name, there are no extension
// lines, every number and base64 text has its one spelling, the log signed it
// exactly once, and each other signature line has the right form. At most 100
// signature lines and 64 KiB. The error is ErrBadCheckpoint, and ErrTooLarge as
// well where a limit was passed.
func (v *Verifier) Open(msg []byte) (Checkpoint, error) {
	opened := v.opened.Load()
	if opened == nil {
		opened = new([4]openedNote)
	}
	for i := range opened {
		if o := &opened[i]; len(msg) > 0 && bytes.Equal(o.note, msg) {
			return o.checkpoint, nil
		}
	}
	c, err := v.open(msg)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w of %s: %w", ErrBadCheckpoint, v.origin, err)
	}
	// Two goroutines may lose each other's note here, which costs time only.
	v.opened.Store(&[4]openedNote{{bytes.Clone(msg), c}, opened[0], opened[1], opened[2]})
	return c, nil
}

func (v *Verifier) open(msg []byte) (Checkpoint, error) {
	if len(msg) > maxNote {
		return Checkpoint{}, fmt.Errorf("%d bytes: %w", len(msg), ErrTooLarge)
	}
	_, lines, ok := bytes.Cut(msg, []byte("\n\n"))
	if !ok {
		return Checkpoint{}, fmt.Errorf("no signatures")
	}
	if n := bytes.Count(lines, []byte("\n")); n > maxSignatures {
		return Checkpoint{}, fmt.Errorf("%d signature lines: %w", n, ErrTooLarge)
	}
	n, err := note.Open(msg, note.VerifierList(noteVerifier{v}))
	if err != nil {
		return Checkpoint{}, err
	}
	if err := v.checkLines(string(lines)); err != nil {
		return Checkpoint{}, err
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != v.origin {
		return Checkpoint{}, fmt.Errorf("it is one of %q", c.Origin)
	}
	return c, nil
}

// checkLines adds what package note leaves out: base64 in its one spelling, and
// not a second line of the log's key, which note skips unchecked.
func (v *Verifier) checkLines(lines string) error {
	own := 0
	for line := range strings.Lines(lines) {
		s, err := parseSignatureLine(line)
		if err != nil {
			return err
		}
		if s.name == v.origin && s.keyID() == keyHash(v.id) {
			own++
		}
	}
	if own != 1 {
		return fmt.Errorf("%d signatures of the log", own)
	}
	return nil
}

// keyHash is the key id of C2SP signed-note.
func keyHash(id Hash) uint32 { return binary.BigEndian.Uint32(id[:4]) }

// noteVerifier shows a Verifier to package note.
type noteVerifier struct{ v *Verifier }

func (n noteVerifier) Name() string                { return n.v.origin }
func (n noteVerifier) KeyHash() uint32             { return keyHash(n.v.id) }
func (n noteVerifier) Verify(msg, sig []byte) bool { return ed25519.Verify(n.v.key, msg, sig) }
