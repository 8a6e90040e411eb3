package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/ledger/badgerstore"
)

func newCheck(d *daemon) *cobra.Command {
	var h home
	c := &cobra.Command{
		Use:   "check --data DIR",
		Short: "Recompute a ledger from its journal, and compare",
		Long: `Read the whole journal: every record's checksum, every leaf hash, every tree root
against its signed checkpoint, the order of times, the chain of negative evidence; then
compare with the head, the tiles, the lookups and the search keys. Nothing is changed.
The server must be stopped. Where something does not hold, the exit code is 3 and the
message names segment and offset.`,
		Example: `  countersignd check --data /var/lib/countersign`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			opts, err := h.open()
			if err != nil {
				return err
			}
			bar := d.progress("checking")
			r, err := badgerstore.Check(c.Context(), opts, bar.report)
			bar.finish()
			if err != nil {
				return explain(err)
			}
			return d.sayReport(r)
		},
	}
	h.flags(c)
	return c
}

func newRebuild(d *daemon) *cobra.Command {
	var h home
	c := &cobra.Command{
		Use:     "rebuild --data DIR",
		Short:   "Make the index again from the journal",
		Long:    `Drop the index (tiles, lookups, search keys) and make it again from the journal, which is the truth. The server must be stopped.`,
		Example: `  countersignd rebuild --data /var/lib/countersign`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			opts, err := h.open()
			if err != nil {
				return err
			}
			bar := d.progress("rebuilding")
			err = badgerstore.Rebuild(c.Context(), opts, bar.report)
			bar.finish()
			if err != nil {
				return explain(err)
			}
			fmt.Fprintln(d.out, "the index is made again from the journal")
			return nil
		},
	}
	h.flags(c)
	return c
}

// open prepares for work on the store alone: the log's public key is enough.
func (h *home) open() (badgerstore.Options, error) {
	if err := h.check(); err != nil {
		return badgerstore.Options{}, err
	}
	t, err := h.readTrust()
	if err != nil {
		return badgerstore.Options{}, err
	}
	return h.options(t.Log), nil
}

// explain leaves an interruption apart from a finding.
func explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
}

// bar draws progress on a terminal, and nothing elsewhere.
type bar struct {
	d    *daemon
	what string
	bar  *progressbar.ProgressBar
}

func (d *daemon) progress(what string) *bar { return &bar{d: d, what: what} }

func (b *bar) report(done, total int64) {
	if !b.d.tty {
		return
	}
	if b.bar == nil {
		b.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(b.d.err), progressbar.OptionSetDescription(b.what),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
	}
	b.bar.Set64(done) //nolint:errcheck // only drawing
}

func (b *bar) finish() {
	if b.bar != nil {
		b.bar.Finish() //nolint:errcheck // only drawing
	}
}

func (d *daemon) sayReport(r badgerstore.Report) error {
	if d.format == "json" {
		text, err := json.Marshal(map[string]any{
			"origin": r.Head.Origin, "size": r.Head.Size, "root": r.Head.Root.String(), "segments": r.Segments, "commits": r.Commits,
			"negative": r.Negative, "verified": r.Verified, "tornBytes": r.Torn, "indexNotCompared": r.Index,
		}, json.Deterministic(true))
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "%s\n", text)
		return nil
	}
	fmt.Fprintf(d.out, "%s holds: %d entries in %d batches and %d segments, root %s, %d checkpoints verified, %d pieces of negative evidence\n",
		r.Head.Origin, r.Head.Size, r.Commits, r.Segments, r.Head.Root, r.Verified, r.Negative)
	if r.Torn > 0 {
		fmt.Fprintf(d.out, "%d bytes at the end belong to a batch that was never acknowledged; opening cuts them off\n", r.Torn)
	}
	if r.Index != "" {
		fmt.Fprintf(d.out, "the index was not compared: %s\n", r.Index)
	}
	return nil
}
