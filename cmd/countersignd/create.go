package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

type creating struct {
	home
	origin      string
	genesis     []string
	trustCopy   string
	singleOwner bool
	consoles    []string     // origins of the pages that passkeys answer on
	after       *predecessor // nil for the first log
}

func newCreate(d *daemon) *cobra.Command {
	var f creating
	c := &cobra.Command{
		Use:   "create --data DIR --origin NAME --genesis FILE --genesis FILE",
		Short: "Create a ledger",
		Long: `Create a ledger: its keys, its log, and the folder that verifiers are given. The log
begins with the policy set that its owners signed (countersign policy sign), one
--genesis file for each. Two owners are needed; --unsafe-single-owner takes one, and
every verdict will say so.

Nothing is overwritten. serve never creates a ledger.`,
		Example: `  countersignd create --data /var/lib/countersign --origin log.example.com \
    --genesis genesis-alice.json --genesis genesis-bob.json --trust trust`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.create(c.Context(), f) },
	}
	f.flags(c)
	c.Flags().StringVar(&f.origin, "origin", "", "name of the log, a bare host name (needed)")
	c.Flags().StringArrayVar(&f.genesis, "genesis", nil, "the policy set, signed by one owner; one for each owner")
	c.Flags().StringVar(&f.trustCopy, "trust", "", "also write the trust folder here, for verifiers")
	c.Flags().StringArrayVar(&f.consoles, "console", nil, "page where people approve with passkeys, such as https://approve.example.com; its host is the relying party")
	c.Flags().BoolVar(&f.singleOwner, "unsafe-single-owner", false, "let one owner be enough")
	return c
}

// genesis is the first policy set, and who signed it.
type genesis struct {
	set     *policy.Set
	bundles []*attest.Bundle
	keys    []*attest.PublicKey
	owners  []string
}

func (d *daemon) create(ctx context.Context, f creating) error {
	if err := f.check(); err != nil {
		return err
	}
	if err := tlog.CheckOrigin(f.origin); err != nil {
		return wrong("--origin: %v", err)
	}
	g, err := readGenesis(f.genesis, f.singleOwner)
	if err != nil {
		return err
	}
	return d.createLog(ctx, f, g)
}

// party is for whose pages passkeys answer: the host of the first.
func (f *creating) party() credential.RelyingParty {
	if len(f.consoles) == 0 {
		return credential.RelyingParty{}
	}
	u, err := url.Parse(f.consoles[0])
	if err != nil {
		return credential.RelyingParty{Origins: f.consoles} // Trust.Check says what is wrong
	}
	return credential.RelyingParty{ID: u.Hostname(), Origins: f.consoles}
}

// unused refuses a place where something is.
func (f *creating) unused() error {
	for _, dir := range []string{f.log(), f.keys, f.trust()} {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return wrong("%s is there already; a ledger is never overwritten", dir)
		}
	}
	if f.trustCopy == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(f.trustCopy, verify.TrustFile)); !errors.Is(err, fs.ErrNotExist) {
		return wrong("--trust: %s has a trust folder already (%v)", f.trustCopy, err)
	}
	return nil
}

// createLog makes a log, or leaves nothing behind.
func (d *daemon) createLog(ctx context.Context, f creating, g *genesis) error {
	if err := f.unused(); err != nil {
		return err
	}
	_, missing := os.Stat(f.data)
	t, err := f.make(ctx, d, g)
	if err != nil { // leave nothing behind
		err = errors.Join(err, os.RemoveAll(f.keys), os.RemoveAll(f.log()), os.RemoveAll(f.trust()))
		if missing != nil {
			err = errors.Join(err, os.Remove(f.data))
		}
		return err
	}
	dirs := []string{f.trust()}
	if f.trustCopy != "" {
		dirs = append(dirs, f.trustCopy)
		if err := verify.WriteTrust(f.trustCopy, t); err != nil {
			return fmt.Errorf("the ledger is created; its trust folder is %s: %w", f.trust(), err)
		}
	}
	fmt.Fprintf(d.out, "log      %s\nkeys     %s (keep them to yourself; back them up apart from the log)\ntrust    %s (give it to whoever verifies)\ngenesis  %s version %d sha256:%s, owned by %v\n",
		t.Log.VKey(), f.keys, dirs[len(dirs)-1], g.set.Name, g.set.Version, g.set.Digest(), g.owners)
	if f.singleOwner {
		fmt.Fprintln(d.out, "UNSAFE   one owner is enough, and every verdict will say so")
	}
	return nil
}

// make makes the keys and the log, and at last the trust folder, without which
// nothing is served.
func (f *creating) make(ctx context.Context, d *daemon, g *genesis) (*verify.Trust, error) {
	s, t, err := f.makeKeys(d, g)
	if err != nil {
		return nil, err
	}
	if err := f.makeLog(ctx, d, s, t, g); err != nil {
		return nil, err
	}
	return t, verify.WriteTrust(f.trust(), t)
}

// readGenesis reads what the owners signed, and checks it as a verifier will.
func readGenesis(paths []string, single bool) (*genesis, error) {
	if len(paths) == 0 {
		return nil, wrong("--genesis is needed: the policy set, signed by its owners (countersign policy sign)")
	}
	g := &genesis{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, wrong("--genesis: %v", err)
		}
		b, err := attest.ParseBundle(text)
		if err != nil {
			return nil, wrong("%s: %v", path, err)
		}
		st, err := attest.ParseStatement(b.Payload)
		if err != nil {
			return nil, wrong("%s: %v", path, err)
		}
		p, ok := st.Predicate.(*attest.Policy)
		if !ok {
			return nil, wrong("%s holds a %s, not a policy", path, st.Predicate.Type())
		}
		if g.set == nil {
			if g.set, err = policy.ParseSet(p.Files); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if p.Name != g.set.Name || p.Version != g.set.Version || st.Subjects[0].Digest["sha256"] != g.set.Digest().String() {
				return nil, wrong("%s: the statement and the set that it carries differ", path)
			}
		} else if b.Digest() != g.bundles[0].Digest() {
			return nil, wrong("%s signs other bytes than %s; sign with: countersign policy sign --with %s", path, paths[0], paths[0])
		}
		if err := g.add(path, b); err != nil {
			return nil, err
		}
	}
	if len(g.owners) < 2 && !single {
		return nil, wrong("the policy is signed by %d of its owners %v, and two people are needed (--unsafe-single-owner takes one)", len(g.owners), g.set.Roster.Owners)
	}
	return g, nil
}

// add takes one owner's signature.
func (g *genesis) add(path string, b *attest.Bundle) error {
	for _, owner := range g.set.Roster.Owners {
		p, _ := g.set.Roster.Principal(owner)
		for _, k := range p.Keys {
			pub, err := attest.ParsePublicKey(k.SPKI)
			if err != nil || pub.Verify(b.PAE(), b.Signature) != nil {
				continue
			}
			for _, o := range g.owners {
				if o == owner {
					return wrong("%s: %s has signed already; each owner signs once", path, owner)
				}
			}
			g.owners, g.bundles, g.keys = append(g.owners, owner), append(g.bundles, b), append(g.keys, pub)
			return nil
		}
	}
	return wrong("%s is signed by no owner of the policy (%v)", path, g.set.Roster.Owners)
}

// makeKeys makes the server's keys and what verifiers know of them.
func (f *creating) makeKeys(d *daemon, g *genesis) (*secrets, *verify.Trust, error) {
	if err := os.MkdirAll(f.keys, 0o700); err != nil {
		return nil, nil, wrong("%v", err)
	}
	now := d.now().UTC()
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	logDER, err := x509.MarshalPKCS8PrivateKey(logKey)
	if err != nil {
		return nil, nil, err
	}
	stampKey, chainText, err := tsa.Create(f.origin, now)
	if err != nil {
		return nil, nil, err
	}
	chain, err := parseChain(chainText)
	if err != nil {
		return nil, nil, err
	}
	service, err := attest.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	serviceText, err := service.MarshalPEM(nil)
	if err != nil {
		return nil, nil, err
	}
	console, err := attest.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	consoleText, err := console.MarshalPEM(nil)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range []struct {
		name string
		text []byte
	}{
		{logKeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: logDER})},
		{stampKeyFile, stampKey},
		{serviceKeyFile, serviceText},
		{consoleKeyFile, consoleText},
	} {
		if err := writeSecret(filepath.Join(f.keys, k.name), k.text); err != nil {
			return nil, nil, fmt.Errorf("write key: %w", err)
		}
	}
	signer := tlog.NewSigner(f.origin, logKey)
	// Times in the log are whole seconds where tokens carry them.
	valid := roster.Validity{From: now.Truncate(1e9)}
	t := &verify.Trust{
		Log: signer.Verifier(), LogValid: valid, Service: service.Public(), ServiceValid: valid,
		Genesis: g.set.Digest(), Owners: g.set.Roster.Owners, UnsafeSingleOwner: f.singleOwner,
		MaxCheckpointAge: verify.DefaultCheckpointAge, Timestamps: chain,
		Console: &verify.Console{Key: console.Public(), Valid: valid, Party: f.party()},
	}
	f.after.continueTrust(t)
	if err := t.Check(); err != nil {
		return nil, nil, wrong("%v", err)
	}
	s, err := f.readSecrets(t)
	return s, t, err
}

// parseChain reads the certificates that tsa.Create made.
func parseChain(text []byte) (chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// createBatch is how many entries a new log takes at once; the genesis is less.
const createBatch = 256

// makeLog creates the log and puts the genesis into it, in one batch.
func (f *creating) makeLog(ctx context.Context, d *daemon, s *secrets, t *verify.Trust, g *genesis) error {
	head, err := ledger.EmptyHead(s.log, s.stamps, d.now())
	if err != nil {
		return err
	}
	opts := f.options(s.log.Verifier())
	if err := badgerstore.Create(opts, head); err != nil {
		return err
	}
	store, err := badgerstore.Open(ctx, opts)
	if err != nil {
		return err
	}
	l, err := ledger.New(ctx, ledger.Config{Store: store, Signer: s.log, Stamper: s.stamps, Now: d.now})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- l.Run(run) }()
	entries, err := g.entries()
	if f.after != nil {
		entries = append(entries, f.after.negative...)
	}
	for batch := range slices.Chunk(entries, createBatch) {
		if err == nil {
			_, err = l.Append(ctx, batch)
		}
	}
	if err == nil { // as every verifier will
		_, err = policy.ReadHistory(ctx, api.NewSource(l), t, true)
	}
	stop()
	return errors.Join(err, <-done, store.Close())
}

func (g *genesis) entries() ([]ledger.Entry, error) {
	var out []ledger.Entry
	for i, b := range g.bundles {
		st, err := attest.ParseStatement(b.Payload)
		if err != nil {
			return nil, err
		}
		e, err := attest.Log(b, st, g.keys[i])
		if err != nil {
			return nil, err
		}
		out = append(out, ledger.Entry{Leaf: e.Leaf, Body: e.Body, Keys: e.Keys, Negative: e.Negative, Stamp: e.Stamp})
	}
	return out, nil
}
