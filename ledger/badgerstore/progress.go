package badgerstore

import "fmt"

// A Progress is told how much of the work is done, from time to time and at the
// end, from one goroutine. The unit is the work that a byte of the journal is. It
// may be nil.
type Progress func(done, total int64)

// A meter counts work for a Progress.
type meter struct {
	progress Progress
	starts   []int64 // of the segments, if they were one file
	journal  int64   // bytes in all of them
	index    int64   // work on the index, after the journal
	told     int64
}

// meterStep is the work after which a Progress is told again.
const meterStep = 4 << 20

func (j *journal) meter(p Progress) (*meter, error) {
	m := &meter{progress: p}
	for _, s := range j.segments {
		size, err := s.file.Size()
		if err != nil {
			return nil, fmt.Errorf("read journal/%s: %w", s.name(), err)
		}
		m.starts = append(m.starts, m.journal)
		m.journal += size
	}
	return m, nil
}

// read notes how far a scan has come.
func (m *meter) read(s *scan) { m.tell(m.starts[s.number] + s.offset) }

// compared notes which part of the index was compared.
func (m *meter) compared(rows, of uint64) {
	m.tell(m.journal + int64(float64(m.index)*float64(rows)/float64(of+1)))
}

func (m *meter) tell(done int64) {
	if m.progress != nil && done-m.told >= meterStep {
		m.told = done
		m.progress(done, m.journal+m.index)
	}
}

// finish tells that all is done.
func (m *meter) finish() {
	if m.progress != nil {
		m.progress(m.journal+m.index, m.journal+m.index)
	}
}
