package cohort

import (
	"slices"
	"strconv"
	"time"
)

// A Span sums up how long something took.
type Span struct {
	Known   int     `json:"known"`   // how many are known
	Unknown int     `json:"unknown"` // how many are not, or not over
	Median  Seconds `json:"medianSeconds"`
	P90     Seconds `json:"p90Seconds"` // nine of ten took no longer
}

// Seconds is a duration, in JSON a number of whole seconds.
type Seconds time.Duration

// MarshalJSON writes whole seconds.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(time.Duration(s)/time.Second), 10), nil
}

// Duration is the same as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// A sample collects durations; nil is one that is not known.
type sample struct {
	known   []time.Duration
	unknown int
}

func (s *sample) add(d *time.Duration) {
	if d == nil {
		s.unknown++
		return
	}
	s.known = append(s.known, *d)
}

func (s *sample) span() Span {
	slices.Sort(s.known)
	return Span{len(s.known), s.unknown, Seconds(s.quantile(50)), Seconds(s.quantile(90))}
}

// quantile is the nearest rank: the smallest that percent of all do not exceed.
func (s *sample) quantile(percent int) time.Duration {
	if len(s.known) == 0 {
		return 0
	}
	return s.known[(percent*len(s.known)+99)/100-1]
}
