package ledgertest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Origin is the name of the log in tests.
const Origin = "log.example"

// Signer returns the log's signer. Its key is the same in every test.
func Signer() *tlog.Signer {
	seed := sha256.Sum256([]byte("the log key of tests"))
	return tlog.NewSigner(Origin, ed25519.NewKeyFromSeed(seed[:]))
}

// Stamper is a ledger.Stamper whose tokens say what they cover, and are no
// RFC 3161 responses. The zero Stamper is ready.
type Stamper struct {
	mu  sync.Mutex // guards err
	err error
}

// Stamp returns Token(message, at), or the error that Fail set.
func (s *Stamper) Stamp(message []byte, at time.Time) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	return Token(message, at), nil
}

// Fail makes every later Stamp fail, until err is nil.
func (s *Stamper) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Token is what Stamper makes.
func Token(message []byte, at time.Time) []byte {
	return fmt.Appendf(nil, "token %x %d", sha256.Sum256(message), at.UnixMilli())
}

// A Clock can be set. It starts at Start, and every look moves it by one
// millisecond, so that times differ.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// Start is the first time of a Clock.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.IsZero() {
		c.now = Start
	}
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

// Set sets the clock.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// EmptyHead is the head of the log before its first entry.
func EmptyHead() ledger.Head {
	h, err := ledger.EmptyHead(Signer(), &Stamper{}, Start)
	if err != nil {
		panic(err) // our own arithmetic
	}
	return h
}

// Entry returns the i-th entry of tests. Every seventh is negative; all have the
// key "all", and the key "mod:" with i modulo 5.
func Entry(i int) ledger.Entry {
	e := ledger.Entry{
		Leaf:  fmt.Appendf(nil, `{"leaf":%d}`, i),
		Body:  fmt.Appendf(nil, `{"body":%d,"filler":%q}`, i, fmt.Sprintf("%0*d", i%300, i)),
		Keys:  []string{"all", fmt.Sprintf("mod:%d", i%5)},
		Stamp: fmt.Appendf(nil, "signature %d", i),
	}
	if i%7 == 3 {
		e.Negative = fmt.Sprintf("mod:%d", i%5)
	}
	return e
}

// Entries returns the entries from to to.
func Entries(from, to int) []ledger.Entry {
	var all []ledger.Entry
	for i := from; i < to; i++ {
		all = append(all, Entry(i))
	}
	return all
}

// A Maker makes the batches that a ledger would.
type Maker struct {
	edge tlog.Edge
	time time.Time
}

// Batch returns the next batch with these entries.
func (m *Maker) Batch(entries ...ledger.Entry) ledger.Batch {
	if m.time.IsZero() {
		m.time = Start
	}
	m.time = m.time.Add(time.Millisecond)
	b := ledger.Batch{Time: m.time}
	var leaves []tlog.Hash
	for i, e := range entries {
		e.Keys = slices.Clone(e.Keys)
		b.Records = append(b.Records, ledger.Record{
			Index: m.edge.Size() + uint64(i), Entry: e, Time: m.time, Token: Token(e.Stamp, m.time),
		})
		leaves = append(leaves, tlog.LeafHash(e.Leaf))
	}
	m.edge, _ = m.edge.Append(leaves)
	b.Checkpoint = tlog.Checkpoint{Origin: Origin, Size: m.edge.Size(), Root: m.edge.Root()}
	note, err := Signer().Sign(b.Checkpoint)
	if err != nil {
		panic(err) // our own arithmetic
	}
	b.Note, b.Token = note, Token(note, m.time)
	return b
}
