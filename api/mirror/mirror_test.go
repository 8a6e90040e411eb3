package mirror

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// A release that somebody approved, somebody rejected, and whose approval was taken
// back: two links in the negative chain.
const story = `
	commit h1 alice src/a.go
	squash m1 of=h1
	change h1
	authorship alice h1 human
	x: approve bob h1
	reject carol h1
	revoke bob entry=x
	admit m1
	release m1
`

// A world is the log of a story that can be told again, in any number of ledgers with
// one key.
type world struct {
	t       *testing.T
	entries []ledger.Entry
	signer  *tlog.Signer
	stamps  *tsa.Authority
	trust   *verify.Trust
	clock   ledgertest.Clock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	told, err := scenario.Tell(scenario.Story{Text: story}, scenario.Harmless)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	for i := uint64(0); ; i++ {
		sealed, err := told.Log.Entry(t.Context(), i)
		if err != nil {
			break
		}
		e, err := derive(sealed.Leaf, sealed.Body)
		if err != nil {
			t.Fatalf("entry %d of the story: %v", i, err)
		}
		w.entries = append(w.entries, e)
	}
	w.clock.Set(told.Log.Clock.Add(time.Minute))
	born := scenario.Start.Add(-time.Hour)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.signer = tlog.NewSigner("log.example.com", key)
	pem, chain, err := tsa.Create(w.signer.Origin(), born)
	if err != nil {
		t.Fatal(err)
	}
	if w.stamps, err = tsa.Parse(pem, chain); err != nil {
		t.Fatal(err)
	}
	valid := roster.Validity{From: born}
	w.trust = &verify.Trust{
		Log: w.signer.Verifier(), LogValid: valid, Service: scenario.Key("service").Public(), ServiceValid: valid,
		Timestamps: w.stamps.Chain(), Genesis: told.Set.Digest(), Owners: told.Set.Roster.Owners, MaxCheckpointAge: time.Hour,
	}
	if err := w.trust.Check(); err != nil {
		t.Fatal(err)
	}
	return w
}

// A primary is a ledger that takes entries.
type primary struct {
	*ledger.Ledger
	w     *world
	store *ledgertest.Memory
}

func (w *world) primary() *primary {
	head, err := ledger.EmptyHead(w.signer, w.stamps, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.run(ledgertest.NewMemory(head))
}

func (w *world) run(store *ledgertest.Memory) *primary {
	l, err := ledger.New(w.t.Context(), ledger.Config{Store: store, Signer: w.signer, Stamper: w.stamps, Now: w.clock.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	w.t.Cleanup(func() { stop(); <-done })
	return &primary{l, w, store}
}

// again is a primary that was restored from a copy of its store as it is now.
func (p *primary) again() *primary { return p.w.run(p.store.Reopen()) }

// add appends entries of the story in one batch.
func (p *primary) add(indexes ...int) {
	p.w.t.Helper()
	var entries []ledger.Entry
	for _, i := range indexes {
		entries = append(entries, p.w.entries[i])
	}
	if _, err := p.Append(p.w.t.Context(), entries); err != nil {
		p.w.t.Fatal(err)
	}
}

// other is an entry that is not in the story.
func (w *world) other(nonce string) ledger.Entry {
	commit := strings.Repeat("a", 40)
	b, err := attest.Sign(&attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"gitCommit": commit, "gitTree": commit}}},
		Predicate: &attest.Approval{Decision: attest.Approved, Reviewer: "bob", Repository: scenario.Repository, Change: attest.ChangeRef{ID: "1"},
			TargetRef: "refs/heads/main", Scope: attest.Scope{Environments: []string{"production"}}, ApprovedAt: attest.At(ledgertest.Start), Nonce: nonce},
	}, scenario.Key("bob"))
	if err != nil {
		w.t.Fatal(err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := attest.Log(b, st, scenario.Key("bob").Public())
	if err != nil {
		w.t.Fatal(err)
	}
	return ledger.Entry{Leaf: l.Leaf, Body: l.Body, Keys: l.Keys, Negative: l.Negative, Stamp: l.Stamp}
}

// copier begins a copy of a source in a store on disk, or goes on with the one there.
func (w *world) copier(t *testing.T, source Source, at ...string) (*Copier, *badgerstore.Store) {
	t.Helper()
	dir := strings.Join(at, "")
	if dir == "" {
		dir = t.TempDir()
	}
	opts := badgerstore.Options{Dir: dir, Verifier: w.trust.Log}
	if _, err := os.Stat(filepath.Join(dir, "journal")); err != nil {
		first, err := source.First(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckHead(w.trust, first); err != nil {
			t.Fatal(err)
		}
		if err := badgerstore.Create(opts, first); err != nil {
			t.Fatal(err)
		}
	}
	store, err := badgerstore.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	m, err := ledger.NewMirror(t.Context(), ledger.MirrorConfig{Store: store, Verifier: w.trust.Log})
	if err != nil {
		t.Fatal(err)
	}
	return &Copier{Source: source, Trust: w.trust, Mirror: m}, store
}

func (w *world) catchUp(c *Copier) {
	w.t.Helper()
	if _, err := c.CatchUp(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// same holds two ledgers against each other in everything that can be asked.
func same(t *testing.T, a, b *ledger.Ledger) {
	t.Helper()
	ctx := t.Context()
	if d := cmp.Diff(a.Head(), b.Head()); d != "" {
		t.Fatalf("heads differ: %s", d)
	}
	if d := cmp.Diff(a.Negative(), b.Negative()); d != "" {
		t.Errorf("negative chains differ: %s", d)
	}
	for size := range a.Head().Size + 1 {
		x, errX := a.Checkpoint(ctx, size)
		y, errY := b.Checkpoint(ctx, size)
		if d := cmp.Diff(x, y); d != "" || errors.Is(errX, ledger.ErrNotFound) != errors.Is(errY, ledger.ErrNotFound) {
			t.Errorf("checkpoints of %d differ (%v, %v): %s", size, errX, errY, d)
		}
	}
	for i := range a.Head().Size {
		x, err := a.Record(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Record(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(x, y); d != "" {
			t.Errorf("entry %d differs: %s", i, d)
		}
		for _, key := range x.Keys {
			q := ledger.Query{Key: key, Limit: ledger.MaxPage}
			hitsA, _ := a.Search(ctx, q)
			hitsB, err := b.Search(ctx, q)
			if d := cmp.Diff(hitsA, hitsB); d != "" || err != nil {
				t.Errorf("%s finds something else (%v): %s", key, err, d)
			}
		}
	}
}

// serve shows a primary over HTTP, as countersignd does.
func (p *primary) serve() *Remote {
	server, err := api.New(p.w.t.Context(), api.Config{Ledger: p.Ledger, Trust: p.w.trust, Service: scenario.Key("service"), Now: p.w.clock.Now, OpenReads: true})
	if err != nil {
		p.w.t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	p.w.t.Cleanup(h.Close)
	r, err := NewRemote(h.URL, "")
	if err != nil {
		p.w.t.Fatal(err)
	}
	return r
}

// The copy has everything, follows, and goes on where it was after a restart; what a
// source makes of it in turn is the same again.
func TestCopyIsTheLog(t *testing.T) {
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1)
	p.add(2, 3, 4)
	remote := p.serve()
	dir := t.TempDir()
	c, store := w.copier(t, remote, dir)
	w.catchUp(c)
	same(t, p.Ledger, c.Mirror.Ledger())
	p.add(5)
	p.add(6, 7)
	w.catchUp(c)
	same(t, p.Ledger, c.Mirror.Ledger())

	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	p.add(8)
	c, store = w.copier(t, remote, dir)
	w.catchUp(c)
	same(t, p.Ledger, c.Mirror.Ledger())
	if n := len(c.Mirror.Ledger().Negative()); n != 2 {
		t.Errorf("the story has %d links of negative evidence", n)
	}

	second, secondStore := w.copier(t, Local{c.Mirror.Ledger()})
	w.catchUp(second)
	same(t, p.Ledger, second.Mirror.Ledger())
	for _, s := range []*badgerstore.Store{store, secondStore} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := badgerstore.Check(t.Context(), badgerstore.Options{Dir: dir, Verifier: w.trust.Log}, nil)
	if err != nil || r.Commits != 6 || r.Verified != 6 {
		t.Errorf("check: %+v, %v", r, err)
	}
}

// A log that is restored from a copy goes on as the same log.
func TestRestoredLogGoesOn(t *testing.T) {
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1)
	p.add(2, 3)
	old, err := p.Receipt(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	before := p.Head()
	c, store := w.copier(t, Local{p.Ledger})
	w.catchUp(c)
	l, err := ledger.New(t.Context(), ledger.Config{Store: store, Signer: w.signer, Stamper: w.stamps, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	defer func() { stop(); <-done }()
	if _, err := l.Append(ctx, []ledger.Entry{w.entries[4]}); err != nil {
		t.Fatal(err)
	}
	proof, err := l.Consistency(ctx, before.Size, l.Head().Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.CheckConsistent(before.Checkpoint, l.Head().Checkpoint, proof); err != nil {
		t.Error(err)
	}
	if _, err := tlog.VerifyReceipt(w.trust.Log, tlog.LeafHash(w.entries[2].Leaf), old); err != nil {
		t.Errorf("an old receipt: %v", err)
	}
	again, err := l.Append(ctx, []ledger.Entry{w.entries[2]})
	if err != nil || !again[0].Duplicate || again[0].Record.Index != 2 {
		t.Errorf("an entry that was logged before gets %+v, %v", again, err)
	}
}

// A mirror has no key: nothing is appended to it.
func TestMirrorTakesNoEntries(t *testing.T) {
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1)
	c, _ := w.copier(t, Local{p.Ledger})
	w.catchUp(c)
	l := c.Mirror.Ledger()
	if _, err := l.Append(t.Context(), []ledger.Entry{w.entries[2]}); !errors.Is(err, ledger.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	if err := l.Run(t.Context()); err == nil {
		t.Error("it has a sequencer")
	}
	if now, err := l.HeadNow(); err != nil || !cmp.Equal(now, p.Head()) {
		t.Errorf("HeadNow: %+v, %v", now, err)
	}
}

// A liar changes what an honest source says.
type liar struct {
	Source
	head  func(*ledger.Head)
	batch func(*ledger.Batch)
	proof func([]tlog.Hash) []tlog.Hash
	stops uint64 // batches that go beyond this size are left out
}

func (s *liar) Head(ctx context.Context) (ledger.Head, error) {
	h, err := s.Source.Head(ctx)
	if s.head != nil {
		s.head(&h)
	}
	return h, err
}

func (s *liar) Consistency(ctx context.Context, from, to uint64) ([]tlog.Hash, error) {
	path, err := s.Source.Consistency(ctx, from, to)
	if s.proof != nil {
		path = s.proof(path)
	}
	return path, err
}

func (s *liar) Batches(ctx context.Context, from uint64) iter.Seq2[ledger.Batch, error] {
	return func(yield func(ledger.Batch, error) bool) {
		for b, err := range s.Source.Batches(ctx, from) {
			if err == nil && s.stops > 0 && b.Checkpoint.Size > s.stops {
				return
			}
			b.Records = append([]ledger.Record(nil), b.Records...)
			for i := range b.Records { // what a server does not send, a mirror must not read
				r := &b.Records[i]
				r.Keys, r.Negative, r.Stamp = nil, "", nil
			}
			if err == nil && s.batch != nil {
				s.batch(&b)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// What is not the log's is refused, and nothing of it is kept; the honest twin of each
// lie is taken afterwards.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1)
	p.add(2, 3, 4)
	elsewhere := newWorld(t).primary()
	elsewhere.add(0, 1)
	elsewhere.add(2, 3, 4)
	theirs, err := elsewhere.Record(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	last := func(f func(*ledger.Batch)) func(*ledger.Batch) {
		return func(b *ledger.Batch) {
			if b.Checkpoint.Size == 5 {
				f(b)
			}
		}
	}
	for _, c := range []struct {
		name, says string
		lie        liar
	}{
		{"a body of another entry", "entry 3", liar{batch: last(func(b *ledger.Batch) { b.Records[1].Body = b.Records[0].Body })}},
		{"a changed body", "entry 3", liar{batch: last(func(b *ledger.Batch) {
			b.Records[1].Body = append([]byte(nil), b.Records[1].Body...)
			b.Records[1].Body[len(b.Records[1].Body)/2] ^= 1
		})}},
		{"a body with a blank more", "entry 3", liar{batch: last(func(b *ledger.Batch) { b.Records[1].Body = append([]byte(" "), b.Records[1].Body...) })}},
		{"no body", "entry 3: its body is missing", liar{batch: last(func(b *ledger.Batch) { b.Records[1].Body = nil })}},
		{"another leaf", "entry 4", liar{batch: last(func(b *ledger.Batch) { b.Records[2].Leaf = b.Records[0].Leaf })}},
		{"an entry that was never logged", "batch up to entry 5", liar{batch: last(func(b *ledger.Batch) {
			e := w.other("1")
			b.Records[1].Leaf, b.Records[1].Body = e.Leaf, e.Body
			token, err := w.stamps.Stamp(e.Stamp, b.Records[1].Time)
			if err != nil {
				t.Fatal(err)
			}
			b.Records[1].Token = token
		})}},
		{"an entry left out", "batch up to entry 5", liar{batch: last(func(b *ledger.Batch) { b.Records = b.Records[1:] })}},
		{"entries exchanged", "batch up to entry 5", liar{batch: last(func(b *ledger.Batch) {
			r := b.Records
			r[0], r[1] = r[1], r[0]
			r[0].Index, r[1].Index = r[1].Index, r[0].Index
		})}},
		{"an entry twice", "batch up to entry 5", liar{batch: last(func(b *ledger.Batch) {
			r := b.Records[2]
			r.Index = 5
			b.Records = append(b.Records, r)
		})}},
		{"no timestamp", "entry 2", liar{batch: last(func(b *ledger.Batch) { b.Records[0].Token = nil })}},
		{"a timestamp of another log", "entry 3", liar{batch: last(func(b *ledger.Batch) { b.Records[1].Token = theirs.Token })}},
		{"another time", "entry 2", liar{batch: last(func(b *ledger.Batch) { b.Records[0].Time = b.Records[0].Time.Add(-time.Hour) })}},
		{"a time that goes back", "batch up to entry 5", liar{batch: last(func(b *ledger.Batch) {
			second := b.Records[0].Time.Truncate(time.Second)
			b.Records[2].Time = second.Add(b.Records[2].Time.Sub(second) / 2).Truncate(time.Millisecond)
		})}},
		{"another checkpoint", "the checkpoint", liar{batch: last(func(b *ledger.Batch) { b.Checkpoint.Size = 4 })}},
		{"a checkpoint without its timestamp", "the checkpoint", liar{batch: last(func(b *ledger.Batch) { b.Token = nil })}},
		{"the head of another log with the same name", "not signed by the log", liar{head: func(h *ledger.Head) { *h = elsewhere.Head() }}},
		{"a head with another size", "said to be of 6", liar{head: func(h *ledger.Head) { h.Size = 6 }}},
		{"a head of another time", "the checkpoint of 5", liar{head: func(h *ledger.Head) { h.Time = h.Time.Add(time.Minute) }}},
		{"records that end early", "they end at entry 2", liar{stops: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lie := c.lie
			lie.Source = Local{p.Ledger}
			copier, _ := w.copier(t, &lie)
			_, err := copier.CatchUp(t.Context())
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it is not refused with %q: %v", c.says, err)
			}
			if size := copier.Mirror.Ledger().Head().Size; size == 5 {
				t.Error("the lie is kept")
			}
			copier.Source = &liar{Source: Local{p.Ledger}}
			w.catchUp(copier)
			same(t, p.Ledger, copier.Mirror.Ledger())
		})
	}
}

// Another origin, at the first contact.
func TestFirstCheckpointOfAnotherLog(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t)
	other.signer = tlog.NewSigner("other.example.com", ed25519.NewKeyFromSeed(make([]byte, 32)))
	for _, p := range []*primary{other.primary(), newWorld(t).primary()} {
		first, err := Local{p.Ledger}.First(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var refused *RefusedError
		if err := CheckHead(w.trust, first); !errors.As(err, &refused) {
			t.Errorf("the first checkpoint of %s: %v", first.Origin, err)
		}
	}
	first, _ := Local{w.primary().Ledger}.First(t.Context())
	if err := CheckHead(w.trust, first); err != nil {
		t.Errorf("the honest twin: %v", err)
	}
}

// What the primary signed and cannot be true beside the copy is a contradiction, and
// both checkpoints are kept.
func TestContradictions(t *testing.T) {
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1)
	p.add(2)
	behind := p.again()
	p.add(3)
	fork := func(n int) *primary {
		q := behind.again()
		for i := range n {
			if _, err := q.Append(t.Context(), []ledger.Entry{w.other(fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		return q
	}
	shorter := w.primary()
	shorter.add(4, 5)
	grown := p.again()
	grown.add(4)
	for _, c := range []struct {
		name   string
		source Source
		folder string // empty: no contradiction
		back   bool
	}{
		{"the same log", Local{p.Ledger}, "", false},
		{"the same log, longer", Local{grown.Ledger}, "", false},
		{"another entry in the same place", Local{fork(1).Ledger}, "forked-4-4", false},
		{"another entry, and more", Local{fork(3).Ledger}, "forked-4-6", false},
		{"an older state", Local{behind.Ledger}, "set-back-4-3", true},
		{"another log's beginning", Local{shorter.Ledger}, "forked-4-2", false},
		{"a longer log whose proof is spoilt", &liar{Source: Local{grown.Ledger}, proof: func(p []tlog.Hash) []tlog.Hash { return p[1:] }}, "forked-4-5", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			copier, _ := w.copier(t, Local{p.Ledger})
			w.catchUp(copier)
			copier.Source = c.source
			_, err := copier.CatchUp(t.Context())
			if c.folder == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var contradiction *ContradictionError
			if !errors.As(err, &contradiction) || SetBack(err) != c.back {
				t.Fatalf("set back: %v; %v", SetBack(err), err)
			}
			same(t, p.Ledger, copier.Mirror.Ledger())
			dir := t.TempDir()
			path, err := contradiction.Keep(dir)
			if err != nil || filepath.Base(path) != c.folder {
				t.Fatalf("kept in %s: %v", path, err)
			}
			theirs, forks, err := Kept(dir)
			if err != nil || len(theirs) != 1 || len(forks) == 0 != c.back {
				t.Errorf("kept: %v %v %v", theirs, forks, err)
			}
			for _, name := range []string{oursFile, theirsFile} {
				note, err := os.ReadFile(filepath.Join(path, name))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.trust.Log.Open(note); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// A batch whose checkpoint the log signed, but not on the way to its head, is a fork,
// and not the fault of whoever sent it.
func TestForkWithinAnAnswer(t *testing.T) {
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1)
	other := p.again()
	p.add(2)
	p.add(3)
	other.add(4)
	fork := Local{other.Ledger}
	lie := &liar{Source: Local{p.Ledger}, batch: func(b *ledger.Batch) {
		if b.Checkpoint.Size == 3 {
			h := fork.Ledger.Head()
			b.Checkpoint, b.Note, b.Token, b.Time = h.Checkpoint, h.Note, h.Token, h.Time
		}
	}}
	copier, _ := w.copier(t, lie)
	_, err := copier.CatchUp(t.Context())
	var contradiction *ContradictionError
	if !errors.As(err, &contradiction) || SetBack(err) {
		t.Fatal(err)
	}
	if size := copier.Mirror.Ledger().Head().Size; size != 2 {
		t.Errorf("it holds %d entries", size)
	}
}

// The follower goes on through trouble, and ends with a contradiction only.
func TestFollower(t *testing.T) {
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1)
	behind := p.again()
	gate := make(chan Source, 1)
	source := &switched{Source: Local{p.Ledger}, next: gate}
	c, _ := w.copier(t, source)
	f := &Follower{Copier: *c, Every: time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ended := make(chan error, 1)
	go func() { ended <- f.Run(t.Context()) }()
	wait := func(size uint64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := f.Mirror.Ledger().Wait(ctx, size-1); err != nil {
			t.Fatal(err)
		}
	}
	wait(2)
	gate <- gone{}
	p.add(2)
	gate <- Local{p.Ledger}
	wait(3)
	gate <- Local{behind.Ledger}
	select {
	case err := <-ended:
		if !SetBack(err) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on following what was set back")
	}

	ctx, cancel := context.WithCancel(t.Context())
	f.Source = Local{p.Ledger}
	go func() { ended <- f.Run(ctx) }()
	p.add(3)
	wait(4)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("asked to stop: %v", err)
	}
}

// switched is a source that is exchanged.
type switched struct {
	Source
	next chan Source
}

func (s *switched) Head(ctx context.Context) (ledger.Head, error) {
	select {
	case s.Source = <-s.next:
	default:
	}
	return s.Source.Head(ctx)
}

// gone is a primary that is down.
type gone struct{ Source }

func (gone) Head(context.Context) (ledger.Head, error) {
	return ledger.Head{}, errors.New("connection refused")
}
