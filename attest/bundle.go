package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BundleType is the media type of the Sigstore bundles that we write.
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// A Bundle is a DSSE envelope with one signature, as a Sigstore bundle v0.3
// carries it, and the log's receipt once there is one.
type Bundle struct {
	Payload   []byte // the statement, as it was signed
	Signature []byte
	// Hint says which key signed. It is outside the signature: a hint, no more. With a
	// Certificate (DER) there is none.
	Hint        string
	Certificate []byte
	// Leaf and Receipt are set on bundles that a log has answered.
	Leaf    []byte
	Receipt *tlog.Receipt
}

// Sign validates a statement and signs it.
func Sign(st *Statement, key *PrivateKey) (*Bundle, error) {
	payload, err := st.Marshal()
	if err != nil {
		return nil, err
	}
	return SignPayload(payload, key)
}

// SignPayload signs a statement that Marshal wrote.
func SignPayload(payload []byte, key *PrivateKey) (*Bundle, error) {
	b := &Bundle{Payload: payload}
	sig, err := key.Sign(b.PAE())
	if err != nil {
		return nil, err
	}
	b.Signature = sig
	return Normal(b, key.Public()), nil
}

// PAE is the DSSE pre-authentication encoding: the bytes that are signed
// (https://github.com/secure-systems-lab/dsse, protocol.md).
func (b *Bundle) PAE() []byte { return PAE(PayloadType, b.Payload) }

// PAE encodes a payload and its type.
func PAE(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+len(payloadType)+40)
	return append(appendPAEHeader(out, payloadType, len(payload)), payload...)
}

func appendPAEHeader(out []byte, payloadType string, size int) []byte {
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(append(append(out, ' '), payloadType...), ' ')
	return append(strconv.AppendInt(out, int64(size), 10), ' ')
}

// PAEDigest is the SHA-256 of PAE, without building it.
func (b *Bundle) PAEDigest() Digest {
	var header [128]byte
	h := sha256.New()
	h.Write(appendPAEHeader(header[:0], PayloadType, len(b.Payload)))
	h.Write(b.Payload)
	return Digest(h.Sum(nil))
}

// Digest is the SHA-256 of the payload.
func (b *Bundle) Digest() Digest { return DigestOf(b.Payload) }

// base64Bytes is standard base64 with padding, in its one canonical spelling.
type base64Bytes []byte

func (v *base64Bytes) UnmarshalText(text []byte) error {
	if bytes.ContainsAny(text, "\r\n") {
		return fieldErr("base64", "holds a line break")
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(out, text)
	if err != nil {
		return fieldErr("base64", "is not canonical standard base64: %v", err)
	}
	*v = out[:n]
	return nil
}

type wireBundle struct {
	MediaType string       `json:"mediaType"`
	Material  wireMaterial `json:"verificationMaterial"`
	Envelope  *struct {
		Payload     base64Bytes `json:"payload"`
		PayloadType string      `json:"payloadType"`
		Signatures  []struct {
			Sig   base64Bytes `json:"sig"`
			KeyID string      `json:"keyid"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
	MessageSignature jsontext.Value `json:"messageSignature,omitempty"`
}

type wireMaterial struct {
	PublicKey *struct {
		Hint string `json:"hint"`
	} `json:"publicKey,omitempty"`
	Certificate *struct {
		Raw base64Bytes `json:"rawBytes"`
	} `json:"certificate,omitempty"`
	Chain      jsontext.Value `json:"x509CertificateChain,omitempty"`
	Entries    []wireEntry    `json:"tlogEntries,omitempty"`
	Timestamps *struct {
		RFC3161 []struct {
			Signed base64Bytes `json:"signedTimestamp"`
		} `json:"rfc3161Timestamps,omitempty"`
	} `json:"timestampVerificationData,omitempty"`
}

type wireEntry struct {
	LogIndex string `json:"logIndex"`
	LogID    struct {
		KeyID base64Bytes `json:"keyId"`
	} `json:"logId"`
	KindVersion struct {
		Kind    string `json:"kind"`
		Version string `json:"version"`
	} `json:"kindVersion"`
	IntegratedTime   string         `json:"integratedTime,omitempty"`
	InclusionPromise jsontext.Value `json:"inclusionPromise,omitempty"`
	InclusionProof   struct {
		LogIndex   string        `json:"logIndex"`
		RootHash   base64Bytes   `json:"rootHash"`
		TreeSize   string        `json:"treeSize"`
		Hashes     []base64Bytes `json:"hashes"`
		Checkpoint struct {
			Envelope string `json:"envelope"`
		} `json:"checkpoint"`
	} `json:"inclusionProof"`
	Body base64Bytes `json:"canonicalizedBody"`
}

// ParseBundle reads a Sigstore bundle strictly: media type v0.3, a DSSE
// envelope of an in-toto payload, exactly one signature, a public key or a certificate. A receipt
// is read when there is exactly one, and not checked.
func ParseBundle(text []byte) (*Bundle, error) {
	if len(text) > MaxBundle {
		return nil, faultErr(TooLarge, "bundle", "has %d bytes; the limit is %d", len(text), MaxBundle)
	}
	var w wireBundle
	if err := decode("bundle", text, &w); err != nil {
		return nil, err
	}
	if w.MediaType != BundleType && w.MediaType != "application/vnd.dev.sigstore.bundle+json;version=0.3" {
		return nil, faultErr(Unsupported, "bundle.mediaType", "%.80q is not %s", w.MediaType, BundleType)
	}
	if w.Envelope == nil || len(w.MessageSignature) > 0 {
		return nil, faultErr(WrongType, "bundle.dsseEnvelope", "is missing: only DSSE envelopes are attestations")
	}
	if len(w.Material.Chain) > 0 || (w.Material.PublicKey == nil) == (w.Material.Certificate == nil) {
		return nil, faultErr(Unsupported, "bundle.verificationMaterial", "does not have exactly one of publicKey and certificate")
	}
	env := w.Envelope
	if env.PayloadType != PayloadType {
		return nil, faultErr(WrongType, "bundle.dsseEnvelope.payloadType", "%.80q is not %s", env.PayloadType, PayloadType)
	}
	if len(env.Signatures) != 1 {
		return nil, fieldErr("bundle.dsseEnvelope.signatures", "has %d items; a bundle has exactly one", len(env.Signatures))
	}
	if len(env.Payload) == 0 {
		return nil, fieldErr("bundle.dsseEnvelope.payload", "is empty")
	}
	if len(env.Payload) > MaxPayload {
		return nil, faultErr(TooLarge, "bundle.dsseEnvelope.payload", "has %d bytes; the limit is %d", len(env.Payload), MaxPayload)
	}
	b := &Bundle{Payload: env.Payload, Signature: env.Signatures[0].Sig}
	if c := w.Material.Certificate; c == nil {
		b.Hint = w.Material.PublicKey.Hint
	} else if b.Certificate = c.Raw; len(c.Raw) == 0 || len(c.Raw) > maxCertificate {
		return nil, fieldErr("bundle.verificationMaterial.certificate", "has %d bytes; 1 to %d are read", len(c.Raw), maxCertificate)
	}
	if err := first(checkText("bundle.verificationMaterial.publicKey.hint", b.Hint, 1024), b.readReceipt(&w.Material)); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bundle) readReceipt(m *wireMaterial) error {
	if len(m.Entries) == 0 {
		return nil
	}
	const field = "bundle.verificationMaterial.tlogEntries"
	if len(m.Entries) != 1 {
		return fieldErr(field, "has %d items; one is expected", len(m.Entries))
	}
	e := m.Entries[0]
	index, err := strconv.ParseUint(e.LogIndex, 10, 63)
	if err != nil || strconv.FormatUint(index, 10) != e.LogIndex || e.InclusionProof.LogIndex != e.LogIndex {
		return fieldErr(field+".logIndex", "%.20q is no index, or differs from its proof's", e.LogIndex)
	}
	if e.KindVersion.Kind != leafKind || e.KindVersion.Version != leafVersion {
		return faultErr(Unsupported, field+".kindVersion", "is %.40q %.20q; %s %s is read", e.KindVersion.Kind, e.KindVersion.Version, leafKind, leafVersion)
	}
	r := &tlog.Receipt{Index: index, Checkpoint: []byte(e.InclusionProof.Checkpoint.Envelope)}
	size, root, err := checkpointLines(r.Checkpoint)
	if err != nil {
		return fieldErr(field+".inclusionProof.checkpoint", "%v", err)
	}
	if string(size) != e.InclusionProof.TreeSize || string(root) != base64.StdEncoding.EncodeToString(e.InclusionProof.RootHash) {
		return fieldErr(field+".inclusionProof", "has another tree size or root than its checkpoint")
	}
	if len(e.InclusionProof.Hashes) > 64 {
		return faultErr(TooLarge, field+".inclusionProof.hashes", "has %d items; the limit is 64", len(e.InclusionProof.Hashes))
	}
	for _, h := range e.InclusionProof.Hashes {
		if len(h) != tlog.HashSize {
			return fieldErr(field+".inclusionProof.hashes", "holds one of %d bytes", len(h))
		}
		r.Proof = append(r.Proof, tlog.Hash(h))
	}
	if len(e.LogID.KeyID) != tlog.HashSize {
		return fieldErr(field+".logId.keyId", "has %d bytes", len(e.LogID.KeyID))
	}
	r.LogID = tlog.Hash(e.LogID.KeyID)
	if ts := m.Timestamps; ts != nil && len(ts.RFC3161) > 0 {
		if len(ts.RFC3161) != 1 {
			return fieldErr("bundle.verificationMaterial.timestampVerificationData", "has %d timestamps; one is expected", len(ts.RFC3161))
		}
		r.Token = ts.RFC3161[0].Signed
	}
	b.Leaf, b.Receipt = e.Body, r
	return nil
}

// Marshal writes the bundle as Sigstore bundle v0.3, with its receipt when it
// has one. The same bundle always gives the same bytes.
func (b *Bundle) Marshal() ([]byte, error) {
	out := make([]byte, 0, len(b.Payload)*4/3+4096)
	out = append(out, `{"mediaType":"`+BundleType+`","verificationMaterial":{`...)
	if b.Certificate != nil {
		out = append(out, `"certificate":{"rawBytes":"`...)
		out = append(base64.StdEncoding.AppendEncode(out, b.Certificate), `"}`...)
	} else {
		hint, err := json.Marshal(b.Hint)
		if err != nil {
			return nil, fieldErr("bundle.verificationMaterial.publicKey.hint", "%v", err)
		}
		out = append(append(append(out, `"publicKey":{"hint":`...), hint...), '}')
	}
	var err error
	if b.Receipt != nil {
		if out, err = b.appendReceipt(out); err != nil {
			return nil, err
		}
	}
	out = append(out, `},"dsseEnvelope":{"payload":"`...)
	out = base64.StdEncoding.AppendEncode(out, b.Payload)
	out = append(out, `","payloadType":"`+PayloadType+`","signatures":[{"sig":"`...)
	out = base64.StdEncoding.AppendEncode(out, b.Signature)
	return append(out, `","keyid":""}]}}`...), nil
}

// TransparencyLogEntry writes the receipt alone, as Rekor answers with it.
func (b *Bundle) TransparencyLogEntry() ([]byte, error) { return b.appendEntry(nil) }

func (b *Bundle) appendReceipt(out []byte) ([]byte, error) {
	out, err := b.appendEntry(append(out, `,"tlogEntries":[`...))
	if err != nil {
		return nil, err
	}
	out = append(out, ']')
	if t := b.Receipt.Token; t != nil {
		out = append(out, `,"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"`...)
		out = append(base64.StdEncoding.AppendEncode(out, t), `"}]}`...)
	}
	return out, nil
}

// appendEntry writes a TransparencyLogEntry.
func (b *Bundle) appendEntry(out []byte) ([]byte, error) {
	r := b.Receipt
	size, root, err := checkpointLines(r.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("write receipt: %w", err)
	}
	enc := base64.StdEncoding
	out = append(out, `{"logIndex":"`...)
	out = strconv.AppendUint(out, r.Index, 10)
	out = append(out, `","logId":{"keyId":"`...)
	out = enc.AppendEncode(out, r.LogID[:])
	out = append(out, `"},"kindVersion":{"kind":"`+leafKind+`","version":"`+leafVersion+`"},"inclusionProof":{"logIndex":"`...)
	out = strconv.AppendUint(out, r.Index, 10)
	out = append(append(append(out, `","rootHash":"`...), root...), `","treeSize":"`...)
	out = append(append(out, size...), `","hashes":[`...)
	for i, h := range r.Proof {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(enc.AppendEncode(append(out, '"'), h[:]), '"')
	}
	out = append(out, `],"checkpoint":{"envelope":`...)
	note, err := jsontext.AppendQuote(nil, r.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("write receipt: checkpoint: %w", err)
	}
	out = append(append(out, note...), `}},"canonicalizedBody":"`...)
	return append(enc.AppendEncode(out, b.Leaf), `"}`...), nil
}

// checkpointLines cuts the tree size and the root, as text, out of a signed
// checkpoint. Whether it is one is for its verifier to say.
func checkpointLines(note []byte) (size, root []byte, err error) {
	lines := bytes.SplitN(note, []byte("\n"), 4)
	if len(lines) != 4 {
		return nil, nil, fmt.Errorf("checkpoint has %d lines", len(lines))
	}
	return lines[1], lines[2], nil
}
