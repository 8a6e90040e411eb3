package badgerstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// These are set in the process that TestKilled kills.
const (
	killedDir  = "COUNTERSIGN_TEST_KILLED_DIR"
	killedFeed = "COUNTERSIGN_TEST_KILLED_FEED" // not empty: it appends what benchmarks do
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		appendForever(dir)
	}
	os.Exit(m.Run())
}

// appendForever commits batches and says on standard output how large the log
// is, after each.
func appendForever(dir string) {
	o := Options{Dir: dir, SegmentSize: 64 << 10, HeadEvery: 5 * time.Millisecond, Verifier: ledgertest.Signer().Verifier()}
	s, err := Open(context.Background(), o)
	for err == nil {
		fmt.Println(s.Head().Size)
		next := nextBatch
		if os.Getenv(killedFeed) != "" {
			next = func(s *Store, n int) ledger.Batch { return newFeed(s.now().edge).batch(n) }
		}
		err = s.Commit(context.Background(), next(s, 1+rand.IntN(40)))
	}
	fmt.Println(err)
	os.Exit(1)
}

// nextBatch makes the batch of entries of ledgertest that follows what s has.
func nextBatch(s *Store, n int) ledger.Batch {
	at, edge := int(s.Head().Size), s.now().edge
	b := ledger.Batch{Time: s.Head().Time.Add(time.Millisecond)}
	var leaves []tlog.Hash
	for i, e := range ledgertest.Entries(at, at+n) {
		b.Records = append(b.Records, ledger.Record{Index: uint64(at + i), Entry: e, Time: b.Time, Token: ledgertest.Token(e.Stamp, b.Time)})
		leaves = append(leaves, tlog.LeafHash(e.Leaf))
	}
	edge, _ = edge.Append(leaves)
	b.Checkpoint = tlog.Checkpoint{Origin: ledgertest.Origin, Size: edge.Size(), Root: edge.Root()}
	var err error
	if b.Note, err = ledgertest.Signer().Sign(b.Checkpoint); err != nil {
		panic(err)
	}
	b.Token = ledgertest.Token(b.Note, b.Time)
	return b
}

// A process that appends is killed at random moments. Whatever it said is there
// afterwards, and the checkpoints that it signed are all of one log.
func TestKilled(t *testing.T) {
	o := testOptions(t)
	if err := Create(o, ledgertest.EmptyHead()); err != nil {
		t.Fatal(err)
	}
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	last := 0
	for range rounds {
		said := runAndKill(t, o.Dir, time.Duration(rand.IntN(150))*time.Millisecond)
		if said < 0 { // it was killed while it opened the log
			said = last
		}
		if said < last {
			t.Fatalf("the log had %d entries and has %d", last, said)
		}
		if rand.IntN(3) == 0 { // else the next process finds the kill
			s := reopen(t, o)
			if got := int(s.Head().Size); got < said {
				t.Fatalf("%d entries were acknowledged, %d are there", said, got)
			}
			mustHold(t, s, int(s.Head().Size))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		last = said
	}
	if _, err := Check(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, o)
	mustHold(t, s, int(s.Head().Size))
	mustBeConsistent(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Check(t.Context(), o, nil)
	if err != nil || r.Index != "" || r.Verified != r.Commits {
		t.Errorf("check: %+v, %v", r, err)
	}
	t.Logf("%d kills, %d entries, %d commits, %d segments", rounds, r.Head.Size, r.Commits, r.Segments)
}

// runAndKill starts a process that appends, kills it some time after it was
// started or after it has opened the log, and returns the last size that it said,
// or -1.
func runAndKill(t *testing.T, dir string, after time.Duration) (said int) {
	said = -1
	early := rand.IntN(3) == 0
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killedDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	if early {
		time.AfterFunc(after/4, func() { child.Process.Kill() })
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		size, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("the process says: %s", lines.Text())
		}
		if said < 0 {
			time.AfterFunc(after, func() { child.Process.Kill() })
		}
		said = max(said, size)
	}
	return said
}

// mustBeConsistent compares every checkpoint that was signed with the tree.
func mustBeConsistent(t *testing.T, s *Store) {
	t.Helper()
	tree, err := tlog.OpenTree(t.Context(), s.Head().Checkpoint, 16, s.Tile)
	if err != nil {
		t.Fatal(err)
	}
	for size := range s.Head().Size {
		h, err := s.Checkpoint(t.Context(), size)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		root, err := tree.Root(t.Context(), size)
		if err != nil || root != h.Root {
			t.Fatalf("at size %d the log signed %s, its tree has %s, %v", size, h.Root, root, err)
		}
	}
}
