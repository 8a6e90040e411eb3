package badgerstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/countersign-dev/countersign/ledger"
)

// A position is where a record of the journal starts: the segment's number in
// the upper 32 bits, the offset in the lower.
type position uint64

func at(s *segment, offset int64) position { return position(s.segment<<32 | uint64(offset)) }

func (p position) segment() int  { return int(p >> 32) }
func (p position) offset() int64 { return int64(p & 0xffffffff) }

// A segment is one file of the journal.
type segment struct {
	header
	file  file
	seed  uint32 // of the CRCs: see format.go
	start int64  // of the records
}

func segmentName(number uint64) string { return fmt.Sprintf("%08d.journal", number) }

func (s *segment) name() string { return segmentName(s.segment) }

// A journal is the folder of segments. One goroutine appends; any number read.
type journal struct {
	disk   disk
	dir    string
	origin string
	limit  int64 // begin a new segment when one has this many bytes

	end int64 // of the last segment's whole batches; the writer's alone

	mu       sync.RWMutex // guards segments; each is never changed
	segments []*segment
}

// openJournal opens the segments of a journal and checks that they follow one
// another. It does not read the records.
func openJournal(d disk, dir string, limit int64) (*journal, error) {
	names, err := segmentNames(dir)
	if err != nil {
		return nil, err
	}
	j := &journal{disk: d, dir: dir, limit: limit}
	for i, name := range names {
		if name != segmentName(uint64(i)) {
			j.close()
			return nil, fmt.Errorf("%w: journal/%s is there and %s is not", ledger.ErrCorrupt, name, segmentName(uint64(i)))
		}
		if err := j.openSegment(uint64(i)); err != nil {
			j.close()
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, errEmpty
	}
	j.origin = j.segments[0].origin
	return j, nil
}

var errEmpty = errors.New("there is no log")

// segmentNames lists the segments of a journal in order. A file with another
// name is an error, but for a segment that was being made.
func segmentNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errEmpty
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), ".new"):
		case strings.HasSuffix(e.Name(), ".journal"):
			names = append(names, e.Name())
		default:
			return nil, fmt.Errorf("%s does not belong into the journal; move it away", filepath.Join(dir, e.Name()))
		}
	}
	return names, nil
}

func (j *journal) openSegment(number uint64) error {
	name := segmentName(number)
	f, err := j.disk.Open(filepath.Join(j.dir, name), 0)
	if err != nil {
		return err
	}
	b := make([]byte, headerFixed+maxOrigin+4)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		f.Close()
		return fmt.Errorf("read journal/%s: %w", name, err)
	}
	h, length, seed, err := parseHeader(b[:n])
	if err == nil && (h.segment != number || len(j.segments) > 0 && h.origin != j.segments[0].origin) {
		err = fmt.Errorf("it is segment %d of log %q", h.segment, h.origin)
	}
	if err != nil {
		f.Close()
		return &Damage{Segment: name, Err: err}
	}
	j.segments = append(j.segments, &segment{header: h, file: f, seed: seed, start: int64(length)})
	return nil
}

func (j *journal) close() error {
	var errs []error
	for _, s := range j.segments {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// newSegment begins the segment after the last one. A crash leaves it complete
// and empty, or not at all.
func (j *journal) newSegment(first uint64) error {
	h := header{segment: uint64(len(j.segments)), first: first, origin: j.origin}
	rand.Read(h.salt[:]) // never fails: crypto/rand
	b, seed := h.marshal()
	path := filepath.Join(j.dir, segmentName(h.segment))
	if err := replace(j.disk, path, b); err != nil {
		return err
	}
	f, err := j.disk.Open(path, 0)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.segments = append(j.segments, &segment{header: h, file: f, seed: seed, start: int64(len(b))})
	j.mu.Unlock()
	j.end = int64(len(b))
	return nil
}

// room returns the segment that takes the next batch, and where.
func (j *journal) room(size uint64) (*segment, int64, error) {
	if j.end >= j.limit {
		if err := j.newSegment(size); err != nil {
			return nil, 0, fmt.Errorf("begin segment %d: %w", len(j.segments), err)
		}
	}
	return j.last(), j.end, nil
}

func (j *journal) last() *segment { return j.segments[len(j.segments)-1] }

// write appends whole batches to the last segment, and syncs. After an error
// nobody knows what the segment holds behind j.end.
func (j *journal) write(batch []byte) error {
	s := j.last()
	if j.end+int64(len(batch)) > maxSegment {
		return fmt.Errorf("a batch of %d bytes does not fit into a segment", len(batch))
	}
	if _, err := s.file.WriteAt(batch, j.end); err != nil {
		return fmt.Errorf("write journal/%s: %w", s.name(), err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync journal/%s: %w", s.name(), err)
	}
	j.end += int64(len(batch))
	return nil
}

// read returns the payload of the record at p, which must be of this type.
func (j *journal) read(p position, kind string) (*segment, []byte, error) {
	j.mu.RLock()
	if p.segment() >= len(j.segments) {
		j.mu.RUnlock()
		return nil, nil, fmt.Errorf("%w: there is no segment %d", ledger.ErrCorrupt, p.segment())
	}
	s := j.segments[p.segment()]
	j.mu.RUnlock()

	b := make([]byte, 4096)
	n, err := s.file.ReadAt(b, p.offset())
	if err != nil && err != io.EOF {
		return s, nil, fmt.Errorf("read journal/%s: %w", s.name(), err)
	}
	if n < recordOverhead {
		return s, nil, unreadable(s, p.offset(), "the segment ends here")
	}
	found, length, err := recordSpan(b[:8])
	if err == nil && found != kind {
		err = fmt.Errorf("a record %s stands where one %s is due", found, kind)
	}
	if err != nil {
		return s, nil, unreadable(s, p.offset(), "%w", err)
	}
	if length > n {
		b = append(b[:n], make([]byte, length-n)...)
		if _, err := s.file.ReadAt(b[n:], p.offset()+int64(n)); err == io.EOF {
			return s, nil, unreadable(s, p.offset(), "the segment ends within the record")
		} else if err != nil {
			return s, nil, fmt.Errorf("read journal/%s: %w", s.name(), err)
		}
	}
	body, err := payload(b[:length], s.seed, p.offset())
	if err != nil {
		return s, nil, unreadable(s, p.offset(), "%w", err)
	}
	return s, body, nil
}

// entry reads the entry record at p, which must be that of index.
func (j *journal) entry(p position, index uint64) (ledger.Record, error) {
	s, b, err := j.read(p, entryType)
	if err != nil {
		return ledger.Record{}, err
	}
	r, err := parseEntry(b)
	if err != nil {
		return ledger.Record{}, contradiction(s, p.offset(), "%w", err)
	}
	if r.Index != index {
		return ledger.Record{}, contradiction(s, p.offset(), "entry %d stands where positions has entry %d", r.Index, index)
	}
	return r, nil
}

// commit reads the commit record at p, which must be that of size, and returns
// where it ends.
func (j *journal) commit(p position, size uint64) (commit, int64, error) {
	s, b, err := j.read(p, commitType)
	if err != nil {
		return commit{}, 0, err
	}
	m, err := parseCommit(b, j.origin)
	if err != nil {
		return commit{}, 0, contradiction(s, p.offset(), "%w", err)
	}
	if m.head.Size != size {
		return commit{}, 0, contradiction(s, p.offset(), "the commit is of size %d where the index has %d", m.head.Size, size)
	}
	return m, p.offset() + int64(len(b)) + recordOverhead, nil
}
