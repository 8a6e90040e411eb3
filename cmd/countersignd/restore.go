package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api/mirror"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

type restoring struct {
	home
	from     string
	trustDir string
	token    string
	seen     []string
	alone    bool
}

func newRestore(d *daemon) *cobra.Command {
	var f restoring
	c := &cobra.Command{
		Use:   "restore --from-mirror DIR|URL --data DIR --keys DIR --seen FILE",
		Short: "Make a ledger again from a mirror",
		Long: `Make the data folder of a ledger that was lost: everything from a mirror (its folder,
with the mirror stopped, or its URL), checked as the mirror checked it, and the keys of
the old ledger. New entries continue the same log, so receipts stay good.

A log that goes on from less than somebody has seen of it is a fork. So --seen is
needed, once for each signed checkpoint that can be found: a file of countersign log
checkpoint --out, the head file of the old ledger, a bundle with its receipt, or a folder
of such files. The mirror's own head and what lies in its proof folder count, too. When the mirror has less than the
largest of them, nothing is made (exit 3); when two of them cannot both be true, the log
is beyond restoring (exit 4). --unsafe-mirror-alone goes on without --seen.

Stop the old primary for good before. Afterwards run countersignd check, then serve.`,
		Example: `  countersignd restore --from-mirror /var/lib/countersign-mirror --data /var/lib/countersign --keys /etc/countersign/keys --seen seen.checkpoint
  countersignd restore --from-mirror https://mirror.example.com --trust trust --data data --keys keys --seen checkpoints/ --seen verdict.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.restore(c.Context(), f) },
	}
	f.flags(c)
	s := c.Flags()
	s.StringVar(&f.from, "from-mirror", "", "folder or URL of the mirror (needed)")
	s.StringVar(&f.trustDir, "trust", os.Getenv("COUNTERSIGN_TRUST"), "trust folder that pins the log's key (COUNTERSIGN_TRUST; default: that of the mirror's folder)")
	s.StringVar(&f.token, "token-file", "", "file of the token for reads of the mirror")
	s.StringArrayVar(&f.seen, "seen", nil, "signed checkpoint, bundle with receipt, or folder of them, that somebody has seen")
	s.BoolVar(&f.alone, "unsafe-mirror-alone", false, "go on without --seen: a fork, if anybody has seen more than the mirror")
	return c
}

// A MissingError says that a mirror has less of a log than somebody has seen.
type MissingError struct {
	Have, Seen uint64 // entries
	Where      string // the file that proves that they were signed
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the mirror has %d entries, and %s proves that %d were signed: entries %d to %d are missing",
		e.Have, e.Where, e.Seen, e.Have, e.Seen-1)
}

// A sighting is a checkpoint that somebody has seen.
type sighting struct {
	tlog.Checkpoint
	where string
}

func (d *daemon) restore(ctx context.Context, f restoring) error {
	trust, source, closeSource, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer closeSource()
	seen, err := f.sightings(trust)
	if err != nil {
		return err
	}
	if _, err := f.readSecrets(trust); err != nil {
		return wrong("--keys: %v", err)
	}
	head, err := source.Head(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", f.from, err)
	}
	if err := enough(head.Size, seen); err != nil {
		return err
	}
	made, alone, err := f.make(ctx, trust, source, seen)
	if err != nil {
		return err
	}
	return d.sayRestored(f, made, alone, seen)
}

// open finds out where from, whose log it is, and that nothing is overwritten.
func (f *restoring) open(ctx context.Context) (*verify.Trust, mirror.Source, func() error, error) {
	none := func() error { return nil }
	if err := f.check(); err != nil {
		return nil, nil, none, err
	}
	url := strings.Contains(f.from, "://")
	switch {
	case f.from == "":
		return nil, nil, none, wrong("--from-mirror is needed: the folder or URL of a mirror")
	case len(f.seen) == 0 && !f.alone:
		return nil, nil, none, wrong("--seen is needed: the largest signed checkpoint that any client, witness or pack has (--unsafe-mirror-alone goes on without)")
	case url && f.trustDir == "":
		return nil, nil, none, wrong("--trust is needed: a mirror is not believed, so what pins the log's key cannot come from it")
	case f.trustDir == "":
		f.trustDir = (&home{data: f.from}).trust()
	}
	for _, dir := range []string{f.log(), f.trust()} {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return nil, nil, none, wrong("%s is there already; a ledger is never overwritten", dir)
		}
	}
	trust, err := verify.LoadTrust(f.trustDir)
	if err != nil {
		return nil, nil, none, wrong("--trust: %v", err)
	}
	if url {
		source, err := remote(f.from, f.token)
		return trust, source, none, err
	}
	store, err := badgerstore.Open(ctx, (&home{data: f.from}).options(trust.Log))
	if err != nil {
		return nil, nil, none, fmt.Errorf("--from-mirror: %w", err)
	}
	m, err := ledger.NewMirror(ctx, ledger.MirrorConfig{Store: store, Verifier: trust.Log})
	if err != nil {
		return nil, nil, none, errors.Join(err, store.Close())
	}
	return trust, mirror.Local{Ledger: m.Ledger()}, store.Close, nil
}

// sightings reads everything that was seen, the largest last.
func (f *restoring) sightings(trust *verify.Trust) ([]sighting, error) {
	paths, _, err := mirror.Kept((&home{data: f.from}).proof())
	if err != nil {
		return nil, err
	}
	for _, path := range f.seen {
		st, err := os.Stat(path)
		if err != nil {
			return nil, wrong("--seen: %v", err)
		}
		if !st.IsDir() {
			paths = append(paths, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, wrong("--seen: %v", err)
		}
		for _, e := range entries {
			if e.Type().IsRegular() {
				paths = append(paths, filepath.Join(path, e.Name()))
			}
		}
	}
	var all []sighting
	for _, path := range paths {
		s, err := readSighting(trust, path)
		if err != nil {
			return nil, wrong("--seen: %s: %v", path, err)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b sighting) int { return int(min(max(int64(a.Size)-int64(b.Size), -1), 1)) })
	return all, nil
}

// headTitle begins the one line that stands before the note in a store's head file.
const headTitle = "countersign head v1 "

// readSighting reads a signed note: alone, in the head file of a store, or in a
// bundle's receipt.
func readSighting(trust *verify.Trust, path string) (sighting, error) {
	file, err := os.Open(path)
	if err != nil {
		return sighting{}, err
	}
	defer file.Close()
	note, err := io.ReadAll(io.LimitReader(file, attest.MaxBundle+1))
	if err != nil {
		return sighting{}, err
	}
	if bytes.HasPrefix(note, []byte("{")) {
		b, err := attest.ParseBundle(note)
		if err != nil {
			return sighting{}, err
		}
		if b.Receipt == nil {
			return sighting{}, errors.New("the bundle has no receipt, so it proves nothing about the log")
		}
		note = b.Receipt.Checkpoint
	}
	if bytes.HasPrefix(note, []byte(headTitle)) {
		_, note, _ = bytes.Cut(note, []byte("\n"))
	}
	cp, err := trust.Log.Open(note)
	if err != nil {
		return sighting{}, fmt.Errorf("it is no checkpoint of the log %s: %w", trust.Log.Origin(), err)
	}
	return sighting{cp, path}, nil
}

// enough refuses a mirror that has less than was seen.
func enough(have uint64, seen []sighting) error {
	if len(seen) == 0 {
		return nil
	}
	if last := seen[len(seen)-1]; last.Size > have {
		return fmt.Errorf("%w\n  Find a mirror that has them; a log that goes on without them is a fork", &MissingError{have, last.Size, last.where})
	}
	return nil
}

// make copies the log into a new store, holds it against what was seen, and at last
// writes the trust folder, without which nothing is served. alone are the entries that the
// source knows by their hash alone.
func (f *restoring) make(ctx context.Context, trust *verify.Trust, source mirror.Source, seen []sighting) (head ledger.Head, alone []uint64, err error) {
	none := ledger.Head{}
	first, err := source.First(ctx)
	if err != nil {
		return none, nil, fmt.Errorf("%s: %w", f.from, err)
	}
	if err := mirror.CheckHead(trust, first); err != nil {
		return none, nil, err
	}
	if err := badgerstore.Create(f.options(trust.Log), first); err != nil {
		return none, nil, err
	}
	head, alone, err = f.fill(ctx, trust, source, seen)
	if err == nil {
		return head, alone, verify.WriteTrust(f.trust(), trust)
	}
	var contradiction *mirror.ContradictionError
	if errors.As(err, &contradiction) {
		err = &exitError{exitContradiction, err}
	}
	// Leave nothing behind that looks like a ledger.
	return none, nil, errors.Join(err, os.RemoveAll(f.log()), f.removeHead())
}

// removeHead removes the head file that Create made outside the log's folder.
func (f *restoring) removeHead() error {
	if f.head == "" {
		return nil
	}
	return os.Remove(filepath.Join(f.head, "head"))
}

// fill takes everything that the source has into the new store.
func (f *restoring) fill(ctx context.Context, trust *verify.Trust, source mirror.Source, seen []sighting) (head ledger.Head, alone []uint64, err error) {
	none := ledger.Head{}
	store, err := badgerstore.Open(ctx, f.options(trust.Log))
	if err != nil {
		return none, nil, err
	}
	m, err := ledger.NewMirror(ctx, ledger.MirrorConfig{Store: store, Verifier: trust.Log})
	if err == nil {
		copier := mirror.Copier{Source: source, Trust: trust, Mirror: m}
		_, err = copier.CatchUp(ctx)
	}
	if err == nil {
		err = agrees(ctx, m.Ledger(), seen)
	}
	if err == nil {
		alone, err = mirror.Withheld(ctx, trust, m.Ledger())
	}
	if err = errors.Join(err, store.Close()); err != nil {
		return none, nil, err
	}
	return m.Ledger().Head(), alone, nil
}

// agrees holds what was seen against the log that was made.
func agrees(ctx context.Context, l *ledger.Ledger, seen []sighting) error {
	head := l.Head()
	if err := enough(head.Size, seen); err != nil {
		return err
	}
	for _, s := range seen {
		root, err := l.Root(ctx, s.Size)
		if err != nil {
			return err
		}
		if root != s.Root {
			return contradicted("%s was signed by the log's key for %d entries with root %s, and in the mirror they have root %s: the log contradicts itself, and cannot be restored. Keep both, and show them to others who use the log", s.where, s.Size, s.Root, root)
		}
	}
	return nil
}

func (d *daemon) sayRestored(f restoring, head ledger.Head, alone []uint64, seen []sighting) error {
	largest := uint64(0)
	if len(seen) > 0 {
		largest = seen[len(seen)-1].Size
	}
	if d.format == "json" {
		text, err := json.Marshal(map[string]any{"origin": head.Origin, "size": head.Size, "root": head.Root.String(), "seen": largest, "sightings": len(seen), "unseen": append([]uint64{}, alone...)}, json.Deterministic(true))
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "%s\n", text)
		return nil
	}
	fmt.Fprintf(d.out, "%s is restored in %s: %d entries, root %s; the largest of %d checkpoints that were seen has %d\n", head.Origin, f.data, head.Size, head.Root, len(seen), largest)
	if n := len(alone); n > 0 {
		fmt.Fprintf(d.out, "UNSEEN   the mirror knows %d entries by their hash alone (%v); whoever has seen the statement of one of them knows that it was kept back\n", n, alone[:min(n, 20)])
	}
	if f.alone {
		fmt.Fprintln(d.out, "UNSAFE   nobody was asked what they have seen: if it is more than the mirror has, this is a fork")
	}
	fmt.Fprintf(d.out, "next     countersignd check --data %s, then countersignd serve --data %s --keys %s\n", f.data, f.data, f.keys)
	return nil
}
