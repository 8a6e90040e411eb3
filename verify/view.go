package verify

import (
	"fmt"
	"time"
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
	cp, err := v.trust.Log.Open(note)
	if err != nil {
		return LogView{}, badCheckpoint("%v", err)
	}
	return LogView{Checkpoint: cp, Note: note, Token: token, Time: inSeconds(at)}, nil
}

// OpenView is what Verifier.OpenView does for everybody but the log's own process.
func (t *Trust) OpenView(note, token []byte) (LogView, error) {
	cp, err := t.Log.Open(note)
	if err != nil {
		return LogView{}, badCheckpoint("%v", err)
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
	return LogView{Checkpoint: cp, Note: note, Token: token, Time: at}, nil
}

func badCheckpoint(format string, args ...any) *Refusal {
	return &Refusal{Kind: BadCheckpoint, Check: "checkpoint", Why: fmt.Sprintf(format, args...), Corrupt: true}
}
