package main

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstoretuf "github.com/sigstore/sigstore-go/pkg/tuf"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// logged puts a bundle into a running log, and returns it with its receipt.
func (s *server) logged(t *testing.T, bundle []byte) *attest.Bundle {
	t.Helper()
	resp, err := s.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{bundle}}))
	if err != nil {
		t.Fatal(err)
	}
	b, err := attest.ParseBundle(resp.Msg.Results[0].Bundle)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func loadTrust(t *testing.T, dir string) *verify.Trust {
	t.Helper()
	trust, err := verify.LoadTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// receiptHolds checks a receipt as countersign log verify does.
func receiptHolds(trust *verify.Trust, b *attest.Bundle) error {
	if _, err := trust.VerifyReceipt(tlog.LeafHash(b.Leaf), b.Receipt); err != nil {
		return err
	}
	_, err := trust.StampReceipt(b.Receipt, b.Signature)
	return err
}

// rejection is negative evidence.
func rejection(t *testing.T, nonce string) []byte {
	t.Helper()
	commit := strings.Repeat("a", 40)
	b, err := attest.Sign(&attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"gitCommit": commit, "gitTree": commit}}},
		Predicate: &attest.Approval{
			Decision: attest.Rejected, Reviewer: "bob", Repository: scenario.Repository, Change: attest.ChangeRef{ID: "1"}, TargetRef: "refs/heads/main",
			Scope: attest.Scope{Environments: []string{"production"}}, ApprovedAt: attest.At(time.Now()), Nonce: nonce, Comment: "it is not ready",
		},
	}, scenario.Key("bob"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A log is frozen and another takes its place: what the first gave out holds, nothing
// more goes into it, what was taken back there is taken back in the second, and
// Sigstore's clients, who know the first one's URL, learn of both.
func TestOneLogComesAfterAnother(t *testing.T) {
	data, next := newLedger(t), filepath.Join(t.TempDir(), "next")
	runs(t, 0, "trust", "tuf", "init", "--data", data, "--url", "https://log.example.com")
	first, err := os.ReadFile(filepath.Join(data, "trust", "tuf", "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := genesisFiles(t)
	rotate := func(more ...string) []string {
		return append([]string{"trust", "rotate", "log", "--data", data, "--new", next, "--genesis", g[0], "--genesis", g[1], "--url", "https://log-2.example.com"}, more...)
	}
	s := serve(t, data)
	old := s.logged(t, approval(t, "before"))
	s.logged(t, rejection(t, "before"))
	if out := runs(t, 3, rotate("--origin", "log-2.example.com")...); !strings.Contains(out, "in use") {
		t.Errorf("beside a running server: %s", out)
	}
	s.end(syscall.SIGTERM)
	for says, args := range map[string][]string{
		"name of a log already": rotate("--origin", "log.example.com"),
		"--origin":              rotate("--origin", "https://log-2.example.com"),
		"signed already":        rotate("--origin", "log-2.example.com", "--genesis", g[0]),
		"trust folder already":  rotate("--origin", "log-2.example.com", "--trust", filepath.Join(data, "trust")),
		"is there already":      rotate("--origin", "log-2.example.com", "--new", data),
	} {
		if out := runs(t, 2, args...); !strings.Contains(out, says) {
			t.Errorf("%v does not speak of %q: %s", args, says, out)
		}
	}
	if trust := loadTrust(t, filepath.Join(data, "trust")); !trust.LogValid.Until.IsZero() {
		t.Error("a refusal froze the log")
	}
	if out := runs(t, 0, rotate("--origin", "log-2.example.com")...); !strings.Contains(out, "1 pieces of negative evidence carried over") {
		t.Errorf("%s", out)
	}
	// Interrupted before the TUF repository moves, it is called again.
	undo := [][2]string{{filepath.Join(next, "trust", "tuf"), filepath.Join(data, "trust", "tuf")}}
	for _, key := range []string{tufRootKeyFile, tufTargetsKeyFile, tufOnlineKeyFile} {
		undo = append(undo, [2]string{filepath.Join(next, "keys", key), filepath.Join(data, "keys", key)})
	}
	if err := os.Remove(filepath.Join(data, "trust", "tuf")); err != nil {
		t.Fatal(err)
	}
	for _, u := range undo {
		if err := os.Rename(u[0], u[1]); err != nil {
			t.Fatal(err)
		}
	}
	runs(t, 0, rotate("--origin", "log-2.example.com")...)
	runs(t, 0, "trust", "tuf", "publish", "--data", next)

	trust := loadTrust(t, filepath.Join(next, "trust"))
	if err := receiptHolds(trust, old); err != nil {
		t.Errorf("a receipt of the old log: %v", err)
	}
	frozen := serve(t, data)
	if _, err := frozen.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{approval(t, "late")}})); connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("a frozen log is asked to take an entry: %v", err)
	}
	if _, err := frozen.Inclusion(t.Context(), connect.NewRequest(&countersignv1.InclusionRequest{Index: old.Receipt.Index, TreeSize: trust.Frozen[0].Size})); err != nil {
		t.Errorf("a frozen log proves nothing: %v", err)
	}
	new := serve(t, next)
	if err := receiptHolds(trust, new.logged(t, approval(t, "after"))); err != nil {
		t.Errorf("a receipt of the new log: %v", err)
	}
	// The same words again are the ones that were carried over, after the two of the genesis.
	if b := new.logged(t, approval(t, "again")); b.Receipt.Index != 4 {
		t.Errorf("the fifth entry of the new log is at %d", b.Receipt.Index)
	}
	opts := &sigstoretuf.Options{Root: first, RepositoryBaseURL: frozen.url + "/tuf", CachePath: t.TempDir()}
	tr, err := root.FetchTrustedRootWithOptions(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range []*tlog.Verifier{trust.Log, trust.Frozen[0].Log} {
		id := log.LogID()
		known, ok := tr.RekorLogs()[hex.EncodeToString(id[:])]
		if !ok || known.BaseURL != "https://"+log.Origin() || known.ValidityPeriodEnd.IsZero() != (log == trust.Log) {
			t.Errorf("Sigstore's client knows of %s: %+v", log.Origin(), known)
		}
	}
	for _, s := range []*server{frozen, new} {
		if said := s.end(syscall.SIGTERM); s.cmd.ProcessState.ExitCode() != 0 {
			t.Error(said)
		}
	}
	runs(t, 0, "check", "--data", next)
	runs(t, 0, "check", "--data", data)
}

// A log goes on with another timestamp authority; who was not told believes only what
// was logged before.
func TestTheTimestampAuthorityChanges(t *testing.T) {
	data := newLedger(t)
	dir := filepath.Join(data, "trust")
	told := loadTrust(t, dir)
	var bundles []*attest.Bundle
	for _, nonce := range []string{"first", "second", "third"} {
		s := serve(t, data)
		bundles = append(bundles, s.logged(t, approval(t, nonce)))
		s.end(syscall.SIGTERM)
		if nonce != "third" {
			runs(t, 0, "trust", "rotate", "timestamps", "--data", data)
		}
	}
	now := loadTrust(t, dir)
	if len(now.Retired) != 2 || now.Timestamps[0].Equal(told.Timestamps[0]) {
		t.Errorf("%d authorities are retired", len(now.Retired))
	}
	for i, b := range bundles {
		if err := receiptHolds(now, b); err != nil {
			t.Errorf("receipt %d: %v", i+1, err)
		}
		if err := receiptHolds(told, b); (err == nil) != (i == 0) {
			t.Errorf("receipt %d for who was not told: %v", i+1, err)
		}
	}
	// Interrupted between the trust folder and the key, it is mended by the same command.
	key := filepath.Join(data, "keys", stampKeyFile)
	if err := os.Rename(key, key+nextKey); err != nil {
		t.Fatal(err)
	}
	runs(t, 3, "serve", "--data", data)
	runs(t, 0, "trust", "rotate", "timestamps", "--data", data)
	if again := loadTrust(t, dir); len(again.Retired) != 2 {
		t.Errorf("mending retired another: %d", len(again.Retired))
	}
	s := serve(t, data)
	s.end(syscall.SIGTERM)
}
