// Package rekor reads the requests of Rekor v2's write API, as cosign and the
// Sigstore libraries send them.
package rekor

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
)

// A Request is one entry that a client wants logged: a hash with its signature, or
// an envelope with everything.
type Request struct {
	Hash     *attest.LeafParts // hashedRekordRequestV002
	Envelope *attest.Bundle    // dsseRequestV002: a bundle without a receipt
}

// keyDetails is the one kind of key, by the name of protobuf-specs.
const keyDetails = "PKIX_ECDSA_P256_SHA_256"

type (
	wireRequest struct {
		Hash     *wireHash `json:"hashedRekordRequestV002,omitempty"`
		Envelope *wireDSSE `json:"dsseRequestV002,omitempty"`
	}
	wireHash struct {
		Digest    []byte        `json:"digest"`
		Signature wireSignature `json:"signature"`
	}
	wireSignature struct {
		Content  []byte       `json:"content"`
		Verifier wireVerifier `json:"verifier"`
	}
	wireVerifier struct {
		PublicKey   *wireRaw `json:"publicKey,omitempty"`
		Certificate *wireRaw `json:"x509Certificate,omitempty"`
		KeyDetails  string   `json:"keyDetails"`
	}
	wireRaw struct {
		Raw []byte `json:"rawBytes"`
	}
	wireDSSE struct {
		Envelope struct {
			Payload     []byte `json:"payload"`
			PayloadType string `json:"payloadType"`
			Signatures  []struct {
				Sig   []byte `json:"sig"`
				KeyID string `json:"keyid,omitempty"`
			} `json:"signatures"`
		} `json:"envelope"`
		Verifiers []wireVerifier `json:"verifiers"`
	}
)

// Parse reads the body of POST /api/v2/log/entries strictly: exactly one of the two
// requests, no unknown or repeated field. No signature is checked. The error is an
// *attest.FieldError.
func Parse(body []byte) (*Request, error) {
	var w wireRequest
	if err := json.Unmarshal(body, &w, json.RejectUnknownMembers(true)); err != nil {
		return nil, malformed("request", "%.200s", err)
	}
	switch {
	case (w.Hash == nil) == (w.Envelope == nil):
		return nil, malformed("request", "must have exactly one of hashedRekordRequestV002 and dsseRequestV002")
	case w.Hash != nil:
		return w.Hash.request()
	}
	return w.Envelope.request()
}

func malformed(field, format string, args ...any) error {
	return &attest.FieldError{Fault: attest.Malformed, Field: field, Why: fmt.Sprintf(format, args...)}
}

func (h *wireHash) request() (*Request, error) {
	const field = "hashedRekordRequestV002"
	if len(h.Digest) != len(attest.Digest{}) {
		return nil, malformed(field+".digest", "has %d bytes; a SHA-256 has %d", len(h.Digest), len(attest.Digest{}))
	}
	if len(h.Signature.Content) == 0 {
		return nil, malformed(field+".signature.content", "is empty")
	}
	leaf := &attest.LeafParts{Digest: attest.Digest(h.Digest), Signature: h.Signature.Content}
	var err error
	leaf.SPKI, leaf.Certificate, err = h.Signature.Verifier.parts(field + ".signature.verifier")
	return &Request{Hash: leaf}, err
}

func (d *wireDSSE) request() (*Request, error) {
	const field = "dsseRequestV002"
	env := d.Envelope
	switch {
	case env.PayloadType != attest.PayloadType:
		return nil, &attest.FieldError{Fault: attest.WrongType, Field: field + ".envelope.payloadType", Why: fmt.Sprintf("%.80q is not %s", env.PayloadType, attest.PayloadType)}
	case len(env.Signatures) != 1:
		return nil, malformed(field+".envelope.signatures", "has %d items; exactly one is accepted", len(env.Signatures))
	case len(d.Verifiers) != 1:
		return nil, malformed(field+".verifiers", "has %d items; exactly one is accepted", len(d.Verifiers))
	case len(env.Payload) == 0:
		return nil, malformed(field+".envelope.payload", "is empty")
	}
	spki, certificate, err := d.Verifiers[0].parts(field + ".verifiers")
	if err != nil {
		return nil, err
	}
	b := &attest.Bundle{Payload: env.Payload, Signature: env.Signatures[0].Sig, Certificate: certificate}
	if certificate == nil {
		b.Hint = attest.DigestOf(spki).String()
	}
	return &Request{Envelope: b}, nil
}

// parts is the key or the certificate, one of which must be there.
func (v *wireVerifier) parts(field string) (spki, certificate []byte, err error) {
	if v.KeyDetails != keyDetails {
		return nil, nil, &attest.FieldError{Fault: attest.Unsupported, Field: field + ".keyDetails", Why: fmt.Sprintf("%.40q is not %s, the one kind of key that every client verifies", v.KeyDetails, keyDetails)}
	}
	switch {
	case (v.PublicKey == nil) == (v.Certificate == nil):
		return nil, nil, malformed(field, "must have exactly one of publicKey and x509Certificate")
	case v.PublicKey != nil && len(v.PublicKey.Raw) > 0:
		return v.PublicKey.Raw, nil, nil
	case v.Certificate != nil && len(v.Certificate.Raw) > 0:
		return nil, v.Certificate.Raw, nil
	}
	return nil, nil, malformed(field+".rawBytes", "is empty")
}
