package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// OpenView checks a signed checkpoint and the timestamp over it, and returns the
// state of the log that they show. The chain of negative evidence is not signed:
// whoever makes the view adds ChainLength and Chain, and Gather holds them
// against the links.
//
// at is when the log's own process signed the checkpoint (Config.OwnLog); others
// leave it zero, and the token tells. The error is a *Refusal.
func (v *Verifier) OpenView(note, token []byte, at time.Time) (LogView, error) {
	if !v.ownLog {
		return v.trust.OpenView(note, token)
	}
	view, err := v.trust.openNote(note)
	if err != nil {
		return LogView{}, err
	}
	view.Token, view.Time = token, inSeconds(at)
	return view, nil
}

// OpenView is what Verifier.OpenView does for everybody but the log's own process.
func (t *Trust) OpenView(note, token []byte) (LogView, error) {
	view, err := t.openNote(note)
	if err != nil {
		return LogView{}, err
	}
	at, err := t.Stamp(token, note)
	if err != nil {
		r := badCheckpoint("%v", err)
		r.Kind = TimeUntrusted
		return LogView{}, r
	}
	if !t.LogValid.Holds(at) {
		r := badCheckpoint("the log's key was valid %s, and the checkpoint is of %s", interval(t.LogValid), stamp(at))
		r.Kind = KeyTime
		return LogView{}, r
	}
	view.Token, view.Time = token, at
	return view, nil
}

// openNote checks the log's signature and, where trust names witnesses, theirs. How
// old those are is judged with the rest of what depends on the time of a decision.
func (t *Trust) openNote(note []byte) (LogView, error) {
	cp, err := t.Log.Open(note)
	if err != nil {
		return LogView{}, badCheckpoint("%v", err)
	}
	view := LogView{Checkpoint: cp, Note: note}
	if t.Witnesses == nil {
		return view, nil
	}
	if _, view.Cosignatures, err = t.Witnesses.Check(note); err != nil {
		return LogView{}, badCheckpoint("%v", err)
	}
	if !t.Witnesses.Holds(view.Cosignatures) {
		r := badCheckpoint("of %d entries is cosigned by %s; trust wants %s", cp.Size, namesOf(view.Cosignatures), t.Witnesses.Need())
		r.Kind, r.Corrupt = WitnessQuorum, false
		return LogView{}, r
	}
	return view, nil
}

func namesOf(cosignatures []tlog.Cosignature) string {
	if len(cosignatures) == 0 {
		return "nobody that trust names"
	}
	names := make([]string, len(cosignatures))
	for i, c := range cosignatures {
		names[i] = c.Witness
	}
	return strings.Join(names, ", ")
}

func badCheckpoint(format string, args ...any) *Refusal {
	return &Refusal{Kind: BadCheckpoint, Check: "checkpoint", Why: fmt.Sprintf(format, args...), Corrupt: true}
}
