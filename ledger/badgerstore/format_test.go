package badgerstore

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
)

func sampleRecord() ledger.Record {
	return ledger.Record{Index: 7, Entry: ledgertest.Entry(3), Time: ledgertest.Start, Token: []byte("token")}
}

func sampleCommit() commit {
	return commit{before: 3, rows: 9, negative: 2, head: ledger.Head{Checkpoint: ledgertest.EmptyHead().Checkpoint,
		Note: []byte("note"), Token: []byte("token"), Time: ledgertest.Start}}
}

func TestHeaderPrintsTheSame(t *testing.T) {
	h := header{segment: 3, first: 1 << 40, salt: [saltSize]byte{1, 2}, origin: "log.example"}
	b, seed := h.marshal()
	got, n, gotSeed, err := parseHeader(append(bytes.Clone(b), "records"...))
	if err != nil || got != h || n != len(b) || gotSeed != seed {
		t.Errorf("%+v, %d, %v", got, n, err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 0x10
		if _, _, _, err := parseHeader(c); err == nil {
			t.Errorf("a header with another byte %d is taken", i)
		}
		if _, _, _, err := parseHeader(b[:i]); err == nil {
			t.Errorf("%d bytes of a header are taken", i)
		}
	}
	newer := bytes.Clone(b)
	newer[11] = 2
	if _, _, _, err := parseHeader(newer); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a later version: %v", err)
	}
}

// A record is valid in its own place only: not elsewhere in the segment, and not
// in another segment.
func TestRecordIsValidInItsPlace(t *testing.T) {
	r := sampleRecord()
	const seed, offset = 99, 1234
	b := appendRecord(nil, seed, offset, entryType, func(b []byte) []byte { return appendEntry(b, &r) })
	body, err := payload(b, seed, offset)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseEntry(body)
	if d := cmp.Diff(r, got, cmpopts.EquateEmpty()); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if _, err := payload(b, seed+1, offset); err == nil {
		t.Error("it is valid in another segment")
	}
	if _, err := payload(b, seed, offset+1); err == nil {
		t.Error("it is valid in another place")
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := payload(c, seed, offset); err == nil {
			t.Errorf("it is valid with another byte %d", i)
		}
	}
}

func TestWhatTheFormatCannotHoldIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*ledger.Record){
		"keys not sorted":    func(r *ledger.Record) { r.Keys = []string{"b", "a"} },
		"a key twice":        func(r *ledger.Record) { r.Keys = []string{"a", "a"} },
		"an empty key":       func(r *ledger.Record) { r.Keys = []string{""} },
		"a long key":         func(r *ledger.Record) { r.Keys = []string{strings.Repeat("x", 4097)} },
		"part of a second":   func(r *ledger.Record) { r.Time = r.Time.Add(time.Microsecond) },
		"more than a record": func(r *ledger.Record) { r.Body = make([]byte, maxRecord/2) },
	} {
		r := sampleRecord()
		if err := checkRecord(&r); err != nil {
			t.Fatal(err)
		}
		if spoil(&r); checkRecord(&r) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzEntry(f *testing.F) {
	r := sampleRecord()
	f.Add(appendEntry(nil, &r))
	f.Add(appendEntry(nil, &ledger.Record{Time: time.UnixMilli(0)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseEntry(b)
		if err != nil {
			return
		}
		if got := appendEntry(nil, &r); !bytes.Equal(got, b) {
			t.Errorf("%x is printed as %x", b, got)
		}
	})
}

func FuzzCommit(f *testing.F) {
	m := sampleCommit()
	f.Add(m.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseCommit(b, "log.example")
		if err != nil {
			return
		}
		if got := m.append(nil); !bytes.Equal(got, b) {
			t.Errorf("%x is printed as %x", b, got)
		}
	})
}

func FuzzHeader(f *testing.F) {
	b, _ := header{segment: 3, first: 9, origin: "log.example"}.marshal()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, _, err := parseHeader(b)
		if err != nil {
			return
		}
		if got, _ := h.marshal(); !bytes.Equal(got, b[:n]) {
			t.Errorf("%x is printed as %x", b[:n], got)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add(marshalHead(ledgertest.EmptyHead()))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHead(b)
		if err != nil {
			return
		}
		if got := marshalHead(h); !bytes.Equal(got, b) {
			t.Errorf("%q is printed as %q", b, got)
		}
	})
}

// FuzzJournal lets anything stand behind a valid journal: opening never fails
// but for damage that it names, and never loses what stood before.
func FuzzJournal(f *testing.F) {
	f.Add([]byte("ENTR\x00\x00\x00\x01x\x00\x00\x00\x00"), uint16(0), byte(0))
	f.Add([]byte("CMIT\x00\x00\x00\x01x\x00\x00\x00\x00"), uint16(200), byte(1))
	o := testOptions(f)
	s := newStore(f, o, ledgertest.EmptyHead())
	start := s.journal.segments[0].start
	commitBatches(f, s, &ledgertest.Maker{}, 2, 1)
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	o.Log = nil
	whole := readFile(f, journalFile(o, 0))
	f.Fuzz(func(t *testing.T, tail []byte, flip uint16, with byte) {
		b := append(bytes.Clone(whole), tail...)
		at := int(start) + int(flip)%(len(whole)-int(start))
		b[at] ^= with
		writeFile(t, journalFile(o, 0), b)
		report, err := checkJournal(t, o)
		switch {
		case err != nil && with == 0:
			t.Errorf("a journal with %x behind it: %v", tail, err)
		case err == nil && with == 0 && report.Head.Size != 3:
			t.Errorf("a journal with %x behind it has size %d", tail, report.Head.Size)
		case err == nil && with != 0 && report.Torn == 0:
			t.Errorf("byte %d was changed by %x, and nobody noticed", at, with)
		}
	})
}
