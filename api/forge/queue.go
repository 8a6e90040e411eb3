package forge

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
)

// A job is an event that waits. It is kept as a file until it is done.
type job struct {
	Delivery string        `json:"delivery"`
	Body     attest.Digest `json:"body"` // of event and body
	Event    Event         `json:"event"`
	Received time.Time     `json:"received"`

	seq       uint64
	attempts  int
	notBefore time.Time
}

// about is what is done in order: the jobs of one change.
func (j *job) about() string {
	if p := j.Event.Pull; p != nil {
		return j.Event.Repository + "#" + p.Number
	}
	return ""
}

// Limits of a queue.
const (
	maxWaiting    = 10_000
	maxRemembered = 100_000 // deliveries that were done; what is older is remembered by the log
	maxJob        = 1 << 20
)

// A queue keeps what came in, in its folder: waiting/ has a file for each event, in the
// order of their names, parked/ those that were given up, and the file deliveries a line
// for each that is done. A crash leaves a delivery waiting, or both waiting and done, and
// then it is done again, which changes nothing.
type queue struct {
	dir  string
	done *os.File
	wake chan struct{} // has something after add and later

	mu      sync.Mutex // guards what follows
	next    uint64
	waiting []*job // by seq
	ids     map[attest.Digest]attest.Digest
	bodies  map[attest.Digest]attest.Digest // and the ids that they came with
	lines   int                             // of done
}

func openQueue(dir string) (*queue, error) {
	q := &queue{dir: dir, wake: make(chan struct{}, 1), ids: make(map[attest.Digest]attest.Digest), bodies: make(map[attest.Digest]attest.Digest)}
	for _, sub := range []string{"waiting", "parked"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	if err := q.readDone(); err != nil {
		return nil, fmt.Errorf("read what was done: %w", err)
	}
	names, err := os.ReadDir(filepath.Join(dir, "waiting"))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if err := q.readWaiting(n.Name()); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Join(dir, "waiting", n.Name()), err), q.done.Close())
		}
	}
	return q, nil
}

func (q *queue) readWaiting(name string) error {
	path := filepath.Join(q.dir, "waiting", name)
	text, ok := strings.CutSuffix(name, ".json")
	if !ok { // the beginning of a file whose delivery was not answered
		return os.Remove(path)
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return err
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	j := &job{seq: seq}
	if err := json.Unmarshal(body, j); err != nil {
		return err
	}
	q.waiting, q.next = append(q.waiting, j), max(q.next, seq+1)
	q.remember(j.id(), j.Body)
	return nil
}

func (j *job) id() attest.Digest { return attest.DigestOf([]byte(j.Delivery)) }

func (q *queue) remember(id, body attest.Digest) { q.ids[id], q.bodies[body] = body, id }

// readDone reads the file of deliveries, whose last line may be torn, and cuts it to what
// is remembered.
func (q *queue) readDone() error {
	path := filepath.Join(q.dir, "deliveries")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	var lines []string
	for r := bufio.NewScanner(f); r.Scan(); {
		var id, body attest.Digest
		ids, bodies, _ := strings.Cut(r.Text(), " ")
		n, err1 := hex.Decode(id[:], []byte(ids[:min(len(ids), 2*len(id))]))
		m, err2 := hex.Decode(body[:], []byte(bodies[:min(len(bodies), 2*len(body))]))
		if n == len(id) && m == len(body) && err1 == nil && err2 == nil {
			lines = append(lines, r.Text())
		}
	}
	kept := lines[max(0, len(lines)-maxRemembered):]
	for _, line := range kept {
		ids, bodies, _ := strings.Cut(line, " ")
		id, _ := attest.ParseDigest(ids)
		body, _ := attest.ParseDigest(bodies)
		q.remember(id, body)
	}
	text := strings.Join(kept, "\n")
	if len(kept) > 0 {
		text += "\n"
	}
	q.lines = len(kept)
	if err := errors.Join(f.Close(), writeWhole(path, []byte(text))); err != nil {
		return err
	}
	q.done, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	return err
}

// known reports whether a delivery came before; again: exactly this one.
func (q *queue) known(d *delivery) (known, again bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	body, byID := q.ids[attest.DigestOf([]byte(d.id))]
	_, byBody := q.bodies[d.digest]
	return byID || byBody, byID && body == d.digest
}

// add keeps a job. When it returns nil the job is on disk.
func (q *queue) add(j job) error {
	text, err := json.Marshal(&j, json.Deterministic(true))
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxWaiting || len(text) > maxJob {
		return reject(Full, "%d events wait already; send it again later", len(q.waiting))
	}
	j.seq = q.next
	if err := writeWhole(q.path(&j), text); err != nil {
		return err
	}
	q.next++
	q.waiting = append(q.waiting, &j)
	q.remember(j.id(), j.Body)
	q.ring()
	return nil
}

func (q *queue) path(j *job) string {
	return filepath.Join(q.dir, "waiting", fmt.Sprintf("%020d.json", j.seq))
}

func (q *queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the first job that may be done now, or how long to wait for one; zero
// where none waits. The jobs of one change are done in the order in which they came, but
// its merge is last: what reviewers decided is said before it.
func (q *queue) take(now time.Time) (*job, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	reviews := make(map[string]bool) // changes of which something else than the merge waits
	for _, j := range q.waiting {
		if about := j.about(); about != "" && j.Event.Kind != Merged {
			reviews[about] = true
		}
	}
	held := make(map[string]bool)
	var wait time.Duration
	for _, j := range q.waiting {
		about := j.about()
		if about != "" && (held[about] || j.Event.Kind == Merged && reviews[about]) {
			continue
		}
		left := j.notBefore.Sub(now)
		if left <= 0 {
			return j, 0
		}
		if wait == 0 || left < wait {
			wait = left
		}
		held[about] = about != ""
	}
	return nil, wait
}

// later puts a job back.
func (q *queue) later(j *job, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j.attempts++
	j.notBefore = at
}

// finish notes that a delivery is done, and forgets the job; or parks it where somebody
// should look at it.
func (q *queue) finish(j *job, park bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := j.id()
	if _, err := fmt.Fprintf(q.done, "%s %s\n", id, j.Body); err != nil {
		return err
	}
	if err := q.done.Sync(); err != nil {
		return err
	}
	q.lines++
	q.waiting = slices.DeleteFunc(q.waiting, func(o *job) bool { return o == j })
	if park {
		return os.Rename(q.path(j), filepath.Join(q.dir, "parked", filepath.Base(q.path(j))))
	}
	if err := os.Remove(q.path(j)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if q.lines > 2*maxRemembered {
		return q.forget()
	}
	return nil
}

// forget reads the file of deliveries again, which cuts it.
func (q *queue) forget() error {
	clear(q.ids)
	clear(q.bodies)
	err := errors.Join(q.done.Close(), q.readDone())
	for _, j := range q.waiting {
		q.remember(j.id(), j.Body)
	}
	return err
}

func (q *queue) length() float64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return float64(len(q.waiting))
}

func (q *queue) close() error { return q.done.Close() }

// writeWhole puts a file in place, whole and on disk, or not at all.
func writeWhole(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, cmp.Or(err, f.Sync()), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
