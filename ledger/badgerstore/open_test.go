package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// commit commits batches of these sizes.
func commitBatches(t testing.TB, s *Store, m *ledgertest.Maker, sizes ...int) {
	t.Helper()
	for _, n := range sizes {
		at := int(s.Head().Size)
		if err := s.Commit(t.Context(), m.Batch(ledgertest.Entries(at, at+n)...)); err != nil {
			t.Fatal(err)
		}
	}
}

// mustHold reads the whole log, and compares it with the entries of ledgertest.
func mustHold(t testing.TB, s *Store, size int) {
	t.Helper()
	if got := s.Head().Size; got != uint64(size) {
		t.Fatalf("the log has %d entries, want %d", got, size)
	}
	negative := 0
	for i := range size {
		want := ledgertest.Entry(i)
		got, err := s.Record(t.Context(), uint64(i))
		if err != nil || !bytes.Equal(got.Leaf, want.Leaf) || !bytes.Equal(got.Body, want.Body) {
			t.Fatalf("entry %d: %q, %v", i, got.Leaf, err)
		}
		n, found, err := s.Lookup(t.Context(), tlog.LeafHash(want.Leaf))
		if n != uint64(i) || !found || err != nil {
			t.Fatalf("lookup of entry %d: %d, %t, %v", i, n, found, err)
		}
		if want.Negative != "" {
			negative++
		}
	}
	if got := len(s.Negative()); got != negative {
		t.Fatalf("%d negative entries, want %d", got, negative)
	}
	found, err := s.Search(t.Context(), ledger.Query{Key: "all", Limit: ledger.MaxPage})
	if err != nil || len(found) != min(size, ledger.MaxPage) {
		t.Fatalf("a search for all finds %d, %v", len(found), err)
	}
	if _, err := tlog.OpenTree(t.Context(), s.Head().Checkpoint, 16, s.Tile); err != nil {
		t.Fatal(err)
	}
}

// copyStore copies a closed store, as it is, to a folder of its own.
func copyStore(t testing.TB, o Options) Options {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	o.Dir = to
	return o
}

func journalFile(o Options, number uint64) string {
	return filepath.Join(o.layout().journal(), segmentName(number))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCreateIsNotOpen(t *testing.T) {
	o := testOptions(t)
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "countersignd create") {
		t.Errorf("opening a missing folder: %v", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "countersignd create") {
		t.Errorf("opening an empty folder: %v", err)
	}
	if entries, _ := os.ReadDir(o.Dir); len(entries) != 0 {
		t.Errorf("opening left %v", entries)
	}
	if err := Create(o, ledgertest.EmptyHead()); err != nil {
		t.Fatal(err)
	}
	if err := Create(o, ledgertest.EmptyHead()); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("creating twice: %v", err)
	}
	other := testOptions(t)
	other.HeadDir = o.Dir
	if err := Create(other, ledgertest.EmptyHead()); err == nil || !strings.Contains(err.Error(), "another log") {
		t.Errorf("creating with the head of another log: %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	o := testOptions(t)
	newStore(t, o, ledgertest.EmptyHead())
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opening twice: %v", err)
	}
	if _, err := Check(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("checking an open store: %v", err)
	}
}

// Whatever part of the last batch is on the disk, opening finds the log before
// it, or, when all of it is there, with it.
func TestTornTailIsCutAtEveryByte(t *testing.T) {
	o := testOptions(t)
	o.SegmentSize = 1 << 20
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 3, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := copyStore(t, o)
	start := len(readFile(t, journalFile(o, 0)))
	s = reopen(t, o)
	commitBatches(t, s, m, 2)
	whole := readFile(t, journalFile(o, 0))

	path := journalFile(before, 0)
	for cut := start; cut <= len(whole); cut++ {
		writeFile(t, path, whole[:cut])
		switch report, err := checkJournal(t, before); {
		case err != nil:
			t.Fatalf("cut at %d: %v", cut, err)
		case cut < len(whole) && (report.Head.Size != 4 || report.Torn != int64(cut-start)):
			t.Fatalf("cut at %d: %+v", cut, report)
		case cut == len(whole) && (report.Head.Size != 6 || report.Torn != 0):
			t.Fatalf("the whole batch: %+v", report)
		}
	}
	for _, cut := range []int{len(whole) - 1, start + 9, start + 1, len(whole)} {
		writeFile(t, path, whole[:cut])
		s := reopen(t, before)
		size := 4
		if cut == len(whole) {
			size = 6
		}
		mustHold(t, s, size)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := len(readFile(t, path)); size == 4 && got != start {
			t.Errorf("cut at %d: the journal has %d bytes, want %d", cut, got, start)
		}
	}
}

// checkJournal is Check of the journal alone.
func checkJournal(t *testing.T, o Options) (Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c := checker{ctx: t.Context()}
	s, err := open(o, func(s *Store) error {
		c.Store = s
		return c.journalHolds()
	})
	if err == nil {
		err = s.closeChecked()
	}
	return c.report, err
}

// The batch after a torn one takes its place.
func TestLogGoesOnAfterTornTail(t *testing.T) {
	o := testOptions(t)
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := readFile(t, journalFile(o, 0))
	writeFile(t, journalFile(o, 0), append(b, "ENTR\x00\x00\x10\x00 and then the power went"...))
	s = reopen(t, o)
	commitBatches(t, s, m, 5)
	mustHold(t, s, 8)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, reopen(t, o), 8)
}

func TestDamageIsNamedAndNeverSkipped(t *testing.T) {
	o := testOptions(t)
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 3, 100, 1, 200, 50)
	if len(s.journal.segments) < 2 {
		t.Fatal("the test wants several segments")
	}
	p, err := s.positions.of(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := copyStore(t, o)
	b := readFile(t, journalFile(damaged, 0))
	b[p.offset()+40] ^= 1
	writeFile(t, journalFile(damaged, 0), b)
	want := fmt.Sprintf("journal/00000000.journal at offset %d:", p.offset())

	mustSay := func(what string, err error) {
		t.Helper()
		var d *Damage
		if !errors.Is(err, ledger.ErrCorrupt) || !errors.As(err, &d) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want ErrCorrupt with %q", what, err, want)
		}
	}
	_, err = Check(t.Context(), damaged, nil)
	mustSay("check", err)
	mustSay("rebuild", Rebuild(t.Context(), damaged, nil))
	_, err = Open(t.Context(), damaged)
	mustSay("open without an index", err)

	// With an index opening may not notice, but reading does.
	s = reopen(t, o)
	writeFile(t, journalFile(o, 0), b)
	_, err = s.Record(t.Context(), 2)
	mustSay("reading", err)
	if _, err := s.Record(t.Context(), 1); err != nil {
		t.Errorf("the entry before: %v", err)
	}
}

// An entry that was replaced with a right CRC is still not the one in the tree.
func TestForgedEntryIsCorrupt(t *testing.T) {
	o := testOptions(t)
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 300)
	for _, index := range []uint64{7, 290} { // in a full tile, and at the edge
		p, err := s.positions.of(index)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Record(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		r.Leaf = bytes.Replace(r.Leaf, []byte("leaf"), []byte("lies"), 1)
		seg := s.journal.segments[0]
		forged := appendRecord(nil, seg.seed, p.offset(), entryType, func(b []byte) []byte { return appendEntry(b, &r) })
		if _, err := seg.file.WriteAt(forged, p.offset()); err != nil {
			t.Fatal(err)
		}
		_, err = s.Record(t.Context(), index)
		if !errors.Is(err, ledger.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprintf("offset %d", p.offset())) {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), o, nil); !errors.Is(err, ledger.ErrCorrupt) || !strings.Contains(err.Error(), "root") {
		t.Errorf("check: %v", err)
	}
}

func TestStoreBehindItsHeadIsRolledBack(t *testing.T) {
	o := testOptions(t)
	o.HeadDir = t.TempDir()
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	old := copyStore(t, o)
	s = reopen(t, o)
	commitBatches(t, s, m, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), old); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("an old copy opens: %v", err)
	}
	if err := Rebuild(t.Context(), old, nil); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("an old copy is rebuilt: %v", err)
	}
	if _, err := Check(t.Context(), old, nil); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("an old copy is checked: %v", err)
	}
	mustHold(t, reopen(t, o), 20)
}

// A journal that ends before what the index has seen lost batches that were
// acknowledged, even if the head has not noticed them yet.
func TestStoreBehindItsIndexIsRolledBack(t *testing.T) {
	o := testOptions(t)
	o.SegmentSize = 1 << 20
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 10)
	cut := s.journal.end
	head := readFile(t, o.layout().head())
	commitBatches(t, s, m, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, o.layout().head(), head)
	writeFile(t, journalFile(o, 0), readFile(t, journalFile(o, 0))[:cut])
	for range 2 { // and it stays so
		if _, err := Open(t.Context(), o); !errors.Is(err, ledger.ErrRolledBack) {
			t.Errorf("it opens: %v", err)
		}
	}
	if err := Rebuild(t.Context(), o, nil); err != nil { // the operator's word
		t.Error(err)
	}
	mustHold(t, reopen(t, o), 10)
}

func TestForkIsCorrupt(t *testing.T) {
	a, b := testOptions(t), testOptions(t)
	for i, o := range []Options{a, b} {
		s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
		for _, sizes := range []int{5, 1} {
			at := i*100 + int(s.Head().Size)
			if err := s.Commit(t.Context(), m.Batch(ledgertest.Entries(at, at+sizes)...)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, a.layout().head(), readFile(t, b.layout().head()))
	if _, err := Open(t.Context(), a); !errors.Is(err, ledger.ErrCorrupt) {
		t.Errorf("a log with the head of its fork opens: %v", err)
	}
	if _, err := Check(t.Context(), a, nil); !errors.Is(err, ledger.ErrCorrupt) {
		t.Errorf("a log with the head of its fork is checked: %v", err)
	}
}

func TestMissingHeadIsRefusedUntilRebuilt(t *testing.T) {
	o := testOptions(t)
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := readFile(t, o.layout().head())
	if err := os.Remove(o.layout().head()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("opened without a head: %v", err)
	}
	if err := Rebuild(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, o.layout().head()); !bytes.Equal(got, want) {
		t.Errorf("the head is now %q, was %q", got, want)
	}
	for i := range want {
		b := bytes.Clone(want)
		b[i] ^= 1
		if _, err := parseHead(b); err == nil {
			t.Errorf("a head with another byte %d is taken", i)
		}
	}
}

// Each of these makes the index worthless; opening notices and makes a new one.
func TestIndexIsMadeAgain(t *testing.T) {
	o := testOptions(t)
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 300, 7)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(l layout) error{
		"index gone":         func(l layout) error { return os.RemoveAll(l.index()) },
		"state gone":         func(l layout) error { return os.Remove(l.state()) },
		"positions gone":     func(l layout) error { return os.Remove(l.positions()) },
		"positions short":    func(l layout) error { return os.Truncate(l.positions(), 2000) },
		"manifest truncated": func(l layout) error { return os.Truncate(filepath.Join(l.index(), "MANIFEST"), 20) },
		"another boot":       func(l layout) error { return os.WriteFile(l.state(), []byte(stateTitle+" open another\n"), 0o600) },
		"killed, index gone": func(l layout) error {
			return errors.Join(l.setOpen(osDisk{}), os.RemoveAll(l.index()))
		},
		"killed, positions wrong": func(l layout) error {
			return errors.Join(l.setOpen(osDisk{}), os.WriteFile(l.positions(), make([]byte, 307*8), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := copyStore(t, o)
			if err := spoil(o.layout()); err != nil {
				t.Fatal(err)
			}
			s := reopen(t, o)
			mustHold(t, s, 307)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if r, err := Check(t.Context(), o, nil); err != nil || r.Index != "" {
				t.Errorf("check: %+v, %v", r, err)
			}
		})
	}
}

func TestBelowTheFloorNothingIsWritten(t *testing.T) {
	o := testOptions(t)
	free := uint64(1 << 40)
	o.Free = func(string) (uint64, error) { return free, nil }
	s, m := newStore(t, o, ledgertest.EmptyHead()), &ledgertest.Maker{}
	commitBatches(t, s, m, 3)
	before := readFile(t, journalFile(o, 0))
	free = defaultMinFree - 1
	b := m.Batch(ledgertest.Entries(3, 5)...)
	if err := s.Commit(t.Context(), b); !errors.Is(err, ledger.ErrReadOnly) {
		t.Fatalf("commit below the floor: %v", err)
	}
	if !bytes.Equal(readFile(t, journalFile(o, 0)), before) {
		t.Error("something was written")
	}
	mustHold(t, s, 3)
	free = defaultMinFree
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, 5)
}
