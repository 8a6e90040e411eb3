package witness_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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

var now = time.Unix(1_700_000_000, 0).UTC()

func cosigner(name string) *tlog.Cosigner {
	seed := sha256.Sum256([]byte(name))
	c, err := tlog.NewCosigner(name, ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err)
	}
	return c
}

// history is a log at every size from 0 to n.
type history struct {
	tree *tlog.Tree
	at   []ledger.Batch // by size
}

func newHistory(t testing.TB, n int, salt string) *history {
	t.Helper()
	store, mk := ledgertest.NewMemory(ledgertest.EmptyHead()), &ledgertest.Maker{}
	empty := ledgertest.EmptyHead()
	h := &history{at: []ledger.Batch{{Checkpoint: empty.Checkpoint, Note: empty.Note}}}
	for i := range n {
		e := ledgertest.Entry(i)
		e.Leaf = append(e.Leaf, salt...)
		b := mk.Batch(e)
		if err := store.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		h.at = append(h.at, b)
	}
	var err error
	if h.tree, err = tlog.OpenTree(t.Context(), store.Head().Checkpoint, 0, store.Tile); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *history) request(t testing.TB, from, to uint64) *witness.Request {
	t.Helper()
	r := &witness.Request{Old: from, Note: h.at[to].Note}
	if from <= to {
		var err error
		if r.Proof, err = h.tree.Consistency(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func serve(t testing.TB, dir string, clock func() time.Time) *witness.Server {
	t.Helper()
	s, err := witness.NewServer(witness.ServerConfig{
		Cosigner: cosigner("w.example"), Logs: []*tlog.Verifier{ledgertest.Signer().Verifier()}, Dir: dir, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func fixed() time.Time { return now }

func post(h http.Handler, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	return w
}

func TestServerCosignsWhatExtendsWhatItKnows(t *testing.T) {
	h, s := newHistory(t, 20, ""), serve(t, t.TempDir(), fixed)
	at := uint64(0)
	for _, to := range []uint64{1, 7, 7, 8, 20} {
		w := post(s, h.request(t, at, to).Marshal())
		if w.Code != http.StatusOK {
			t.Fatalf("%d to %d: status %d: %s", at, to, w.Code, w.Body)
		}
		got, err := cosigner("w.example").Witness().Verify(h.at[to].Checkpoint, w.Body.Bytes())
		if err != nil || !got.Equal(now) {
			t.Errorf("%d to %d: %q: %v, %v", at, to, w.Body, got, err)
		}
		at = to
	}
}

func TestServerRefuses(t *testing.T) {
	h, fork := newHistory(t, 20, ""), newHistory(t, 20, "fork")
	good := h.request(t, 8, 12)
	seed := sha256.Sum256([]byte("somebody else"))
	forged, err := tlog.NewSigner(ledgertest.Origin, ed25519.NewKeyFromSeed(seed[:])).Sign(h.at[12].Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := tlog.NewSigner("other.example", ed25519.NewKeyFromSeed(seed[:])).Sign(tlog.Checkpoint{Origin: "other.example", Root: tlog.EmptyRoot()})
	if err != nil {
		t.Fatal(err)
	}
	proof := good.Proof
	for what, c := range map[string]struct {
		body   []byte
		status int
		answer string
	}{
		"an unknown log":           {(&witness.Request{Old: 8, Note: foreign}).Marshal(), 404, ""},
		"a signature of another":   {(&witness.Request{Old: 8, Proof: proof, Note: forged}).Marshal(), 403, ""},
		"no signature":             {(&witness.Request{Old: 8, Proof: proof, Note: []byte("log.example\n12\nAAAA\n")}).Marshal(), 403, ""},
		"an old size above":        {h.request(t, 13, 12).Marshal(), 400, ""},
		"an older old size":        {h.request(t, 7, 12).Marshal(), 409, "8\n"},
		"a newer old size":         {h.request(t, 9, 12).Marshal(), 409, "8\n"},
		"a rollback":               {h.request(t, 6, 7).Marshal(), 409, "8\n"},
		"another root, same size":  {fork.request(t, 8, 8).Marshal(), 409, "8\n"},
		"a fork":                   {fork.request(t, 8, 12).Marshal(), 422, ""},
		"no proof":                 {(&witness.Request{Old: 8, Note: good.Note}).Marshal(), 422, ""},
		"a proof too long":         {(&witness.Request{Old: 8, Proof: append(proof[:len(proof):len(proof)], proof[0]), Note: good.Note}).Marshal(), 422, ""},
		"a proof of 64 lines":      {(&witness.Request{Old: 8, Proof: make([]tlog.Hash, 64), Note: good.Note}).Marshal(), 400, ""},
		"a size of two spellings":  {bytes.Replace(good.Marshal(), []byte("old 8"), []byte("old 08"), 1), 400, ""},
		"no empty line":            {bytes.Replace(good.Marshal(), []byte("\n\n"), []byte("\n"), 2), 400, ""},
		"a carriage return":        {bytes.Replace(good.Marshal(), []byte("old 8\n"), []byte("old 8\r\n"), 1), 400, ""},
		"nothing":                  {nil, 400, ""},
		"too many bytes":           {make([]byte, witness.MaxRequest+1), 413, ""},
		"more signatures than 100": {append(good.Marshal(), strings.Repeat("— x AAAAAAAA\n", 100)...), 403, ""},
	} {
		s := serve(t, t.TempDir(), fixed)
		if w := post(s, h.request(t, 0, 8).Marshal()); w.Code != 200 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		w := post(s, c.body)
		if w.Code != c.status || c.answer != "" && (w.Body.String() != c.answer || w.Header().Get("Content-Type") != "text/x.tlog.size") {
			t.Errorf("%s: status %d, %q; want %d, %q", what, w.Code, w.Body, c.status, c.answer)
		}
		if w := post(s, good.Marshal()); w.Code != 200 {
			t.Errorf("%s: the good one afterwards: status %d: %s", what, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	serve(t, t.TempDir(), fixed).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/add-checkpoint", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", w.Code)
	}
}

func TestServerRemembersOverARestart(t *testing.T) {
	h, dir := newHistory(t, 20, ""), t.TempDir()
	s := serve(t, dir, fixed)
	if w := post(s, h.request(t, 0, 12).Marshal()); w.Code != 200 {
		t.Fatal(w.Body)
	}
	config := witness.ServerConfig{Cosigner: cosigner("w.example"), Logs: []*tlog.Verifier{ledgertest.Signer().Verifier()}, Dir: dir, Now: fixed}
	if _, err := witness.NewServer(config); err == nil {
		t.Error("two servers have one memory")
	}
	s.Close()
	s = serve(t, dir, func() time.Time { return now.Add(-time.Hour) })
	if w := post(s, h.request(t, 0, 20).Marshal()); w.Code != 409 || w.Body.String() != "12\n" {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
	w := post(s, h.request(t, 12, 20).Marshal())
	at, err := cosigner("w.example").Witness().Verify(h.at[20].Checkpoint, w.Body.Bytes())
	if err != nil || at.Before(now) {
		t.Errorf("after the clock went back: %v, %v", at, err)
	}
	s.Close()
	path := filepath.Join(dir, ledgertest.Origin+".note")
	note, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, spoiled := range map[string][]byte{
		"empty": {}, "cut": note[:len(note)-3], "without our line": note[:bytes.Index(note, []byte("— w.example"))],
		"another size": bytes.Replace(note, []byte("\n20\n"), []byte("\n19\n"), 1),
	} {
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := witness.NewServer(config); err == nil {
			t.Errorf("a memory that is %s is believed", what)
			s.Close()
		}
	}
}

// Nothing is signed before the memory is on the disk.
func TestServerThatCannotRememberSignsNothing(t *testing.T) {
	h, dir := newHistory(t, 20, ""), filepath.Join(t.TempDir(), "w")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := serve(t, dir, fixed)
	if w := post(s, h.request(t, 0, 8).Marshal()); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if w := post(s, h.request(t, 8, 12).Marshal()); w.Code != 500 || strings.Contains(w.Body.String(), "—") {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	if w := post(s, h.request(t, 8, 12).Marshal()); w.Code != 200 {
		t.Errorf("afterwards: status %d, %q", w.Code, w.Body)
	}
}

// Of many who ask at the same time, whoever is answered has extended what was
// cosigned before: the memory never goes back.
func TestServerUnderConcurrentRequests(t *testing.T) {
	const size = 60
	h, s := newHistory(t, size, ""), serve(t, t.TempDir(), fixed)
	var mu sync.Mutex
	var cosigned []uint64
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for from := uint64(0); from < size; from++ {
				for _, to := range []uint64{from + 1, min(size, from+uint64(g)+1)} {
					if w := post(s, h.request(t, from, to).Marshal()); w.Code == 200 {
						mu.Lock()
						cosigned = append(cosigned, to)
						mu.Unlock()
					}
				}
			}
		})
	}
	all.Wait()
	if w := post(s, h.request(t, 0, size).Marshal()); w.Code != 409 || w.Body.String() != fmt.Sprintf("%d\n", size) {
		t.Errorf("it knows %q after %v", w.Body, cosigned)
	}
}

func FuzzRequest(f *testing.F) {
	h := newHistory(f, 9, "")
	f.Add(h.request(f, 3, 9).Marshal())
	f.Add(h.request(f, 0, 9).Marshal())
	f.Add([]byte("old 1\n\n"))
	s := serve(f, f.TempDir(), fixed)
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := witness.ParseRequest(body); err == nil && !bytes.Equal(r.Marshal(), body) {
			t.Fatalf("%q prints %q", body, r.Marshal())
		}
		if w := post(s, body); w.Code == 200 {
			if _, err := cosigner("w.example").Witness().Verify(h.at[9].Checkpoint, w.Body.Bytes()); err != nil {
				t.Fatalf("%q is answered %q", body, w.Body)
			}
		}
	})
}

// policy names one witness at a URL, and wants it.
func policy(t testing.TB, url string) *tlog.Policy {
	t.Helper()
	p, err := tlog.ParsePolicy(fmt.Appendf(nil, "log %s\nwitness w %s %s\nquorum w\n", ledgertest.Signer().Verifier().VKey(), cosigner("w.example").Witness().VKey(), url))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// feed runs a feed until the test ends. got has what was delivered, said what was
// reported.
func feed(t *testing.T, h *history, url string) (f *witness.Feed, got chan tlog.Checkpoint, said chan error) {
	t.Helper()
	got, said = make(chan tlog.Checkpoint, 100), make(chan error, 100)
	f, err := witness.NewFeed(witness.Config{
		Policy: policy(t, url), Timeout: 200 * time.Millisecond, FirstPause: 5 * time.Millisecond, MaxPause: 10 * time.Millisecond,
		Report: func(_ string, err error) { said <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, h.tree.Consistency, func(cp tlog.Checkpoint, _ []byte) error { got <- cp; return nil })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f, got, said
}

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestFeedFollowsTheLog(t *testing.T) {
	h, s := newHistory(t, 20, ""), serve(t, t.TempDir(), fixed)
	server := httptest.NewServer(s)
	defer server.Close()
	if w := post(s, h.request(t, 0, 5).Marshal()); w.Code != 200 { // what the feed does not know
		t.Fatal(w.Body)
	}
	f, got, _ := feed(t, h, server.URL+"/")
	for _, size := range []int{7, 7, 8, 20} {
		f.Ask(h.at[size].Checkpoint, h.at[size].Note)
		if cp := wait(t, got); cp != h.at[size].Checkpoint {
			t.Errorf("size %d: %+v came", size, cp)
		}
	}
}

// What a witness does wrong is told, costs no other, and is over when it is.
func TestFeedAndAWitnessThatFails(t *testing.T) {
	h, fork := newHistory(t, 20, ""), newHistory(t, 20, "fork")
	line := func(c *tlog.Cosigner, cp tlog.Checkpoint) string {
		l, err := c.Cosign(cp, now)
		if err != nil {
			t.Fatal(err)
		}
		return string(l)
	}
	sized := func(size string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(409)
			io.WriteString(w, size)
		}
	}
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); io.WriteString(w, body) }
	}
	own := cosigner("w.example")
	for what, c := range map[string]struct {
		handler http.HandlerFunc
		err     error
	}{
		"a wrong signature":      {says(200, line(own, fork.at[8].Checkpoint)), tlog.ErrBadCosignature},
		"another's signature":    {says(200, line(cosigner("x.example"), h.at[8].Checkpoint)), witness.ErrBadAnswer},
		"nothing":                {says(200, ""), witness.ErrBadAnswer},
		"too much":               {says(200, strings.Repeat("— x AAAAAAAA\n", 5000)), witness.ErrBadAnswer},
		"a status of no meaning": {says(500, "oh"), witness.ErrBadAnswer},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, witness.ErrBadAnswer},
		"an unknown log":         {says(404, ""), witness.ErrUnknownLog},
		"a refused signature":    {says(403, ""), witness.ErrBadSignature},
		"a refused proof":        {says(422, ""), witness.ErrInconsistent},
		"another root":           {sized("0\n"), witness.ErrInconsistent},
		"a larger log":           {sized("9\n"), witness.ErrAhead},
		"a size of two spelling": {sized("09\n"), witness.ErrBadAnswer},
		"a size without type":    {says(409, "3\n"), witness.ErrBadAnswer},
		"no answer":              {func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }, context.DeadlineExceeded},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, t.TempDir(), fixed)
			var mu sync.Mutex
			handler := http.Handler(c.handler)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				h := handler
				mu.Unlock()
				h.ServeHTTP(w, r)
			}))
			defer server.Close()
			f, got, said := feed(t, h, server.URL)
			f.Ask(h.at[8].Checkpoint, h.at[8].Note)
			if err := wait(t, said); !errors.Is(err, c.err) {
				t.Errorf("it says %v, want %v", err, c.err)
			}
			mu.Lock()
			handler = s
			mu.Unlock()
			if cp := wait(t, got); cp != h.at[8].Checkpoint {
				t.Errorf("afterwards %+v came", cp)
			}
			if err := wait(t, said); err != nil {
				t.Errorf("afterwards it says %v", err)
			}
		})
	}
}

func TestFeedThatCanNeverMakeTheQuorumIsRefused(t *testing.T) {
	if _, err := witness.NewFeed(witness.Config{Policy: policy(t, "")}); err == nil {
		t.Error("a witness without a URL will never answer")
	}
}

func TestFileIsReplacedOrLeft(t *testing.T) {
	f := witness.File{Path: filepath.Join(t.TempDir(), "note")}
	if b, err := f.Kept(); b != nil || err != nil {
		t.Errorf("before: %q, %v", b, err)
	}
	for _, want := range []string{"first\n", "second, longer\n", "3\n"} {
		if err := f.Keep([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Kept(); string(got) != want || err != nil {
			t.Errorf("kept %q, %v", got, err)
		}
	}
	if err := os.WriteFile(f.Path+".new", []byte("half"), 0o600); err != nil { // a crash while writing
		t.Fatal(err)
	}
	if got, err := f.Kept(); string(got) != "3\n" || err != nil {
		t.Errorf("kept %q, %v", got, err)
	}
	if err := errors.Join(f.Forget(), f.Forget()); err != nil {
		t.Error(err)
	}
	if b, err := f.Kept(); b != nil || err != nil {
		t.Errorf("after: %q, %v", b, err)
	}
}
