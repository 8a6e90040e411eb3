package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

func newSubmit(a *app) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "submit BUNDLE…",
		Short: "Put signed bundles into the ledger",
		Long: `Put Sigstore bundles that were signed elsewhere into the ledger, and write them back
with their receipts. Submitting a bundle again gives its first index.`,
		Example: `  countersign submit approval.json
  countersign submit --out receipts/ *.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.submitFiles(c.Context(), args, out) },
	}
	c.Flags().StringVar(&out, "out", "", "folder for the bundles with their receipts (default: beside each, as NAME.receipt.json)")
	return c
}

func (a *app) submitFiles(ctx context.Context, paths []string, out string) error {
	l, err := a.connect()
	if err != nil {
		return err
	}
	for _, path := range paths {
		text, err := readFile(path, attest.MaxBundle)
		if err != nil {
			return err
		}
		if _, err := attest.ParseBundle(text); err != nil {
			return wrong("%s: %v", path, err)
		}
		results, err := a.append(ctx, l, [][]byte{text})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		to := path + ".receipt.json"
		if out != "" {
			to = filepath.Join(out, filepath.Base(path))
		}
		if err := os.WriteFile(to, results[0].Bundle, 0o644); err != nil {
			return wrong("%v", err)
		}
		if err := a.sayLogged(path, results[0]); err != nil {
			return err
		}
	}
	return nil
}

// logStatement signs a statement, logs it, and says where it is. out is a file
// for the bundle with its receipt; offline keeps it from being sent.
func (a *app) logStatement(ctx context.Context, st *attest.Statement, what string, f signing) error {
	if f.print {
		payload, err := st.Marshal()
		if err != nil {
			return err
		}
		a.printf("%s\n", payload)
		return nil
	}
	key, err := a.key(f.key)
	if err != nil {
		return err
	}
	b, err := attest.Sign(st, key)
	if err != nil {
		return err
	}
	return a.logBundle(ctx, b, what, f)
}

// logBundle sends a signed bundle, or keeps it when it is offline.
func (a *app) logBundle(ctx context.Context, b *attest.Bundle, what string, f signing) error {
	text, err := b.Marshal()
	if err != nil {
		return err
	}
	if f.offline {
		if f.out == "" {
			return wrong("--offline needs --out: the file for the signed bundle")
		}
		if err := writeNew(f.out, text, 0o644); err != nil {
			return err
		}
		a.printf("%s  %s, signed; send it with: countersign submit %s\n", f.out, what, f.out)
		return nil
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	results, err := a.append(ctx, l, [][]byte{text})
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := writeNew(f.out, results[0].Bundle, 0o644); err != nil {
			return err
		}
	}
	return a.sayLogged(what, results[0])
}

func (a *app) sayLogged(what string, r *countersignv1.AppendResult) error {
	if a.json() {
		return a.writeJSON(map[string]any{"what": what, "index": r.Index, "duplicate": r.Duplicate})
	}
	note := ""
	if r.Duplicate {
		note = a.faint("  (was there already)")
	}
	a.printf("#%d  %s%s\n", r.Index, what, note)
	return nil
}

// signing are the flags of every command that signs one statement.
type signing struct {
	key, out string
	offline  bool
	print    bool
}

func (f *signing) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "key", os.Getenv("COUNTERSIGN_KEY"), "private key that signs (COUNTERSIGN_KEY)")
	c.Flags().StringVar(&f.out, "out", "", "also write the bundle, with its receipt, to this file")
	c.Flags().BoolVar(&f.offline, "offline", false, "sign and write --out, and send nothing")
	c.Flags().BoolVar(&f.print, "print", false, "print the statement, and sign nothing")
}
