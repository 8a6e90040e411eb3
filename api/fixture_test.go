package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
	"github.com/countersign-dev/countersign/verify"
)

// A release that one other person approved before it was merged.
const reviewed = `
	commit h1 alice src/a.go
	squash m1 of=h1
	change h1
	authorship alice h1 human
	approve bob h1
	admit m1
	release m1
`

const (
	gateToken   = "a token of the gate in these tests"
	readerToken = "a token of a reader in these tests"
)

// A setup says how a fixture differs from the usual one.
type setup struct {
	story  string
	rules  string
	wrap   func(ledger.Store) ledger.Store
	store  func(*badgerstore.Options)
	ledger func(*ledger.Config)
	api    func(*api.Config)
}

// A fixture is a whole server on loopback, over a real store, and who talks to it.
type fixture struct {
	t      testing.TB
	url    string
	set    *policy.Set
	trust  *verify.Trust
	told   *scenario.Told
	ledger *ledger.Ledger
	clock  *clock
	stop   func() // and wait

	countersignv1connect.LedgerServiceClient
	verifier countersignv1connect.VerifierServiceClient
}

// clock is the story's time, and goes on.
type clock struct {
	began time.Time
	base  time.Time
	added atomic.Int64
}

func (c *clock) now() time.Time {
	return c.base.Add(time.Since(c.began) + time.Duration(c.added.Load()))
}

func (c *clock) add(d time.Duration) { c.added.Add(int64(d)) }

func start(t testing.TB, s setup) *fixture {
	t.Helper()
	if s.story == "" {
		s.story = reviewed
	}
	told, err := scenario.Tell(scenario.Story{Text: s.story, Rules: s.rules}, scenario.Harmless)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, told: told, set: told.Set, clock: &clock{began: time.Now(), base: told.Log.Clock.Add(time.Minute)}}
	f.open(s)
	return f
}

// open makes a log that begins with the story's policy, and serves it.
func (f *fixture) open(s setup) {
	t := f.t
	born := scenario.Start.Add(-time.Hour)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := tlog.NewSigner("log.example.com", key)
	stampKey, chain, err := tsa.Create(signer.Origin(), born)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := tsa.Parse(stampKey, chain)
	if err != nil {
		t.Fatal(err)
	}
	valid := roster.Validity{From: born}
	f.trust = &verify.Trust{
		Log: signer.Verifier(), LogValid: valid, Service: scenario.Key("service").Public(), ServiceValid: valid,
		Timestamps: authority.Chain(), Genesis: f.set.Digest(), Owners: f.set.Roster.Owners, MaxCheckpointAge: time.Hour,
	}
	head, err := ledger.EmptyHead(signer, authority, f.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	options := badgerstore.Options{Dir: t.TempDir(), Verifier: signer.Verifier()}
	if s.store != nil {
		s.store(&options)
	}
	if err := badgerstore.Create(options, head); err != nil {
		t.Fatal(err)
	}
	opened, err := badgerstore.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	metrics := api.NewMetrics()
	store := api.Remember(metrics.Store(opened, f.clock.now))
	if s.wrap != nil {
		store = s.wrap(store)
	}
	lc := ledger.Config{Store: store, Signer: signer, Stamper: authority, Now: f.clock.now}
	if s.ledger != nil {
		s.ledger(&lc)
	}
	if f.ledger, err = ledger.New(t.Context(), lc); err != nil {
		t.Fatal(err)
	}
	running, stopRunning := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.ledger.Run(running) }()
	for i := range uint64(len(f.set.Roster.Owners)) {
		if _, err := f.ledger.Append(t.Context(), []ledger.Entry{f.entry(i)}); err != nil {
			t.Fatal(err)
		}
	}
	c := api.Config{
		Ledger: f.ledger, Trust: f.trust, Service: scenario.Key("service"), Timestamps: authority, Now: f.clock.now, Metrics: metrics, OpenReads: true,
		Gates: map[string]attest.Digest{"gate": attest.DigestOf([]byte(gateToken))}, Readers: []attest.Digest{attest.DigestOf([]byte(readerToken))},
	}
	if s.api != nil {
		s.api(&c)
	}
	server, err := api.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, stopServing := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener, nil, 10*time.Second) }()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		if c.Forges != nil {
			c.Forges.Run(serving, server.Forges())
		}
	}()
	stopped := false
	f.stop = func() {
		if stopped {
			return
		}
		stopped = true
		stopServing()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		<-worked
		if c.Forges != nil {
			if err := c.Forges.Close(); err != nil {
				t.Errorf("close the forges: %v", err)
			}
		}
		stopRunning()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := opened.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(f.stop)
	f.url = "http://" + listener.Addr().String()
	f.LedgerServiceClient = countersignv1connect.NewLedgerServiceClient(http.DefaultClient, f.url)
	f.verifier = countersignv1connect.NewVerifierServiceClient(http.DefaultClient, f.url)
}

// body is a bundle of the story as its log keeps it.
func (f *fixture) body(i uint64) []byte {
	f.t.Helper()
	sealed, err := f.told.Log.Entry(context.Background(), i)
	if err != nil {
		f.t.Fatal(err)
	}
	return sealed.Body
}

// entry is what a log keeps of a bundle of the story.
func (f *fixture) entry(i uint64) ledger.Entry {
	f.t.Helper()
	b, err := attest.ParseBundle(f.body(i))
	if err != nil {
		f.t.Fatal(err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, who := range []string{"dave", "erin"} {
		key := scenario.Key(who).Public()
		if key.Verify(b.PAE(), b.Signature) != nil {
			continue
		}
		l, err := attest.Log(b, st, key)
		if err != nil {
			f.t.Fatal(err)
		}
		return ledger.Entry{Leaf: l.Leaf, Body: l.Body, Keys: l.Keys, Negative: l.Negative, Stamp: l.Stamp}
	}
	f.t.Fatalf("entry %d of the story is signed by no owner", i)
	return ledger.Entry{}
}

// story is what the story's people log after the policy.
func (f *fixture) story() [][]byte {
	view, err := f.told.Log.View(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	var out [][]byte
	for i := uint64(len(f.set.Roster.Owners)); i < view.Size; i++ {
		out = append(out, f.body(i))
	}
	return out
}

// tell logs the story, and returns the answers.
func (f *fixture) tell() []*countersignv1.AppendResult {
	f.t.Helper()
	return f.append(f.story()...)
}

func (f *fixture) append(bundles ...[]byte) []*countersignv1.AppendResult {
	f.t.Helper()
	resp, err := f.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: bundles}))
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Msg.Results
}

// approval is a new one by somebody of the story.
func (f *fixture) approval(who, nonce string) []byte {
	return f.sign(who, f.approves(who, nonce))
}

func (f *fixture) approves(who, nonce string) *attest.Statement {
	return &attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"gitCommit": string(f.told.IDs["h1"]), "gitTree": string(f.told.IDs["h1"])}}},
		Predicate: &attest.Approval{
			Decision: attest.Approved, Reviewer: who, Repository: scenario.Repository, Change: attest.ChangeRef{ID: "1"}, TargetRef: "refs/heads/main",
			Scope: attest.Scope{Environments: []string{"production"}}, ApprovedAt: attest.At(f.clock.now()), Nonce: nonce,
		},
	}
}

func (f *fixture) sign(key string, st *attest.Statement) []byte {
	f.t.Helper()
	b, err := attest.Sign(st, scenario.Key(key))
	if err != nil {
		f.t.Fatal(err)
	}
	text, err := b.Marshal()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}
