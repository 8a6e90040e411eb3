package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
)

// A journal on a volume that is really full: the batch that does not fit is an
// error, and no more; with room again, the log goes on where it was.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	o := testOptions(t)
	o.Free = func(string) (uint64, error) { return 1 << 40, nil } // the floor is tested elsewhere
	if err := Create(o, ledgertest.EmptyHead()); err != nil {
		t.Fatal(err)
	}
	journal := o.layout().journal()
	first := readFile(t, journalFile(o, 0))
	if err := syscall.Mount("countersign-test", journal, "tmpfs", 0, "size=200k"); err != nil {
		t.Skip("mounting is not permitted: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(journal, 0); err != nil {
			t.Error(err)
		}
	})
	writeFile(t, filepath.Join(journal, segmentName(0)), first)

	s, m := reopen(t, o), &ledgertest.Maker{}
	acknowledged := 0
	for {
		err := s.Commit(t.Context(), m.Batch(ledgertest.Entries(acknowledged, acknowledged+20)...))
		if err != nil {
			if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ledger.ErrReadOnly) {
				t.Fatalf("commit on a full disk: %v", err)
			}
			break
		}
		acknowledged += 20
	}
	if acknowledged == 0 {
		t.Fatal("nothing fits")
	}
	mustHold(t, s, acknowledged)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("countersign-test", journal, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, o)
	mustHold(t, s, acknowledged)
	if err := s.Commit(t.Context(), nextBatch(s, 20)); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, acknowledged+20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
