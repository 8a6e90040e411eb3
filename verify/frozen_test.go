package verify_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// after is the trust of a log that came after another's, which was frozen at a time.
func after(t testing.TB, old *world, until time.Time) *verify.Trust {
	t.Helper()
	next := newWorld(t)
	head := old.ledger.Head()
	tr := next.trust
	tr.Log = tlog.NewSigner("log-2.example", newLogKey(t)).Verifier()
	tr.LogValid.From = until
	tr.Frozen = []verify.FrozenLog{{Log: old.trust.Log, Validity: roster.Validity{From: epoch, Until: until}, Size: head.Size, Root: head.Root}}
	tr.Retired = []verify.RetiredAuthority{{Certificates: old.trust.Timestamps, Until: until}}
	must(t, tr.Check())
	return tr
}

// A receipt of a frozen log still holds; what its key signs afterwards does not.
func TestReceiptsOfAFrozenLogHold(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	_, file := artifact("app")
	l.log(file)
	view, sealed := w.sealed(l.indexes["release"])
	b := bundleOf(t, sealed)
	receipt := func(index uint64) *tlog.Receipt {
		return &tlog.Receipt{LogID: w.trust.Log.LogID(), Index: index, Proof: sealed.Proof, Checkpoint: view.Note, Token: sealed.Token}
	}
	leaf, until := tlog.LeafHash(sealed.Leaf), view.Time.Add(time.Hour)
	tr := after(t, w, until)
	hold := func(tr *verify.Trust, r *tlog.Receipt) error {
		_, err := tr.VerifyReceipt(leaf, r)
		if err == nil {
			_, err = tr.StampReceipt(r, b.Signature)
		}
		return err
	}
	if err := hold(tr, receipt(sealed.Index)); err != nil {
		t.Errorf("its receipt: %v", err)
	}
	if cp, err := tr.OpenCheckpoint(view.Note); err != nil || cp.Size != view.Size {
		t.Errorf("its checkpoint: %v", err)
	}
	if err := hold(tr, receipt(sealed.Index-1)); !errors.Is(err, tlog.ErrBadProof) {
		t.Errorf("another index: %v", err)
	}
	for name, edit := range map[string]func(*verify.Trust){
		"the log is not listed":             func(tr *verify.Trust) { tr.Frozen = nil },
		"the checkpoint goes beyond":        func(tr *verify.Trust) { tr.Frozen[0].Size-- },
		"the last checkpoint is another":    func(tr *verify.Trust) { tr.Frozen[0].Root[0] ^= 1 },
		"it was logged after the end":       func(tr *verify.Trust) { tr.Frozen[0].Until = sealed.Time.Add(-time.Second) },
		"the authority is not listed":       func(tr *verify.Trust) { tr.Retired = nil },
		"stamped after the authority's end": func(tr *verify.Trust) { tr.Retired[0].Until = sealed.Time.Add(-time.Second) },
	} {
		tr := after(t, w, until)
		edit(tr)
		must(t, tr.Check())
		if err := hold(tr, receipt(sealed.Index)); err == nil {
			t.Errorf("%s, and its receipt holds", name)
		}
	}
	// It has no part in verdicts.
	if _, err := tr.OpenView(view.Note, view.Token); err == nil {
		t.Error("a verdict can rest on a frozen log")
	}
}

func TestFrozenLogsReadAsTheyWereWritten(t *testing.T) {
	w := newWorld(t)
	_, file := artifact("app")
	newLine(w, 1).log(file)
	tr := after(t, w, start.Add(time.Hour))
	dir := t.TempDir()
	must(t, verify.WriteTrust(dir, w.trust))
	before, err := verify.LoadTrust(dir)
	must(t, err)
	must(t, verify.ReplaceTrust(dir, tr))
	got, err := verify.LoadTrust(dir)
	must(t, err)
	if f := got.Frozen; len(f) != 1 || f[0].Log.VKey() != w.trust.Log.VKey() || f[0].Size != tr.Frozen[0].Size || f[0].Root != tr.Frozen[0].Root || f[0].Validity != tr.Frozen[0].Validity {
		t.Errorf("read as %+v", f)
	}
	if r := got.Retired; len(r) != 1 || !r[0].Until.Equal(tr.Retired[0].Until) || !r[0].Certificates[0].Equal(before.Timestamps[0]) {
		t.Errorf("read as %+v", r)
	}
	good, err := os.ReadFile(filepath.Join(dir, verify.TrustFile))
	must(t, err)
	for _, c := range []struct{ name, old, new, says string }{
		{"no size", "    size: ", "#", "size"},
		{"no root", "    root: ", "#", "root"},
		{"a root in capitals", "    root: ", "    root: AB", "root"},
		{"no end", "    until: " + start.Add(time.Hour).Format(time.RFC3339) + "\n    size", "    size", "until"},
		{"an authority without an end", "      until: ", "#", "retired"},
		{"another origin", "frozen:\n  - origin: log.example", "frozen:\n  - origin: log-3.example", "origin"},
		{"the same log", "frozen:\n  - origin: " + w.trust.Log.Origin() + "\n    key: " + w.trust.Log.VKey(), "frozen:\n  - origin: " + tr.Log.Origin() + "\n    key: " + tr.Log.VKey(), "another log"},
	} {
		edited := strings.Replace(string(good), c.old, c.new, 1)
		if edited == string(good) {
			t.Fatalf("%s edits nothing:\n%s", c.name, good)
		}
		must(t, os.WriteFile(filepath.Join(dir, verify.TrustFile), []byte(edited), 0o600))
		if _, err := verify.LoadTrust(dir); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func newLogKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}
