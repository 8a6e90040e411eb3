package follow_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/follow"
)

func TestEveryEntryOfAGrowingLogIsReadOnce(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	last := 0
	for i, size := range []int{0, 1, 3, 3, 255, 256, 257, 700, 700, 701} {
		s.show(s.tree, size, nil)
		if step := r.step(last, size); step.First != (i == 0) {
			t.Errorf("size %d: first %v", size, step.First)
		}
		last = size
	}
	if n := s.asked["tile/0/000"]; n != 0 {
		t.Errorf("a tile that was read before was asked for %d times", n)
	}
	// Another process goes on where this one ended.
	if err := r.State.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	s.show(s.tree, 702, nil)
	r.step(701, 702)
}

func TestLeafThatIsNoKnownEntryIsReported(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	// A log of bytes that are no hashedrekord: the tree is right, the leaves strange.
	foreign := []byte("a foreign leaf")
	edge, _ := tlog.Edge{}.Append([]tlog.Hash{tlog.LeafHash(foreign)})
	note, err := s.signer.Sign(tlog.Checkpoint{Origin: "log.example", Size: 1, Root: edge.Root()})
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := tlog.AppendEntry(nil, foreign)
	if err != nil {
		t.Fatal(err)
	}
	s.show(s.tree, 1, func(path string, honest []byte) (int, []byte) {
		switch path {
		case "checkpoint":
			return 200, note
		case "tile/0/000.p/1":
			return 200, edge.Tile(0)
		}
		return 200, bundle
	})
	var got error
	r.Each = func(_ context.Context, e follow.Entry) error { got = e.Unreadable; return nil }
	step, err := r.Step(t.Context())
	if err != nil || got == nil || step.Strange != 1 || len(step.Unreadable) != 1 {
		t.Errorf("%+v, %v; the entry's own: %v", step, err, got)
	}
}

// lies are what a log can tell: rows H16, H18, H19 and H28 of the attacks that do not
// need a second signature. Nothing that they show is remembered.
var lies = map[string]struct {
	lie  func(path string, honest []byte) (int, []byte)
	want error
}{
	"one wrong hash in a full tile":    {onPath("tile/0/001", flip(40)), tlog.ErrBadTile},
	"one wrong hash in a partial tile": {onPath("tile/0/002.p/88", flip(0)), tlog.ErrBadTile},
	"one wrong hash in the tile above": {onPath("tile/1/000.p/2", flip(33)), tlog.ErrBadTile},
	"a partial tile wider than asked":  {onPath("tile/0/002.p/88", pad(tlog.HashSize)), tlog.ErrBadTile},
	"a partial tile with a byte more":  {onPath("tile/0/002.p/88", pad(1)), tlog.ErrBadTile},
	"a full tile that is cut":          {onPath("tile/0/001", cut(31)), tlog.ErrBadTile},
	"no bytes at all":                  {onPath("tile/0/001", func([]byte) []byte { return nil }), tlog.ErrBadTile},
	"an endless tile":                  {onPath("tile/0/001", pad(1<<20)), tlog.ErrBadTile},
	"a bundle that is cut off":         {onPath("tile/entries/001", cut(1)), tlog.ErrBadTile},
	"a bundle cut between entries":     {onPath("tile/entries/002.p/88", lastEntry(drop)), tlog.ErrBadTile},
	"a bundle with an entry more":      {onPath("tile/entries/002.p/88", lastEntry(double)), tlog.ErrBadTile},
	"another entry in a bundle":        {onPath("tile/entries/001", flip(60)), tlog.ErrBadTile},
	"an empty bundle":                  {onPath("tile/entries/001", func([]byte) []byte { return nil }), tlog.ErrBadTile},
	"no tile":                          {status("tile/0/001", http.StatusNotFound, ""), follow.ErrNotServed},
	"no bundle, and no full one":       {status("tile/entries/002.p/88", http.StatusGone, ""), follow.ErrNotServed},
	"a redirect":                       {status("checkpoint", http.StatusFound, "http://127.0.0.1:1/checkpoint"), nil},
	"no service":                       {status("checkpoint", http.StatusServiceUnavailable, ""), nil},
	"an endless checkpoint":            {onPath("checkpoint", pad(1<<20)), tlog.ErrBadTile},
	"a page of HTML":                   {onPath("checkpoint", func([]byte) []byte { return []byte("<h1>it works</h1>") }), tlog.ErrBadCheckpoint},
	"a checkpoint with another origin": {onPath("checkpoint", replaceIn("log.example\n", "other.example\n")), tlog.ErrBadCheckpoint},
	"a checkpoint with another size":   {onPath("checkpoint", replaceIn("\n600\n", "\n601\n")), tlog.ErrBadCheckpoint},
}

func TestLiesAreNotBelievedAndTheTruthIsAfterwards(t *testing.T) {
	for name, c := range lies {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			r := newReader(t, s)
			s.show(s.tree, 300, nil)
			r.step(0, 300)
			s.show(s.tree, 600, c.lie)
			_, err := r.Step(t.Context())
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			var lie *follow.Lie
			if errors.As(err, &lie) {
				t.Errorf("it is called a lie of the log, which signed nothing: %v", err)
			}
			r.remembers(300)
			// The honest twin.
			s.show(s.tree, 600, nil)
			r.step(300, 600)
		})
	}
}

func TestTileOfAnotherLevelIsRefused(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	s.show(s.tree, 600, func(path string, honest []byte) (int, []byte) {
		if path == "tile/1/000.p/2" { // right width, from the level below
			return s.honest("tile/0/000.p/2")
		}
		return 0, nil
	})
	if _, err := r.Step(t.Context()); !errors.Is(err, tlog.ErrBadTile) {
		t.Fatal(err)
	}
	s.show(s.tree, 600, nil)
	r.step(0, 600)
}

func TestFullTileServesWhereThePartialOneIsGone(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	s.show(s.tree, 600, nil)
	note := s.note(s.tree, 300)
	s.lie = func(path string, honest []byte) (int, []byte) {
		switch {
		case path == "checkpoint":
			return 200, note
		case strings.Contains(path, "001.p/"):
			return http.StatusNotFound, nil
		}
		return 0, nil
	}
	r.step(0, 300)
}

func TestRequestsEnd(t *testing.T) {
	s := newSite(t)
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	s.show(s.tree, 1, func(string, []byte) (int, []byte) { <-block; return 0, nil })
	remote, err := follow.NewRemote(s.url, "", 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Checkpoint(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Rows H16 and H18: what a log signed stands against it. Each is kept in a file
// that proves it to whoever has the log's key.
func TestLogThatForksOrGoesBackIsKept(t *testing.T) {
	honest := &history{name: "main"}
	fork := &history{name: "fork", from: honest, common: 280}
	for name, c := range map[string]struct {
		shows  *history
		size   int
		forked bool // otherwise it is a rollback
	}{
		"H18 another tree of the same size": {fork, 300, true},
		"H18 larger, and another tree":      {fork, 600, true},
		"H18 one entry larger":              {fork, 301, true},
		"H16 an older state":                {honest, 290, false},
		"H16 almost nothing":                {honest, 1, false},
		"H16 nothing":                       {honest, 0, false},
		"smaller, and another tree":         {fork, 290, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			r := newReader(t, s)
			s.show(honest, 300, nil)
			r.step(0, 300)
			s.show(c.shows, c.size, nil)
			_, err := r.Step(t.Context())
			var lie *follow.Lie
			var split *verify.SplitView
			var back *verify.Rollback
			if !errors.As(err, &lie) || errors.As(err, &split) != c.forked || errors.As(err, &back) == c.forked {
				t.Fatalf("%v", err)
			}
			r.remembers(300)
			checkEvidence(t, s, lie.Evidence, c.forked)
			// Asked again it says the same, and keeps one file.
			if _, err := r.Step(t.Context()); !errors.As(err, &lie) {
				t.Errorf("again: %v", err)
			}
			if files, err := os.ReadDir(filepath.Dir(lie.Evidence)); err != nil || len(files) != 1 {
				t.Errorf("%d files, %v", len(files), err)
			}
			// The honest twin goes on.
			s.show(honest, 600, nil)
			r.step(300, 600)
		})
	}
}

// checkEvidence checks a file as anybody could, without a log.
func checkEvidence(t *testing.T, s *site, path string, forked bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := verify.ParseSavedProof(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{p.From, p.Checkpoint} {
		if _, err := s.signer.Verifier().Open([]byte(note)); err != nil {
			t.Errorf("a checkpoint in %s: %v", path, err)
		}
	}
	_, err = p.Check(s.signer.Verifier())
	var split *verify.SplitView
	switch {
	case forked && (!errors.As(err, &split) || !split.Proven()):
		t.Errorf("%s proves no split view: %v", path, err)
	case !forked && err != nil:
		t.Errorf("%s does not show that the older state is the beginning: %v", path, err)
	}
}

func TestOldCopyThatCatchesUpIsNoRollback(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	s.show(s.tree, 300, nil)
	r.step(0, 300)
	old, asked := s.note(s.tree, 290), 0
	s.show(s.tree, 310, func(path string, _ []byte) (int, []byte) {
		if path == "checkpoint" {
			if asked++; asked == 1 {
				return 200, old
			}
		}
		return 0, nil
	})
	r.step(300, 310)
}

// A log may sign a tree and show it to nobody. What it signed is kept.
func TestCheckpointWithoutItsTreeIsKept(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	s.show(s.tree, 300, nil)
	r.step(0, 300)
	s.show(s.tree, 600, func(path string, _ []byte) (int, []byte) {
		if path != "checkpoint" {
			return http.StatusNotFound, nil
		}
		return 0, nil
	})
	if _, err := r.Step(t.Context()); !errors.Is(err, follow.ErrNotServed) {
		t.Fatal(err)
	}
	note, err := os.ReadFile(filepath.Join(r.dir, "unproven"))
	if err != nil || !bytes.Equal(note, s.note(s.tree, 600)) {
		t.Errorf("%q, %v", note, err)
	}
	s.show(s.tree, 600, nil)
	r.step(300, 600)
	if _, err := os.Stat(filepath.Join(r.dir, "unproven")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is proven, and still there: %v", err)
	}
}

func TestEntriesComeAgainWhenNobodyTookThem(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	s.show(s.tree, 300, nil)
	take := r.Each
	broken := errors.New("the disk is full")
	r.Each = func(ctx context.Context, e follow.Entry) error {
		if e.Index == 299 {
			return broken
		}
		return take(ctx, e)
	}
	if _, err := r.Step(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if cp, err := r.State.Remembered(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%+v, %v", cp, err)
	}
	r.Each = take
	r.step(0, 300)
}

func TestDamagedTilesAreFetchedAgain(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	s.show(s.tree, 300, nil)
	r.step(0, 300)
	damage := func(name string) {
		path := filepath.Join(r.dir, "tile", filepath.FromSlash(name))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[5] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage("0/000")
	s.show(s.tree, 310, nil)
	r.step(300, 310)
	damage("1/000.p") // which the next step needs as it is
	s.show(s.tree, 311, nil)
	r.step(310, 311)
}
