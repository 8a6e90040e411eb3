package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// at makes commit n end with a fault.
func at(n int, f ledgertest.Fault) func(int) ledgertest.Fault {
	return func(i int) ledgertest.Fault {
		if i == n {
			return f
		}
		return ledgertest.None
	}
}

// A commit that failed ends the sequencer, whether or not the store kept the
// batch. Nobody is told that it is in, and opening again finds out.
func TestFailedCommitEndsTheLedger(t *testing.T) {
	for _, fault := range []ledgertest.Fault{ledgertest.Refused, ledgertest.Kept} {
		for n := range 4 {
			t.Run(fmt.Sprintf("fault %d in commit %d", fault, n), func(t *testing.T) {
				store := ledgertest.NewMemory(ledgertest.EmptyHead())
				l := open(t, config(ledgertest.NewFaulty(store, at(n, fault))))
				stop := run(t, l)
				for i := range n {
					mustAppend(t, l, ledgertest.Entries(10*i, 10*i+10)...)
				}
				lost := ledgertest.Entries(10*n, 10*n+10)
				before := l.Head()
				if _, err := l.Append(t.Context(), lost); !errors.Is(err, ledger.ErrClosed) || !errors.Is(err, ledgertest.ErrInjected) {
					t.Errorf("the waiter got %v", err)
				}
				if _, err := l.Append(t.Context(), ledgertest.Entries(90, 91)); !errors.Is(err, ledger.ErrClosed) {
					t.Errorf("the next one got %v", err)
				}
				if err := l.Wait(t.Context(), before.Size); !errors.Is(err, ledger.ErrClosed) {
					t.Errorf("Wait returned %v", err)
				}
				if err := stop(); !errors.Is(err, ledgertest.ErrInjected) {
					t.Errorf("Run returned %v", err)
				}
				showsNothingOf(t, l, before, lost)
				kept := fault == ledgertest.Kept
				l = start(t, config(store.Reopen()))
				again := mustAppend(t, l, lost...)
				if again[0].Duplicate != kept || l.Head().Size != before.Size+10 {
					t.Errorf("after opening again: duplicate %t, %d entries", again[0].Duplicate, l.Head().Size)
				}
				checkHistory(t, l)
			})
		}
	}
}

// showsNothingOf asks every reading method for a batch that was not acknowledged.
func showsNothingOf(t *testing.T, l *ledger.Ledger, before ledger.Head, lost []ledger.Entry) {
	t.Helper()
	ctx := t.Context()
	if got := l.Head(); got.Checkpoint != before.Checkpoint {
		t.Errorf("head has %d entries, want %d", got.Size, before.Size)
	}
	for name, err := range map[string]error{
		"record":     second(l.Record(ctx, before.Size)),
		"inclusion":  second(l.Inclusion(ctx, before.Size, before.Size+10)),
		"checkpoint": second(l.Checkpoint(ctx, before.Size+10)),
		"tile":       second(l.Tile(ctx, tlog.Tile{Level: 0, Width: int(before.Size) + 1})),
	} {
		if !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s shows it: %v", name, err)
		}
	}
	if _, ok, err := l.Lookup(ctx, tlog.LeafHash(lost[0].Leaf)); ok || err != nil {
		t.Errorf("lookup shows it: %t, %v", ok, err)
	}
	found, err := l.Search(ctx, ledger.Query{Key: "all", From: before.Size, Limit: 10})
	if len(found) > 0 || err != nil {
		t.Errorf("search shows it: %v, %v", found, err)
	}
	for _, link := range l.Negative() {
		if link.Index >= before.Size {
			t.Errorf("the chain shows entry %d", link.Index)
		}
	}
}

func TestReadOnlyStoreLeavesTheTreeUnchanged(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	l := start(t, config(ledgertest.NewFaulty(store, at(1, ledgertest.ReadOnly))))
	mustAppend(t, l, ledgertest.Entries(0, 250)...)
	before := l.Head()
	if _, err := l.Append(t.Context(), ledgertest.Entries(500, 900)); !errors.Is(err, ledger.ErrReadOnly) || errors.Is(err, ledger.ErrClosed) {
		t.Errorf("the waiter got %v", err)
	}
	showsNothingOf(t, l, before, ledgertest.Entries(500, 501))
	if got := mustAppend(t, l, ledgertest.Entries(250, 600)...); got[0].Record.Index != 250 {
		t.Errorf("the next entry is at %d", got[0].Record.Index)
	}
	checkHistory(t, l)
}

// While nothing can be stored, what is stored is still answered.
func TestReadOnlyStoreAnswersDuplicates(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	l := start(t, config(ledgertest.NewFaulty(store, func(n int) ledgertest.Fault {
		if n > 0 {
			return ledgertest.ReadOnly
		}
		return ledgertest.None
	})))
	mustAppend(t, l, ledgertest.Entries(0, 3)...)
	if got := mustAppend(t, l, ledgertest.Entries(1, 3)...); !got[0].Duplicate || !got[1].Duplicate {
		t.Errorf("duplicates: %+v", got)
	}
}

func TestFailedTimestampStoresNothing(t *testing.T) {
	stamper := &ledgertest.Stamper{}
	store := ledgertest.NewFaulty(ledgertest.NewMemory(ledgertest.EmptyHead()), at(-1, ledgertest.None))
	c := config(store)
	c.Stamper = stamper
	l := start(t, c)
	expired := errors.New("the certificate expired")
	stamper.Fail(expired)
	if _, err := l.Append(t.Context(), ledgertest.Entries(0, 9)); !errors.Is(err, expired) {
		t.Errorf("the waiter got %v", err)
	}
	stamper.Fail(nil)
	mustAppend(t, l, ledgertest.Entries(3, 9)...)
	if n := store.Commits(); n != 1 {
		t.Errorf("%d commits", n)
	}
}

// gated holds each commit until it is let through.
type gated struct {
	ledger.Store
	entered chan int // the size of a batch that wants to commit
	pass    chan struct{}
}

func newGated(s ledger.Store) *gated {
	return &gated{s, make(chan int), make(chan struct{})}
}

func (g *gated) Commit(ctx context.Context, b ledger.Batch) error {
	g.entered <- len(b.Records)
	<-g.pass
	return g.Store.Commit(ctx, b)
}

// pile appends entries by as many writers, while a commit is held, and returns
// when all are queued.
func pile(t *testing.T, l *ledger.Ledger, from, to int) chan error {
	t.Helper()
	done := appendAll(t, l, from, to)
	for ledger.Waiting(l) < to-from {
		runtime.Gosched()
	}
	return done
}

func appendAll(t *testing.T, l *ledger.Ledger, from, to int) chan error {
	done := make(chan error, to-from)
	for i := from; i < to; i++ {
		go func() {
			_, err := l.Append(t.Context(), ledgertest.Entries(i, i+1))
			done <- err
		}()
	}
	return done
}

// A lone writer is committed at once, and what comes meanwhile goes together.
func TestWhatQueuesDuringACommitIsOneBatch(t *testing.T) {
	store := newGated(ledgertest.NewMemory(ledgertest.EmptyHead()))
	c := config(store)
	c.BatchEntries = 30
	l := start(t, c)
	first := appendAll(t, l, 0, 1)
	if n := <-store.entered; n != 1 {
		t.Errorf("the first batch has %d entries", n)
	}
	rest := pile(t, l, 1, 51)
	store.pass <- struct{}{}
	for _, want := range []int{30, 20} {
		if n := <-store.entered; n != want {
			t.Errorf("a batch has %d entries, want %d", n, want)
		}
		store.pass <- struct{}{}
	}
	for range 50 {
		if err := <-rest; err != nil {
			t.Error(err)
		}
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// What is being committed is a duplicate for what queues behind it, also when
// that is refused and the second one turns out to be the first.
func TestDuplicateOfWhatIsInFlight(t *testing.T) {
	for _, refused := range []bool{false, true} {
		memory := ledgertest.NewMemory(ledgertest.EmptyHead())
		fault := ledgertest.None
		if refused {
			fault = ledgertest.ReadOnly
		}
		store := newGated(ledgertest.NewFaulty(memory, at(0, fault)))
		l := start(t, config(store))
		first := appendAll(t, l, 0, 1)
		<-store.entered
		behind := make(chan []ledger.Appended)
		go func() {
			got, err := l.Append(t.Context(), ledgertest.Entries(0, 2))
			if err != nil {
				t.Error(err)
			}
			behind <- got
		}()
		for ledger.Waiting(l) < 1 {
			runtime.Gosched()
		}
		store.pass <- struct{}{}
		<-store.entered
		store.pass <- struct{}{}
		if err := <-first; errors.Is(err, ledger.ErrReadOnly) != refused {
			t.Errorf("refused %t: the first got %v", refused, err)
		}
		got := <-behind
		checkAnswers(t, l, ledgertest.Entries(0, 2), got)
		if got[0].Duplicate == refused || got[0].Record.Index != 0 || got[1].Record.Index != 1 || got[1].Duplicate {
			t.Errorf("refused %t: the second got %d, %t and %d, %t", refused,
				got[0].Record.Index, got[0].Duplicate, got[1].Record.Index, got[1].Duplicate)
		}
	}
}

func TestFullPoolIsOverloadedAtOnce(t *testing.T) {
	store := newGated(ledgertest.NewMemory(ledgertest.EmptyHead()))
	c := config(store)
	c.BatchEntries, c.PoolEntries = 10, 20
	l := start(t, c)
	done := appendAll(t, l, 0, 1)
	<-store.entered
	more := pile(t, l, 1, 20)
	if _, err := l.Append(t.Context(), ledgertest.Entries(20, 21)); !errors.Is(err, ledger.ErrOverloaded) {
		t.Errorf("the 21st of 20 got %v", err)
	}
	go func() {
		for range store.entered {
			store.pass <- struct{}{}
		}
	}()
	store.pass <- struct{}{}
	for range 19 {
		if err := <-more; err != nil {
			t.Error(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	mustAppend(t, l, ledgertest.Entries(20, 21)...)
	if n := ledger.Reserved(l); n != 0 {
		t.Errorf("%d entries are still reserved", n)
	}
}

func TestPoolIsBoundedInBytes(t *testing.T) {
	c := config(ledgertest.NewMemory(ledgertest.EmptyHead()))
	c.BatchBytes, c.PoolBytes = 1<<20, 1<<20
	l := open(t, c) // nobody takes anything out
	large := ledgertest.Entry(0)
	large.Body = make([]byte, 900<<10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, []ledger.Entry{large}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first got %v", err)
	}
	large.Leaf = []byte("another")
	if _, err := l.Append(t.Context(), []ledger.Entry{large}); !errors.Is(err, ledger.ErrOverloaded) {
		t.Errorf("the second got %v", err)
	}
}

// A waiter that leaves takes nothing with it.
func TestEntryOfAWaiterThatLeftIsStored(t *testing.T) {
	store := newGated(ledgertest.NewMemory(ledgertest.EmptyHead()))
	l := start(t, config(store))
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := l.Append(ctx, ledgertest.Entries(0, 1))
		left <- err
	}()
	<-store.entered
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiter got %v", err)
	}
	store.pass <- struct{}{}
	if err := l.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, l, ledgertest.Entry(0)); !got[0].Duplicate {
		t.Error("it was not stored")
	}
}

func TestStopCommitsWhatWasAccepted(t *testing.T) {
	store := newGated(ledgertest.NewMemory(ledgertest.EmptyHead()))
	l := open(t, config(store))
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- l.Run(ctx) }()
	first := appendAll(t, l, 0, 1)
	<-store.entered
	rest := pile(t, l, 1, 6)
	cancel()
	store.pass <- struct{}{}
	if n := <-store.entered; n != 5 {
		t.Errorf("the last batch has %d entries", n)
	}
	store.pass <- struct{}{}
	for _, done := range []chan error{first, rest, rest, rest, rest, rest} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run returned %v", err)
	}
	if _, err := l.Append(t.Context(), ledgertest.Entries(7, 8)); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("a late one got %v", err)
	}
	if l.Head().Size != 6 || ledger.Reserved(l) != 0 {
		t.Errorf("%d entries, %d reserved", l.Head().Size, ledger.Reserved(l))
	}
	if err := l.Run(t.Context()); err == nil {
		t.Error("it runs twice")
	}
}

// spoiled is a store whose tiles can be changed.
type spoiled struct {
	ledger.Store
	level int
	index uint64
	spoil func([]byte) []byte
}

func (s *spoiled) Tile(ctx context.Context, level int, index uint64) ([]byte, error) {
	b, err := s.Store.Tile(ctx, level, index)
	if s.spoil != nil && err == nil && level == s.level && index == s.index {
		b = s.spoil(append([]byte(nil), b...))
	}
	return b, err
}

func flipped(b []byte) []byte { b[len(b)/2] ^= 1; return b }

func TestSpoiledStoreIsCorrupt(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	l := open(t, config(store))
	stop := run(t, l)
	mustAppend(t, l, ledgertest.Entries(0, 700)...)
	stop()
	narrow := func(b []byte) []byte { return b[:len(b)-tlog.HashSize] }
	wide := func(b []byte) []byte { return append(b, make([]byte, tlog.HashSize)...) }
	for name, spoil := range map[string]func([]byte) []byte{"flipped": flipped, "narrow": narrow, "wide": wide} {
		for _, edge := range []*spoiled{{store, 0, 2, spoil}, {store, 1, 0, spoil}} {
			if _, err := ledger.New(t.Context(), config(edge)); !errors.Is(err, ledger.ErrCorrupt) {
				t.Errorf("edge of level %d %s: opening says %v", edge.level, name, err)
			}
		}
		l, err := ledger.New(t.Context(), config(&spoiled{store, 0, 1, spoil}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Inclusion(t.Context(), 300, 700); !errors.Is(err, ledger.ErrCorrupt) {
			t.Errorf("full tile %s: a proof says %v", name, err)
		}
		if _, err := l.Receipt(t.Context(), 300); !errors.Is(err, ledger.ErrCorrupt) {
			t.Errorf("full tile %s: a receipt says %v", name, err)
		}
		if _, err := l.Receipt(t.Context(), 600); err != nil {
			t.Errorf("full tile %s: a receipt that does not need it says %v", name, err)
		}
	}
}

// headed is a store with another head.
type headed struct {
	ledger.Store
	head ledger.Head
}

func (h headed) Head() ledger.Head { return h.head }

func TestHeadThatTheLogDidNotSignIsCorrupt(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	l := open(t, config(store))
	stop := run(t, l)
	mustAppend(t, l, ledgertest.Entries(0, 7)...)
	first := l.Head()
	mustAppend(t, l, ledgertest.Entries(7, 9)...)
	stop()
	for name, change := range map[string]func(*ledger.Head){
		"a note that was changed":      func(h *ledger.Head) { h.Note = flipped(append([]byte(nil), h.Note...)) },
		"no note":                      func(h *ledger.Head) { h.Note = nil },
		"the note of another size":     func(h *ledger.Head) { h.Note = first.Note },
		"the root of another tree":     func(h *ledger.Head) { h.Root[3] ^= 1 },
		"an older head than the tiles": func(h *ledger.Head) { *h = first },
	} {
		head := store.Head()
		change(&head)
		if _, err := ledger.New(t.Context(), config(headed{store, head})); !errors.Is(err, ledger.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}
