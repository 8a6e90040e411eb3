package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/mirror"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/verify"
)

// mirroring are the settings of mirror. Of serve's it has those that need no key.
type mirroring struct {
	settings
	primary  string
	trustDir string
	token    string // file of the bearer token for the primary
	every    time.Duration
}

func newMirror(d *daemon) *cobra.Command {
	var f mirroring
	c := &cobra.Command{
		Use:   "mirror URL --data DIR --trust DIR",
		Short: "Keep a verified copy of a ledger, and serve it",
		Long: `Copy the ledger that is served at URL into --data, and go on as it grows. The copy is
complete, and nothing in it is the primary's word: every checkpoint must be signed by
the log that the trust folder names and extend the one before, and whatever stands beside
the tree is derived again from the signed statements. It serves what serve does,
but appends, which it answers with READ_ONLY and the primary's URL; verdicts are dry
runs. It has no key, and goes on when the primary is gone; countersignd restore makes a
new primary of it.

A primary whose checkpoints contradict the copy ends the following. Both checkpoints are
kept in DIR/proof. After a fork the mirror stops at once, and does not start again: what
to believe is for people to find out. A primary that was set back, and shows only a
beginning of the copy, contradicts nothing that the copy holds, so the mirror goes on
serving what it has until it is stopped. Both end with exit code 4.`,
		Example: `  countersignd mirror https://log.example.com --data /var/lib/countersign-mirror --trust trust
  countersignd mirror http://127.0.0.1:7391 --data mirror --trust trust --listen 127.0.0.1:7392 --interval 1s`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.primary = strings.TrimSuffix(args[0], "/")
			return d.mirror(c.Context(), f)
		},
	}
	f.bind(c)
	return c
}

func (f *mirroring) bind(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.data, "data", os.Getenv("COUNTERSIGN_DATA"), "folder of the copy (COUNTERSIGN_DATA)")
	s.StringVar(&f.head, "head", "", "folder of the head file, best on another volume (default: beside the log)")
	s.StringVar(&f.trustDir, "trust", os.Getenv("COUNTERSIGN_TRUST"), "trust folder that pins the log's key (COUNTERSIGN_TRUST)")
	s.StringVar(&f.listen, "listen", "127.0.0.1:7392", "address to listen on")
	s.DurationVar(&f.every, "interval", 2*time.Second, "time between two looks at the primary")
	s.StringVar(&f.token, "token-file", "", "file of the token for reads of the primary")
	s.StringArrayVar(&f.readers, "reader", nil, "file of a token that may read here")
	s.StringVar(&f.tlsCert, "tls-cert", "", "certificate chain, PEM")
	s.StringVar(&f.tlsKey, "tls-key", "", "its private key, PEM")
	s.Uint64Var(&f.minFree, "min-free", 256, "free space in MiB below which nothing more is copied")
	s.BoolVar(&f.logJSON, "log-json", false, "log as JSON")
	s.BoolVar(&f.verbose, "verbose", false, "log every request")
}

func (f *mirroring) check() error {
	switch {
	case f.data == "":
		return wrong("--data is needed: the folder of the copy")
	case f.trustDir == "":
		return wrong("--trust is needed: the folder that pins the log's key, for a copy of an unknown log proves nothing")
	case f.every < 10*time.Millisecond || f.every > 24*time.Hour:
		return wrong("--interval %s: 10ms to 24h are possible", f.every)
	}
	return nil
}

func (h *home) proof() string { return filepath.Join(h.data, "proof") }

// remote is the ledger at a URL.
func remote(address, tokenFile string) (*mirror.Remote, error) {
	token := ""
	if tokenFile != "" {
		text, err := attest.ReadSecret(tokenFile)
		if err != nil {
			return nil, wrong("--token-file: %v", err)
		}
		token = strings.TrimSpace(string(text))
	}
	r, err := mirror.NewRemote(address, token)
	if err != nil {
		return nil, wrong("%v", err)
	}
	return r, nil
}

func (d *daemon) mirror(ctx context.Context, f mirroring) error {
	if err := f.check(); err != nil {
		return err
	}
	trust, err := verify.LoadTrust(f.trustDir)
	if err != nil {
		return wrong("--trust: %v", err)
	}
	source, err := remote(f.primary, f.token)
	if err != nil {
		return err
	}
	if _, forks, err := mirror.Kept(f.proof()); err != nil || len(forks) > 0 {
		return errors.Join(err, contradicted("%s is proof that the log contradicts itself; a copy of it is not served. Show it to others who use the log", strings.Join(forks, ", ")))
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	log := d.logger(f.settings)
	if err := f.begin(ctx, trust, source); err != nil {
		return err
	}
	opts := f.options(trust.Log)
	opts.MinFree, opts.Log = f.minFree<<20, log
	store, err := badgerstore.Open(ctx, opts)
	if err != nil {
		return err
	}
	metrics := api.NewMetrics()
	m, err := ledger.NewMirror(ctx, ledger.MirrorConfig{Store: api.Remember(metrics.Store(store, d.now)), Verifier: trust.Log})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	follower := &mirror.Follower{Copier: mirror.Copier{Source: source, Trust: trust, Mirror: m}, Every: f.every, Log: log}
	return errors.Join(d.follow(ctx, f, follower, api.Config{
		Ledger: m.Ledger(), Trust: trust, Mirrors: f.primary, Now: d.now, Log: log, Metrics: metrics, OpenReads: loopback(f.listen),
	}), store.Close())
}

// begin makes the copy's folder where there is none: the log's own checkpoint of the
// empty tree, and the trust folder beside it, by which check and restore know whose
// copy it is.
func (f *mirroring) begin(ctx context.Context, trust *verify.Trust, source mirror.Source) error {
	known, err := verify.LoadTrust(f.trust())
	switch {
	case err == nil && (known.Log.VKey() != trust.Log.VKey() || known.Genesis != trust.Genesis):
		return wrong("%s holds a copy of the log %s, and --trust names %s", f.data, known.Log.VKey(), trust.Log.VKey())
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	first, err := source.First(ctx)
	if err != nil {
		return fmt.Errorf("begin a copy of %s: %w", f.primary, err)
	}
	if err := mirror.CheckHead(trust, first); err != nil {
		return fmt.Errorf("begin a copy of %s: %w", f.primary, err)
	}
	if err := badgerstore.Create(f.options(trust.Log), first); err != nil {
		return err
	}
	return verify.WriteTrust(f.trust(), trust)
}

// follow brings the copy up to the primary, where that answers, and then serves it
// while it follows.
func (d *daemon) follow(ctx context.Context, f mirroring, follower *mirror.Follower, c api.Config) error {
	if err := f.tokens(&c); err != nil {
		return err
	}
	tlsConfig, err := f.tls()
	if err != nil {
		return err
	}
	if _, err := follower.CatchUp(ctx); err != nil {
		var contradiction *mirror.ContradictionError
		if errors.As(err, &contradiction) && !mirror.SetBack(err) {
			return f.keep(err, c.Log)
		}
		if c.Ledger.Head().Size == 0 || errors.Is(err, ledger.ErrClosed) {
			return fmt.Errorf("copy %s: %w", f.primary, err)
		}
		c.Log.Error("the primary gives nothing now; what is copied is served", "error", err)
	}
	service, stopService := context.WithCancelCause(ctx)
	defer stopService(nil)
	following, stopFollowing := context.WithCancel(ctx)
	defer stopFollowing()
	ended := make(chan error, 1)
	go func() {
		err := f.keep(follower.Run(following), c.Log)
		if err != nil && !mirror.SetBack(err) {
			stopService(err)
		}
		ended <- err
	}()
	err = d.answer(service, f.settings, c, tlsConfig)
	stopFollowing()
	return errors.Join(<-ended, err)
}

// keep keeps the checkpoints of a contradiction, and gives it its exit code.
func (f *mirroring) keep(err error, log *slog.Logger) error {
	var contradiction *mirror.ContradictionError
	if !errors.As(err, &contradiction) {
		return err
	}
	what := "The mirror stops: do not use this log before it is found out what happened"
	if mirror.SetBack(err) {
		what = "The copy is ahead of the primary, and stays as it is: see docs/operations.md, Restoring from a mirror"
	}
	path, keepErr := contradiction.Keep(f.proof())
	if keepErr != nil {
		path = keepErr.Error()
	}
	log.Error("the primary contradicts the copy", "error", err, "proof", path, "next", what)
	return &exitError{exitContradiction, fmt.Errorf("%w\n  Both checkpoints are kept in %s. %s", err, path, what)}
}
