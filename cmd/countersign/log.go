package main

import (
	"context"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

func newLog(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Read the ledger, prove what it says, and check saved proofs offline",
		Long: `Read entries and checkpoints of the ledger. What is proven is proven here, under the
log's key in the --trust folder; without one, checkpoint, entry, search and watch show
what the ledger says. "log verify" needs no ledger at all.`,
	}
	c.AddCommand(newLogCheckpoint(a), newLogEntry(a), newLogInclusion(a), newLogProve(a), newLogConsistency(a), newLogVerify(a), newLogSearch(a), newLogWatch(a))
	return c
}

// trustFlag is the flag of every command that can check what it shows.
func trustFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "trust", os.Getenv("COUNTERSIGN_TRUST"), "trust folder that pins the log's key (COUNTERSIGN_TRUST)")
}

// needTrust loads the trust folder of a command that proves something.
func needTrust(dir string) (*verify.Trust, error) {
	if dir == "" {
		return nil, wrong("--trust is needed: the folder that pins the log's key, for nothing can be proven without it")
	}
	return loadTrust(dir)
}

// maybeTrust is nil without a folder.
func maybeTrust(dir string) (*verify.Trust, error) {
	if dir == "" {
		return nil, nil
	}
	return loadTrust(dir)
}

func newLogCheckpoint(a *app) *cobra.Command {
	var size uint64
	var trust, out string
	c := &cobra.Command{
		Use:   "checkpoint",
		Short: "Show the newest signed checkpoint, and save it",
		Long: `Show a signed checkpoint: how many entries the log holds, and the root of their tree.
Save one with --out now and then, and hold it against a later one:

  countersign log consistency SAVED --trust DIR

That is how a log that rewrites its past is caught.`,
		Example: `  countersign log checkpoint --trust trust --out checkpoint.txt
  countersign log checkpoint --size 64`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.logCheckpoint(c.Context(), size, trust, out) },
	}
	trustFlag(c, &trust)
	c.Flags().Uint64Var(&size, "size", 0, "the checkpoint of this size, when one was signed (default: the newest)")
	c.Flags().StringVar(&out, "out", "", "write the signed note to this file")
	return c
}

func (a *app) logCheckpoint(ctx context.Context, size uint64, trustDir, out string) error {
	trust, err := maybeTrust(trustDir)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	resp, err := a.checkpoint(ctx, l, size)
	if err != nil {
		return err
	}
	cp := tlog.Checkpoint{Origin: resp.Origin, Size: resp.Size, Root: rootOf(resp.Root)}
	at := resp.Time.AsTime()
	var cosignatures []tlog.Cosignature
	if trust != nil {
		opened, err := openNote(trust, resp.Note)
		if err != nil {
			return err
		}
		if at, err = trust.Stamp(resp.Token, resp.Note); err != nil {
			return lied("the checkpoint's timestamp: %v", err)
		}
		cp = opened
		// Older checkpoints are those that the log signed; only what is published
		// has been before witnesses.
		if cosignatures, err = cosigned(trust, resp.Note, size == 0); err != nil {
			return err
		}
	}
	if out != "" {
		if err := os.WriteFile(out, resp.Note, 0o644); err != nil {
			return wrong("--out: %v", err)
		}
	}
	if a.json() {
		out := map[string]any{"origin": cp.Origin, "size": cp.Size, "root": cp.Root.String(), "time": at, "note": string(resp.Note), "verified": trust != nil}
		if trust != nil && trust.Witnesses != nil {
			out["witnesses"] = witnessesJSON(cosignatures)
		}
		return a.writeJSON(out)
	}
	a.printf("%s  size %d  root %s  %s\n", printable(cp.Origin, 253), cp.Size, cp.Root, at.Format(time.RFC3339))
	for _, c := range cosignatures {
		a.printf("cosigned by %s at %s\n", c.Witness, c.Time.Format(time.RFC3339))
	}
	if trust == nil {
		a.printf("%s\n", a.faint("not verified: add --trust DIR"))
	}
	return nil
}

// cosigned returns who of the trust folder's witnesses cosigned a checkpoint, and
// wants their quorum where it is asked for.
func cosigned(trust *verify.Trust, note []byte, quorum bool) ([]tlog.Cosignature, error) {
	if trust.Witnesses == nil {
		return nil, nil
	}
	cp, out, err := trust.Witnesses.Check(note)
	switch {
	case err != nil:
		return nil, broken("BAD_CHECKPOINT: %v", err)
	case quorum && !trust.Witnesses.Holds(out):
		return nil, broken("WITNESS_QUORUM: the checkpoint of %d entries has %d cosignatures; the trust folder wants %s", cp.Size, len(out), trust.Witnesses.Need())
	}
	return out, nil
}

func witnessesJSON(cosignatures []tlog.Cosignature) []map[string]any {
	out := []map[string]any{}
	for _, c := range cosignatures {
		out = append(out, map[string]any{"witness": c.Witness, "time": c.Time})
	}
	return out
}

func rootOf(b []byte) tlog.Hash {
	var h tlog.Hash
	copy(h[:], b)
	return h
}

func (a *app) checkpoint(ctx context.Context, l *ledger, size uint64) (*countersignv1.CheckpointResponse, error) {
	call, cancel := a.within(ctx)
	defer cancel()
	resp, err := l.Checkpoint(call, connect.NewRequest(&countersignv1.CheckpointRequest{Size: size}))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

// openNote opens a checkpoint that a server sent. One that the pinned key did not
// sign is perhaps another log's: it could not be told, rather than a lie.
func openNote(trust *verify.Trust, note []byte) (tlog.Checkpoint, error) {
	cp, err := trust.Log.Open(note)
	if err != nil {
		return cp, broken("BAD_CHECKPOINT: %v\nIs %s the trust folder of this ledger?", err, trust.Log.Origin())
	}
	return cp, nil
}

func newLogEntry(a *app) *cobra.Command {
	var trust, out string
	var payload bool
	c := &cobra.Command{
		Use:   "entry INDEX",
		Short: "Show an entry, and save it with its receipt",
		Long: `Show one entry of the log. --out saves it as a Sigstore bundle with a receipt, which
proves offline that the log holds it: countersign log verify FILE --trust DIR, or any
Sigstore client.`,
		Example: `  countersign log entry 57
  countersign log entry 57 --trust trust --out entry-57.json
  countersign log entry 57 --payload | jq .predicate`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.logEntry(c.Context(), args[0], trust, out, payload)
		},
	}
	trustFlag(c, &trust)
	c.Flags().StringVar(&out, "out", "", "write the bundle with its receipt to this file")
	c.Flags().BoolVar(&payload, "payload", false, "print the signed statement, and nothing else")
	return c
}

func (a *app) logEntry(ctx context.Context, arg, trustDir, out string, payload bool) error {
	index, err := strconv.ParseUint(arg, 10, 63)
	if err != nil {
		return wrong("%q is no index; entries are numbered from 0", arg)
	}
	trust, err := maybeTrust(trustDir)
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
	if e.Unseen {
		if payload || out != "" {
			return refused("entry %d: the log has no statement of it, only hash and signature (countersign attach)", index)
		}
		if a.json() {
			return a.writeJSON(entryJSON(e, nil, false))
		}
		a.showEntry(e, nil)
		return nil
	}
	b, err := attest.ParseBundle(e.Bundle)
	if err != nil {
		return broken("entry %d: %v", index, err)
	}
	var held *receipt
	if trust != nil {
		if held, err = receiptAt(trust, b, index); err != nil {
			return err
		}
	}
	if out != "" {
		if err := os.WriteFile(out, e.Bundle, 0o644); err != nil {
			return wrong("--out: %v", err)
		}
	}
	switch {
	case payload:
		a.printf("%s\n", b.Payload)
		return nil
	case a.json():
		return a.writeJSON(entryJSON(e, b, held != nil))
	}
	a.showEntry(e, held)
	return nil
}

func (a *app) entry(ctx context.Context, l *ledger, index uint64) (*countersignv1.LogEntry, error) {
	call, cancel := a.within(ctx)
	defer cancel()
	resp, err := l.Entry(call, connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: index}}))
	if err != nil {
		return nil, err
	}
	if resp.Msg.GetEntry().GetIndex() != index {
		return nil, lied("asked for entry %d, the ledger answered with %d", index, resp.Msg.GetEntry().GetIndex())
	}
	return resp.Msg.Entry, nil
}
