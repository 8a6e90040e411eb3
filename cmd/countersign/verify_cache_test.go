package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
	"github.com/countersign-dev/countersign/verify"
)

const reviewedStory = "commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 unknown\napprove bob h1\nadmit m1\nrelease m1\nask"

// A cached verdict serves for 15 minutes after the log's state was signed, where the policy
// says so, for what the rules allow, and never for the highest tier.
func TestWhatACachedVerdictServesFor(t *testing.T) {
	t.Cleanup(func() { _ = scenario.Clean() })
	for name, c := range map[string]struct {
		story string
		after time.Duration
		want  string // of the refusal; empty: it serves
	}{
		"at once":                 {"mode cachedPass\n" + reviewedStory, time.Second, ""},
		"at its last second":      {"mode cachedPass\n" + reviewedStory, 15 * time.Minute, ""},
		"one second later":        {"mode cachedPass\n" + reviewedStory, 15*time.Minute + time.Second, "STALE_VIEW"},
		"the clock set back":      {"mode cachedPass\n" + reviewedStory, -6 * time.Minute, "STALE_VIEW"},
		"where the gate enforces": {reviewedStory, time.Second, "does not let one serve in production"},
		"where the gate audits":   {"mode audit\n" + reviewedStory, time.Second, "does not let one serve in production"},
		"the highest tier":        {"mode cachedPass\n" + strings.Replace(reviewedStory, "src/a.go", "lib/a.go", 1), time.Second, "highest tier (critical)"},
		"what was denied":         {"mode cachedPass\n" + strings.Replace(reviewedStory, "approve bob", "approve alice", 1), time.Second, "INSUFFICIENT"},
		"broken glass":            {"mode cachedPass\n" + strings.Replace(reviewedStory, "approve bob h1\n", "", 1) + "\nr: request bob\ngrant carol r", time.Second, `it is "allow (break-glass)"`},
	} {
		t.Run(name, func(t *testing.T) {
			rules := ""
			if strings.Contains(c.story, "request") {
				rules = "  - id: reviewed\n    title: Somebody else\n    require:\n      approvals: [{count: 1}]\nbreakGlass: {environments: [production], maxDuration: 4h, maxUses: 2, reviewWithin: 24h}\n"
			}
			told, err := scenario.Tell(scenario.Story{Text: c.story, Rules: rules}, scenario.Attack)
			if err != nil || told.Err != nil {
				t.Fatal(err, told)
			}
			req := told.Input.Request
			cache := verdictCache{t.TempDir()}
			if err := cache.keep(req, packOf(t, told)); err != nil {
				t.Fatal(err)
			}
			at := told.Input.Gathered.View.Time.Add(c.after)
			a := &app{now: func() time.Time { return at }}
			d, err := a.fromCache(t.Context(), cache, req, told.Input.Trust, verifying{})
			switch {
			case c.want == "" && (err != nil || d.Core.Verdict != policy.Allow):
				t.Errorf("does not serve: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
			other := req
			other.Environment = "staging"
			if _, err := a.fromCache(t.Context(), cache, other, told.Input.Trust, verifying{}); err == nil {
				t.Error("serves another environment")
			}
		})
	}
}

// A ledger that says no, and then gives no evidence, was reached: nothing of before serves.
func TestWhoSaidNoIsNotUnreachable(t *testing.T) {
	t.Cleanup(func() { _ = scenario.Clean() })
	told, err := scenario.Tell(scenario.Story{Text: "mode cachedPass\n" + reviewedStory}, scenario.Attack)
	if err != nil || told.Err != nil {
		t.Fatal(err, told)
	}
	at := told.Input.Gathered.View.Time.Add(time.Second)
	for _, verdict := range []policy.Verdict{policy.Allow, policy.Deny} {
		mux := http.NewServeMux()
		mux.Handle(countersignv1connect.VerifierServiceVerifyProcedure, connect.NewUnaryHandler(countersignv1connect.VerifierServiceVerifyProcedure,
			func(_ context.Context, r *connect.Request[countersignv1.VerifyRequest]) (*connect.Response[countersignv1.VerifyResponse], error) {
				d := policy.Decide(told.Input)
				d.Core.Nonce, d.Core.Verdict = r.Msg.Nonce, verdict
				text, err := d.Marshal()
				return connect.NewResponse(&countersignv1.VerifyResponse{Decision: text}), err
			}))
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		server := httptest.NewServer(mux)
		defer server.Close()
		req, cache := told.Input.Request, verdictCache{t.TempDir()}
		if err := cache.keep(req, packOf(t, told)); err != nil {
			t.Fatal(err)
		}
		a := &app{now: func() time.Time { return at }, server: server.URL, timeout: time.Minute}
		j := &judgement{}
		err = a.askOrCached(t.Context(), req, told.Input.Trust, verifying{cache: cache.dir}, j)
		_, gone := os.Stat(cache.file(req))
		if allowed := verdict == policy.Allow; allowed != (err == nil && j.cached != "") || allowed != (gone == nil) {
			t.Errorf("%s: got %v, cached %q, kept %v", verdict, err, j.cached, gone == nil)
		}
	}
}

func packOf(t *testing.T, told *scenario.Told) []byte {
	t.Helper()
	rec := verify.NewRecorder(told.Log)
	h, err := policy.ReadHistory(t.Context(), rec, told.Input.Trust, false)
	if err != nil {
		t.Fatal(err)
	}
	in := told.Input
	in.History, in.Set, in.Gathered, in.MaxViewAge = h, nil, nil, 24*time.Hour
	_, g, err := policy.Judge(t.Context(), rec, told.Verifier, in)
	if err != nil {
		t.Fatal(err)
	}
	var pack bytes.Buffer
	if err := verify.WritePack(t.Context(), &pack, rec, told.Input.Trust, g.Request); err != nil {
		t.Fatal(err)
	}
	return pack.Bytes()
}
