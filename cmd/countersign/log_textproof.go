package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// Formats that log prove writes.
const (
	formatTextProof = "tlog-proof"
	formatSaved     = "json"
)

type proving struct {
	format, trust, out, leaf string
	size                     uint64
	withLeaf                 bool
}

func newLogProve(a *app) *cobra.Command {
	var f proving
	c := &cobra.Command{
		Use:   "prove INDEX --trust DIR",
		Short: "Write a proof that an entry is in the log, for other people's programs",
		Long: `Fetch the path from an entry to the root of a signed checkpoint, check it here, and
write it as a tlog-proof (https://c2sp.org/tlog-proof), which other programs read too,
or with --format json as "log inclusion --out" does. Without --out it goes to standard
output.

A tlog-proof does not hold the entry: whoever checks it has the bundle, or the leaf that
--leaf writes. --with-leaf puts the leaf inside, as extra data that nobody signed.`,
		Example: `  countersign log prove 57 --trust trust --out 57.tlog-proof --leaf 57.leaf
  countersign log verify 57.tlog-proof --leaf 57.leaf --trust trust`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.logProve(c.Context(), args[0], f) },
	}
	trustFlag(c, &f.trust)
	fl := c.Flags()
	fl.StringVar(&f.format, "format", formatTextProof, "what to write: tlog-proof or json")
	fl.StringVar(&f.out, "out", "", "write the proof to this file")
	fl.StringVar(&f.leaf, "leaf", "", "write the log entry itself to this file, byte for byte")
	fl.BoolVar(&f.withLeaf, "with-leaf", false, "put the log entry into the proof's extra data")
	fl.Uint64Var(&f.size, "size", 0, "size of the log to prove it in (default: now)")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{formatTextProof, formatSaved}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) logProve(ctx context.Context, arg string, f proving) error {
	index, err := strconv.ParseUint(arg, 10, 63)
	if err != nil {
		return wrong("%q is no index; entries are numbered from 0", arg)
	}
	if f.format != formatTextProof && f.format != formatSaved {
		return wrong("--format %q: use %s or %s", f.format, formatTextProof, formatSaved)
	}
	trust, err := needTrust(f.trust)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	e, err := a.entry(ctx, l, index)
	if err != nil {
		return err
	}
	resp, err := a.inclusion(ctx, l, index, f.size)
	if err != nil {
		return err
	}
	p := tlog.TextProof{Index: index, Checkpoint: resp.Checkpoint}
	for _, h := range resp.Hashes {
		if len(h) != tlog.HashSize {
			return lied("the ledger's proof does not hold: a hash has %d bytes", len(h))
		}
		p.Path = append(p.Path, tlog.Hash(h))
	}
	cp, err := tlog.VerifyTextProof(trust.Log, tlog.LeafHash(e.Leaf), p)
	if errors.Is(err, tlog.ErrBadCheckpoint) {
		_, err := openNote(trust, resp.Checkpoint)
		return err
	}
	if err != nil {
		return lied("the ledger's proof does not hold: BAD_PROOF: %v", err)
	}
	if f.withLeaf {
		p.Extra = e.Leaf
	}
	text, err := f.spell(p, e.Leaf)
	if err != nil {
		return broken("%v", err)
	}
	return a.giveProof(f, text, e.Leaf, fmt.Sprintf("entry %d is in %s", index, describeCheckpoint(cp)))
}

// spell writes the proof in the format that was asked for.
func (f proving) spell(p tlog.TextProof, leaf []byte) ([]byte, error) {
	if f.format == formatTextProof {
		return p.Marshal()
	}
	saved := &verify.SavedProof{Kind: verify.InclusionProof, Index: p.Index, Leaf: string(leaf), Hashes: verify.EncodeHashes(p.Path), Checkpoint: string(p.Checkpoint)}
	return saved.Marshal()
}

func (a *app) giveProof(f proving, text, leaf []byte, said string) error {
	if f.leaf != "" {
		if err := os.WriteFile(f.leaf, leaf, 0o644); err != nil {
			return wrong("--leaf: %v", err)
		}
	}
	if f.out == "" {
		a.printf("%s", text)
		return nil
	}
	if err := os.WriteFile(f.out, text, 0o644); err != nil {
		return wrong("--out: %v", err)
	}
	a.printf("%s  %s\n", a.green("proven"), said)
	return nil
}

// A provenEntry names the entry that a tlog-proof is about, which the proof does
// not hold itself.
type provenEntry struct{ leaf, bundle string }

func (e *provenEntry) flags(c *cobra.Command) {
	c.Flags().StringVar(&e.leaf, "leaf", "", "the log entry that a tlog-proof is about, byte for byte")
	c.Flags().StringVar(&e.bundle, "bundle", "", "the same as a bundle with its receipt, as log entry --out writes it")
	c.MarkFlagsMutuallyExclusive("leaf", "bundle")
}

// read returns the leaf; nil when no flag names one.
func (e *provenEntry) read() ([]byte, error) {
	switch {
	case e.leaf != "":
		return readFile(e.leaf, tlog.MaxEntry)
	case e.bundle == "":
		return nil, nil
	}
	text, err := readFile(e.bundle, attest.MaxBundle)
	if err != nil {
		return nil, err
	}
	b, err := attest.ParseBundle(text)
	if err != nil {
		return nil, wrong("--bundle: %v", err)
	}
	if len(b.Leaf) == 0 {
		return nil, wrong("--bundle: %s holds no log entry; save it with: countersign log entry INDEX --out FILE", e.bundle)
	}
	if _, err := verify.LoggedKey(b); err != nil {
		return nil, wrong("--bundle: %v", err)
	}
	return b.Leaf, nil
}

// checkTextProof checks a tlog-proof of an entry: the one that was given, or the one
// that came in the proof's extra data.
func checkTextProof(trust *verify.Trust, text, leaf []byte) (string, error) {
	p, err := tlog.ParseTextProof(text)
	if err != nil {
		return "", fmt.Errorf("BAD_PROOF: %w", err)
	}
	of := "the entry that was given"
	if leaf == nil {
		if _, err := attest.ParseLeaf(p.Extra); err != nil {
			return "", wrong("a tlog-proof does not hold the entry that it is about: give it with --leaf or --bundle")
		}
		leaf, of = p.Extra, "the entry in its extra data"
	}
	cp, err := tlog.VerifyTextProof(trust.Log, tlog.LeafHash(leaf), p)
	switch {
	case errors.Is(err, tlog.ErrBadCheckpoint):
		return "", fmt.Errorf("BAD_CHECKPOINT: %w", err)
	case err != nil:
		return "", fmt.Errorf("BAD_PROOF: %w", err)
	}
	who := "of an unknown kind"
	if parts, err := attest.ParseLeaf(leaf); err == nil {
		if key, err := parts.Key(); err == nil {
			who = fmt.Sprintf("signed by key %.16s…", key.ID())
		}
	}
	return fmt.Sprintf("%s, %s, is entry %d of %s", of, who, p.Index, describeCheckpoint(cp)), nil
}
