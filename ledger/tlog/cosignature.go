package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	algCosignature  = 4   // signature type of C2SP tlog-cosignature, Ed25519
	maxWitnessName  = 253 // bytes
	cosignatureSize = 4 + 8 + ed25519.SignatureSize
	maxUnix         = math.MaxInt64 // as C2SP tlog-cosignature has it
)

// CheckWitnessName says whether a text may be the key name of a witness: 1 to 253
// printable ASCII characters without space and plus. C2SP signed-note allows other
// scripts too, which look alike.
func CheckWitnessName(name string) error {
	ok := name != "" && len(name) <= maxWitnessName
	for _, c := range []byte(name) {
		ok = ok && c > ' ' && c < 0x7f && c != '+'
	}
	if !ok {
		return fmt.Errorf("name %.80q is empty, too long, or not of printable ASCII without space and plus", name)
	}
	return nil
}

// A Witness verifies the cosignatures of one witness (C2SP tlog-cosignature,
// Ed25519, "cosignature/v1"). It is safe for concurrent use.
type Witness struct {
	name string
	key  ed25519.PublicKey
	id   uint32
}

func newWitness(name string, key ed25519.PublicKey) *Witness {
	h := sha256.Sum256(append(append([]byte(name), '\n', algCosignature), key...))
	return &Witness{name: name, key: bytes.Clone(key), id: binary.BigEndian.Uint32(h[:])}
}

// NewWitness reads a verifier key of C2SP signed-note, "name+hash+key", of the
// type of Ed25519 cosignatures, 0x04. What parses is what VKey prints.
func NewWitness(vkey string) (*Witness, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("witness key %.200q is not name+hash+key", vkey)
	}
	if err := CheckWitnessName(parts[0]); err != nil {
		return nil, fmt.Errorf("witness key: %w", err)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != algCosignature {
		return nil, fmt.Errorf("witness key of %q: not an Ed25519 cosignature key (type 0x04) in base64", parts[0])
	}
	w := newWitness(parts[0], key[1:])
	if w.VKey() != vkey {
		return nil, fmt.Errorf("witness key of %q: the hash is not the key's, want %08x", parts[0], w.id)
	}
	return w, nil
}

// Name returns the key name, which stands on every line that the witness signs.
func (w *Witness) Name() string { return w.name }

// VKey returns the verifier key of C2SP signed-note, which NewWitness reads.
func (w *Witness) VKey() string {
	key := append([]byte{algCosignature}, w.key...)
	return fmt.Sprintf("%s+%08x+%s", w.name, w.id, base64.StdEncoding.EncodeToString(key))
}

// ErrBadCosignature: a line that bears a witness's name and key id is not one
// that its key signed.
var ErrBadCosignature = errors.New("bad cosignature")

// Verify checks a signature line of a note, with its newline, as a cosignature of
// the checkpoint by this witness, and returns the time that it states, in whole
// seconds and UTC. Whether that is near to now the caller judges. The error is
// ErrBadCosignature.
func (w *Witness) Verify(c Checkpoint, line []byte) (time.Time, error) {
	s, err := parseSignatureLine(string(line))
	if err != nil {
		return time.Time{}, fmt.Errorf("%w of %s: %w", ErrBadCosignature, w.name, err)
	}
	if !w.owns(s) {
		return time.Time{}, fmt.Errorf("%w of %s: the line is of %.80q with key id %08x", ErrBadCosignature, w.name, s.name, s.keyID())
	}
	at, err := w.verify(c.text(), s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w of %s: %w", ErrBadCosignature, w.name, err)
	}
	return at, nil
}

// owns says whether a line claims to be this witness's.
func (w *Witness) owns(s signatureLine) bool { return s.name == w.name && s.keyID() == w.id }

func (w *Witness) verify(text string, s signatureLine) (time.Time, error) {
	if len(s.sig) != cosignatureSize {
		return time.Time{}, fmt.Errorf("%d bytes instead of key id, time and signature", len(s.sig))
	}
	unix := binary.BigEndian.Uint64(s.sig[4:])
	if unix == 0 || unix > maxUnix {
		return time.Time{}, fmt.Errorf("its time is %d", unix)
	}
	if !ed25519.Verify(w.key, cosignedMessage(text, unix), s.sig[12:]) {
		return time.Time{}, errors.New("the signature is wrong")
	}
	return time.Unix(int64(unix), 0).UTC(), nil
}

// cosignedMessage is what an Ed25519 cosignature covers.
func cosignedMessage(text string, unix uint64) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", unix, text)
}

// A Cosigner signs as a witness. Nothing else may be signed with its key. What it
// signs is a promise about everything that the witness has seen of a log, so
// whoever calls Cosign keeps the memory that makes it true: see package witness.
type Cosigner struct {
	key     ed25519.PrivateKey
	witness *Witness
}

// NewCosigner returns the cosigner of the witness of that name.
func NewCosigner(name string, key ed25519.PrivateKey) (*Cosigner, error) {
	if err := CheckWitnessName(name); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	return &Cosigner{key, newWitness(name, key.Public().(ed25519.PublicKey))}, nil
}

// Witness returns the verifier of what the cosigner signs.
func (c *Cosigner) Witness() *Witness { return c.witness }

// Cosign returns a signature line for the checkpoint, which says that it is the
// largest that the witness has seen at that time. The time counts in whole
// seconds, after 1970.
func (c *Cosigner) Cosign(cp Checkpoint, at time.Time) ([]byte, error) {
	if _, err := parseCheckpoint(cp.text()); err != nil {
		return nil, fmt.Errorf("cosign checkpoint: %w", err)
	}
	if at.Unix() <= 0 {
		return nil, fmt.Errorf("cosign checkpoint: the time is %d", at.Unix())
	}
	unix := uint64(at.Unix())
	sig := binary.BigEndian.AppendUint32(nil, c.witness.id)
	sig = binary.BigEndian.AppendUint64(sig, unix)
	sig = append(sig, ed25519.Sign(c.key, cosignedMessage(cp.text(), unix))...)
	return []byte("— " + c.witness.name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"), nil
}

// A signatureLine is one line below the text of a note (C2SP signed-note).
type signatureLine struct {
	name string
	sig  []byte // key id in four bytes, and the signature; at least one byte of that
}

func (s signatureLine) keyID() uint32 { return binary.BigEndian.Uint32(s.sig) }

// parseSignatureLine reads a line with its newline: name, and base64 in its one
// spelling. Whether the name is allowed it does not ask.
func parseSignatureLine(line string) (signatureLine, error) {
	rest, ended := strings.CutSuffix(line, "\n")
	rest, begins := strings.CutPrefix(rest, "— ")
	name, b64, spaced := strings.Cut(rest, " ")
	if !ended || !begins || !spaced || name == "" {
		return signatureLine{}, fmt.Errorf("%.80q is no signature line", line)
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(sig) < 5 || base64.StdEncoding.EncodeToString(sig) != b64 {
		return signatureLine{}, fmt.Errorf("signature line of %.80q is not in canonical base64", name)
	}
	return signatureLine{name, sig}, nil
}
