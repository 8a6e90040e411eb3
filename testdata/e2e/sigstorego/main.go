// Command sigstorego verifies a bundle with sigstore-go, as a program would that
// knows nothing of Countersign: trusted root, bundle, artifact, and a public key or an
// identity. Exit 1 when it does not verify.
package main

import (
	"crypto"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	log.SetFlags(0)
	key := flag.String("key", "", "file of a public key")
	identity := flag.String("identity", "", "who signed, by their certificate")
	issuer := flag.String("issuer", "", "who says so")
	flag.Parse()
	if flag.NArg() != 3 {
		log.Fatal("usage: sigstorego [--key FILE | --identity ID --issuer URL] TRUSTED_ROOT BUNDLE ARTIFACT")
	}
	if err := run(*key, *identity, *issuer, flag.Arg(0), flag.Arg(1), flag.Arg(2)); err != nil {
		log.Fatalf("sigstore-go: %v", err)
	}
	fmt.Println("sigstore-go: verified")
}

func run(key, identity, issuer, rootPath, bundlePath, artifactPath string) error {
	trusted, err := root.NewTrustedRootFromPath(rootPath)
	if err != nil {
		return err
	}
	b, err := bundle.LoadJSONFromPath(bundlePath)
	if err != nil {
		return err
	}
	artifact, err := os.Open(artifactPath)
	if err != nil {
		return err
	}
	defer artifact.Close()
	material := root.TrustedMaterialCollection{trusted}
	var who verify.PolicyOption
	if key != "" {
		text, err := os.ReadFile(key)
		if err != nil {
			return err
		}
		public, err := cryptoutils.UnmarshalPEMToPublicKey(text)
		if err != nil {
			return err
		}
		v, err := signature.LoadVerifier(public, crypto.SHA256)
		if err != nil {
			return err
		}
		expiring := root.NewExpiringKey(v, time.Time{}, time.Time{})
		material = append(material, root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return expiring, nil }))
		who = verify.WithKey()
	} else {
		id, err := verify.NewShortCertificateIdentity(issuer, "", identity, "")
		if err != nil {
			return err
		}
		who = verify.WithCertificateIdentity(id)
	}
	v, err := verify.NewVerifier(material, verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err != nil {
		return err
	}
	_, err = v.Verify(b, verify.NewPolicy(verify.WithArtifact(artifact), who))
	return err
}
