package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

func newKeygen(a *app) *cobra.Command {
	var out string
	var encrypt bool
	c := &cobra.Command{
		Use:   "keygen --out FILE",
		Short: "Make a signing key",
		Long: `Make an ECDSA P-256 key: the private half in FILE (PKCS#8 PEM, readable by its owner
only), the public half in FILE with .pub in place of .pem. The public half goes into
people.yaml. With --encrypt the private half is protected by a passphrase, in a
format that cosign reads too.`,
		Example: `  countersign keygen --out alice.pem
  countersign keygen --out alice.pem --encrypt`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.keygen(out, encrypt) },
	}
	c.Flags().StringVar(&out, "out", "", "file for the private key (needed)")
	c.Flags().BoolVar(&encrypt, "encrypt", false, "protect the key with a passphrase (from COUNTERSIGN_PASSPHRASE or a prompt)")
	return c
}

func (a *app) keygen(out string, encrypt bool) error {
	if out == "" {
		return wrong("--out is needed: the file for the private key")
	}
	pubFile := strings.TrimSuffix(out, ".pem") + ".pub"
	var pass []byte
	if encrypt {
		var err error
		if pass, err = a.passphrase("New passphrase for " + out); err != nil {
			return err
		}
		if len(pass) < 8 {
			return wrong("the passphrase has fewer than 8 characters")
		}
	}
	key, err := attest.GenerateKey()
	if err != nil {
		return broken("%v", err)
	}
	text, err := key.MarshalPEM(pass)
	if err != nil {
		return broken("%v", err)
	}
	if err := writeNew(out, text, 0o600); err != nil {
		return err
	}
	if err := writeNew(pubFile, key.Public().PEM(), 0o644); err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(map[string]string{"privateKey": out, "publicKey": pubFile, "keyId": key.Public().ID().String()})
	}
	a.printf("%s  private key, keep it to yourself\n%s  public key %s\n", out, pubFile, key.Public().ID())
	return nil
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return wrong("%s exists; it is not overwritten", path)
	}
	if err != nil {
		return wrong("%v", err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return broken("write %s: %v", path, err)
	}
	return nil
}

// readFile reads an input with a limit on its size.
func readFile(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, wrong("%v", err)
	}
	if st.IsDir() || st.Size() > limit {
		return nil, wrong("%s is a folder or has more than %d bytes", path, limit)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}
