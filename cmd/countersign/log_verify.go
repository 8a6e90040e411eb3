package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

func newLogVerify(a *app) *cobra.Command {
	var trust string
	c := &cobra.Command{
		Use:   "verify FILE… --trust DIR",
		Short: "Check saved checkpoints, proofs and receipts, offline",
		Long: `Check files that were saved before, without asking any ledger: signed checkpoints,
proofs of inclusion and consistency, and bundles with receipts. Only the keys of the
trust folder are believed. Exit 1 when one does not hold.`,
		Example: `  countersign log verify checkpoint.txt inclusion-57.json consistency.json entry-57.json --trust trust`,
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.logVerify(args, trust) },
	}
	trustFlag(c, &trust)
	return c
}

func (a *app) logVerify(paths []string, trustDir string) error {
	trust, err := needTrust(trustDir)
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
		said, err := checkSaved(trust, text)
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
	if errors.As(err, &split) && split.Remembered.Size == split.Seen.Size {
		return exitLied
	}
	return exitNo
}

// checkSaved tells by its form what a file is, and checks it.
func checkSaved(trust *verify.Trust, text []byte) (string, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		cp, err := trust.Log.Open(text)
		if err != nil {
			return "", fmt.Errorf("BAD_CHECKPOINT: %w", err)
		}
		return describeCheckpoint(cp), nil
	}
	if p, err := parseSavedProof(text); err == nil {
		return p.check(trust)
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
	parts, err := attest.ParseLeaf(b.Leaf)
	if err != nil {
		return nil, fmt.Errorf("MALFORMED: %w", err)
	}
	key, err := parts.Key()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attest.FaultOf(err), err)
	}
	if err := key.Verify(b.PAE(), b.Signature); err != nil {
		return nil, fmt.Errorf("BAD_SIGNATURE: %w by the key of the log entry", err)
	}
	leaf := attest.Leaf(b, key)
	if !bytes.Equal(leaf, b.Leaf) {
		return nil, errors.New("NOT_LOGGED: the log entry is another bundle's")
	}
	cp, err := tlog.VerifyReceipt(trust.Log, tlog.LeafHash(leaf), b.Receipt)
	switch {
	case errors.Is(err, tlog.ErrBadCheckpoint):
		return nil, fmt.Errorf("BAD_CHECKPOINT: %w", err)
	case err != nil:
		return nil, fmt.Errorf("BAD_PROOF: %w", err)
	}
	at, err := trust.Stamp(b.Receipt.Token, b.Signature)
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

// A savedProof is a proof in a file: of an entry in a checkpoint, or that one
// checkpoint's log is the beginning of another's.
type savedProof struct {
	Kind       string   `json:"countersignProof"` // inclusion or consistency
	Index      uint64   `json:"index,omitzero"`
	Leaf       string   `json:"leaf,omitzero"` // the canonical log entry, as text
	From       string   `json:"from,omitzero"` // the earlier signed checkpoint
	Hashes     []string `json:"hashes"`        // standard base64
	Checkpoint string   `json:"checkpoint"`    // signed
}

const (
	inclusionProof   = "inclusion"
	consistencyProof = "consistency"
)

func (p *savedProof) marshal() ([]byte, error) {
	text, err := json.Marshal(p, jsontext.WithIndent("  "), json.FormatNilSliceAsNull(false))
	if err != nil {
		return nil, broken("%v", err)
	}
	return append(text, '\n'), nil
}

func parseSavedProof(text []byte) (*savedProof, error) {
	var p savedProof
	if err := json.Unmarshal(text, &p, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	switch {
	case p.Kind == inclusionProof && p.From == "":
	case p.Kind == consistencyProof && p.Index == 0 && p.Leaf == "":
	default:
		return nil, fmt.Errorf("%.40q is no kind of proof, or one with members of the other kind", p.Kind)
	}
	return &p, nil
}

// check proves it again from its own bytes and the log's key.
func (p *savedProof) check(trust *verify.Trust) (string, error) {
	hashes := make([]tlog.Hash, len(p.Hashes))
	for i, s := range p.Hashes {
		h, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || len(h) != tlog.HashSize {
			return "", fmt.Errorf("BAD_PROOF: hash %d is not 32 bytes in base64", i)
		}
		hashes[i] = tlog.Hash(h)
	}
	cp, err := trust.Log.Open([]byte(p.Checkpoint))
	if err != nil {
		return "", fmt.Errorf("BAD_CHECKPOINT: %w", err)
	}
	if p.Kind == inclusionProof {
		if err := tlog.VerifyInclusion(tlog.LeafHash([]byte(p.Leaf)), p.Index, hashes, cp); err != nil {
			return "", fmt.Errorf("BAD_PROOF: %w", err)
		}
		return fmt.Sprintf("entry %d is in %s", p.Index, describeCheckpoint(cp)), nil
	}
	from, err := trust.Log.Open([]byte(p.From))
	if err != nil {
		return "", fmt.Errorf("BAD_CHECKPOINT: the earlier one: %w", err)
	}
	if err := verify.CheckConsistent(from, cp, hashes); err != nil {
		return "", fmt.Errorf("BAD_PROOF: %w", err)
	}
	return fmt.Sprintf("%s is the beginning of %s", describeCheckpoint(from), describeCheckpoint(cp)), nil
}
