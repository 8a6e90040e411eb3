package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/console"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

// grace is how long requests under way may take when the server stops.
const grace = 15 * time.Second

// memoryLimit is the soft limit of Go's memory, in bytes, where GOMEMLIMIT does
// not say otherwise. The index maps files besides.
const memoryLimit = 256 << 20

func newServe(d *daemon) *cobra.Command {
	var s settings
	var config string
	c := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Serve a ledger",
		Long: `Serve the ledger of --data until SIGTERM or Ctrl-C. gRPC, gRPC-Web, Connect and JSON share
one port with the log's tiles, POST /gate, /healthz and /metrics.

Everybody who can connect may read while the address is on loopback; elsewhere reads
need a token (--reader, --gate). A write is authorised by its signature. Verdicts are
logged for gates of the roster that show their token; others get a dry run.

--witness-policy names witnesses (C2SP tlog-policy, each with its URL). With a quorum,
entries are acknowledged and shown once it has cosigned a checkpoint that covers them;
with "quorum none" nothing waits, and cosignatures are added when they come.

--console serves pages at /console/: what waits, and approving it with a passkey. The
trust folder's console needs a relyingParty and origins (create --console URL).

--config is a strict YAML file with: ` + fmt.Sprint(settingKeys) + `; gates is a list of
{id, tokenFile}, and forges one of ` + fmt.Sprint(forgeKeys) + `, each with
repositories {id, clone, branches}. Flags go before the file. Forges deliver webhooks to
/forge/ID; docs/operations.md says how to connect each.`,
		Example: `  countersignd serve --data /var/lib/countersign
  countersignd serve --data /var/lib/countersign --listen 0.0.0.0:7391 --tls-cert c.pem --tls-key k.pem --gate gate=gate.token
  countersignd serve --config countersignd.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if config != "" {
				if err := s.read(config, c.Flags().Changed); err != nil {
					return err
				}
			}
			return d.serve(c.Context(), s)
		},
	}
	s.bind(c)
	c.Flags().StringVar(&config, "config", "", "settings from a YAML file")
	return c
}

func (d *daemon) serve(ctx context.Context, s settings) error {
	if err := s.check(); err != nil {
		return err
	}
	trust, err := s.readTrust()
	if err != nil {
		return err
	}
	if s.console && (trust.Console == nil || trust.Console.Party.ID == "") {
		return wrong("--console: %s names no relyingParty and origins in its console, so no passkey can answer (countersignd create --console URL)", filepath.Join(s.trust(), verify.TrustFile))
	}
	keys, err := s.readSecrets(trust)
	if err != nil {
		return err
	}
	c := api.Config{Trust: trust, Service: keys.service, Console: keys.console, Pages: s.console, Timestamps: keys.stamps, Now: d.now, OpenReads: loopback(s.listen)}
	if err := s.tokens(&c); err != nil {
		return err
	}
	tlsConfig, err := s.tls()
	if err != nil {
		return err
	}
	if c.Sigstore, err = sigstoreDocuments(s.home, trust); err != nil {
		return err
	}
	c.TUF = s.tuf()
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	log := d.logger(s)
	witnesses, err := s.witnessing(trust, log)
	if err != nil {
		return err
	}
	opts := s.options(trust.Log)
	opts.MinFree, opts.Log = s.minFree<<20, log
	store, err := badgerstore.Open(ctx, opts)
	if err != nil {
		return err // it names the folder
	}
	if err := s.forgetPublished(witnesses); err != nil {
		return errors.Join(err, store.Close())
	}
	c.Log, c.Metrics = log, api.NewMetrics()
	kept := api.Remember(c.Metrics.Store(store, d.now))
	if isFrozen(trust, d.now()) {
		log.Info("this log is frozen, and takes no entries", "since", trust.LogValid.Until)
		kept = api.Freeze(kept)
	}
	c.Ledger, err = ledger.New(ctx, ledger.Config{Store: kept, Signer: keys.log, Stamper: keys.stamps, Now: d.now, Witnessing: witnesses})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	if !isFrozen(trust, d.now()) { // what forges say belongs into its successor
		if c.Forges, err = s.openForges(d, log); err != nil {
			return errors.Join(err, store.Close())
		}
	}
	err = d.run(ctx, s, c, tlsConfig)
	if c.Forges != nil {
		err = errors.Join(err, c.Forges.Close())
	}
	return errors.Join(err, store.Close())
}

// sigstoreDocuments are what the trust folder says now.
func sigstoreDocuments(h home, t *verify.Trust) (api.Sigstore, error) {
	var s services
	now, _, err := s.read(h.trust(), t)
	if err != nil {
		return api.Sigstore{}, err
	}
	documents, err := targets(t, now)
	return api.Sigstore{TrustedRoot: documents[sigstoreroot.TrustedRootFile], SigningConfig: documents[sigstoreroot.SigningConfigFile]}, err
}

// run starts the sequencer, then the service, and stops them in reverse.
func (d *daemon) run(ctx context.Context, s settings, c api.Config, tlsConfig *tls.Config) error {
	sequencer, stopSequencer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSequencer()
	ended := make(chan error, 1)
	go func() { ended <- c.Ledger.Run(sequencer) }()

	// An error of the sequencer stops the service: nobody knows what the disk
	// holds, and opening again has to find out.
	service, stopService := context.WithCancelCause(ctx)
	defer stopService(nil)
	failed := make(chan error, 1)
	go func() {
		err := <-ended
		stopService(err)
		failed <- err
	}()
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		if !isFrozen(c.Trust, d.now()) { // its successor has the repository
			d.renewTUF(service, s.home, c.Log)
		}
	}()
	err := d.answer(service, s, c, tlsConfig)
	stopService(nil)
	<-renewed
	stopSequencer()
	return errors.Join(<-failed, err)
}

// answer makes the service and serves it.
func (d *daemon) answer(ctx context.Context, s settings, c api.Config, tlsConfig *tls.Config) error {
	if err := awaitFirst(ctx, c.Ledger, c.Log); err != nil {
		return err
	}
	server, err := api.New(ctx, c)
	if err != nil {
		return err
	}
	if s.policy != "" {
		set, err := policy.ReadFolder(s.policy)
		if err != nil {
			return err
		}
		if set.Digest() != server.Policy().Digest() {
			return wrong("--policy: %s is sha256:%s, and in force is sha256:%s", s.policy, set.Digest(), server.Policy().Digest())
		}
	}
	alarms, err := s.openAlarms(d, &c)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return wrong("--listen: %v", err)
	}
	if s.pprof != "" {
		stop, err := profiles(s.pprof)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		defer stop()
	}
	head := c.Ledger.Head()
	c.Log.Info("serving", "listen", listener.Addr().String(), "origin", head.Origin, "size", head.Size, "policy", server.Policy().Name,
		"policyDigest", server.Policy().Digest().String(), "tls", tlsConfig != nil, "openReads", c.OpenReads)
	scheme := "http"
	if tlsConfig != nil {
		scheme = "https"
	}
	of := ""
	if c.Mirrors != "" {
		of = ", a mirror of " + c.Mirrors
	}
	pages := ""
	if c.Pages {
		pages = ", pages at " + c.Trust.Console.Party.Origins[0] + console.Path
	}
	fmt.Fprintf(d.out, "countersignd: %s is served at %s://%s (%d entries, policy %s version %d%s%s)\n",
		head.Origin, scheme, listener.Addr(), head.Size, server.Policy().Name, server.Policy().Version, of, pages)
	stopForges := serveForges(ctx, c.Forges, server)
	stopAlarms := sendAlarms(ctx, alarms, &c)
	err = server.Serve(ctx, listener, tlsConfig, grace)
	stopAlarms()
	stopForges()
	c.Log.Info("stopped", "size", c.Ledger.Head().Size)
	return err
}

func (d *daemon) logger(s settings) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if s.verbose {
		opts.Level = slog.LevelDebug
	}
	if s.logJSON {
		return slog.New(slog.NewJSONHandler(d.err, opts))
	}
	return slog.New(slog.NewTextHandler(d.err, opts))
}

// profiles serves net/http/pprof on a loopback address.
func profiles(address string) (stop func(), err error) {
	if !loopback(address) {
		return nil, wrong("--pprof: %s is not on loopback", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, wrong("--pprof: %v", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: grace}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l) //nolint:errcheck // ends with ErrServerClosed
	}()
	return func() {
		server.Close()
		<-done
	}, nil
}
