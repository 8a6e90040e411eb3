package witness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A ServerConfig is what a Server is made of.
type ServerConfig struct {
	Cosigner *tlog.Cosigner
	Logs     []*tlog.Verifier // whose checkpoints are cosigned; one key for each origin
	Dir      string           // of the witness's memory; must exist, and be nobody else's
	Now      func() time.Time
	// Report is told of what the log signed and what was cosigned before does not
	// lead to, which may be proof that it lies, and of what the disk refuses. May
	// be nil.
	Report func(origin string, err error)
}

// A Server is a witness: an http.Handler for POST /add-checkpoint (C2SP
// tlog-witness). It cosigns a checkpoint only when it is proven to extend the last
// one that it cosigned for that log, and remembers it durably before it answers.
//
// Logs have origins as tlog.CheckOrigin allows, and checkpoints without extensions.
type Server struct {
	config ServerConfig
	lock   *os.File
	logs   map[string]*memory
	mux    *http.ServeMux
}

// A memory is what a witness knows of one log.
type memory struct {
	log  *tlog.Verifier
	file File // the last note that was cosigned, and our line below it

	mu   sync.Mutex // guards what follows, and the file; held from check to answer
	last tlog.Checkpoint
	at   time.Time // of the last cosignature
}

// NewServer opens the witness's memory, which one process at a time may use. A
// memory that is damaged, or of another log or witness, is an error: to begin anew
// would be to forget what was promised.
func NewServer(c ServerConfig) (*Server, error) {
	if c.Cosigner == nil || c.Now == nil || len(c.Logs) == 0 {
		return nil, errors.New("a witness needs a key, a clock and at least one log")
	}
	if c.Report == nil {
		c.Report = func(string, error) {}
	}
	s := &Server{config: c, logs: make(map[string]*memory), mux: http.NewServeMux()}
	s.mux.HandleFunc("POST /add-checkpoint", s.addCheckpoint)
	var err error
	if s.lock, err = lock(filepath.Join(c.Dir, "lock")); err != nil {
		return nil, err
	}
	for _, v := range c.Logs {
		m := &memory{log: v, file: File{filepath.Join(c.Dir, v.Origin()+".note")}}
		if err := m.load(c.Cosigner.Witness()); err != nil {
			return nil, errors.Join(fmt.Errorf("memory of %s: %w", v.Origin(), err), s.Close())
		}
		if s.logs[v.Origin()] != nil {
			return nil, errors.Join(fmt.Errorf("the log %s is named twice", v.Origin()), s.Close())
		}
		s.logs[v.Origin()] = m
	}
	return s, nil
}

func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: another process is this witness: %w", path, err), f.Close())
	}
	return f, nil
}

// Close gives the memory free. No request may be under way.
func (s *Server) Close() error { return s.lock.Close() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// load reads what was cosigned last, and checks both signatures on it.
func (m *memory) load(own *tlog.Witness) error {
	m.last = tlog.Checkpoint{Origin: m.log.Origin(), Root: tlog.EmptyRoot()}
	note, err := m.file.Kept()
	if err != nil || note == nil {
		return err
	}
	cp, err := m.log.Open(note)
	if err != nil {
		return fmt.Errorf("%s: %w", m.file.Path, err)
	}
	_, lines, _ := bytes.Cut(note, []byte("\n\n"))
	for line := range bytes.Lines(lines) {
		if at, err := own.Verify(cp, line); err == nil {
			m.last, m.at = cp, at
			return nil
		}
	}
	return fmt.Errorf("%s has no cosignature of %s", m.file.Path, own.VKey())
}

// A refusal is an answer without a cosignature.
type refusal struct {
	status int
	why    string
	size   *uint64 // body of a 409
	lie    bool    // the log's own signature may prove that it lies
}

func (e *refusal) Error() string { return e.why }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, why: fmt.Sprintf(format, args...)}
}

func (s *Server) addCheckpoint(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		http.Error(w, "the request could not be read", http.StatusBadRequest)
		return
	}
	line, err := s.cosign(body)
	var no *refusal
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(line) //nolint:errcheck // the caller has gone
	case !errors.As(err, &no):
		http.Error(w, "the witness cannot write its memory", http.StatusInternalServerError)
	case no.size != nil:
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(no.status)
		io.WriteString(w, strconv.FormatUint(*no.size, 10)+"\n") //nolint:errcheck // the caller has gone
	default:
		http.Error(w, no.why, no.status)
	}
}

// cosign makes the checks in the order of the specification.
func (s *Server) cosign(body []byte) ([]byte, error) {
	r, err := ParseRequest(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	origin, _, _ := strings.Cut(string(r.Note), "\n")
	m := s.logs[origin]
	if m == nil {
		return nil, refuse(http.StatusNotFound, "the log is not known here")
	}
	cp, err := m.log.Open(r.Note)
	if err != nil {
		return nil, refuse(http.StatusForbidden, "%v", err)
	}
	line, err := m.extend(s.config, r, cp)
	var no *refusal
	if err != nil && (!errors.As(err, &no) || no.lie) {
		s.config.Report(origin, err)
	}
	return line, err
}

// extend moves the memory to cp and returns the cosignature. Check, memory and
// answer are one step: two requests at a time would set the memory back.
func (m *memory) extend(c ServerConfig, r *Request, cp tlog.Checkpoint) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case r.Old > cp.Size:
		return nil, refuse(http.StatusBadRequest, "old size %d is more than %d, the checkpoint's", r.Old, cp.Size)
	case r.Old != m.last.Size, r.Old == cp.Size && cp.Root != m.last.Root:
		size := m.last.Size
		why := fmt.Sprintf("old size %d, checkpoint of %d with root %s; cosigned was %d with %s:\n%s", r.Old, cp.Size, cp.Root, m.last.Size, m.last.Root, r.Note)
		return nil, &refusal{status: http.StatusConflict, why: why, size: &size, lie: cp.Size == m.last.Size && cp.Root != m.last.Root}
	}
	if err := tlog.VerifyConsistency(m.last, cp, r.Proof); err != nil {
		return nil, &refusal{status: http.StatusUnprocessableEntity, why: err.Error(), lie: true}
	}
	at := c.Now()
	if at.Before(m.at) { // a clock that went back must not make a larger tree the older one
		at = m.at
	}
	line, err := c.Cosigner.Cosign(cp, at)
	if err != nil {
		return nil, err
	}
	if err := m.file.Keep(append(bareNote(m.log, r.Note), line...)); err != nil {
		return nil, err
	}
	m.last, m.at = cp, at
	return line, nil
}

// bareNote is a note with the log's own signature line alone: what others have
// signed below it is theirs to keep.
func bareNote(log *tlog.Verifier, note []byte) []byte {
	text, lines, _ := bytes.Cut(note, []byte("\n\n"))
	bare := append(bytes.Clone(text), '\n', '\n')
	for line := range bytes.Lines(lines) {
		if alone := append(bytes.Clone(bare), line...); isLogs(log, alone) {
			return alone
		}
	}
	return bytes.Clone(note)
}

func isLogs(log *tlog.Verifier, note []byte) bool {
	_, err := log.Open(note)
	return err == nil
}
