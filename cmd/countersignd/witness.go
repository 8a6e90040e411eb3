package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/ledger/witness"
)

// Files of a witness.
const (
	witnessKeyFile  = "witness.key"
	witnessVKeyFile = "witness.vkey"
	witnessMemory   = "memory"
	maxVKey         = 1 << 10 // bytes
)

// witnessing is a witness of other logs.
type witnessing struct {
	data, listen string
	logs         []string
}

func newWitness(d *daemon) *cobra.Command {
	var f witnessing
	c := &cobra.Command{
		Use:   "witness --data DIR --log VKEY…",
		Short: "Cosign the checkpoints of other logs",
		Long: `Be a witness (C2SP tlog-witness): answer POST /add-checkpoint with a cosignature when
the checkpoint is proven to extend the last one that was cosigned for that log. What was
cosigned is in --data, durable before the answer; a witness that loses it, or gets an
old copy back, can be made to cosign two histories. Who keeps a log must not keep its
witnesses.

Make the key first, with witness init, and give its vkey to those who will trust it. A
log's vkey is what countersign trust show prints as its key.`,
		Example: `  countersignd witness init --data /var/lib/witness --name witness.example.org
  countersignd witness --data /var/lib/witness --listen 127.0.0.1:7392 --log log.example.com+2f0e…+AbC…`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.witness(c.Context(), f) },
	}
	c.PersistentFlags().StringVar(&f.data, "data", "", "folder of the witness")
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7392", "address to listen on, without TLS")
	c.Flags().StringArrayVar(&f.logs, "log", nil, "verifier key of a log to cosign; one for each log")
	c.AddCommand(newWitnessInit(d, &f))
	return c
}

func newWitnessInit(d *daemon, f *witnessing) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:     "init --data DIR --name NAME",
		Short:   "Make a witness's key, and print its vkey",
		Long:    "Make a new key for a witness. The name stands on every cosignature; a URL without scheme is the custom. Nothing is overwritten.",
		Example: `  countersignd witness init --data /var/lib/witness --name witness.example.org`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return d.witnessInit(f.data, name) },
	}
	c.Flags().StringVar(&name, "name", "", "key name of the witness (needed)")
	return c
}

func (d *daemon) witnessInit(dir, name string) error {
	if dir == "" {
		return wrong("--data is needed: the folder of the witness")
	}
	if err := tlog.CheckWitnessName(name); err != nil {
		return wrong("--name: %v", err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	c, err := tlog.NewCosigner(name, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, witnessMemory), 0o700); err != nil {
		return wrong("--data: %v", err)
	}
	path := filepath.Join(dir, witnessKeyFile)
	err = writeSecret(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if errors.Is(err, fs.ErrExist) {
		return wrong("%s is there already; a witness's key is never overwritten", path)
	}
	if err != nil {
		return err
	}
	vkey := c.Witness().VKey()
	if err := writeSecret(filepath.Join(dir, witnessVKeyFile), []byte(vkey+"\n")); err != nil {
		return err
	}
	if d.format == "json" {
		return json.NewEncoder(d.out).Encode(map[string]string{"name": name, "vkey": vkey, "key": path})
	}
	fmt.Fprintf(d.out, "vkey  %s\nkey   %s (keep it to yourself)\n", vkey, path)
	return nil
}

// cosigner reads the witness's key and its name.
func (f *witnessing) cosigner() (*tlog.Cosigner, error) {
	if f.data == "" {
		return nil, wrong("--data is needed: the folder of the witness")
	}
	key, err := readPKCS8[ed25519.PrivateKey](filepath.Join(f.data, witnessKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wrong("%s holds no witness; make one with: countersignd witness init --data %s --name NAME", f.data, f.data)
	}
	if err != nil {
		return nil, err
	}
	path := filepath.Join(f.data, witnessVKeyFile)
	st, err := os.Stat(path)
	if err == nil && st.Size() > maxVKey {
		err = fmt.Errorf("%s has %d bytes, and is no vkey", path, st.Size())
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	w, err := tlog.NewWitness(strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c, err := tlog.NewCosigner(w.Name(), key)
	if err == nil && c.Witness().VKey() != w.VKey() {
		err = fmt.Errorf("%s is not the vkey of %s", path, witnessKeyFile)
	}
	return c, err
}

func (d *daemon) witness(ctx context.Context, f witnessing) error {
	c, err := f.cosigner()
	if err != nil {
		return err
	}
	if len(f.logs) == 0 {
		return wrong("--log is needed: the verifier key of a log to cosign")
	}
	var logs []*tlog.Verifier
	for _, vkey := range f.logs {
		v, err := tlog.NewVerifier(vkey)
		if err != nil {
			return wrong("--log: %v", err)
		}
		logs = append(logs, v)
	}
	log := d.logger(settings{})
	server, err := witness.NewServer(witness.ServerConfig{
		Cosigner: c, Logs: logs, Dir: filepath.Join(f.data, witnessMemory), Now: d.now,
		Report: func(origin string, err error) { log.Error("not cosigned", "log", origin, "error", err) },
	})
	if err != nil {
		return err
	}
	return errors.Join(d.serveWitness(ctx, f, c, server, log), server.Close())
}

func (d *daemon) serveWitness(ctx context.Context, f witnessing, c *tlog.Cosigner, h http.Handler, log *slog.Logger) error {
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return wrong("--listen: %v", err)
	}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}
	fmt.Fprintf(d.out, "countersignd: the witness %s answers at http://%s, for %d logs\n", c.Witness().Name(), l.Addr(), len(f.logs))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err = server.Shutdown(last)
	if end := <-ended; err == nil && !errors.Is(end, http.ErrServerClosed) {
		err = end
	}
	return err
}
