package ledger_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/ledger/witness"
)

// town is some real witnesses, which can be made to fail.
type town struct {
	clock   *ledgertest.Clock
	policy  *tlog.Policy
	kept    witness.File
	windows []*window
}

// A window is where one witness answers.
type window struct {
	server *witness.Server
	signer *tlog.Cosigner

	mu    sync.Mutex // guards spoil
	spoil http.Handler
}

func (w *window) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	h := w.spoil
	w.mu.Unlock()
	if h == nil {
		h = w.server
	}
	h.ServeHTTP(rw, r)
}

// behave makes a witness answer otherwise; nil makes it honest again.
func (w *window) behave(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spoil = nil
	if h != nil {
		w.spoil = h
	}
}

func dead(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// newTown starts n witnesses; quorum is the last lines of the policy.
func newTown(t testing.TB, n int, quorum string) *town {
	t.Helper()
	town := &town{clock: new(ledgertest.Clock), kept: witness.File{Path: filepath.Join(t.TempDir(), "published")}}
	text := "log " + ledgertest.Signer().Verifier().VKey() + "\n"
	for i := range n {
		name := fmt.Sprintf("w%d.example", i)
		seed := sha256.Sum256([]byte(name))
		signer, err := tlog.NewCosigner(name, ed25519.NewKeyFromSeed(seed[:]))
		if err != nil {
			t.Fatal(err)
		}
		s, err := witness.NewServer(witness.ServerConfig{
			Cosigner: signer, Logs: []*tlog.Verifier{ledgertest.Signer().Verifier()}, Dir: t.TempDir(), Now: town.clock.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &window{server: s, signer: signer}
		server := httptest.NewServer(w)
		t.Cleanup(func() { server.CloseClientConnections(); server.Close(); s.Close() })
		town.windows = append(town.windows, w)
		text += fmt.Sprintf("witness w%d %s %s\n", i, signer.Witness().VKey(), server.URL)
	}
	var err error
	if town.policy, err = tlog.ParsePolicy([]byte(text + quorum)); err != nil {
		t.Fatal(err)
	}
	return town
}

// config is that of a ledger whose heads the town cosigns.
func (w *town) config(t testing.TB, s ledger.Store) ledger.Config {
	t.Helper()
	feed, err := witness.NewFeed(witness.Config{
		Policy: w.policy, Timeout: 300 * time.Millisecond, FirstPause: 5 * time.Millisecond, MaxPause: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := config(s)
	c.Now = w.clock.Now
	c.Witnessing = &ledger.Witnessing{Policy: w.policy, Witnesses: feed, Keeper: w.kept, Wait: 150 * time.Millisecond}
	return c
}

// cosigned checks a note, and returns who cosigned it.
func (w *town) cosigned(t testing.TB, note []byte) []string {
	t.Helper()
	_, cosignatures, err := w.policy.Check(note)
	if err != nil {
		t.Fatalf("%v\n%s", err, note)
	}
	if !w.policy.Holds(cosignatures) {
		t.Errorf("no quorum:\n%s", note)
	}
	var names []string
	for _, c := range cosignatures {
		names = append(names, c.Witness)
	}
	return names
}

// eventually appends until there is a quorum again.
func eventually(t testing.TB, l *ledger.Ledger, entries ...ledger.Entry) []ledger.Appended {
	t.Helper()
	for range 100 {
		got, err := l.Append(t.Context(), entries)
		if err == nil {
			checkAnswers(t, l, entries, got)
			return got
		}
		if !errors.Is(err, ledger.ErrWitnessQuorum) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("there is no quorum")
	return nil
}

const twoOf = "group ours 2 w0 w1 w2\nquorum ours\n"

func TestReceiptsCarryTheQuorum(t *testing.T) {
	w := newTown(t, 3, twoOf)
	l := start(t, w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead())))
	for i := range 20 {
		for _, a := range eventually(t, l, ledgertest.Entries(10*i, 10*i+10)...) {
			w.cosigned(t, a.Receipt.Checkpoint)
		}
		head := l.Head()
		if w.cosigned(t, head.Note); string(head.Token) != string(ledgertest.Token(head.Note, head.Time)) {
			t.Error("the head's token is not over its note")
		}
	}
	checkHistory(t, l)
}

// A witness that is dead, slow or lying costs nothing while the others make the quorum.
func TestOneWitnessFails(t *testing.T) {
	for name, h := range map[string]func(*window) http.HandlerFunc{
		"dead": func(*window) http.HandlerFunc { return dead },
		"slow": func(*window) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }
		},
		"lying": func(w *window) http.HandlerFunc {
			line, err := w.signer.Cosign(tlog.Checkpoint{Origin: ledgertest.Origin, Root: tlog.EmptyRoot()}, ledgertest.Start)
			if err != nil {
				t.Fatal(err)
			}
			return func(rw http.ResponseWriter, _ *http.Request) { rw.Write(line) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, 3, twoOf)
			bad := w.windows[1]
			bad.behave(h(bad))
			l := start(t, w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead())))
			for i := range 10 {
				got := eventually(t, l, ledgertest.Entries(3*i, 3*i+3)...)
				if names := strings.Join(w.cosigned(t, got[0].Receipt.Checkpoint), " "); names != "w0 w2" {
					t.Errorf("cosigned by %s", names)
				}
			}
		})
	}
}

// Attack H24: a witness whose clock is wrong says nothing of now.
func TestCosignatureOfAnotherTimeIsNotTaken(t *testing.T) {
	for _, skew := range []time.Duration{-10 * time.Minute, 10 * time.Minute, time.Minute} {
		w := newTown(t, 1, "quorum w0\n")
		c := w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead()))
		c.Now = func() time.Time { return w.clock.Now().Add(skew) }
		l := start(t, c)
		if skew == time.Minute {
			eventually(t, l, ledgertest.Entries(0, 1)...)
			continue
		}
		if _, err := l.Append(t.Context(), ledgertest.Entries(0, 1)); !errors.Is(err, ledger.ErrWitnessQuorum) {
			t.Errorf("%s apart: %v", skew, err)
		}
	}
}

// Without a quorum entries are durable and nobody sees them; with it again they
// have the places that they had from the first.
func TestQuorumIsMissing(t *testing.T) {
	w := newTown(t, 3, twoOf)
	store := ledgertest.NewFaulty(ledgertest.NewMemory(ledgertest.EmptyHead()), at(-1, ledgertest.None))
	l := start(t, w.config(t, store))
	eventually(t, l, ledgertest.Entries(0, 10)...)
	before := l.Head()
	w.windows[0].behave(dead)
	w.windows[2].behave(dead)
	lost := ledgertest.Entries(10, 20)
	for range 2 { // a retry changes nothing
		if _, err := l.Append(t.Context(), lost); !errors.Is(err, ledger.ErrWitnessQuorum) || errors.Is(err, ledger.ErrClosed) {
			t.Fatalf("without a quorum: %v", err)
		}
	}
	if err := l.Settle(t.Context()); !errors.Is(err, ledger.ErrWitnessQuorum) {
		t.Errorf("it settles: %v", err)
	}
	if n := store.Commits(); n != 2 || l.Unpublished() != 10 {
		t.Errorf("%d commits, %d unpublished", n, l.Unpublished())
	}
	showsNothingOf(t, l, before, lost)
	if _, err := l.Consistency(t.Context(), 1, 20); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("consistency shows it: %v", err)
	}
	if _, err := l.Tile(t.Context(), tlog.Tile{Level: tlog.EntriesLevel, Width: 11}); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("an entry tile shows it: %v", err)
	}
	if got := eventually(t, l, ledgertest.Entry(3)); !got[0].Duplicate {
		t.Error("a duplicate of before is not answered")
	}
	w.windows[0].behave(nil)
	got := eventually(t, l, lost...)
	w.cosigned(t, got[0].Receipt.Checkpoint)
	if err := l.Settle(t.Context()); err != nil {
		t.Error(err)
	}
	if got[0].Record.Index != 10 || !got[0].Duplicate || l.Head().Size != 20 || l.Unpublished() != 0 {
		t.Errorf("afterwards: index %d, duplicate %t, %d entries", got[0].Record.Index, got[0].Duplicate, l.Head().Size)
	}
	checkHistory(t, l)
}

func TestWhatWaitsForWitnessesIsBounded(t *testing.T) {
	w := newTown(t, 1, "quorum w0\n")
	c := w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead()))
	c.BatchEntries, c.PoolEntries, c.Witnessing.Wait = 5, 5, time.Millisecond
	w.windows[0].behave(dead)
	l := start(t, c)
	for i := range 6 {
		if _, err := l.Append(t.Context(), ledgertest.Entries(5*i, 5*i+5)); !errors.Is(err, ledger.ErrWitnessQuorum) {
			t.Fatal(err)
		}
	}
	if n := l.Unpublished(); n != 25 {
		t.Errorf("%d entries wait, for a pool of 5", n)
	}
	w.windows[0].behave(nil)
	if got := eventually(t, l, ledgertest.Entries(25, 30)...); got[0].Record.Index != 25 {
		t.Errorf("what was not taken is at %d", got[0].Record.Index)
	}
}

// crash ends a ledger as a power cut would: what is in the store and in the kept
// note stays, and nothing is finished.
func TestCrashBetweenCommitAndPublish(t *testing.T) {
	for name, cut := range map[string]func(*town){
		"before the witnesses were asked": func(w *town) { w.windows[0].behave(dead) },
		"after they had cosigned": func(w *town) { // and the answer was lost
			honest := w.windows[0].server
			w.windows[0].behave(func(_ http.ResponseWriter, r *http.Request) {
				honest.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, 1, "quorum w0\n")
			store := ledgertest.NewMemory(ledgertest.EmptyHead())
			l := open(t, w.config(t, store))
			stop := run(t, l)
			eventually(t, l, ledgertest.Entries(0, 10)...)
			published := l.Head()
			cut(w)
			lost := ledgertest.Entries(10, 25)
			if _, err := l.Append(t.Context(), lost); !errors.Is(err, ledger.ErrWitnessQuorum) {
				t.Fatal(err)
			}
			stop()
			// While the witness is away, readers see what they saw before.
			l = open(t, w.config(t, store.Reopen()))
			if head := l.Head(); head.Checkpoint != published.Checkpoint || string(head.Note) != string(published.Note) {
				t.Errorf("after opening again the head has %d entries", head.Size)
			}
			showsNothingOf(t, l, published, lost)
			w.windows[0].behave(nil)
			run(t, l)
			got := eventually(t, l, lost...)
			if got[0].Record.Index != 10 || !got[0].Duplicate {
				t.Errorf("index %d, duplicate %t", got[0].Record.Index, got[0].Duplicate)
			}
			if err := tlogConsistent(t, l, published, l.Head()); err != nil {
				t.Error(err)
			}
			w.cosigned(t, l.Head().Note)
			checkHistory(t, l)
		})
	}
}

func tlogConsistent(t *testing.T, l *ledger.Ledger, from, to ledger.Head) error {
	path, err := l.Consistency(t.Context(), from.Size, to.Size)
	if err != nil {
		return err
	}
	return tlog.VerifyConsistency(from.Checkpoint, to.Checkpoint, path)
}

// The witnesses' memory outlives the log's: a store that was set back is found
// out by the note that was kept, and where that was set back too, by the witnesses.
func TestStoreThatWasSetBack(t *testing.T) {
	w := newTown(t, 1, "quorum w0\n")
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	l := open(t, w.config(t, store))
	stop := run(t, l)
	eventually(t, l, ledgertest.Entries(0, 10)...)
	old := store.Reopen()
	oldNote := l.Head().Note
	eventually(t, l, ledgertest.Entries(10, 20)...)
	stop()
	if _, err := ledger.New(t.Context(), w.config(t, old.Reopen())); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("opening says %v", err)
	}
	if err := w.kept.Keep(oldNote); err != nil {
		t.Fatal(err)
	}
	l = start(t, w.config(t, old))
	for i := range 3 { // another history
		if _, err := l.Append(t.Context(), ledgertest.Entries(50+5*i, 55+5*i)); !errors.Is(err, ledger.ErrWitnessQuorum) {
			t.Fatalf("a fork is published: %v", err)
		}
	}
	if n := l.Head().Size; n != 10 {
		t.Errorf("the fork shows %d entries", n)
	}
}

// A witness whose own memory was set back, or lost, names the size that it knows,
// and is led from there.
func TestWitnessThatWasSetBack(t *testing.T) {
	w := newTown(t, 1, "quorum w0\n")
	l := start(t, w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead())))
	eventually(t, l, ledgertest.Entries(0, 10)...)
	forgetful, err := witness.NewServer(witness.ServerConfig{
		Cosigner: w.windows[0].signer, Logs: []*tlog.Verifier{ledgertest.Signer().Verifier()}, Dir: t.TempDir(), Now: w.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { forgetful.Close() })
	w.windows[0].behave(forgetful.ServeHTTP)
	for i := range 3 {
		got := eventually(t, l, ledgertest.Entries(10+5*i, 15+5*i)...)
		w.cosigned(t, got[0].Receipt.Checkpoint)
	}
	w.windows[0].behave(nil) // back to what it knew at 10
	eventually(t, l, ledgertest.Entries(25, 30)...)
	checkHistory(t, l)
}

func TestKeptNoteThatIsNotTheLogsIsCorrupt(t *testing.T) {
	w := newTown(t, 1, "quorum w0\n")
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	stop := run(t, open(t, w.config(t, store)))
	stop()
	other, mk := ledgertest.NewMemory(ledgertest.EmptyHead()), &ledgertest.Maker{}
	b := mk.Batch(ledgertest.Entries(7, 9)...)
	if err := other.Commit(t.Context(), (&ledgertest.Maker{}).Batch(ledgertest.Entries(0, 5)...)); err != nil {
		t.Fatal(err)
	}
	for what, note := range map[string][]byte{"another root": b.Note, "no note": []byte("x\n")} {
		if err := w.kept.Keep(note); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.New(t.Context(), w.config(t, other)); !errors.Is(err, ledger.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A quorum that is new finds no note that it would have made: until the
// witnesses have cosigned, the log shows nothing.
func TestQuorumIsNew(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	l := open(t, config(store))
	stop := run(t, l)
	eventually(t, l, ledgertest.Entries(0, 10)...)
	stop()
	w := newTown(t, 2, "group both all w0 w1\nquorum both\n")
	l = open(t, w.config(t, store.Reopen()))
	if n := l.Head().Size; n != 0 {
		t.Errorf("%d entries are shown", n)
	}
	run(t, l)
	if err := l.Wait(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	w.cosigned(t, l.Head().Note)
}

// Without a quorum nothing waits, and cosignatures come when they come.
func TestQuorumNone(t *testing.T) {
	w := newTown(t, 2, "quorum none\n")
	w.windows[0].behave(dead)
	w.windows[1].behave(dead)
	l := start(t, w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead())))
	eventually(t, l, ledgertest.Entries(0, 10)...)
	if n := len(w.cosigned(t, l.Head().Note)); n != 0 || l.Head().Size != 10 {
		t.Errorf("%d cosignatures on %d entries", n, l.Head().Size)
	}
	w.windows[0].behave(nil)
	w.windows[1].behave(nil)
	for range 1000 {
		if len(w.cosigned(t, l.Head().Note)) == 2 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the cosignatures never came")
}

func TestIdleHeadIsCosignedAgain(t *testing.T) {
	w := newTown(t, 1, "quorum w0\n")
	c := w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead()))
	c.Witnessing.Refresh = 20 * time.Millisecond
	l := start(t, c)
	eventually(t, l, ledgertest.Entries(0, 3)...)
	w.clock.Set(ledgertest.Start.Add(time.Hour))
	for range 1000 {
		_, cosignatures, err := w.policy.Check(l.Head().Note)
		if err != nil {
			t.Fatal(err)
		}
		if cosignatures[0].Time.After(ledgertest.Start.Add(30 * time.Minute)) {
			if at := l.Head().Time; at.Before(ledgertest.Start.Add(time.Hour)) {
				t.Errorf("its token is of %s", at)
			}
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("it never was")
}

// failingKeeper refuses to keep until it is told to.
type failingKeeper struct {
	ledger.Keeper
	mu   sync.Mutex // guards fail
	fail bool
}

func (k *failingKeeper) set(fail bool) { k.mu.Lock(); k.fail = fail; k.mu.Unlock() }

func (k *failingKeeper) Keep(note []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail {
		return errors.New("no space")
	}
	return k.Keeper.Keep(note)
}

// What cannot be kept is not shown: a restart would take it back.
func TestNothingIsPublishedThatIsNotKept(t *testing.T) {
	w := newTown(t, 1, "quorum w0\n")
	c := w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead()))
	keeper := &failingKeeper{Keeper: w.kept, fail: true}
	reported := make(chan error, 10)
	c.Witnessing.Keeper, c.Witnessing.Report = keeper, func(err error) { reported <- err }
	l := start(t, c)
	if _, err := l.Append(t.Context(), ledgertest.Entries(0, 1)); !errors.Is(err, ledger.ErrWitnessQuorum) || l.Head().Size != 0 {
		t.Errorf("%v, %d entries are shown", err, l.Head().Size)
	}
	if err := <-reported; !strings.Contains(err.Error(), "no space") {
		t.Errorf("reported: %v", err)
	}
	keeper.set(false)
	eventually(t, l, ledgertest.Entry(0))
}

// Many write while witnesses come and go: nothing is lost, nothing is twice.
func TestWritersAndWitnessesThatComeAndGo(t *testing.T) {
	w := newTown(t, 3, twoOf)
	l := start(t, w.config(t, ledgertest.NewMemory(ledgertest.EmptyHead())))
	ctx, cancel := context.WithCancel(t.Context())
	var chaos, writers sync.WaitGroup
	chaos.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			w.windows[i%3].behave(dead)
			w.windows[(i+1)%3].behave(dead)
			time.Sleep(3 * time.Millisecond)
			w.windows[(i+1)%3].behave(nil)
			time.Sleep(10 * time.Millisecond)
			w.windows[i%3].behave(nil)
		}
	})
	for g := range 8 {
		writers.Go(func() {
			for i := range 25 {
				eventually(t, l, ledgertest.Entries(100*g+4*i, 100*g+4*i+4)...)
			}
		})
	}
	writers.Wait()
	cancel()
	chaos.Wait()
	if n := l.Head().Size; n != 800 {
		t.Errorf("%d entries, want 800", n)
	}
	checkHistory(t, l)
}
