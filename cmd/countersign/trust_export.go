package main

import (
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

// Documents that trust export writes.
const (
	exportTrustedRoot   = "trusted-root"
	exportSigningConfig = "signing-config"
)

var exports = []string{exportTrustedRoot, exportSigningConfig}

type exporting struct{ document, url, out string }

func newTrustExport(a *app) *cobra.Command {
	var f exporting
	c := &cobra.Command{
		Use:   "export DIR --format trusted-root|signing-config",
		Short: "Write a trust folder in the words of Sigstore's clients",
		Long: `Write what a trust folder pins as a Sigstore trusted root, or where its services are as
a signing configuration, for cosign, sigstore-go and sigstore-js. Nothing is asked of
any ledger. The services are those of DIR/sigstore.yaml; without that file, the ledger
at https:// and the log's origin, or at --url.

Credentials in --url go into the signing configuration, so keep that file to yourself.`,
		Example: `  countersign trust export trust --format trusted-root --out trusted_root.json
  countersign trust export trust --format signing-config --url http://127.0.0.1:7391 --out signing_config.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.trustExport(args[0], f) },
	}
	// It shadows the root's --format: both documents are JSON.
	c.Flags().StringVar(&f.document, "format", exportTrustedRoot, "document to write: trusted-root or signing-config")
	c.Flags().StringVar(&f.url, "url", "", "URL of the ledger, as clients reach it")
	c.Flags().StringVar(&f.out, "out", "", "file to write (default: standard output)")
	if err := c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(exports, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is three lines above
	}
	return c
}

func (a *app) trustExport(dir string, f exporting) error {
	if !slices.Contains(exports, f.document) {
		return wrong("--format %q: use trusted-root or signing-config", f.document)
	}
	t, err := loadTrust(dir)
	if err != nil {
		return err
	}
	s, err := sigstoreroot.LoadOr(dir, t.Log.Origin())
	if err != nil {
		return wrong("%v", err)
	}
	if f.url != "" {
		s.URL = f.url
	}
	export := sigstoreroot.TrustedRoot
	if f.document == exportSigningConfig {
		export = sigstoreroot.SigningConfig
	}
	text, err := export(t, s)
	if err != nil {
		return wrong("%v", err)
	}
	if f.out == "" {
		a.printf("%s", text)
		return nil
	}
	// A signing configuration may have credentials.
	if err := os.WriteFile(f.out, text, 0o600); err != nil {
		return wrong("--out: %v", err)
	}
	return nil
}
