package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// patience is how long a body may be on its way before it has to make room for others.
const patience = time.Second

// arrivals are the bodies of requests that are on their way, and the memory of all that
// are held. A body is read before its request takes a place among those that are worked
// on, so that who sends slowly keeps nobody else waiting: where there is no more room,
// the body that has been on its way longest is cut off.
type arrivals struct {
	now  func() time.Time
	most int   // bodies on their way
	room int64 // bytes of all bodies

	mu   sync.Mutex // guards the rest, and what is in list
	list []*arrival // on their way, in the order in which they began
	held int64
}

// An arrival is one body.
type arrival struct {
	since time.Time
	held  int64
	gone  bool   // cut off, and no longer in the list
	cut   func() // ends the reading
}

// read reads a body to its end. The error is errOverloaded when there was no room, or
// when it had to make some. done gives the memory back.
func (a *arrivals) read(w http.ResponseWriter, body io.ReadCloser) (whole []byte, done func(), err error) {
	controller := http.NewResponseController(w)
	in := &arrival{since: a.now(), cut: func() { _ = controller.SetReadDeadline(time.Unix(1, 0)) }}
	if !a.begin(in) {
		return nil, nil, errOverloaded
	}
	done = func() { a.leave(in) }
	var into bytes.Buffer
	_, err = into.ReadFrom(io.TeeReader(http.MaxBytesReader(w, body, attest.MaxRequest), metered{a, in}))
	a.arrived(in)
	var over *http.MaxBytesError
	switch {
	case a.isGone(in), errors.Is(err, errOverloaded):
		err = errOverloaded
	case errors.As(err, &over):
		err = tooLarge("the request has more than %d bytes", over.Limit)
	case err != nil:
		err = malformed("the request was cut off")
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return into.Bytes(), done, nil
}

// metered counts what arrives of one body.
type metered struct {
	all *arrivals
	one *arrival
}

func (m metered) Write(p []byte) (int, error) {
	if !m.all.take(m.one, int64(len(p))) {
		return 0, errOverloaded
	}
	return len(p), nil
}

// arrive reads the body of a request, which the one that is returned gives back when it
// is closed. Streams in both directions keep theirs.
func (s *Server) arrive(w http.ResponseWriter, r *http.Request) (io.ReadCloser, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return http.NoBody, nil
	case converses(r.URL.Path):
		return http.MaxBytesReader(w, r.Body, maxConversation), nil
	}
	whole, done, err := s.arriving.read(w, r.Body)
	if err != nil {
		return http.NoBody, err
	}
	return &held{bytes.NewReader(whole), done}, nil
}

// maxConversation bounds what a client says on one stream in both directions, in bytes.
const maxConversation = 256 << 10

// A held body is in memory.
type held struct {
	*bytes.Reader
	done func()
}

func (h *held) Close() error {
	h.done()
	return nil
}

func (a *arrivals) begin(in *arrival) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.list) >= a.most && !a.makeRoom(in) {
		return false
	}
	a.list = append(a.list, in)
	return true
}

func (a *arrivals) take(in *arrival, n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in.gone {
		return false
	}
	in.held += n
	a.held += n
	for a.held > a.room {
		if !a.makeRoom(in) {
			return false
		}
	}
	return true
}

// makeRoom cuts off the body that has been on its way longest, other than one, when
// that was long enough. The caller has the lock.
func (a *arrivals) makeRoom(other *arrival) bool {
	for i, in := range a.list {
		if in == other {
			continue
		}
		if a.now().Sub(in.since) < patience {
			return false // nor have those that began after it
		}
		a.list = slices.Delete(a.list, i, i+1)
		a.held -= in.held
		in.held, in.gone = 0, true
		go in.cut() // it may have to wait for the connection
		return true
	}
	return false
}

// arrived says that a body is on its way no more; its memory is held on.
func (a *arrivals) arrived(in *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.list, in); i >= 0 {
		a.list = slices.Delete(a.list, i, i+1)
	}
}

func (a *arrivals) leave(in *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= in.held
	in.held = 0
}

func (a *arrivals) isGone(in *arrival) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return in.gone
}
