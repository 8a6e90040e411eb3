package ledger

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// stamping mints the timestamps of a batch with a few goroutines that live as
// long as the sequencer, which helps them.
type stamping struct {
	stamper Stamper
	work    chan *stampJob
	workers sync.WaitGroup
	current *stampJob
}

// A stampJob is a batch whose records are stamped by whoever is free.
type stampJob struct {
	stamper Stamper
	records []Record
	at      time.Time
	next    atomic.Int64 // the first record that nobody took yet
	pending sync.WaitGroup

	mu  sync.Mutex // guards err
	err error
}

func startStamping(stamper Stamper, workers int) *stamping {
	s := &stamping{stamper: stamper, work: make(chan *stampJob, workers)}
	for range workers {
		s.workers.Go(func() {
			for job := range s.work {
				job.help()
				job.pending.Done()
			}
		})
	}
	return s
}

// stop ends the goroutines and waits for them.
func (s *stamping) stop() {
	close(s.work)
	s.workers.Wait()
}

// begin sets the goroutines to work on the records' tokens. finish follows.
func (s *stamping) begin(records []Record, at time.Time) {
	job := &stampJob{stamper: s.stamper, records: records, at: at}
	s.current = job
	for range min(cap(s.work), len(records)) {
		job.pending.Add(1)
		s.work <- job
	}
}

// finish helps with what is left, and returns when every record has its token.
func (s *stamping) finish() error {
	job := s.current
	s.current = nil
	job.help()
	job.pending.Wait()
	return job.err // nobody writes it any more
}

// help stamps records until none is left.
func (j *stampJob) help() {
	for {
		i := int(j.next.Add(1)) - 1
		if i >= len(j.records) {
			return
		}
		r := &j.records[i]
		token, err := j.stamper.Stamp(r.Stamp, j.at)
		if err != nil {
			j.fail(fmt.Errorf("stamp entry %d: %w", r.Index, err))
			return
		}
		r.Token = token
	}
}

func (j *stampJob) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
	j.next.Store(int64(len(j.records))) // the others may stop, too
}
