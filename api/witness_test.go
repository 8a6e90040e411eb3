package api_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/ledger/witness"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
	"github.com/countersign-dev/countersign/verify"
)

// quorum makes a ledger want one witness, who may be away, and tells the policy.
func quorum(t testing.TB, away *atomic.Bool, policy **tlog.Policy) func(*ledger.Config) {
	return func(c *ledger.Config) {
		signer, err := tlog.NewCosigner("w.example", ed25519.NewKeyFromSeed(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		own, err := witness.NewServer(witness.ServerConfig{Cosigner: signer, Logs: []*tlog.Verifier{c.Signer.Verifier()}, Dir: t.TempDir(), Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				panic(http.ErrAbortHandler)
			}
			own.ServeHTTP(w, r)
		}))
		t.Cleanup(func() { server.Close(); own.Close() })
		text := fmt.Sprintf("log %s\nwitness w %s %s\nquorum w\n", c.Signer.Verifier().VKey(), signer.Witness().VKey(), server.URL)
		if *policy, err = tlog.ParsePolicy([]byte(text)); err != nil {
			t.Fatal(err)
		}
		feed, err := witness.NewFeed(witness.Config{Policy: *policy, FirstPause: time.Millisecond, MaxPause: 5 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		c.Witnessing = &ledger.Witnessing{Policy: *policy, Witnesses: feed, Keeper: witness.File{Path: filepath.Join(t.TempDir(), "published")}, Wait: 100 * time.Millisecond}
	}
}

// A missing quorum is 503 with Retry-After, for the writer and for the gate whose
// allow cannot be logged; the same bundle gets its receipt once there is one.
func TestMissingQuorumIsUnavailable(t *testing.T) {
	var away atomic.Bool
	var policy *tlog.Policy
	f := start(t, setup{ledger: quorum(t, &away, &policy)})
	size := f.ledger.Head().Size
	away.Store(true)
	bundle := f.approval("bob", "")
	const path = countersignv1connect.LedgerServiceAppendProcedure
	status, header, answer := f.post(path, "", appendJSON(bundle))
	if status != 503 || header.Get("Retry-After") == "" || kindOf(t, answer).Kind != string(verify.WitnessQuorum) {
		t.Errorf("status %d, Retry-After %q, %v", status, header.Get("Retry-After"), answer)
	}
	if now := f.ledger.Head().Size; now != size || f.ledger.Unpublished() != 1 {
		t.Errorf("the log shows %d entries, of %d, and keeps back %d", now, size, f.ledger.Unpublished())
	}
	away.Store(false)
	for range 50 {
		if status, _, answer = f.post(path, "", appendJSON(bundle)); status == 200 {
			break
		}
	}
	if status != 200 {
		t.Fatalf("with the witness back: status %d, %v", status, answer)
	}
	if _, got, err := policy.Check(f.ledger.Head().Note); err != nil || !policy.Holds(got) || f.ledger.Head().Size != size+1 {
		t.Errorf("%d entries under %v, %v", f.ledger.Head().Size, got, err)
	}
}
