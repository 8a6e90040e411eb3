package verify_test

import (
	"errors"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// Rows H16 and H18: what a log signed once holds against it for ever.
func TestCheckpointsThatCannotBothBeTrue(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	about := h.subject(h.commit("work", map[string]string{"a": "1"}))
	var heads []tlog.Checkpoint
	for range 5 {
		w.say("bob", w.approval("bob", "7", attest.Approved), about)
		heads = append(heads, w.ledger.Head().Checkpoint)
	}
	old, now := heads[1], heads[4]
	proof, err := w.ledger.Consistency(t.Context(), old.Size, now.Size)
	must(t, err)
	forged, other := now, now
	forged.Root[0] ^= 1
	other.Origin = "other.example"
	var split *verify.SplitView
	var rollback *verify.Rollback
	for _, c := range []struct {
		name      string
		old, seen tlog.Checkpoint
		proof     []tlog.Hash
		holds     func(error) bool
	}{
		{"grown", old, now, proof, func(err error) bool { return err == nil }},
		{"the same", now, now, nil, func(err error) bool { return err == nil }},
		{"the same size, another root", now, forged, nil, func(err error) bool { return errors.As(err, &split) }},
		{"grown from another tree", old, forged, proof, func(err error) bool { return errors.As(err, &split) }},
		{"without a proof", old, now, nil, func(err error) bool { return errors.As(err, &split) }},
		{"shrunk", now, old, nil, func(err error) bool { return errors.As(err, &rollback) }},
		{"another log", old, other, proof, func(err error) bool { return errors.Is(err, tlog.ErrBadProof) && !errors.As(err, &split) }},
	} {
		split, rollback = nil, nil
		if err := verify.CheckConsistent(c.old, c.seen, c.proof); !c.holds(err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
