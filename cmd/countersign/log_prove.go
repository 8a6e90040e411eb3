package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/ledger/tlog"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

func newLogInclusion(a *app) *cobra.Command {
	var size uint64
	var trust, out string
	c := &cobra.Command{
		Use:   "inclusion INDEX --trust DIR",
		Short: "Prove that an entry is in the log",
		Long: `Fetch the path from an entry to the root of a signed checkpoint, and check it here.
--out saves the proof; countersign log verify checks it again, offline.`,
		Example: `  countersign log inclusion 57 --trust trust --out inclusion-57.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.logInclusion(c.Context(), args[0], size, trust, out)
		},
	}
	trustFlag(c, &trust)
	c.Flags().Uint64Var(&size, "size", 0, "size of the log to prove it in (default: now)")
	c.Flags().StringVar(&out, "out", "", "save the proof in this file")
	return c
}

func (a *app) logInclusion(ctx context.Context, arg string, size uint64, trustDir, out string) error {
	index, err := strconv.ParseUint(arg, 10, 63)
	if err != nil {
		return wrong("%q is no index; entries are numbered from 0", arg)
	}
	trust, err := needTrust(trustDir)
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
	resp, err := a.inclusion(ctx, l, index, size)
	if err != nil {
		return err
	}
	p := &verify.SavedProof{Kind: verify.InclusionProof, Index: index, Leaf: string(e.Leaf), Hashes: encodeHashes(resp.Hashes), Checkpoint: string(resp.Checkpoint)}
	if err := saveProof(p, out); err != nil {
		return err
	}
	said, err := describeProof(trust, p)
	if err != nil {
		return lied("the ledger's proof does not hold: %v", err)
	}
	return a.sayProven(said, out)
}

// inclusion asks for a proof, unchecked, with the checkpoint that it leads to.
func (a *app) inclusion(ctx context.Context, l *ledger, index, size uint64) (*countersignv1.InclusionResponse, error) {
	call, cancel := a.within(ctx)
	defer cancel()
	resp, err := l.Inclusion(call, connect.NewRequest(&countersignv1.InclusionRequest{Index: index, TreeSize: size}))
	if err != nil {
		return nil, err
	}
	if len(resp.Msg.Checkpoint) == 0 {
		return nil, refused("no checkpoint of size %d was signed, so nothing can be proven in it; leave --size out", resp.Msg.TreeSize)
	}
	return resp.Msg, nil
}

func newLogConsistency(a *app) *cobra.Command {
	var trust, out string
	c := &cobra.Command{
		Use:   "consistency FROM [TO] --trust DIR",
		Short: "Prove that the log only grew from one checkpoint to another",
		Long: `FROM and TO are sizes, or files that "log checkpoint --out" wrote; TO is the newest
checkpoint when it is left out. The proof is checked here. Two signed checkpoints that
cannot both be true are kept in a file, as proof that the log lied (exit 4).`,
		Example: `  countersign log consistency checkpoint.txt --trust trust
  countersign log consistency 64 128 --trust trust --out consistency.json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			to := ""
			if len(args) == 2 {
				to = args[1]
			}
			return a.logConsistency(c.Context(), args[0], to, trust, out)
		},
	}
	trustFlag(c, &trust)
	c.Flags().StringVar(&out, "out", "", "save the proof in this file")
	return c
}

func (a *app) logConsistency(ctx context.Context, from, to, trustDir, out string) error {
	trust, err := needTrust(trustDir)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	old, oldNote, err := a.checkpointOf(ctx, l, trust, from)
	if err != nil {
		return err
	}
	seen, seenNote, err := a.checkpointOf(ctx, l, trust, to)
	if err != nil {
		return err
	}
	p := &verify.SavedProof{Kind: verify.ConsistencyProof, From: string(oldNote), Checkpoint: string(seenNote)}
	if old.Size < seen.Size && old.Size > 0 {
		call, cancel := a.within(ctx)
		defer cancel()
		resp, err := l.Consistency(call, connect.NewRequest(&countersignv1.ConsistencyRequest{FromSize: old.Size, ToSize: seen.Size}))
		if err != nil {
			return err
		}
		p.Hashes = encodeHashes(resp.Msg.Hashes)
	}
	said, err := describeProof(trust, p)
	var split *verify.SplitView
	if errors.As(err, &split) {
		if out == "" {
			out = fmt.Sprintf("split-view-%d-%d.json", old.Size, seen.Size)
		}
		if saveErr := saveProof(p, out); saveErr != nil {
			return lied("SPLIT_VIEW: %v\nBoth checkpoints should be kept, and cannot be written: %v", err, saveErr)
		}
		return lied("SPLIT_VIEW: %v\nBoth checkpoints are kept in %s. Stop trusting this log, and show them to others who use it", err, out)
	}
	if err != nil {
		return consistencyErr(err)
	}
	if err := saveProof(p, out); err != nil {
		return err
	}
	return a.sayProven(said, out)
}

// consistencyErr is for what is no proof of a lie.
func consistencyErr(err error) error {
	var back *verify.Rollback
	if errors.As(err, &back) {
		return broken("ROLLBACK: %v\nPerhaps it is an old copy; ask the operator, and keep the newer checkpoint", err)
	}
	return broken("%v", err)
}

// checkpointOf is what a word on the command line names: a file, a size, or, when
// it is empty, the newest.
func (a *app) checkpointOf(ctx context.Context, l *ledger, trust *verify.Trust, word string) (tlog.Checkpoint, []byte, error) {
	size, err := strconv.ParseUint(word, 10, 63)
	if word != "" && err != nil {
		note, err := readFile(word, 64<<10)
		if err != nil {
			return tlog.Checkpoint{}, nil, err
		}
		cp, err := trust.Log.Open(note)
		if err != nil {
			return cp, nil, wrong("%s: %v", word, err)
		}
		return cp, note, nil
	}
	resp, err := a.checkpoint(ctx, l, size)
	if err != nil {
		return tlog.Checkpoint{}, nil, err
	}
	cp, err := openNote(trust, resp.Note)
	if err == nil && size > 0 && cp.Size != size {
		err = broken("asked for the checkpoint of size %d, the ledger answered with size %d", size, cp.Size)
	}
	return cp, resp.Note, err
}

func encodeHashes(hashes [][]byte) []string {
	out := []string{}
	for _, h := range hashes {
		out = append(out, base64.StdEncoding.EncodeToString(h))
	}
	return out
}

func (a *app) sayProven(said, out string) error {
	if a.json() {
		return a.writeJSON(map[string]any{"proven": true, "what": said, "file": out})
	}
	a.printf("%s  %s\n", a.green("proven"), said)
	if out != "" {
		a.printf("%s\n", a.faint("saved in "+out+"; check it offline with: countersign log verify "+out))
	}
	return nil
}

// saveProof writes a proof; nothing when there is no path.
func saveProof(p *verify.SavedProof, path string) error {
	if path == "" {
		return nil
	}
	text, err := p.Marshal()
	if err != nil {
		return broken("%v", err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return wrong("--out: %v", err)
	}
	return nil
}
