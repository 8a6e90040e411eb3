package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

func newLogVerify(a *app) *cobra.Command {
	var trust string
	var of provenEntry
	c := &cobra.Command{
		Use:   "verify FILE… --trust DIR",
		Short: "Check saved checkpoints, proofs and receipts, offline",
		Long: `Check files that were saved before, without asking any ledger: signed checkpoints,
proofs of inclusion and consistency, and bundles with receipts. Only the keys of the
trust folder are believed. Exit 1 when one does not hold, 4 when one proves that the
log contradicts itself.

A tlog-proof (https://c2sp.org/tlog-proof) does not hold the entry that it is about:
give that as --leaf or --bundle, unless "log prove --with-leaf" put it inside.`,
		Example: `  countersign log verify checkpoint.txt inclusion-57.json consistency.json entry-57.json --trust trust
  countersign log verify 57.tlog-proof --bundle entry-57.json --trust trust`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.logVerify(args, trust, of) },
	}
	trustFlag(c, &trust)
	of.flags(c)
	return c
}

func (a *app) logVerify(paths []string, trustDir string, of provenEntry) error {
	trust, err := needTrust(trustDir)
	if err != nil {
		return err
	}
	leaf, err := of.read()
	if err != nil {
		return err
	}
	type result struct {
		File string `json:"file"`
		Said string `json:"what,omitempty"`
		Why  string `json:"why,omitempty"`
	}
	var results []result
	code := exitYes
	for _, path := range paths {
		text, err := readFile(path, attest.MaxBundle)
		if err != nil {
			return err
		}
		said, err := checkSaved(trust, text, leaf)
		var misuse *exitError
		if errors.As(err, &misuse) {
			return err
		}
		r := result{File: path, Said: said}
		if err != nil {
			r.Why = err.Error()
			code = max(code, savedCode(err))
		}
		results = append(results, r)
		switch {
		case a.json():
		case err != nil:
			a.printf("%s  %s: %s\n", a.red("does not hold"), path, r.Why)
		default:
			a.printf("%s  %s: %s\n", a.green("holds"), filepath.Base(path), said)
		}
	}
	if a.json() {
		if err := a.writeJSON(results); err != nil {
			return err
		}
	}
	return silent(code)
}

// savedCode is 4 only for what the log itself signed and cannot both be true.
func savedCode(err error) int {
	var split *verify.SplitView
	if errors.As(err, &split) && split.Proven() {
		return exitLied
	}
	return exitNo
}

// checkSaved tells by its form what a file is, and checks it.
// leaf is the entry that a tlog-proof is about; nil where none was given.
func checkSaved(trust *verify.Trust, text, leaf []byte) (string, error) {
	if tlog.IsTextProof(text) {
		return checkTextProof(trust, text, leaf)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		cp, err := trust.OpenCheckpoint(text)
		if err != nil {
			return "", fmt.Errorf("BAD_CHECKPOINT: %w", err)
		}
		return describeCheckpoint(cp), nil
	}
	if p, err := verify.ParseSavedProof(text); err == nil {
		return describeProof(trust, p)
	}
	b, err := attest.ParseBundle(text)
	if err != nil {
		return "", fmt.Errorf("%s: it is no checkpoint, no proof and no bundle: %w", attest.FaultOf(err), err)
	}
	held, err := checkReceipt(trust, b)
	if err != nil {
		return "", err
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s signed by key %.16s…, entry %d of %s at %s", shortType(st.Predicate.Type()), held.key.ID(), b.Receipt.Index,
		describeCheckpoint(held.checkpoint), held.at.Format(time.RFC3339)), nil
}

func describeCheckpoint(cp tlog.Checkpoint) string {
	return fmt.Sprintf("log %s at size %d (root %.16s…)", cp.Origin, cp.Size, cp.Root)
}

// A receipt is what a checked receipt proves.
type receipt struct {
	checkpoint tlog.Checkpoint
	at         time.Time // when the log took the entry
	key        *attest.PublicKey
}

// checkReceipt proves that the log holds a bundle: signature, leaf, path,
// checkpoint and timestamp. Who holds the key is for a roster to say.
func checkReceipt(trust *verify.Trust, b *attest.Bundle) (*receipt, error) {
	if b.Receipt == nil {
		return nil, errors.New("NOT_LOGGED: the bundle has no receipt")
	}
	key, err := verify.LoggedKey(b)
	if err != nil {
		return nil, err
	}
	cp, err := trust.VerifyReceipt(tlog.LeafHash(b.Leaf), b.Receipt)
	switch {
	case errors.Is(err, tlog.ErrBadCheckpoint):
		return nil, fmt.Errorf("BAD_CHECKPOINT: %w", err)
	case err != nil:
		return nil, fmt.Errorf("BAD_PROOF: %w", err)
	}
	at, err := trust.StampReceipt(b.Receipt, b.Signature)
	if err != nil {
		return nil, fmt.Errorf("TIME_UNTRUSTED: %w", err)
	}
	return &receipt{checkpoint: cp, at: at, key: key}, nil
}

// receiptAt checks the receipt of an entry that the ledger gave for an index.
func receiptAt(trust *verify.Trust, b *attest.Bundle, index uint64) (*receipt, error) {
	held, err := checkReceipt(trust, b)
	if err != nil {
		return nil, lied("entry %d: %v", index, err)
	}
	if b.Receipt.Index != index {
		return nil, lied("the ledger calls this entry %d, and its receipt proves it at %d", index, b.Receipt.Index)
	}
	return held, nil
}

// describeProof checks a saved proof and says what it proves.
func describeProof(trust *verify.Trust, p *verify.SavedProof) (string, error) {
	c, err := p.Check(trust.LogOf([]byte(p.Checkpoint)))
	switch {
	case err != nil:
		return "", err
	case c.From != nil:
		return fmt.Sprintf("%s is the beginning of %s", describeCheckpoint(*c.From), describeCheckpoint(c.Checkpoint)), nil
	}
	return fmt.Sprintf("entry %d is in %s", p.Index, describeCheckpoint(c.Checkpoint)), nil
}
