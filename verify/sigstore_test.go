package verify_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

// sigstoreTrust is a trust folder as Sigstore's own client reads it, and a key.
type sigstoreTrust struct {
	*root.TrustedRoot
	writer *attest.PublicKey
}

func newSigstoreTrust(t *testing.T, trust *verify.Trust, writer *attest.PublicKey) *sigstoreTrust {
	t.Helper()
	text, err := sigstoreroot.TrustedRoot(trust, sigstoreroot.Services{URL: "https://ledger.example"})
	must(t, err)
	tr, err := root.NewTrustedRootFromJSON(text)
	must(t, err)
	return &sigstoreTrust{tr, writer}
}

func (s *sigstoreTrust) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) {
	k, err := x509.ParsePKIXPublicKey(s.writer.SPKI())
	if err != nil {
		return nil, err
	}
	v, err := signature.LoadVerifier(k, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return root.NewExpiringKey(v, time.Time{}, time.Time{}), nil
}

func (s *sigstoreTrust) verify(text []byte, artifact attest.Digest) error {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		return err
	}
	v, err := sigstore.NewVerifier(s, sigstore.WithTransparencyLog(1), sigstore.WithSignedTimestamps(1))
	if err != nil {
		return err
	}
	_, err = v.Verify(&b, sigstore.NewPolicy(sigstore.WithArtifactDigest("sha256", artifact[:]), sigstore.WithKey()))
	return err
}

// The entries of a pack are bundles that Sigstore's client verifies, and where one
// of us refuses an edited one, so does the other.
func TestSigstoreAgreesAboutThePacksBundles(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 2)
	d, file := artifact("app")
	l.log(file)
	text := string(w.pack(l.request(d, l.base)))
	theirs := newSigstoreTrust(t, w.trust, w.key("builder").Public())
	var release *attest.Bundle
	for line := range strings.Lines(text) {
		b, err := attest.ParseBundle([]byte(strings.TrimSuffix(line, "\n")))
		if err == nil && b.Receipt.Index == l.indexes["release"] {
			release = b
		}
	}
	view, honest := w.sealed(l.indexes["admission 0"])
	ours := func(b *attest.Bundle) error {
		cp, err := tlog.VerifyReceipt(w.trust.Log, tlog.LeafHash(b.Leaf), b.Receipt)
		if err != nil {
			return err
		}
		body, err := (&attest.Bundle{Payload: b.Payload, Signature: b.Signature, Hint: b.Hint}).Marshal()
		must(t, err)
		at := verify.LogView{Checkpoint: cp, Time: view.Time}
		if _, r := w.verifier().Open(t.Context(), &at, verify.Sealed{Index: b.Receipt.Index, Leaf: b.Leaf, Body: body, Token: b.Receipt.Token, Proof: b.Receipt.Proof}); r != nil {
			return r
		}
		return nil
	}
	for name, edit := range map[string]func(*attest.Bundle){
		"as it is":              nil,
		"a payload byte":        func(b *attest.Bundle) { b.Payload[20] ^= 1 },
		"another payload":       func(b *attest.Bundle) { b.Payload = bundleOf(t, honest).Payload },
		"a signature byte":      func(b *attest.Bundle) { b.Signature[20] ^= 1 },
		"another signature":     func(b *attest.Bundle) { b.Signature = bundleOf(t, honest).Signature },
		"a proof byte":          func(b *attest.Bundle) { b.Receipt.Proof[0][0] ^= 1 },
		"half a proof":          func(b *attest.Bundle) { b.Receipt.Proof = b.Receipt.Proof[:1] },
		"another index":         func(b *attest.Bundle) { b.Receipt.Index-- },
		"another token":         func(b *attest.Bundle) { b.Receipt.Token = honest.Token },
		"a token byte":          func(b *attest.Bundle) { b.Receipt.Token[len(b.Receipt.Token)-3] ^= 1 },
		"another log's id":      func(b *attest.Bundle) { b.Receipt.LogID[0] ^= 1 },
		"a checkpoint's root":   func(b *attest.Bundle) { b.Receipt.Checkpoint[20] ^= 1 },
		"a checkpoint's signer": func(b *attest.Bundle) { b.Receipt.Checkpoint[len(b.Receipt.Checkpoint)-8] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := &attest.Bundle{Payload: bytes.Clone(release.Payload), Signature: bytes.Clone(release.Signature), Hint: release.Hint, Leaf: release.Leaf}
			r := *release.Receipt
			r.Checkpoint, r.Token, r.Proof = bytes.Clone(r.Checkpoint), bytes.Clone(r.Token), append([]tlog.Hash(nil), r.Proof...)
			b.Receipt = &r
			if edit != nil {
				edit(b)
			}
			text, err := b.Marshal()
			must(t, err)
			we, they := ours(b), theirs.verify(text, d)
			if accept := edit == nil; (we == nil) != accept || (they == nil) != accept {
				t.Errorf("we say %v; Sigstore says %v", we, they)
			}
		})
	}
}
