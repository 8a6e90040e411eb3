package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// home is where a ledger keeps its things.
type home struct {
	data string // holds log/, and the others unless they are elsewhere
	keys string // log.key, timestamp.key, service.key
	head string // folder of the file that remembers the last checkpoint
}

func (h *home) flags(c *cobra.Command) {
	c.Flags().StringVar(&h.data, "data", os.Getenv("COUNTERSIGN_DATA"), "folder of the ledger (COUNTERSIGN_DATA)")
	c.Flags().StringVar(&h.keys, "keys", "", "folder of the server's keys (default: keys in --data)")
	c.Flags().StringVar(&h.head, "head", "", "folder of the head file, best on another volume (default: beside the log)")
}

func (h *home) check() error {
	if h.data == "" {
		return wrong("--data is needed: the folder of the ledger")
	}
	if h.keys == "" {
		h.keys = filepath.Join(h.data, "keys")
	}
	return nil
}

func (h *home) log() string   { return filepath.Join(h.data, "log") }
func (h *home) trust() string { return filepath.Join(h.data, "trust") }

func (h *home) options(v *tlog.Verifier) badgerstore.Options {
	return badgerstore.Options{Dir: h.log(), HeadDir: h.head, Verifier: v}
}

// readTrust reads what clients are given, which names the log's public keys.
func (h *home) readTrust() (*verify.Trust, error) {
	t, err := verify.LoadTrust(h.trust())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wrong("%s holds no ledger; make one with: countersignd create --data %s (or is a volume not mounted?)", h.data, h.data)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// The files of the server's keys. One key, one voice: checkpoints, timestamps,
// verdicts, and what the console carries, are signed by different ones.
const (
	logKeyFile     = "log.key"
	stampKeyFile   = "timestamp.key"
	serviceKeyFile = "service.key"
	consoleKeyFile = "console.key"
)

// secrets are the keys of a running server.
type secrets struct {
	log     *tlog.Signer
	stamps  *tsa.Authority
	service *attest.PrivateKey
	console *attest.PrivateKey // nil where the trust folder names none
}

func noPassphrase() ([]byte, error) {
	return nil, errors.New("the server's keys are not encrypted; protect their folder instead")
}

// readSecrets reads the server's keys, and holds them against the trust folder.
func (h *home) readSecrets(t *verify.Trust) (*secrets, error) {
	var s secrets
	key, err := readPKCS8[ed25519.PrivateKey](filepath.Join(h.keys, logKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wrong("%s is missing: name the folder of the server's keys with --keys", filepath.Join(h.keys, logKeyFile))
	}
	if err != nil {
		return nil, err
	}
	s.log = tlog.NewSigner(t.Log.Origin(), key)
	if s.log.Verifier().VKey() != t.Log.VKey() {
		return nil, fmt.Errorf("%s is not the key of the log that %s names", filepath.Join(h.keys, logKeyFile), h.trust())
	}
	stamp, err := readPKCS8[*ecdsa.PrivateKey](filepath.Join(h.keys, stampKeyFile))
	if err != nil {
		return nil, err
	}
	if s.stamps, err = tsa.New(stamp, t.Timestamps); err != nil {
		return nil, err
	}
	if s.service, err = attest.ReadKeyFile(filepath.Join(h.keys, serviceKeyFile), noPassphrase); err != nil {
		return nil, err
	}
	if t.Console != nil {
		s.console, err = attest.ReadKeyFile(filepath.Join(h.keys, consoleKeyFile), noPassphrase)
	}
	return &s, err
}

func readPKCS8[K any](path string) (K, error) {
	var none K
	text, err := attest.ReadSecret(path)
	if err != nil {
		return none, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return none, fmt.Errorf("%s is not PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return none, fmt.Errorf("%s: %w", path, err)
	}
	k, ok := key.(K)
	if !ok {
		return none, fmt.Errorf("%s holds a %T, and a %T is needed", path, key, none)
	}
	return k, nil
}

// writeSecret writes a new key file that only its owner can read.
func writeSecret(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}
