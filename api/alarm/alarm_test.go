package alarm_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/alarm"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
)

// receiver is somebody on loopback who is told.
type receiver struct {
	*httptest.Server
	public string
	mu     sync.Mutex // guards what follows
	bad    int        // so many of the next messages are answered with an error
	seen   []alarm.Event
	ids    []string
	wrong  []error
	told   chan struct{}
}

func listen(t *testing.T, public string) *receiver {
	r := &receiver{public: public, told: make(chan struct{}, 1000)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.bad > 0 {
			r.bad--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := alarm.Verify(r.public, req.Header.Get, body, time.Now(), time.Minute); err != nil {
			r.wrong = append(r.wrong, err)
		}
		var e alarm.Event
		if err := json.Unmarshal(body, &e); err != nil {
			r.wrong = append(r.wrong, err)
		}
		r.seen, r.ids = append(r.seen, e), append(r.ids, req.Header.Get("webhook-id"))
		r.told <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

// await waits for so many messages.
func (r *receiver) await(t *testing.T, n int) []alarm.Event {
	t.Helper()
	for range n {
		select {
		case <-r.told:
		case <-time.After(30 * time.Second):
			t.Fatal("nothing more is told")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) > 0 {
		t.Fatal(errors.Join(r.wrong...))
	}
	return r.seen
}

// heard lists the ids of the messages.
func (r *receiver) heard() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

func distinct(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// office is a real ledger in memory, and a sender that watches it.
type office struct {
	t      *testing.T
	ledger *ledger.Ledger
	key    ed25519.PrivateKey
	dir    string
}

func open(t *testing.T) *office {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	var clock ledgertest.Clock
	head, err := ledger.EmptyHead(ledgertest.Signer(), &ledgertest.Stamper{}, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.New(t.Context(), ledger.Config{Store: ledgertest.NewMemory(head), Signer: ledgertest.Signer(), Stamper: &ledgertest.Stamper{}, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(running) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &office{t, l, key, t.TempDir()}
}

func (o *office) public() string { return alarm.PublicKey(o.key.Public().(ed25519.PublicKey)) }

// run sends until the function that it returns is called.
func (o *office) run(receivers ...alarm.Receiver) (stop func()) {
	o.t.Helper()
	s, err := alarm.New(alarm.Config{Receivers: receivers, Key: o.key, Origin: "log.example.com", Dir: o.dir, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Retry: time.Millisecond, MaxRetry: 4 * time.Millisecond})
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, o.ledger) }()
	// A receiver that is new begins at the end: the test goes on when that was written down.
	for _, r := range receivers {
		for {
			if _, err := os.Stat(filepath.Join(o.dir, r.Name+".next")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	}
}

func (o *office) say(p attest.Predicate, subjects ...attest.Subject) {
	o.t.Helper()
	st := &attest.Statement{Subjects: subjects, Predicate: p}
	switch p := p.(type) {
	case *attest.Freeze:
		st = attest.NewFreeze(p)
	case *attest.BreakGlass:
		st = attest.NewBreakGlass(p)
	}
	key, err := attest.GenerateKey()
	if err != nil {
		o.t.Fatal(err)
	}
	b, err := attest.Sign(st, key)
	if err != nil {
		o.t.Fatal(err)
	}
	l, err := attest.Log(b, st, key.Public())
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.ledger.Append(o.t.Context(), []ledger.Entry{{Leaf: l.Leaf, Body: l.Body, Keys: l.Keys, Negative: l.Negative, Stamp: l.Stamp}}); err != nil {
		o.t.Fatal(err)
	}
}

var when = attest.At(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC))

func freeze(reason string) *attest.Freeze {
	return &attest.Freeze{Action: attest.Frozen, By: "dave", Environment: "production", Reason: reason, FrozenAt: when}
}

func request() *attest.BreakGlass {
	later := attest.At(when.Add(time.Hour))
	return &attest.BreakGlass{Action: attest.GlassRequest, By: "bob", Repository: "example.com/a/b", Environment: "production", Artifacts: []string{strings.Repeat("a", 64)},
		Justification: "it is down", Ticket: "INC-7", NotBefore: &when, NotAfter: &later, Uses: 1, SaidAt: when}
}

func release(n string) (*attest.Release, attest.Subject) {
	return &attest.Release{Repository: "example.com/a/b", Name: n, To: strings.Repeat("b", 40), ReleasedAt: when}, attest.Subject{Digest: map[string]string{"sha256": strings.Repeat("c", 64)}}
}

func TestReceiversAreToldWhatMatters(t *testing.T) {
	o := open(t)
	o.say(freeze("before anybody listened"))
	all, some := listen(t, o.public()), listen(t, o.public())
	stop := o.run(alarm.Receiver{Name: "all", URL: all.URL}, alarm.Receiver{Name: "some", URL: some.URL, Events: []string{"break-glass.requested"}})
	o.say(freeze("incident 42"))
	p, s := release("v1")
	o.say(p, s)
	o.say(request())
	got := all.await(t, 2)
	if got[0].Type != alarm.FreezeStarted || got[0].Data.By != "dave" || got[0].Data.Reason != "incident 42" || got[0].Data.Log != "log.example.com" {
		t.Errorf("%+v", got[0])
	}
	if d := got[1].Data; got[1].Type != alarm.GlassRequested || d.Case != d.Statement || d.Ticket != "INC-7" || d.Environment != "production" {
		t.Errorf("%+v", got[1])
	}
	if got := some.await(t, 1); len(got) != 1 || got[0].Type != alarm.GlassRequested {
		t.Errorf("%+v", got)
	}
	stop()
}

// A receiver that is down, or was, or a sender that was started again, loses nothing; and
// who is well hears meanwhile.
func TestNothingIsLost(t *testing.T) {
	o := open(t)
	ill, well := listen(t, o.public()), listen(t, o.public())
	ill.mu.Lock()
	ill.bad = 1 << 30
	ill.mu.Unlock()
	to := []alarm.Receiver{{Name: "ill", URL: ill.URL}, {Name: "well", URL: well.URL}}
	stop := o.run(to...)
	for _, reason := range []string{"one", "two", "three"} {
		o.say(freeze(reason))
	}
	well.await(t, 3)
	stop()
	o.say(freeze("four, while nobody sent"))
	ill.mu.Lock()
	ill.bad = 3 // and then it recovers
	ill.mu.Unlock()
	stop = o.run(to...)
	got := ill.await(t, 4)
	for i, want := range []string{"one", "two", "three", "four, while nobody sent"} {
		if got[i].Data.Reason != want {
			t.Errorf("%d: %q, want %q", i, got[i].Data.Reason, want)
		}
	}
	for len(distinct(well.heard())) < 4 { // the stop may have come between an answer and its note
		well.await(t, 1)
	}
	stop()
}

// A crash between the answer and its note tells again, under the same id.
func TestToldAgainUnderTheSameID(t *testing.T) {
	o := open(t)
	r := listen(t, o.public())
	to := alarm.Receiver{Name: "r", URL: r.URL}
	stop := o.run(to)
	o.say(freeze("once"))
	r.await(t, 1)
	stop()
	if err := os.WriteFile(filepath.Join(o.dir, "r.next"), []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop = o.run(to)
	r.await(t, 1)
	stop()
	if ids := r.heard(); len(ids) < 2 || len(distinct(ids)) != 1 || strings.Contains(ids[0], ".") {
		t.Errorf("ids %q", ids)
	}
}

// A dead receiver, and one that never answers, hold nothing up: the log takes entries.
func TestTheLogWaitsForNoReceiver(t *testing.T) {
	o := open(t)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(hang)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	well := listen(t, o.public())
	stop := o.run(alarm.Receiver{Name: "slow", URL: slow.URL}, alarm.Receiver{Name: "dead", URL: dead.URL}, alarm.Receiver{Name: "well", URL: well.URL})
	for range 20 {
		o.say(freeze("again"))
	}
	well.await(t, 20)
	stop()
}

func TestWhatIsNoAlarmIsRefused(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]alarm.Receiver{
		"plain text": {Name: "a", URL: "http://alerts.example.com/"}, "no url": {Name: "a", URL: "alerts"}, "a path for a name": {Name: "../a", URL: "https://a.example.com"},
		"an unknown event": {Name: "a", URL: "https://a.example.com", Events: []string{"sunrise"}},
	} {
		if _, err := alarm.New(alarm.Config{Receivers: []alarm.Receiver{r}, Key: key}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	good := alarm.Receiver{Name: "a", URL: "https://a.example.com", Events: []string{"freeze.started"}}
	if _, err := alarm.New(alarm.Config{Receivers: []alarm.Receiver{good}, Key: key}); err != nil {
		t.Error(err)
	}
	if _, err := alarm.New(alarm.Config{Receivers: []alarm.Receiver{good, good}, Key: key}); err == nil {
		t.Error("two of one name are taken")
	}
	if _, err := alarm.New(alarm.Config{Receivers: []alarm.Receiver{good}}); err == nil {
		t.Error("no key is taken")
	}
}

// What was changed on the way, or is sent again later, does not verify.
func TestAMessageIsOfItsKeyAndTime(t *testing.T) {
	o := open(t)
	var body []byte
	header := http.Header{}
	got := make(chan struct{}, 1)
	r := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ = io.ReadAll(req.Body)
		header = req.Header.Clone()
		got <- struct{}{}
	}))
	defer r.Close()
	stop := o.run(alarm.Receiver{Name: "r", URL: r.URL})
	o.say(freeze("once"))
	<-got
	stop()
	now := time.Now()
	if err := alarm.Verify(o.public(), header.Get, body, now, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := alarm.Verify(o.public(), header.Get, body, now.Add(2*time.Minute), time.Minute); err == nil {
		t.Error("an old message verifies")
	}
	if err := alarm.Verify(o.public(), header.Get, append([]byte(" "), body...), now, time.Minute); err == nil {
		t.Error("another body verifies")
	}
	if err := alarm.Verify(open(t).public(), header.Get, body, now, time.Minute); err == nil {
		t.Error("by another key it verifies")
	}
	header.Set("webhook-id", "another")
	if err := alarm.Verify(o.public(), header.Get, body, now, time.Minute); err == nil {
		t.Error("under another id it verifies")
	}
}
