package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

func config(s ledger.Store) ledger.Config {
	return ledger.Config{Store: s, Signer: ledgertest.Signer(), Stamper: &ledgertest.Stamper{}, Now: new(ledgertest.Clock).Now}
}

func open(t testing.TB, c ledger.Config) *ledger.Ledger {
	t.Helper()
	l, err := ledger.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run starts the sequencer. The function that it returns stops it, and returns
// what Run returned.
func run(t testing.TB, l *ledger.Ledger) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return stop
}

func start(t testing.TB, c ledger.Config) *ledger.Ledger {
	l := open(t, c)
	run(t, l)
	return l
}

func mustAppend(t testing.TB, l *ledger.Ledger, entries ...ledger.Entry) []ledger.Appended {
	t.Helper()
	got, err := l.Append(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswers(t, l, entries, got)
	return got
}

var verifier = ledgertest.Signer().Verifier()

// checkAnswers does what a client does with receipts.
func checkAnswers(t testing.TB, l *ledger.Ledger, entries []ledger.Entry, got []ledger.Appended) {
	t.Helper()
	if len(got) != len(entries) {
		t.Errorf("%d answers to %d entries", len(got), len(entries))
		return
	}
	for i, a := range got {
		if err := checkAnswer(t.Context(), l, entries[i], a); err != nil {
			t.Errorf("entry %d: %v", a.Record.Index, err)
		}
	}
}

func checkAnswer(ctx context.Context, l *ledger.Ledger, e ledger.Entry, a ledger.Appended) error {
	cp, err := tlog.VerifyReceipt(verifier, tlog.LeafHash(e.Leaf), a.Receipt)
	if err != nil {
		return err
	}
	if cp.Size <= a.Record.Index || a.Receipt.Index != a.Record.Index {
		return fmt.Errorf("its receipt is for %d in %d entries", a.Receipt.Index, cp.Size)
	}
	if d := cmp.Diff(e, a.Record.Entry); d != "" {
		return fmt.Errorf("its record: (-want +got)\n%s", d)
	}
	want := ledgertest.Token(a.Record.Stamp, a.Record.Time)
	if string(a.Record.Token) != string(want) || string(a.Receipt.Token) != string(want) {
		return fmt.Errorf("its token is %s, want %s", a.Receipt.Token, want)
	}
	stored, err := l.Record(ctx, a.Record.Index)
	if err != nil || !cmp.Equal(stored, a.Record) {
		return fmt.Errorf("stored is %v, %w", stored, err)
	}
	return nil
}

func TestEntriesGetReceiptsThatVerify(t *testing.T) {
	l := start(t, config(ledgertest.NewMemory(ledgertest.EmptyHead())))
	at := 0
	for _, n := range []int{1, 2, 300, 1, 17} {
		got := mustAppend(t, l, ledgertest.Entries(at, at+n)...)
		for i, a := range got {
			if a.Record.Index != uint64(at+i) || a.Duplicate {
				t.Errorf("entry %d is at %d, duplicate %t", at+i, a.Record.Index, a.Duplicate)
			}
		}
		at += n
		if head := l.Head(); head.Size != uint64(at) {
			t.Errorf("head has %d entries, want %d", head.Size, at)
		}
	}
	if got, err := l.Append(t.Context(), nil); got != nil || err != nil {
		t.Errorf("nothing appended: %v, %v", got, err)
	}
}

func TestDuplicateGetsTheFirstIndexAndToken(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	clock := new(ledgertest.Clock)
	c := config(store)
	c.Now = clock.Now
	l := start(t, c)
	first := mustAppend(t, l, ledgertest.Entries(0, 3)...)
	clock.Set(ledgertest.Start.Add(time.Hour))
	again := mustAppend(t, l, ledgertest.Entry(5), ledgertest.Entry(1), ledgertest.Entry(5), ledgertest.Entry(6))
	want := []struct {
		index     uint64
		duplicate bool
	}{{3, false}, {1, true}, {3, true}, {4, false}}
	for i, w := range want {
		if again[i].Record.Index != w.index || again[i].Duplicate != w.duplicate {
			t.Errorf("answer %d: index %d, duplicate %t, want %+v", i, again[i].Record.Index, again[i].Duplicate, w)
		}
	}
	if d := cmp.Diff(first[1].Record, again[1].Record); d != "" {
		t.Errorf("the duplicate has another record: (-first +again)\n%s", d)
	}
	if only := mustAppend(t, l, ledgertest.Entry(2)); !only[0].Duplicate || l.Head().Size != 5 {
		t.Errorf("a duplicate alone: %+v, head %d", only[0], l.Head().Size)
	}
}

// Many writers append entries that partly overlap: each leaf is in the log once,
// and everybody who sent it is told the same place.
func TestConcurrentWritersAgree(t *testing.T) {
	const writers, each, distinct = 32, 40, 500
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	l := start(t, config(store))
	var mu sync.Mutex
	place := map[string]uint64{}
	fresh := map[string]int{}
	var wg sync.WaitGroup
	for w := range uint64(writers) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(w, 7))
			for range each {
				var entries []ledger.Entry
				for range 1 + rng.IntN(4) {
					entries = append(entries, ledgertest.Entry(rng.IntN(distinct)))
				}
				got, err := l.Append(t.Context(), entries)
				if err != nil {
					t.Error(err)
					return
				}
				checkAnswers(t, l, entries, got)
				mu.Lock()
				for i, a := range got {
					key := string(entries[i].Leaf)
					if at, ok := place[key]; ok && at != a.Record.Index {
						t.Errorf("%s is at %d and at %d", key, at, a.Record.Index)
					}
					place[key] = a.Record.Index
					if !a.Duplicate {
						fresh[key]++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if size := l.Head().Size; size != uint64(len(place)) {
		t.Errorf("the log has %d entries, %d were sent", size, len(place))
	}
	for key, n := range fresh {
		if n != 1 {
			t.Errorf("%s was new %d times", key, n)
		}
	}
	checkHistory(t, l)
}

// checkHistory proves that every checkpoint that was signed is a beginning of
// the next one.
func checkHistory(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	var last ledger.Head
	for size := range l.Head().Size + 1 {
		head, err := l.Checkpoint(t.Context(), size)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if cp, err := l.Verifier().Open(head.Note); err != nil || cp != head.Checkpoint {
			t.Fatalf("checkpoint of %d: %v, %v", size, cp, err)
		}
		if size > 0 {
			path, err := l.Consistency(t.Context(), last.Size, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.VerifyConsistency(last.Checkpoint, head.Checkpoint, path); err != nil {
				t.Fatal(err)
			}
			if head.Time.Before(last.Time) {
				t.Errorf("checkpoint of %d is older than that of %d", size, last.Size)
			}
		}
		last = head
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	clock := new(ledgertest.Clock)
	c := config(ledgertest.NewMemory(ledgertest.EmptyHead()))
	c.Now = clock.Now
	l := start(t, c)
	clock.Set(ledgertest.Start.Add(time.Hour + 123*time.Microsecond))
	first := mustAppend(t, l, ledgertest.Entry(0))[0].Record.Time
	clock.Set(ledgertest.Start)
	second := mustAppend(t, l, ledgertest.Entry(1))[0].Record.Time
	if want := ledgertest.Start.Add(time.Hour + time.Millisecond); !first.Equal(want) || !second.Equal(want) {
		t.Errorf("times %v and %v, want %v", first, second, want)
	}
}

func TestTimeNeverGoesBackOverARestart(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	c := config(store)
	c.Now = func() time.Time { return ledgertest.Start.Add(time.Hour) }
	l := open(t, c)
	stop := run(t, l)
	mustAppend(t, l, ledgertest.Entry(0))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	l = start(t, config(store.Reopen()))
	if got := mustAppend(t, l, ledgertest.Entry(1))[0].Record.Time; !got.Equal(ledgertest.Start.Add(time.Hour)) {
		t.Errorf("time %v after a restart", got)
	}
}

// An idle log's head is as fresh as the clock, and never older than its entries.
func TestHeadNowCarriesATokenOfNow(t *testing.T) {
	clock := new(ledgertest.Clock)
	stamper := &ledgertest.Stamper{}
	c := config(ledgertest.NewMemory(ledgertest.EmptyHead()))
	c.Now, c.Stamper = clock.Now, stamper
	l := start(t, c)
	mustAppend(t, l, ledgertest.Entry(0))
	head := l.Head()
	clock.Set(ledgertest.Start.Add(48 * time.Hour))
	got, err := l.HeadNow()
	if err != nil {
		t.Fatal(err)
	}
	want := head
	want.Time = ledgertest.Start.Add(48*time.Hour + time.Millisecond)
	want.Token = ledgertest.Token(head.Note, want.Time)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	clock.Set(ledgertest.Start.Add(-time.Hour))
	if got, err := l.HeadNow(); err != nil || !cmp.Equal(got, head) {
		t.Errorf("with a clock that went back: %v, %v", got.Time, err)
	}
	clock.Set(ledgertest.Start.Add(49 * time.Hour))
	stamper.Fail(errors.New("expired"))
	if _, err := l.HeadNow(); err == nil {
		t.Error("without a token it is not fresh")
	}
}

func TestWaitReturnsWhenTheLogHasGrown(t *testing.T) {
	l := open(t, config(ledgertest.NewMemory(ledgertest.EmptyHead())))
	stop := run(t, l)
	waited := make(chan error)
	go func() { waited <- l.Wait(t.Context(), 4) }()
	for i := range 4 {
		mustAppend(t, l, ledgertest.Entry(i))
	}
	select {
	case err := <-waited:
		t.Fatalf("four entries are no more than four: %v", err)
	default:
	}
	mustAppend(t, l, ledgertest.Entry(4))
	if err := <-waited; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("a waiter that left: %v", err)
	}
	go func() { waited <- l.Wait(t.Context(), 5) }()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-waited; !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("a waiter for a ledger that stopped: %v", err)
	}
	if err := l.Wait(t.Context(), 3); err != nil {
		t.Errorf("what is there is there: %v", err)
	}
}

func TestEntriesThatBreakARuleAreRefused(t *testing.T) {
	c := config(ledgertest.NewMemory(ledgertest.EmptyHead()))
	c.BatchEntries, c.BatchBytes, c.PoolEntries, c.PoolBytes = 4, 1<<20, 8, 2<<20
	l := start(t, c)
	with := func(change func(*ledger.Entry)) []ledger.Entry {
		e := ledgertest.Entry(1)
		change(&e)
		return []ledger.Entry{ledgertest.Entry(0), e}
	}
	for name, test := range map[string]struct {
		entries []ledger.Entry
		want    error
	}{
		"no leaf":        {with(func(e *ledger.Entry) { e.Leaf = nil }), ledger.ErrInvalid},
		"a long leaf":    {with(func(e *ledger.Entry) { e.Leaf = make([]byte, ledger.MaxLeaf+1) }), ledger.ErrInvalid},
		"no stamp":       {with(func(e *ledger.Entry) { e.Stamp = nil }), ledger.ErrInvalid},
		"an empty key":   {with(func(e *ledger.Entry) { e.Keys = []string{""} }), ledger.ErrInvalid},
		"unsorted keys":  {with(func(e *ledger.Entry) { e.Keys = []string{"b", "a"} }), ledger.ErrInvalid},
		"a key twice":    {with(func(e *ledger.Entry) { e.Keys = []string{"a", "a"} }), ledger.ErrInvalid},
		"a NUL in a key": {with(func(e *ledger.Entry) { e.Keys = []string{"a\x00"} }), ledger.ErrInvalid},
		"a large body":   {with(func(e *ledger.Entry) { e.Body = make([]byte, 1<<20) }), ledger.ErrTooLarge},
		"five of four":   {ledgertest.Entries(0, 5), ledger.ErrTooLarge},
	} {
		if _, err := l.Append(t.Context(), test.entries); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if size := l.Head().Size; size != 0 {
		t.Errorf("%d entries were stored", size)
	}
	mustAppend(t, l, ledgertest.Entries(0, 4)...)
}

func TestReadersAreToldWhatIsNotThere(t *testing.T) {
	l := start(t, config(ledgertest.NewMemory(ledgertest.EmptyHead())))
	mustAppend(t, l, ledgertest.Entries(0, 300)...)
	ctx := t.Context()
	for name, err := range map[string]error{
		"record":      second(l.Record(ctx, 300)),
		"inclusion":   second(l.Inclusion(ctx, 0, 301)),
		"index":       second(l.Inclusion(ctx, 300, 300)),
		"consistency": second(l.Consistency(ctx, 5, 301)),
		"checkpoint":  second(l.Checkpoint(ctx, 301)),
		"no batch":    second(l.Checkpoint(ctx, 7)),
		"tile":        second(l.Tile(ctx, tlog.Tile{Level: 0, Index: 1, Width: 45})),
		"full tile":   second(l.Tile(ctx, tlog.Tile{Level: 1, Index: 0, Width: tlog.TileWidth})),
		"far tile":    second(l.Tile(ctx, tlog.Tile{Level: 0, Index: 1 << 60, Width: 1})),
		"bundle":      second(l.Tile(ctx, tlog.Tile{Level: tlog.EntriesLevel, Index: 1, Width: 45})),
		"receipt":     second(l.Receipt(ctx, 300)),
	} {
		if !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

func TestSearchIsBounded(t *testing.T) {
	l := start(t, config(ledgertest.NewMemory(ledgertest.EmptyHead())))
	mustAppend(t, l, ledgertest.Entries(0, 30)...)
	for _, limit := range []int{-1, 0, ledger.MaxPage + 1} {
		if _, err := l.Search(t.Context(), ledger.Query{Limit: limit}); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	for _, c := range []struct {
		q    ledger.Query
		want []uint64
	}{
		{ledger.Query{Key: "mod:1", From: 12, Limit: 9}, []uint64{16, 21, 26}},
		{ledger.Query{Key: "mod:1", Until: 99, Limit: 2}, []uint64{1, 6}},
		{ledger.Query{From: 28, Limit: 9}, []uint64{28, 29}},
		{ledger.Query{From: 30, Limit: 9}, nil},
		{ledger.Query{From: 9, Until: 9, Limit: 9}, nil},
	} {
		if got, err := l.Search(t.Context(), c.q); err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v, want %v", c.q, got, err, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTilesLeadToTheSignedRoot(t *testing.T) {
	l := start(t, config(ledgertest.NewMemory(ledgertest.EmptyHead())))
	mustAppend(t, l, ledgertest.Entries(0, 100)...)
	old := l.Head()
	mustAppend(t, l, ledgertest.Entries(100, 700)...)
	for _, head := range []ledger.Head{old, l.Head()} {
		_, err := tlog.OpenTree(t.Context(), head.Checkpoint, 0, func(ctx context.Context, level int, index uint64) ([]byte, error) {
			width := min(head.Size>>(tlog.TileHeight*level)-index*tlog.TileWidth, tlog.TileWidth)
			return l.Tile(ctx, tlog.Tile{Level: level, Index: index, Width: int(width)})
		})
		if err != nil {
			t.Errorf("size %d: %v", head.Size, err)
		}
	}
	bundle, err := l.Tile(t.Context(), tlog.Tile{Level: tlog.EntriesLevel, Index: 2, Width: 188})
	if err != nil {
		t.Fatal(err)
	}
	for i := 512; i < 700; i++ {
		n := int(bundle[0])<<8 | int(bundle[1])
		if got, want := string(bundle[2:2+n]), string(ledgertest.Entry(i).Leaf); got != want {
			t.Fatalf("entry %d of the bundle is %s, want %s", i, got, want)
		}
		bundle = bundle[2+n:]
	}
	if len(bundle) > 0 {
		t.Errorf("%d bytes after the bundle", len(bundle))
	}
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	good := config(ledgertest.NewMemory(ledgertest.EmptyHead()))
	for name, change := range map[string]func(*ledger.Config){
		"no store":     func(c *ledger.Config) { c.Store = nil },
		"no signer":    func(c *ledger.Config) { c.Signer = nil },
		"no stamper":   func(c *ledger.Config) { c.Stamper = nil },
		"no clock":     func(c *ledger.Config) { c.Now = nil },
		"negative":     func(c *ledger.Config) { c.BatchBytes = -1 },
		"a small pool": func(c *ledger.Config) { c.PoolEntries = 10 },
	} {
		c := good
		change(&c)
		if _, err := ledger.New(t.Context(), c); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
}

func ExampleLedger_Append() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := ledger.New(ctx, config(ledgertest.NewMemory(ledgertest.EmptyHead())))
	if err != nil {
		panic(err)
	}
	go l.Run(ctx)
	got, err := l.Append(ctx, []ledger.Entry{{Leaf: []byte("leaf"), Stamp: []byte("signature")}})
	if err != nil {
		panic(err)
	}
	cp, err := tlog.VerifyReceipt(l.Verifier(), tlog.LeafHash([]byte("leaf")), got[0].Receipt)
	fmt.Println(cp.Size, err)
	// Output: 1 <nil>
}
