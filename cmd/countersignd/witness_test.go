package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
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
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// watcher is countersignd witness in a process of its own.
type watcher struct {
	data, vkey, listen string
	cmd                *exec.Cmd
}

func newWatcher(t testing.TB, name string, log *tlog.Verifier) *watcher {
	t.Helper()
	w := &watcher{data: filepath.Join(t.TempDir(), "witness"), listen: "127.0.0.1:0"}
	out := runs(t, 0, "witness", "init", "--data", w.data, "--name", name)
	w.vkey, _, _ = strings.Cut(strings.TrimPrefix(out, "vkey  "), "\n")
	w.start(t, log)
	t.Cleanup(func() { w.end(syscall.SIGKILL) })
	return w
}

// start serves at the address that the witness had before, if it had one.
func (w *watcher) start(t testing.TB, log *tlog.Verifier) {
	t.Helper()
	w.cmd = command("witness", "--data", w.data, "--listen", w.listen, "--log", log.VKey())
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, rest, ok := strings.Cut(line, " answers at http://")
	if err != nil || !ok {
		t.Fatalf("no ready line but %q: %v", line, err)
	}
	w.listen, _, _ = strings.Cut(rest, ",")
}

func (w *watcher) end(s syscall.Signal) {
	_ = w.cmd.Process.Signal(s)
	_ = w.cmd.Wait()
}

// witnessed is a ledger and three witnesses, two of which have to cosign.
func witnessed(t testing.TB) (data, file string, trust *verify.Trust, policy *tlog.Policy, watchers []*watcher) {
	t.Helper()
	data = newLedger(t)
	trust, err := verify.LoadTrust(filepath.Join(data, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	text := "log " + trust.Log.VKey() + "\n"
	for i := range 3 {
		w := newWatcher(t, fmt.Sprintf("w%d.example", i), trust.Log)
		watchers = append(watchers, w)
		text += fmt.Sprintf("witness w%d %s http://%s\n", i, w.vkey, w.listen)
	}
	text += "group g 2 w0 w1 w2\nquorum g\n"
	if policy, err = tlog.ParsePolicy([]byte(text)); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "witnesses.policy")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return data, file, trust, policy, watchers
}

func (s *server) submit(bundle []byte) (*countersignv1.AppendResult, error) {
	resp, err := s.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{bundle}}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.Results[0], nil
}

func quorumOn(t testing.TB, policy *tlog.Policy, r *countersignv1.AppendResult) {
	t.Helper()
	b, err := attest.ParseBundle(r.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := policy.Check(b.Receipt.Checkpoint); err != nil || !policy.Holds(got) {
		t.Errorf("entry %d was acknowledged under %v, %v", r.Index, got, err)
	}
}

func TestServeWaitsForTheQuorum(t *testing.T) {
	data, file, trust, policy, watchers := witnessed(t)
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("witnessPolicy: "+file+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, data, "--config", config)
	r, err := s.submit(approval(t, "first"))
	if err != nil {
		t.Fatal(err)
	}
	quorumOn(t, policy, r)
	watchers[0].end(syscall.SIGKILL)
	if r, err = s.submit(approval(t, "second")); err != nil {
		t.Fatalf("one of three is dead: %v", err)
	}
	quorumOn(t, policy, r)
	watchers[1].end(syscall.SIGKILL)
	late := approval(t, "third")
	_, err = s.submit(late)
	if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(fmt.Sprint(err), "witnesses") {
		t.Fatalf("two of three are dead: %v", err)
	}
	said := s.end(syscall.SIGKILL) // the server knows an entry that nobody was told of
	if !strings.Contains(said, "a witness does not cosign") {
		t.Errorf("its log does not speak of the witnesses: %s", said)
	}

	s = serve(t, data, "--witness-policy", file)
	head, err := s.Checkpoint(t.Context(), connect.NewRequest(&countersignv1.CheckpointRequest{}))
	if err != nil || head.Msg.Size != r.Index+1 {
		t.Errorf("after the crash the log shows %d entries, and %d were published: %v", head.Msg.Size, r.Index+1, err)
	}
	watchers[0].start(t, trust.Log)
	for range 20 {
		got, err := s.submit(late)
		if err != nil {
			continue
		}
		if quorumOn(t, policy, got); got.Index != r.Index+1 || !got.Duplicate {
			t.Errorf("it is at %d, duplicate %t", got.Index, got.Duplicate)
		}
		if out := s.end(syscall.SIGTERM); s.cmd.ProcessState.ExitCode() != 0 {
			t.Error(out)
		}
		return
	}
	t.Error("the witness is back, and there is no quorum")
}

// Server and witnesses are killed at any moment, again and again: nothing that
// was acknowledged is lost or taken back, and all of it had the quorum.
func TestKilledAtAnyMomentWithWitnesses(t *testing.T) {
	data, file, trust, policy, watchers := witnessed(t)
	w := &observer{entries: make(map[uint64]tlog.Hash), promised: make(map[uint64]tlog.Checkpoint)}
	for round := range 3 {
		s := serve(t, data, "--witness-policy", file)
		w.holds(t, s, trust)
		var writers sync.WaitGroup
		for i := range 4 {
			writers.Go(func() { w.write(t, s, trust, round, i) })
		}
		for i := range 2 {
			time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond) // the moment is what is tested
			watchers[(round+i)%3].end(syscall.SIGKILL)
			if i == 1 { // the server, while both are down
				s.end(syscall.SIGKILL)
			}
			watchers[(round+i)%3].start(t, trust.Log)
		}
		writers.Wait()
	}
	if len(w.entries) == 0 || len(w.split) > 0 {
		t.Errorf("%d entries, %v", len(w.entries), w.split)
	}
	s := serve(t, data, "--witness-policy", file)
	w.holds(t, s, trust)
	r, err := s.submit(approval(t, "last"))
	if err != nil {
		t.Fatal(err)
	}
	quorumOn(t, policy, r)
	s.end(syscall.SIGTERM)
	runs(t, 0, "check", "--data", data)
}

func TestServeRefusesWitnessPolicies(t *testing.T) {
	data, file, trust, policy, _ := witnessed(t)
	good := policy.String()
	pinned := func(yaml string) string { return yaml + "witnesses: witnesses.policy\n" }
	yaml, err := os.ReadFile(filepath.Join(data, "trust", verify.TrustFile))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(good, trust.Log.VKey(), "other.example"+trust.Log.VKey()[strings.Index(trust.Log.VKey(), "+"):], 1)

	for name, c := range map[string]struct{ policy, yaml, says string }{
		"H25 a quorum of 0":       {strings.Replace(good, "g 2", "g 0", 1), string(yaml), "impossible quorum"},
		"H22 a witness twice":     {strings.Replace(good, "w0 w1 w2", "w0 w1 w0", 1), string(yaml), "twice"},
		"another log's":           {other, string(yaml), "log key"},
		"witnesses without a URL": {dropURLs(good), string(yaml), "URL"},
		"none, and trust wants":   {strings.Replace(good, "quorum g", "quorum none", 1), pinned(string(yaml)), "nobody is asked"},
	} {
		if err := os.WriteFile(file, []byte(c.policy), 0o600); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string]string{verify.TrustFile: c.yaml, verify.WitnessFile: good} {
			if err := os.WriteFile(filepath.Join(data, "trust", path), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out := runs(t, 2, "serve", "--data", data, "--listen", "127.0.0.1:0", "--witness-policy", file); !strings.Contains(out, c.says) {
			t.Errorf("%s: it does not speak of %q: %s", name, c.says, out)
		}
	}
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "trust", verify.TrustFile), []byte(pinned(string(yaml))), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, data, "--witness-policy", file) // the twin of all, with trust that wants the quorum
	s.end(syscall.SIGTERM)
	if out := runs(t, 2, "serve", "--data", data, "--listen", "127.0.0.1:0"); !strings.Contains(out, "--witness-policy") {
		t.Errorf("without a policy, and trust wants one: %s", out)
	}
}

// dropURLs leaves two of three witnesses without a URL.
func dropURLs(policy string) string {
	lines := strings.SplitAfter(policy, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "witness w0") || strings.HasPrefix(l, "witness w1") {
			fields := strings.Fields(l)
			lines[i] = strings.Join(fields[:3], " ") + "\n"
		}
	}
	return strings.Join(lines, "")
}

func TestWitnessCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "w")
	out := runs(t, 0, "witness", "init", "--data", dir, "--name", "w.example/1", "--format", "json")
	if !strings.Contains(out, `"vkey":"w.example/1+`) {
		t.Errorf("init says %s", out)
	}
	log := tlog.NewSigner("log.example", make([]byte, 64)).Verifier().VKey()
	for name, c := range map[string]struct {
		says string
		args []string
	}{
		"a second key":     {"never overwritten", []string{"init", "--data", dir, "--name", "w.example"}},
		"a bad name":       {"--name", []string{"init", "--data", dir + "2", "--name", "w example"}},
		"no folder":        {"--data", []string{"--log", log}},
		"no witness there": {"witness init", []string{"--data", t.TempDir(), "--log", log}},
		"no log":           {"--log", []string{"--data", dir}},
		"a log's bad key":  {"--log", []string{"--data", dir, "--log", "log.example"}},
		"a bad address":    {"--listen", []string{"--data", dir, "--log", log, "--listen", "nonsense"}},
	} {
		if out := runs(t, 2, append([]string{"witness"}, c.args...)...); !strings.Contains(out, c.says) {
			t.Errorf("%s: it does not speak of %q: %s", name, c.says, out)
		}
	}
	if err := os.Chmod(filepath.Join(dir, witnessKeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := runs(t, 2, "witness", "--data", dir, "--log", log); !strings.Contains(out, "chmod 600") {
		t.Errorf("an exposed key: %s", out)
	}
}
