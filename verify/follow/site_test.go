package follow_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify/follow"
)

// A history is what a log holds. One of another name has other entries from the
// start, unless it branches off from another history.
type history struct {
	name   string
	from   *history
	common int
	leaves [][]byte // where they are given
}

func (h *history) leaf(i int) []byte {
	if h.leaves != nil {
		return h.leaves[i]
	}
	if h.from != nil && i < h.common {
		return h.from.leaf(i)
	}
	b := &attest.Bundle{Payload: fmt.Appendf(nil, "statement %d of %s", i, h.name), Signature: []byte("no real one")}
	return attest.Leaf(b, testKey().Public())
}

var testKey = sync.OnceValue(func() *attest.PrivateKey {
	k, err := attest.GenerateKey()
	if err != nil {
		panic(err)
	}
	return k
})

// A site serves a log over HTTP, honestly unless it has a lie to tell.
type site struct {
	t      *testing.T
	url    string
	signer *tlog.Signer

	mu   sync.Mutex // guards the rest
	tree *history
	size int
	// lie may change what is served at a path; nil serves the truth.
	lie   func(path string, honest []byte) (status int, body []byte)
	asked map[string]int
}

func newSite(t *testing.T) *site {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, signer: tlog.NewSigner("log.example", key), tree: &history{name: "main"}, asked: make(map[string]int)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// show changes what the site shows from now on.
func (s *site) show(h *history, size int, lie func(string, []byte) (int, []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree, s.size, s.lie = h, size, lie
	s.asked = make(map[string]int)
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	s.asked[path]++
	status, body := s.honest(path)
	if s.lie != nil {
		if code, b := s.lie(path, body); code != 0 {
			status, body = code, b
		}
	}
	if status >= 300 && status < 400 {
		w.Header().Set("Location", string(body))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *site) honest(path string) (int, []byte) {
	if path == "checkpoint" {
		return http.StatusOK, s.note(s.tree, s.size)
	}
	name, err := tlog.ParseTilePath(path)
	if err != nil {
		return http.StatusBadRequest, nil
	}
	tree := openTree(s.t, s.tree, s.size)
	level := name
	level.Level = max(name.Level, 0)
	hashes, err := tree.Tile(context.Background(), level)
	if err != nil {
		return http.StatusNotFound, nil
	}
	if name.Level != tlog.EntriesLevel {
		return http.StatusOK, hashes
	}
	var b []byte
	for i := range name.Width {
		if b, err = tlog.AppendEntry(b, s.tree.leaf(int(name.Index)*tlog.TileWidth+i)); err != nil {
			s.t.Error(err)
		}
	}
	return http.StatusOK, b
}

// note is the signed checkpoint of the first entries of a history.
func (s *site) note(h *history, size int) []byte {
	edge := openTree(s.t, h, size).Edge()
	note, err := s.signer.Sign(tlog.Checkpoint{Origin: s.signer.Origin(), Size: edge.Size(), Root: edge.Root()})
	if err != nil {
		s.t.Error(err)
	}
	return note
}

// trees are made once for each history and size.
var trees sync.Map

func openTree(t *testing.T, h *history, size int) *tlog.Tree {
	type key struct {
		h    *history
		size int
	}
	if got, ok := trees.Load(key{h, size}); ok {
		return got.(*tlog.Tree)
	}
	leaves := make([]tlog.Hash, size)
	for i := range leaves {
		leaves[i] = tlog.LeafHash(h.leaf(i))
	}
	tree, err := tlog.OpenTree(context.Background(), tlog.Checkpoint{Root: tlog.EmptyRoot()}, 16,
		func(_ context.Context, level int, index uint64) ([]byte, error) {
			return nil, fmt.Errorf("tile %d/%d was forgotten", level, index)
		})
	if err != nil {
		t.Error(err)
		return nil
	}
	next, full := tlog.Edge{}.Append(leaves)
	tree.Advance(next, full)
	trees.Store(key{h, size}, tree)
	return tree
}

// A reader follows a site, and notes what it was shown.
type reader struct {
	*follow.Follower
	t     *testing.T
	dir   string
	site  *site
	seen  []uint64
	leafs []string
}

func newReader(t *testing.T, s *site) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir(), site: s}
	r.open()
	return r
}

func (r *reader) open() {
	r.t.Helper()
	remote, err := follow.NewRemote(r.site.url, "", 5*time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	state, err := follow.OpenState(r.dir, r.site.signer.Verifier(), "test")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = state.Close() })
	r.Follower = &follow.Follower{Log: r.site.signer.Verifier(), Source: remote, State: state, Each: func(_ context.Context, e follow.Entry) error {
		r.seen = append(r.seen, e.Index)
		r.leafs = append(r.leafs, string(e.Leaf))
		return nil
	}}
}

// step must succeed, and show the entries from one size to another, once each.
func (r *reader) step(from, to int) follow.Step {
	r.t.Helper()
	r.seen, r.leafs = nil, nil
	step, err := r.Step(r.t.Context())
	if err != nil {
		r.t.Fatalf("from %d to %d: %v", from, to, err)
	}
	if step.From.Size != uint64(from) || step.To.Size != uint64(to) || len(r.seen) != to-from {
		r.t.Fatalf("%d entries from %d to %d, want from %d to %d", len(r.seen), step.From.Size, step.To.Size, from, to)
	}
	for i, index := range r.seen {
		if int(index) != from+i || r.leafs[i] != string(r.site.tree.leaf(from+i)) {
			r.t.Fatalf("entry %d came as the one after %d, or with another leaf", index, from+i)
		}
	}
	r.remembers(to)
	return step
}

func (r *reader) remembers(size int) {
	r.t.Helper()
	cp, err := r.State.Remembered()
	if err != nil || cp.Size != uint64(size) {
		r.t.Fatalf("remembers %d entries, %v; want %d", cp.Size, err, size)
	}
}
