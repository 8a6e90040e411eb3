package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
	"github.com/countersign-dev/countersign/verify"
)

// asCommand makes this test binary behave as countersignd.
const asCommand = "COUNTERSIGND_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// command is a real process of its own.
func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// runs runs a command to its end.
func runs(t testing.TB, want int, args ...string) string {
	t.Helper()
	c := command(args...)
	out, err := c.CombinedOutput()
	if got := c.ProcessState.ExitCode(); got != want {
		t.Fatalf("countersignd %s: exit code %d, want %d (%v)\n%s", strings.Join(args, " "), got, want, err, out)
	}
	return string(out)
}

// genesisFiles are the policy of a story, signed by its two owners.
func genesisFiles(t testing.TB) []string {
	t.Helper()
	told, err := scenario.Tell(scenario.Story{Text: "commit h1 alice src/a.go"}, scenario.Harmless)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for i := range uint64(2) {
		sealed, err := told.Log.Entry(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), fmt.Sprintf("genesis-%d.json", i))
		if err := os.WriteFile(path, sealed.Body, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	return files
}

func newLedger(t testing.TB) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	g := genesisFiles(t)
	runs(t, 0, "create", "--data", data, "--origin", "log.example.com", "--genesis", g[0], "--genesis", g[1])
	return data
}

// A server is a running countersignd.
type server struct {
	countersignv1connect.LedgerServiceClient
	cmd    *exec.Cmd
	url    string
	errors bytes.Buffer
}

// serve starts one and waits for the line that says that it answers.
func serve(t testing.TB, data string, more ...string) *server {
	t.Helper()
	s := &server{cmd: command(append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, more...)...)}
	s.cmd.Stderr = &s.errors
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, url, ok := strings.Cut(line, " is served at ")
	url, _, _ = strings.Cut(url, " ")
	if err != nil || !ok {
		t.Fatalf("no ready line but %q: %v\n%s", line, err, s.end(syscall.SIGKILL))
	}
	s.url = strings.TrimSpace(url)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	s.LedgerServiceClient = countersignv1connect.NewLedgerServiceClient(client, s.url, connect.WithAcceptCompression("gzip", nil, nil))
	return s
}

// end signals the process, waits for it, and returns what it said.
func (s *server) end(signal syscall.Signal) string {
	_ = s.cmd.Process.Signal(signal)
	_ = s.cmd.Wait()
	return s.errors.String()
}

// observer remembers what the server has promised.
type observer struct {
	mu       sync.Mutex // guards what follows
	entries  map[uint64]tlog.Hash
	promised map[uint64]tlog.Checkpoint // by size
	split    []string
}

func (w *observer) saw(t *testing.T, trust *verify.Trust, bundle []byte) {
	b, err := attest.ParseBundle(bundle)
	if err != nil {
		t.Error(err)
		return
	}
	leaf := tlog.LeafHash(b.Leaf)
	cp, err := tlog.VerifyReceipt(trust.Log, leaf, b.Receipt)
	if err != nil {
		t.Error(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := w.promised[cp.Size]; ok && other != cp {
		w.split = append(w.split, fmt.Sprintf("two checkpoints of size %d: %s and %s", cp.Size, other.Root, cp.Root))
	}
	if other, ok := w.entries[b.Receipt.Index]; ok && other != leaf {
		w.split = append(w.split, fmt.Sprintf("two entries at %d", b.Receipt.Index))
	}
	w.promised[cp.Size], w.entries[b.Receipt.Index] = cp, leaf
}

// write submits approvals until the server is gone.
func (w *observer) write(t *testing.T, s *server, trust *verify.Trust, round, writer int) {
	for i := 0; ; i++ {
		var bundles [][]byte
		for k := range 1 + i%3 {
			bundles = append(bundles, approval(t, fmt.Sprintf("%d-%d-%d-%d", round, writer, i, k)))
		}
		resp, err := s.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: bundles}))
		if err != nil {
			return
		}
		for _, r := range resp.Msg.Results {
			w.saw(t, trust, r.Bundle)
		}
	}
}

func approval(t testing.TB, nonce string) []byte {
	commit := strings.Repeat("a", 40)
	b, err := attest.Sign(&attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"gitCommit": commit, "gitTree": commit}}},
		Predicate: &attest.Approval{
			Decision: attest.Approved, Reviewer: "bob", Repository: scenario.Repository, Change: attest.ChangeRef{ID: "1"}, TargetRef: "refs/heads/main",
			Scope: attest.Scope{Environments: []string{"production"}}, ApprovedAt: attest.At(time.Now()), Nonce: nonce,
		},
	}, scenario.Key("bob"))
	if err != nil {
		t.Error(err)
		return nil
	}
	text, err := b.Marshal()
	if err != nil {
		t.Error(err)
	}
	return text
}

// holds asks a server for everything that was promised before.
func (w *observer) holds(t *testing.T, s *server, trust *verify.Trust) {
	t.Helper()
	ctx := t.Context()
	head, err := s.Checkpoint(ctx, connect.NewRequest(&countersignv1.CheckpointRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	now, err := trust.Log.Open(head.Msg.Note)
	if err != nil {
		t.Fatal(err)
	}
	for size, cp := range w.promised {
		resp, err := s.Consistency(ctx, connect.NewRequest(&countersignv1.ConsistencyRequest{FromSize: size, ToSize: now.Size}))
		if err != nil {
			t.Fatalf("a checkpoint of size %d was given out, and now: %v", size, err)
		}
		if err := tlog.VerifyConsistency(cp, now, hashes(resp.Msg.Hashes)); err != nil {
			t.Errorf("from %d to %d: %v", size, now.Size, err)
		}
	}
	for index, leaf := range w.entries {
		resp, err := s.Inclusion(ctx, connect.NewRequest(&countersignv1.InclusionRequest{Index: index, TreeSize: now.Size}))
		if err != nil {
			t.Fatalf("entry %d was acknowledged, and now: %v", index, err)
		}
		if err := tlog.VerifyInclusion(leaf, index, hashes(resp.Msg.Hashes), now); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}

func hashes(list [][]byte) []tlog.Hash {
	var out []tlog.Hash
	for _, h := range list {
		out = append(out, tlog.Hash(h))
	}
	return out
}

// The server is killed at any moment, again and again, while several writers
// submit: nothing that was acknowledged is lost, and no two checkpoints disagree.
func TestKilledAtAnyMoment(t *testing.T) {
	data := newLedger(t)
	trust, err := verify.LoadTrust(filepath.Join(data, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := &observer{entries: make(map[uint64]tlog.Hash), promised: make(map[uint64]tlog.Checkpoint)}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		s := serve(t, data)
		w.holds(t, s, trust)
		var writers sync.WaitGroup
		for i := range 4 {
			writers.Go(func() { w.write(t, s, trust, round, i) })
		}
		time.Sleep(time.Duration(20+random.IntN(230)) * time.Millisecond) // the moment is what is tested
		s.end(syscall.SIGKILL)
		writers.Wait()
	}
	t.Logf("%d entries acknowledged under %d checkpoints", len(w.entries), len(w.promised))
	if len(w.entries) == 0 {
		t.Error("nothing was ever acknowledged")
	}
	for _, s := range w.split {
		t.Error(s)
	}
	s := serve(t, data)
	w.holds(t, s, trust)
	said := s.end(syscall.SIGTERM)
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("asked to stop, the server ends with %d\n%s", code, said)
	}
	if out := runs(t, 0, "check", "--data", data); out == "" {
		t.Error("check says nothing")
	}
}

// Asked to stop in the middle of everything, the server ends well, and keeps what
// it has acknowledged.
func TestStopsWell(t *testing.T) {
	data := newLedger(t)
	trust, err := verify.LoadTrust(filepath.Join(data, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	w := &observer{entries: make(map[uint64]tlog.Hash), promised: make(map[uint64]tlog.Checkpoint)}
	s := serve(t, data)
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() { w.write(t, s, trust, 0, i) })
	}
	time.Sleep(150 * time.Millisecond)
	out := s.end(syscall.SIGTERM)
	writers.Wait()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	again := serve(t, data)
	w.holds(t, again, trust)
	if out := again.end(syscall.SIGINT); again.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("interrupted: exit code %d\n%s", again.cmd.ProcessState.ExitCode(), out)
	}
}
