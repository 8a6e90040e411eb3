package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// A testLog answers bundles as the ledger would: a tree, a signed checkpoint and
// a timestamp. Sigstore's own client is told to trust it.
type testLog struct {
	root.BaseTrustedMaterial
	signer  *tlog.Signer
	tsaKey  *ecdsa.PrivateKey
	tsaCert *x509.Certificate
	tsaRoot *x509.Certificate
	writer  *PublicKey
}

// The tokens hold the moment of signing too, which must lie within the
// certificate's validity; so the log's time is now.
var logTime = time.Now().UTC().Truncate(time.Second)

func newTestLog(t *testing.T, writer *PublicKey) *testLog {
	t.Helper()
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{signer: tlog.NewSigner("log.example", logKey), writer: writer}
	if l.tsaKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of log.example"},
		NotBefore: logTime.Add(-time.Hour), NotAfter: logTime.Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l.tsaRoot = certify(t, ca, ca, caKey.Public(), caKey)
	l.tsaCert = certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "timestamps of log.example"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, l.tsaRoot, l.tsaKey.Public(), caKey)
	return l
}

func certify(t *testing.T, template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// receipt logs a bundle beside a few other entries.
func (l *testLog) receipt(t *testing.T, b *Bundle) {
	t.Helper()
	b.Leaf = Leaf(b, l.writer)
	sibling := tlog.LeafHash([]byte("another entry"))
	edge, _ := tlog.Edge{}.Append([]tlog.Hash{sibling, tlog.LeafHash(b.Leaf)})
	note, err := l.signer.Sign(tlog.Checkpoint{Origin: l.signer.Origin(), Size: 2, Root: edge.Root()})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Signature)
	stamp := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: logTime, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, AddTSACertificate: true}
	token, err := stamp.CreateResponseWithOpts(l.tsaCert, l.tsaKey, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	b.Receipt = &tlog.Receipt{LogID: l.signer.Verifier().LogID(), Index: 1, Checkpoint: note, Proof: []tlog.Hash{sibling}, Token: token}
}

func (l *testLog) RekorLogs() map[string]*root.TransparencyLog {
	v := l.signer.Verifier()
	id := v.LogID()
	return map[string]*root.TransparencyLog{hex.EncodeToString(id[:]): {
		BaseURL: "https://log.example", ID: id[:], ValidityPeriodStart: logTime.Add(-time.Hour),
		HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA512, PublicKey: v.PublicKey(),
	}}
}

func (l *testLog) TimestampingAuthorities() []root.TimestampingAuthority {
	return []root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{Root: l.tsaRoot, Leaf: l.tsaCert}}
}

func (l *testLog) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) {
	k, err := x509.ParsePKIXPublicKey(l.writer.SPKI())
	if err != nil {
		return nil, err
	}
	v, err := signature.LoadVerifier(k, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return root.NewExpiringKey(v, time.Time{}, time.Time{}), nil
}

// sigstoreVerify asks sigstore-go about a bundle, as cosign would.
func sigstoreVerify(text []byte, l *testLog, subject string) error {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		return err
	}
	v, err := verify.NewVerifier(l, verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err != nil {
		return err
	}
	digest, err := hex.DecodeString(subject)
	if err != nil {
		return err
	}
	_, err = v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey()))
	return err
}

func releaseStatement() *Statement {
	return &Statement{
		Subjects:  []Subject{{Name: "repo.tar", Digest: map[string]string{"sha256": hexOf("e", 64)}}},
		Predicate: &Release{Repository: "example.com/org/repo", Name: "v1.0.0", To: hexOf("a", 40), ReleasedAt: when},
	}
}

func TestSigstoreVerifiesOurBundles(t *testing.T) {
	key := newKey(t)
	l := newTestLog(t, key.Public())
	b, err := Sign(releaseStatement(), key)
	if err != nil {
		t.Fatal(err)
	}
	l.receipt(t, b)
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := sigstoreVerify(text, l, hexOf("e", 64)); err != nil {
		t.Fatalf("sigstore-go refuses our bundle: %v", err)
	}
	if sigstoreVerify(text, l, hexOf("f", 64)) == nil {
		t.Error("sigstore-go takes it for another artifact")
	}
	back, err := ParseBundle(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := ourVerify(back, l); err != nil {
		t.Error(err)
	}
}

// ourVerify is what a keyed bundle must satisfy, by our own functions.
func ourVerify(b *Bundle, l *testLog) error {
	if b.Receipt == nil {
		return errors.New("no receipt")
	}
	if err := l.writer.Verify(b.PAE(), b.Signature); err != nil {
		return err
	}
	if _, err := tlog.VerifyReceipt(l.signer.Verifier(), tlog.LeafHash(Leaf(b, l.writer)), b.Receipt); err != nil {
		return err
	}
	token, err := timestamp.ParseResponse(b.Receipt.Token)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(b.Signature); !bytes.Equal(token.HashedMessage, sum[:]) {
		return errors.New("timestamp is of other bytes")
	}
	return nil
}

// Both verifiers refuse each of these, so neither of us is laxer than the other.
func TestSigstoreAndWeRefuseTheSameBundles(t *testing.T) {
	key := newKey(t)
	l := newTestLog(t, key.Public())
	fresh := func() *Bundle {
		b, err := Sign(releaseStatement(), key)
		if err != nil {
			t.Fatal(err)
		}
		l.receipt(t, b)
		return b
	}
	other := newTestLog(t, key.Public())
	for name, spoil := range map[string]func(*Bundle){
		"another signature":          func(b *Bundle) { b.Signature = fresh().Signature },
		"a changed payload":          func(b *Bundle) { b.Payload = bytes.Replace(b.Payload, []byte("v1.0.0"), []byte("v1.0.1"), 1) },
		"a shortened proof":          func(b *Bundle) { b.Receipt.Proof = nil },
		"a proof of another entry":   func(b *Bundle) { b.Receipt.Proof[0][0] ^= 1 },
		"another index":              func(b *Bundle) { b.Receipt.Index = 0 },
		"a checkpoint of other keys": func(b *Bundle) { other.receipt(t, b) },
		"another entry's timestamp":  func(b *Bundle) { b.Receipt.Token = fresh().Receipt.Token },
	} {
		t.Run(name, func(t *testing.T) {
			b := fresh()
			spoil(b)
			text, err := b.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if sigstoreVerify(text, l, hexOf("e", 64)) == nil {
				t.Error("sigstore-go accepts it")
			}
			back, err := ParseBundle(text)
			if err == nil {
				err = ourVerify(back, l)
			}
			if err == nil {
				t.Error("we accept it")
			}
		})
	}
}

func TestLeafIsCanonicalJSON(t *testing.T) {
	key := newKey(t)
	for range 50 {
		b, err := Sign(approval(), key)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b.PAE())
		b64 := base64.StdEncoding.EncodeToString
		loose, err := json.Marshal(map[string]any{
			"kind": "hashedrekord", "apiVersion": "0.0.2",
			"spec": map[string]any{"hashedRekordV002": map[string]any{
				"signature": map[string]any{
					"verifier": map[string]any{"publicKey": map[string]any{"rawBytes": b64(key.Public().SPKI())}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
					"content":  b64(b.Signature),
				},
				"data": map[string]any{"digest": b64(sum[:]), "algorithm": "SHA2_256"},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want, err := jsoncanonicalizer.Transform(loose)
		if err != nil {
			t.Fatal(err)
		}
		if got := Leaf(b, key.Public()); !bytes.Equal(got, want) {
			t.Fatalf("leaf is\n%s\nand RFC 8785 says\n%s", got, want)
		}
	}
}

func FuzzParseLeaf(f *testing.F) {
	key := newKey(f)
	b, _ := Sign(approval(), key)
	f.Add(Leaf(b, key.Public()))
	f.Add([]byte(leafBeforeDigest + leafBeforeSig + leafBeforeKey + leafEnd))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		p, err := ParseLeaf(leaf)
		if err != nil {
			return
		}
		if again := p.Leaf(); !bytes.Equal(again, leaf) {
			t.Errorf("parses and prints as another:\n%s\n%s", leaf, again)
		}
	})
}
