package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

func newRotate(d *daemon) *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Change the keys of a ledger",
		Long: `A log has one name and one key for ever. A new key, or a new name, is a new log, and
the old one is frozen: nothing more goes in, and what it gave out still holds. The
timestamp authority can change within a log.`,
	}
	c.AddCommand(newRotateLog(d), newRotateTimestamps(d))
	return c
}

func newRotateLog(d *daemon) *cobra.Command {
	var f rotating
	c := &cobra.Command{
		Use:   "log --data DIR --new DIR --origin NAME --genesis FILE --genesis FILE",
		Short: "Freeze a log, and make the one that comes after it",
		Long: `Freeze the log of --data, whose server must be stopped, and create a new one in --new,
with keys and a name of its own. The new trust folder lists the old log with its time
and its last checkpoint, so its receipts still hold; serve still reads the old log, and
takes nothing more into it. A TUF repository, with its keys, moves to the new ledger.

The new log begins with a policy set that its owners signed: verdicts rest on the new
log alone, so that set must name where ranges begin now (baselines). What was taken
back in the old log is taken back in the new one, by the same signatures. When one of
those can no longer be accepted, nothing is done, unless --leave-negative says so: then
the new policy must no longer name who and what was revoked.

Called again after it was interrupted, it goes on.`,
		Example: `  countersignd trust rotate log --data /var/lib/countersign --new /var/lib/countersign-2 --origin log-2.example.com \
    --genesis genesis-alice.json --genesis genesis-bob.json --trust trust --url https://log-2.example.com
  countersignd trust tuf publish --data /var/lib/countersign-2`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.rotateLog(c.Context(), f) },
	}
	f.old.flags(c)
	c.Flags().StringVar(&f.next.data, "new", "", "folder of the new ledger (needed)")
	c.Flags().StringVar(&f.next.origin, "origin", "", "name of the new log, a bare host name (needed)")
	c.Flags().StringArrayVar(&f.next.genesis, "genesis", nil, "the policy set, signed by one owner; one for each owner")
	c.Flags().StringVar(&f.next.trustCopy, "trust", "", "also write the new trust folder here, for verifiers")
	c.Flags().BoolVar(&f.next.singleOwner, "unsafe-single-owner", false, "let one owner be enough")
	c.Flags().BoolVar(&f.leave, "leave-negative", false, "leave negative evidence behind that the new log cannot take")
	f.services.bind(c)
	return c
}

type rotating struct {
	old      home
	next     creating
	services services
	leave    bool
}

func (d *daemon) rotateLog(ctx context.Context, f rotating) error {
	if err := f.old.check(); err != nil {
		return err
	}
	if f.next.data == "" {
		return wrong("--new is needed: the folder of the new ledger")
	}
	if err := f.next.check(); err != nil {
		return err
	}
	t, err := f.old.readTrust()
	if err != nil {
		return err
	}
	if err := f.checkOrigin(t); err != nil {
		return err
	}
	if f.made(t) {
		return d.finishRotation(&f, t)
	}
	if err := f.next.unused(); err != nil {
		return err
	}
	g, err := readGenesis(f.next.genesis, f.next.singleOwner)
	if err != nil {
		return err
	}
	if s, _, err := f.services.read(f.old.trust(), t); err != nil {
		return err
	} else if _, err := targets(t, s); err != nil { // before anything is frozen
		return err
	}
	if f.next.after, err = d.freeze(ctx, &f, t, g); err != nil {
		return err
	}
	if err := d.createLog(ctx, f.next, g); err != nil {
		return fmt.Errorf("%s is frozen, and the new log is not made; call this again: %w", t.Log.Origin(), err)
	}
	return d.finishRotation(&f, t)
}

// made reports whether the new log is there, made by a call that was interrupted.
func (f *rotating) made(t *verify.Trust) bool {
	next, err := verify.LoadTrust(f.next.trust())
	return err == nil && next.Log.Origin() == f.next.origin &&
		slices.ContainsFunc(next.Frozen, func(l verify.FrozenLog) bool { return l.Log.VKey() == t.Log.VKey() })
}

// finishRotation gives the new ledger what Sigstore's clients are told.
func (d *daemon) finishRotation(f *rotating, t *verify.Trust) error {
	s, changed, err := f.services.read(f.old.trust(), t)
	if err != nil {
		return err
	}
	if _, err := sigstoreroot.Load(f.old.trust()); changed || err == nil {
		if err := sigstoreroot.Write(f.next.trust(), s); err != nil {
			return wrong("%v", err)
		}
	}
	return d.moveTUF(f)
}

func (f *rotating) checkOrigin(t *verify.Trust) error {
	if err := tlog.CheckOrigin(f.next.origin); err != nil {
		return wrong("--origin: %v", err)
	}
	for _, old := range append([]verify.FrozenLog{{Log: t.Log}}, t.Frozen...) {
		if old.Log.Origin() == f.next.origin {
			return wrong("--origin: %s is the name of a log already; one name is one log, for ever", f.next.origin)
		}
	}
	return nil
}

// isFrozen reports whether a log's time is over.
func isFrozen(t *verify.Trust, now time.Time) bool {
	return !t.LogValid.Until.IsZero() && !now.Before(t.LogValid.Until)
}

// moveTUF gives the repository to the new ledger. Clients know it by the old one's
// URL, so a link stays for the server that still answers there.
func (d *daemon) moveTUF(f *rotating) error {
	from, to := f.old.tufDir(), f.next.tufDir()
	if st, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) || err == nil && st.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	for _, key := range []string{tufRootKeyFile, tufTargetsKeyFile, tufOnlineKeyFile} {
		err := os.Rename(filepath.Join(f.old.keys, key), filepath.Join(f.next.keys, key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the new log is made; move %s to %s, and the tuf-*.key files: %w", from, to, err)
		}
	}
	absolute, err := filepath.Abs(to)
	if err == nil {
		err = os.Rename(from, to)
	}
	if err == nil {
		err = os.Symlink(absolute, from)
	}
	if err != nil {
		return fmt.Errorf("the new log is made; move %s to %s: %w", from, to, err)
	}
	fmt.Fprintf(d.out, "tuf      moved; now run: countersignd trust tuf publish --data %s\n", f.next.data)
	return nil
}

func newRotateTimestamps(d *daemon) *cobra.Command {
	var h home
	c := &cobra.Command{
		Use:   "timestamps --data DIR",
		Short: "Give a log a new timestamp authority",
		Long: `Make a new timestamp key with new certificates, and retire the old ones: their tokens
hold up to now, in trust.yaml and in the trusted root. The server must be stopped. The
old key is deleted. Verifiers need the new trust folder before they believe anything
that is logged from now on; those who follow a TUF repository get it from there, once
it is published.`,
		Example: `  countersignd trust rotate timestamps --data /var/lib/countersign
  countersignd trust tuf publish --data /var/lib/countersign`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.rotateTimestamps(c.Context(), h) },
	}
	h.flags(c)
	return c
}

// nextKey ends the name of a key that is not in force before the trust folder is
// replaced: a crash between the two is mended by calling the command again.
const nextKey = ".next"

func (d *daemon) rotateTimestamps(ctx context.Context, h home) error {
	if err := h.check(); err != nil {
		return err
	}
	t, err := h.readTrust()
	if err != nil {
		return err
	}
	if isFrozen(t, d.now()) {
		return wrong("%s is frozen: it needs no timestamps any more", t.Log.Origin())
	}
	store, err := badgerstore.Open(ctx, h.options(t.Log)) // nobody else has it now
	if err != nil {
		return err
	}
	defer store.Close()
	path := filepath.Join(h.keys, stampKeyFile)
	if key, err := readPKCS8[*ecdsa.PrivateKey](path + nextKey); err == nil && key.PublicKey.Equal(t.Timestamps[0].PublicKey) {
		return d.sayTimestamps(h, t, os.Rename(path+nextKey, path))
	}
	if err := os.Remove(path + nextKey); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrong("%v", err)
	}
	now := d.now().UTC().Truncate(time.Second)
	key, text, err := tsa.Create(t.Log.Origin(), now)
	if err != nil {
		return err
	}
	if err := writeSecret(path+nextKey, key); err != nil {
		return wrong("%v", err)
	}
	t.Retired = append(t.Retired, verify.RetiredAuthority{Certificates: t.Timestamps, Until: now})
	if t.Timestamps, err = parseChain(text); err != nil {
		return err
	}
	if err := verify.ReplaceTrust(h.trust(), t); err != nil {
		return err
	}
	return d.sayTimestamps(h, t, os.Rename(path+nextKey, path))
}

func (d *daemon) sayTimestamps(h home, t *verify.Trust, err error) error {
	if err != nil {
		return fmt.Errorf("the trust folder is new, and the key not yet in its place; call this again: %w", err)
	}
	fmt.Fprintf(d.out, "timestamps %s, until %s\nretired    %d\ntrust      %s (give it to whoever verifies)\n",
		t.Timestamps[0].Subject.CommonName, t.Timestamps[0].NotAfter.UTC().Format("2006-01-02"), len(t.Retired), h.trust())
	return nil
}
