package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/countersign-dev/countersign/ledger"
)

// A batch is one batch as the journal holds it. Its records' bytes are good
// until the next one is read.
type batch struct {
	segment  *segment
	start    int64 // of the first record
	offsets  []int64
	records  []ledger.Record
	commitAt int64
	end      int64
	commit   commit
}

// A scan reads the batches of a journal in order, from the end of one of them.
// It checks every byte's CRC, and that indexes and sizes follow one another and
// times do not go back; what the records mean is checked by whoever asked.
type scan struct {
	journal *journal
	number  int   // of the segment
	offset  int64 // in it, where the next batch starts
	size    uint64
	time    time.Time
	window  window
	batch   batch
	fresh   bool // the segment at number has not been looked at
}

// scanFrom starts behind the batch that ends at offset of a segment and made the
// log this size at this time.
func (j *journal) scanFrom(number int, offset int64, size uint64, at time.Time) *scan {
	return &scan{journal: j, number: number, offset: offset, size: size, time: at, fresh: true}
}

// scanAll starts at the beginning.
func (j *journal) scanAll() *scan { return j.scanFrom(0, j.segments[0].start, 0, time.Time{}) }

// next returns the next batch, io.EOF at the end of the journal, or *Damage.
func (s *scan) next() (*batch, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	if s.offset == s.window.end {
		if s.number == len(s.journal.segments)-1 {
			return nil, io.EOF
		}
		s.number, s.fresh = s.number+1, true
		s.offset = s.journal.segments[s.number].start
		return s.next()
	}
	seg := s.journal.segments[s.number]
	s.window.slide(s.offset)
	s.batch = batch{segment: seg, start: s.offset, offsets: s.batch.offsets[:0], records: s.batch.records[:0]}
	if err := s.fill(&s.batch); err != nil {
		var d *Damage
		if errors.As(err, &d) {
			d.batch = s.batch.start
		}
		return nil, err
	}
	s.offset = s.batch.end
	return &s.batch, nil
}

// enter prepares for a segment that was not looked at before.
func (s *scan) enter() error {
	if !s.fresh {
		return nil
	}
	seg := s.journal.segments[s.number]
	if s.offset == seg.start && seg.first != s.size {
		return contradiction(seg, 0, "the segment starts at entry %d where %d is due", seg.first, s.size)
	}
	end, err := seg.file.Size()
	if err != nil {
		return fmt.Errorf("read journal/%s: %w", seg.name(), err)
	}
	if s.offset > end {
		return contradiction(seg, end, "the segment ends here, before offset %d that the index knows", s.offset)
	}
	s.window, s.fresh = window{file: seg.file, end: end, buf: s.window.buf[:0], base: s.offset}, false
	return nil
}

// fill reads records up to the next commit.
func (s *scan) fill(b *batch) error {
	for offset := b.start; ; {
		kind, body, length, err := s.record(b.segment, offset)
		if err != nil {
			return err
		}
		if kind == commitType {
			b.commitAt, b.end = offset, offset+int64(length)
			return s.commit(b, body)
		}
		r, err := parseEntry(body)
		if err != nil {
			return contradiction(b.segment, offset, "%w", err)
		}
		if want := s.size + uint64(len(b.records)); r.Index != want {
			return contradiction(b.segment, offset, "entry %d stands where entry %d is due", r.Index, want)
		}
		if r.Time.Before(s.time) {
			return contradiction(b.segment, offset, "the time of entry %d goes back", r.Index)
		}
		s.time = r.Time
		b.offsets = append(b.offsets, offset)
		b.records = append(b.records, r)
		offset += int64(length)
	}
}

func (s *scan) commit(b *batch, body []byte) error {
	m, err := parseCommit(body, s.journal.origin)
	if err != nil {
		return contradiction(b.segment, b.commitAt, "%w", err)
	}
	if first := s.number == 0 && b.start == b.segment.start; first != (len(b.records) == 0) {
		return contradiction(b.segment, b.commitAt, "the batch is empty, or the log does not begin with an empty one")
	}
	if m.before != s.size || m.head.Size != s.size+uint64(len(b.records)) {
		return contradiction(b.segment, b.commitAt, "the commit goes from size %d to %d and has %d entries after %d",
			m.before, m.head.Size, len(b.records), s.size)
	}
	if m.head.Time.Before(s.time) {
		return contradiction(b.segment, b.commitAt, "the time of the checkpoint of size %d goes back", m.head.Size)
	}
	s.time, s.size, b.commit = m.head.Time, m.head.Size, m
	return nil
}

// record reads one record and checks its CRC.
func (s *scan) record(seg *segment, offset int64) (kind string, body []byte, length int, err error) {
	b, err := s.window.at(offset, 8)
	if err != nil {
		return "", nil, 0, fmt.Errorf("read journal/%s: %w", seg.name(), err)
	}
	if len(b) < 8 {
		return "", nil, 0, unreadable(seg, offset, "the segment ends within a batch")
	}
	kind, length, err = recordSpan(b)
	if err != nil {
		return "", nil, 0, unreadable(seg, offset, "%w", err)
	}
	b, err = s.window.at(offset, length)
	if err != nil {
		return "", nil, 0, fmt.Errorf("read journal/%s: %w", seg.name(), err)
	}
	if len(b) < length {
		return "", nil, 0, unreadable(seg, offset, "the segment ends within a record")
	}
	body, err = payload(b, seg.seed, offset)
	if err != nil {
		return "", nil, 0, unreadable(seg, offset, "%w", err)
	}
	return kind, body, length, nil
}

// commitBehind says whether a valid commit record starts in seg behind offset.
// If so, the bytes at offset were acknowledged once.
func commitBehind(seg *segment, offset int64) (bool, error) {
	end, err := seg.file.Size()
	if err != nil {
		return false, err
	}
	rest := make([]byte, max(0, end-offset-1))
	if _, err := seg.file.ReadAt(rest, offset+1); err != nil && err != io.EOF {
		return false, err
	}
	for i := 0; ; {
		n := bytes.Index(rest[i:], []byte(commitType))
		if n < 0 || len(rest)-i-n < recordOverhead {
			return false, nil
		}
		i += n
		if _, length, err := recordSpan(rest[i:]); err == nil && length <= min(maxCommit, len(rest)-i) {
			if _, err := payload(rest[i:i+length], seg.seed, offset+1+int64(i)); err == nil {
				return true, nil
			}
		}
		i++
	}
}

// A window is a part of a file in memory that moves forward.
type window struct {
	file file
	end  int64 // of the file
	base int64 // where buf starts
	buf  []byte
}

const readAhead = 1 << 20

// slide forgets what is before offset, and with it every slice given out.
func (w *window) slide(offset int64) {
	kept := copy(w.buf, w.buf[min(int64(len(w.buf)), offset-w.base):])
	w.buf, w.base = w.buf[:kept], offset
}

// at returns n bytes of the file, fewer at its end. Slices that it returned stay
// good until slide.
func (w *window) at(offset int64, n int) ([]byte, error) {
	from := offset - w.base
	if missing := from + int64(n) - int64(len(w.buf)); missing > 0 {
		have := int64(len(w.buf))
		more := min(max(missing, readAhead), w.end-w.base-have)
		if have+more > int64(cap(w.buf)) {
			w.buf = append(make([]byte, 0, 2*(have+more)), w.buf...)
		}
		w.buf = w.buf[:have+more]
		read, err := w.file.ReadAt(w.buf[have:], w.base+have)
		w.buf = w.buf[:have+int64(read)]
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
	return w.buf[min(from, int64(len(w.buf))):min(from+int64(n), int64(len(w.buf)))], nil
}
