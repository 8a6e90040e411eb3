package badgerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger/ledgertest"
)

// What becomes of the operation that fails.
type fault int

const (
	refused fault = iota // nothing was done
	kept                 // it was done, and reported as failed
	partly               // half of a write was done; other operations are refused
)

func (f fault) String() string { return [...]string{"refused", "kept", "partly"}[f] }

var errFault = errors.New("injected fault")

// A faultyDisk fails its operation number at, counting from 0, and every one
// after it, as a disk does that has gone. It remembers how much of each file is
// synced, so that a power cut can be played.
type faultyDisk struct {
	osDisk
	kind fault
	at   int

	mu     sync.Mutex // guards what follows
	n      int
	failed []string         // what was
	synced map[string]int64 // size of each file that is on the medium
}

// do runs one operation, which changes something, or fails it.
func (d *faultyDisk) do(what string, run, half func() error) error {
	d.mu.Lock()
	n := d.n
	d.n++
	if d.at >= 0 && n >= d.at {
		d.failed = append(d.failed, what)
	}
	d.mu.Unlock()
	switch {
	case d.at < 0 || n < d.at:
		return run()
	case n > d.at || d.kind == refused || d.kind == partly && half == nil:
		return fmt.Errorf("%s: %w", what, errFault)
	case d.kind == partly:
		run = half
	}
	if err := run(); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", what, errFault)
}

func (d *faultyDisk) Open(path string, flag int) (file, error) {
	f, err := d.osDisk.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return faultyFile{f, d, path}, nil
}

func (d *faultyDisk) Rename(from, to string) error {
	return d.do("rename "+filepath.Base(to), func() error { return d.osDisk.Rename(from, to) }, nil)
}

func (d *faultyDisk) SyncDir(path string) error {
	return d.do("sync folder "+filepath.Base(path), func() error { return d.osDisk.SyncDir(path) }, nil)
}

type faultyFile struct {
	file
	disk *faultyDisk
	path string
}

func (f faultyFile) WriteAt(b []byte, offset int64) (int, error) {
	write := func(b []byte) func() error {
		return func() error { _, err := f.file.WriteAt(b, offset); return err }
	}
	if err := f.disk.do("write "+filepath.Base(f.path), write(b), write(b[:len(b)/2])); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f faultyFile) Sync() error {
	return f.disk.do("sync "+filepath.Base(f.path), func() error {
		size, err := f.file.Size()
		if err != nil {
			return err
		}
		f.disk.mu.Lock()
		f.disk.synced[f.path] = size
		f.disk.mu.Unlock()
		return f.file.Sync()
	}, nil)
}

// story commits batches until something fails, and returns how many entries were
// acknowledged, and how many were tried.
func story(t *testing.T, o Options) (acknowledged, tried int) {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		return 0, 0
	}
	defer s.Close()
	m := &ledgertest.Maker{}
	for _, n := range []int{1, 30, 2, 200, 1, 60, 3} {
		tried = acknowledged + n
		if err := s.Commit(t.Context(), m.Batch(ledgertest.Entries(acknowledged, tried)...)); err != nil {
			if again := s.Commit(t.Context(), m.Batch(ledgertest.Entries(tried, tried+1)...)); again == nil {
				t.Error("a store goes on after an error")
			}
			return acknowledged, tried
		}
		acknowledged = tried
	}
	return acknowledged, tried
}

// Every write, sync and rename fails once in every way, and the disk is gone from
// then on. Opening again finds all that was acknowledged, and at most the one
// batch that was under way besides.
func TestEveryFault(t *testing.T) {
	base := testOptions(t)
	base.SegmentSize, base.HeadEvery = 16<<10, time.Hour
	if err := Create(base, ledgertest.EmptyHead()); err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, kind fault, at int) *faultyDisk {
		o := copyStore(t, base)
		d := &faultyDisk{kind: kind, at: at, synced: map[string]int64{}}
		o.disk = d
		acknowledged, tried := story(t, o)
		o.disk = nil
		s := reopen(t, o)
		if size := int(s.Head().Size); size != acknowledged && size != tried {
			t.Fatalf("after %v of %q the log has %d entries; %d were acknowledged, %d tried", kind, d.failed, size, acknowledged, tried)
		}
		mustHold(t, s, int(s.Head().Size))
		return d
	}
	total := run(t, refused, -1).n
	seen := map[string]bool{}
	for _, kind := range []fault{refused, kept, partly} {
		for at := 0; at < total; at++ {
			if testing.Short() && at%5 != int(kind) {
				continue
			}
			t.Run(fmt.Sprintf("%v/%d", kind, at), func(t *testing.T) {
				d := run(t, kind, at)
				seen[strings.Trim(d.failed[0], "0123456789")] = true
			})
		}
	}
	t.Logf("%d operations: %v", total, seen)
}

// After a power cut a file has what was synced, and any part of what was not;
// nothing unsynced can be relied on. The index is made again, so only the journal
// matters, and the head.
func TestPowerCut(t *testing.T) {
	base := testOptions(t)
	base.SegmentSize, base.HeadEvery = 16<<10, time.Hour
	if err := Create(base, ledgertest.EmptyHead()); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		o := copyStore(t, base)
		d := &faultyDisk{kind: partly, at: 8 + i, synced: map[string]int64{}}
		if i%2 == 0 {
			d.kind = kept
		}
		o.disk = d
		acknowledged, tried := story(t, o)
		o.disk = nil
		for path, synced := range d.synced {
			st, err := os.Stat(path)
			if err != nil || !strings.HasSuffix(path, ".journal") || st.Size() <= synced {
				continue
			}
			if err := os.Truncate(path, synced+rng.Int64N(st.Size()-synced+1)); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, o.layout().state(), []byte(stateTitle+" open another-boot\n"))
		s := reopen(t, o)
		if size := int(s.Head().Size); size != acknowledged && size != tried {
			t.Fatalf("after a cut at %q the log has %d entries; %d were acknowledged", d.failed, size, acknowledged)
		}
		mustHold(t, s, int(s.Head().Size))
	}
}

// When the head cannot be written any more, the log stops growing.
func TestHeadThatCannotFollowStopsTheLog(t *testing.T) {
	o := testOptions(t)
	o.HeadEvery = time.Millisecond
	o.HeadDir = filepath.Join(t.TempDir(), "heads")
	if err := os.Mkdir(o.HeadDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Create(o, ledgertest.EmptyHead()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.HeadDir, o.HeadDir+".unmounted"); err != nil {
		t.Fatal(err)
	}
	m := &ledgertest.Maker{}
	commitBatches(t, s, m, 1)
	<-s.keeper.done // it has tried, and failed
	if err := s.Commit(t.Context(), m.Batch(ledgertest.Entries(1, 2)...)); err == nil || !strings.Contains(err.Error(), "head") {
		t.Errorf("commit: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("closing does not say that the head is old")
	}
	if err := os.Rename(o.HeadDir+".unmounted", o.HeadDir); err != nil {
		t.Fatal(err)
	}
	mustHold(t, reopen(t, o), 1)
}
