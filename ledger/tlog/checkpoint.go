package tlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	maxNote       = 64 << 10 // bytes of a checkpoint note
	maxSignatures = 100      // as x/mod/sumdb/note has it
	maxOrigin     = 253      // as DNS has it
	algEd25519    = 1        // signature type in C2SP signed-note
)

// CheckOrigin says whether a text may be the name of a log: a bare host name in
// lower case, as Sigstore clients compare it with the host of the log's URL. No
// port, no path, no empty label, at most 253 bytes.
func CheckOrigin(origin string) error {
	ok := len(origin) <= maxOrigin
	for label := range strings.SplitSeq(origin, ".") {
		ok = ok && label != "" && label[0] != '-' && label[len(label)-1] != '-' &&
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	}
	if !ok {
		return fmt.Errorf("origin %.80q is not a bare lower-case host name", origin)
	}
	return nil
}

// logID is the id that Sigstore gives to a log with an Ed25519 key:
// SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key). Its first four bytes are the key id
// of C2SP signed-note.
func logID(origin string, key ed25519.PublicKey) Hash {
	return sha256.Sum256(append(append([]byte(origin), '\n', algEd25519), key...))
}

// text is the signed part of a checkpoint (C2SP tlog-checkpoint): origin, size
// and root, a line each, and no extension lines.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// parseCheckpoint reads what text writes, and nothing else.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%d lines instead of origin, size and root", len(lines)-1)
	}
	c := Checkpoint{Origin: lines[0]}
	if err := CheckOrigin(c.Origin); err != nil {
		return Checkpoint{}, err
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("size %.80q is not a number below 2^63", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != HashSize {
		return Checkpoint{}, fmt.Errorf("root %.80q is not the base64 of 32 bytes", lines[2])
	}
	c.Size, c.Root = size, Hash(root)
	if c.text() != text {
		return Checkpoint{}, fmt.Errorf("size or root has another spelling than its own")
	}
	if c.Size == 0 && c.Root != EmptyRoot() {
		return Checkpoint{}, fmt.Errorf("root of the empty tree is %s", c.Root)
	}
	return c, nil
}

// A Signer signs checkpoints with a log's Ed25519 key. Nothing else may be
// signed with that key.
type Signer struct {
	origin string
	key    ed25519.PrivateKey
	id     Hash
}

// NewSigner returns the signer of the log of that name. An origin that
// CheckOrigin refuses makes every Sign an error.
func NewSigner(origin string, key ed25519.PrivateKey) *Signer {
	return &Signer{origin: origin, key: key, id: logID(origin, key.Public().(ed25519.PublicKey))}
}

// Origin returns the name of the log.
func (s *Signer) Origin() string { return s.origin }

// Verifier returns the verifier of what the signer signs.
func (s *Signer) Verifier() *Verifier {
	return newVerifier(s.origin, s.key.Public().(ed25519.PublicKey))
}

// Sign returns the checkpoint as a signed note (C2SP tlog-checkpoint). It
// refuses what Verifier.Open would.
func (s *Signer) Sign(c Checkpoint) ([]byte, error) {
	if c.Origin != s.origin {
		return nil, fmt.Errorf("sign checkpoint of %q with the key of %q", c.Origin, s.origin)
	}
	if _, err := parseCheckpoint(c.text()); err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	b, err := note.Sign(&note.Note{Text: c.text()}, noteSigner{s})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return b, nil
}

// noteSigner shows a Signer to package note, and to nobody else: Sign of a note
// signs any bytes.
type noteSigner struct{ s *Signer }

func (n noteSigner) Name() string                    { return n.s.origin }
func (n noteSigner) KeyHash() uint32                 { return keyHash(n.s.id) }
func (n noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(n.s.key, msg), nil }
