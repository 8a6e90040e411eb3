// Package notes reads attestations that other tools keep in git: the notes of
// slsa-source tools, and gittuf's attestations. It says what is there, and believes
// none of it: whether something can be imported is for the ledger to see.
package notes

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
)

// Limits on one note.
const (
	MaxNote    = 1 << 20 // bytes
	maxObjects = 64      // JSON objects, one behind the other
	maxSigners = 16      // of one envelope
)

// Found is one attestation of a note.
type Found struct {
	// Bundle is a Sigstore bundle as it came; nil for a bare DSSE envelope.
	Bundle []byte
	// Envelope is the envelope as a bundle that can be submitted, where it has one
	// signature that can be a statement's, over an in-toto statement; else nil.
	Envelope *attest.Bundle
	// PredicateType and Subjects are of the statement, unverified; empty where the
	// payload is none.
	PredicateType string
	Subjects      []string
	// Signers are who claims to have signed, in words.
	Signers []string
	// Why says why it cannot be brought into a ledger; empty where it can be tried.
	Why string
}

// Read reads the JSON objects of a note, which may stand on lines of their own or one
// behind the other. The error is about the note; what is wrong with one object is in
// its Why.
func Read(note []byte) ([]Found, error) {
	if len(note) > MaxNote {
		return nil, fmt.Errorf("has %d bytes; the limit is %d", len(note), MaxNote)
	}
	d := jsontext.NewDecoder(bytes.NewReader(note))
	var out []Found
	for {
		v, err := d.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("object %d is no JSON: %w", len(out)+1, err)
		}
		if len(out) == maxObjects {
			return nil, fmt.Errorf("has more than %d objects", maxObjects)
		}
		out = append(out, read(v))
	}
	if len(out) == 0 {
		return nil, errors.New("is empty")
	}
	return out, nil
}

// A wireEnvelope is a DSSE envelope as tools write it, with members of their own beside
// what the specification names.
type wireEnvelope struct {
	PayloadType string `json:"payloadType"`
	Payload     string `json:"payload"`
	Signatures  []struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	} `json:"signatures"`
}

func read(v jsontext.Value) Found {
	var kind struct {
		MediaType string          `json:"mediaType"`
		Payload   *jsontext.Value `json:"payload"`
	}
	if v.Kind() != '{' || json.Unmarshal(v, &kind) != nil {
		return Found{Why: "is no JSON object, or has a member twice"}
	}
	switch {
	case kind.MediaType != "":
		return readBundle(v.Clone())
	case kind.Payload != nil:
		return readEnvelope(v)
	}
	return Found{Why: "is neither a Sigstore bundle nor a DSSE envelope"}
}

func readBundle(text []byte) Found {
	f := Found{Bundle: text}
	c, err := attest.ParseForeignBundle(text)
	if err != nil {
		f.Why = err.Error()
		return f
	}
	id := c.Key.Identity()
	f.Signers = []string{fmt.Sprintf("%.200q of %.200q", id.Subject, id.Issuer)}
	f.describe(c.Statement)
	return f
}

func (f *Found) describe(st *attest.Statement) {
	f.PredicateType = st.Predicate.Type()
	for _, s := range st.Subjects {
		for alg, hex := range s.Digest {
			f.Subjects = append(f.Subjects, alg+":"+hex)
		}
	}
}

func readEnvelope(v jsontext.Value) Found {
	var w wireEnvelope
	if err := json.Unmarshal(v, &w); err != nil {
		return Found{Why: fmt.Sprintf("is no DSSE envelope: %.200v", err)}
	}
	var f Found
	payload, err := decode64(w.Payload)
	if err != nil {
		return Found{Why: "payload: " + err.Error()}
	}
	st, err := attest.ParseStatement(payload)
	if err == nil {
		f.describe(st)
	}
	if len(w.Signatures) == 0 || len(w.Signatures) > maxSigners {
		f.Why = fmt.Sprintf("has %d signatures; 1 to %d are read", len(w.Signatures), maxSigners)
		return f
	}
	var usable [][]byte
	for _, s := range w.Signatures {
		sig, who := signature(s.Sig, s.KeyID)
		f.Signers = append(f.Signers, who)
		if sig != nil {
			usable = append(usable, sig)
		}
	}
	switch {
	case w.PayloadType != attest.PayloadType:
		f.Why = fmt.Sprintf("WRONG_TYPE: its payload type is %.80q, and only %s is an attestation", w.PayloadType, attest.PayloadType)
	case err != nil:
		f.Why = err.Error()
	case len(usable) == 0:
		f.Why = "WRONG_SCOPE: none of its signatures is one of a key for statements"
	case len(w.Signatures) > 1:
		f.Why = "has several signatures; an entry of a ledger has exactly one"
	default:
		f.Envelope = &attest.Bundle{Payload: payload, Signature: usable[0]}
	}
	return f
}

// signature reads a signature of an envelope: nil where it is an SSH signature, which is
// never one over a statement, whatever its namespace.
func signature(text, keyID string) (sig []byte, who string) {
	armored := []byte(text)
	raw, err := decode64(text)
	if s, sshErr := credential.ParseSSHArmored(armored); sshErr == nil {
		return nil, sshSigner(s)
	}
	if err != nil {
		return nil, fmt.Sprintf("key %.80q (its signature is not base64)", keyID)
	}
	for _, parse := range []func([]byte) (*credential.SSHSignature, error){credential.ParseSSH, credential.ParseSSHArmored} {
		if s, err := parse(raw); err == nil {
			return nil, sshSigner(s)
		}
	}
	return raw, fmt.Sprintf("key %.80q", keyID)
}

func sshSigner(s *credential.SSHSignature) string {
	return fmt.Sprintf("SSH key %s, in namespace %.80q", s.Key.Fingerprint(), s.Namespace)
}

// decode64 reads both alphabets, with and without padding: tools differ.
func decode64(s string) ([]byte, error) {
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(s); err == nil {
			return b, nil
		}
	}
	return nil, errors.New("is not base64")
}
