package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api/tuf"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

// The files of the TUF keys. A running server needs the last alone.
const (
	tufRootKeyFile    = "tuf-root.key"
	tufTargetsKeyFile = "tuf-targets.key"
	tufOnlineKeyFile  = "tuf-online.key"
)

// publishing is what both commands are told.
type publishing struct {
	home
	services
	offline string // folder of the keys of root and targets
}

func (f *publishing) bind(c *cobra.Command) {
	f.flags(c)
	f.services.bind(c)
	c.Flags().StringVar(&f.offline, "offline-keys", "", "folder of "+tufRootKeyFile+" and "+tufTargetsKeyFile+" (default: that of the other keys)")
}

func (f *publishing) check() error {
	if err := f.home.check(); err != nil {
		return err
	}
	if f.offline == "" {
		f.offline = f.keys
	}
	return nil
}

func newTUFInit(d *daemon) *cobra.Command {
	var f publishing
	c := &cobra.Command{
		Use:   "init --data DIR --url URL",
		Short: "Make the TUF repository of a ledger, and its keys",
		Long: `Make the TUF repository of a ledger, new or old, in trust/tuf, and its keys where they
are not there yet: tuf-root.key and tuf-targets.key, which say what is trusted and are
needed only to publish (--offline-keys, best on a volume that is taken away), and
tuf-online.key, with which serve renews what says that this is the newest.

--url and what else is told goes into trust/sigstore.yaml, which may also be written by
hand. A running server needs no restart. Give 1.root.json to clients over a way that
they trust: it is where their trust begins.`,
		Example: `  countersignd trust tuf init --data /var/lib/countersign --url https://log.example.com --offline-keys /media/tuf
  cosign initialize --mirror https://log.example.com/tuf --root 1.root.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return d.tufInit(f) },
	}
	f.bind(c)
	return c
}

func newTUFPublish(d *daemon) *cobra.Command {
	var f publishing
	c := &cobra.Command{
		Use:   "publish --data DIR",
		Short: "Publish what the trust folder and sigstore.yaml say now",
		Long: `Make trusted_root.json and signing_config.v0.2.json again from the trust folder and
sigstore.yaml, and publish what differs as the next version. The keys of targets and
online are needed; with that of root there as well, a root that expires within four
months is renewed. A running server need not stop.`,
		Example: `  countersignd trust tuf publish --data /var/lib/countersign --offline-keys /media/tuf
  countersignd trust tuf publish --data /var/lib/countersign --fulcio https://fulcio.example.com --oidc https://id.example.com`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return d.tufPublish(f) },
	}
	f.bind(c)
	return c
}

func (d *daemon) tufInit(f publishing) error {
	if err := f.check(); err != nil {
		return err
	}
	documents, s, err := f.documents(true)
	if err != nil {
		return err
	}
	r := f.tuf()
	if _, err := r.State(); !errors.Is(err, tuf.ErrNone) {
		return wrong("%s is there already (%v); use: countersignd trust tuf publish --data %s", f.tufDir(), err, f.data)
	}
	var k tuf.Keys
	for _, key := range f.tufKeys(&k) {
		if *key.into, err = readPKCS8[ed25519.PrivateKey](key.path); errors.Is(err, fs.ErrNotExist) {
			*key.into, err = newEd25519(key.path)
		}
		if err != nil {
			return wrong("%v", err)
		}
	}
	state, err := r.Create(k, documents, d.now())
	if err != nil {
		return err
	}
	return d.sayTUF(&f, state, s)
}

func (d *daemon) tufPublish(f publishing) error {
	if err := f.check(); err != nil {
		return err
	}
	documents, s, err := f.documents(false)
	if err != nil {
		return err
	}
	var k tuf.Keys
	for _, key := range f.tufKeys(&k) {
		*key.into, err = readPKCS8[ed25519.PrivateKey](key.path)
		if err != nil && (key.needed || !errors.Is(err, fs.ErrNotExist)) {
			return wrong("%v", err)
		}
	}
	state, err := f.tuf().Publish(k, documents, d.now())
	if errors.Is(err, tuf.ErrNone) {
		return wrong("%v; make one with: countersignd trust tuf init --data %s --url URL", err, f.data)
	}
	if err != nil {
		return err
	}
	return d.sayTUF(&f, state, s)
}

// documents makes what is published, and writes down what the flags change.
func (f *publishing) documents(first bool) (map[string][]byte, sigstoreroot.Services, error) {
	t, err := f.readTrust()
	if err != nil {
		return nil, sigstoreroot.Services{}, err
	}
	if _, err := sigstoreroot.Load(f.trust()); first && f.url == "" && errors.Is(err, sigstoreroot.ErrNoServices) {
		return nil, sigstoreroot.Services{}, wrong("--url is needed: where clients reach this ledger")
	}
	s, changed, err := f.services.read(f.trust(), t)
	if err != nil {
		return nil, s, err
	}
	documents, err := targets(t, s)
	if err != nil {
		return nil, s, err
	}
	if changed {
		if err := sigstoreroot.Write(f.trust(), s); err != nil {
			return nil, s, wrong("%v", err)
		}
	}
	return documents, s, nil
}

type tufKey struct {
	path   string
	into   *ed25519.PrivateKey
	needed bool // to publish
}

func (f *publishing) tufKeys(k *tuf.Keys) []tufKey {
	return []tufKey{
		{filepath.Join(f.offline, tufRootKeyFile), &k.Root, false},
		{filepath.Join(f.offline, tufTargetsKeyFile), &k.Targets, true},
		{filepath.Join(f.keys, tufOnlineKeyFile), &k.Online, true},
	}
}

func newEd25519(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeSecret(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (h *home) tufDir() string       { return filepath.Join(h.trust(), "tuf") }
func (h *home) tuf() *tuf.Repository { return tuf.At(h.tufDir()) }

// sayTUF says what clients get to see, and where their trust begins.
func (d *daemon) sayTUF(f *publishing, s tuf.State, services sigstoreroot.Services) error {
	first, _, err := f.tuf().File("1.root.json")
	if err != nil {
		return err
	}
	path, sum := filepath.Join(f.tufDir(), "1.root.json"), attest.DigestOf(first)
	if d.format == "json" {
		text, err := json.Marshal(map[string]any{
			"firstRoot": path, "firstRootSha256": sum.String(), "mirror": services.URL + "/tuf",
			"root": s.Root, "targets": s.Targets, "snapshot": s.Snapshot, "timestamp": s.Timestamp,
		}, json.Deterministic(true))
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "%s\n", text)
		return nil
	}
	for _, v := range []struct {
		role string
		tuf.Version
	}{{"root", s.Root}, {"targets", s.Targets}, {"snapshot", s.Snapshot}, {"timestamp", s.Timestamp}} {
		fmt.Fprintf(d.out, "%-10s version %d, until %s\n", v.role, v.Number, v.Expires.Format("2006-01-02"))
	}
	fmt.Fprintf(d.out, "first root %s sha256:%s\nclients    cosign initialize --mirror %s/tuf --root 1.root.json\n", path, sum, services.URL)
	return nil
}
