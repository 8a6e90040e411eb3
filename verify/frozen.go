package verify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A FrozenLog is one that took entries before this log did, and takes none any more:
// its receipts hold up to its last checkpoint, and it has no part in verdicts.
type FrozenLog struct {
	Log *tlog.Verifier
	roster.Validity
	Size uint64    // of the last checkpoint
	Root tlog.Hash // of the last checkpoint
}

// A RetiredAuthority is the timestamp authority of before: its tokens hold that say a
// time up to Until.
type RetiredAuthority struct {
	Certificates []*x509.Certificate // its own first, the root last
	Until        time.Time

	authority *authority
}

// checkFrozen holds the logs of before against this one. A name is of one log for
// ever: witnesses and monitors go by it.
func (t *Trust) checkFrozen() error {
	names := map[string]bool{t.Log.Origin(): true}
	for i, f := range t.Frozen {
		switch {
		case f.Log == nil:
			return fmt.Errorf("frozen: number %d: key is missing", i+1)
		case names[f.Log.Origin()]:
			return fmt.Errorf("frozen: number %d: the origin %s is of another log", i+1, f.Log.Origin())
		case f.From.IsZero() || f.Until.IsZero():
			return fmt.Errorf("frozen: number %d: from or until is missing", i+1)
		case f.Size == 0 || f.Root == tlog.Hash{}:
			return fmt.Errorf("frozen: number %d: size or root of its last checkpoint is missing", i+1)
		case f.Log.PublicKey().Equal(t.Log.PublicKey()):
			return fmt.Errorf("frozen: number %d: its key is this log's: one key, one log", i+1)
		}
		names[f.Log.Origin()] = true
	}
	for i := range t.Retired {
		r := &t.Retired[i]
		a, err := newAuthority(r.Certificates)
		if err == nil && r.Until.IsZero() {
			err = errors.New("until is missing")
		}
		if err == nil && bytes.Equal(r.Certificates[0].RawSubjectPublicKeyInfo, t.Timestamps[0].RawSubjectPublicKeyInfo) {
			err = errors.New("it has the key of the authority that is in use")
		}
		if err != nil {
			return fmt.Errorf("timestamps: retired: number %d: %w", i+1, err)
		}
		r.authority = a
	}
	return nil
}

// frozen finds a log of before by its id.
func (t *Trust) frozen(id tlog.Hash) *FrozenLog {
	for i := range t.Frozen {
		if t.Frozen[i].Log.LogID() == id {
			return &t.Frozen[i]
		}
	}
	return nil
}

// LogOf returns the log that a signed checkpoint says it is of: one of the frozen ones,
// or else this one, which will refuse what is not its own.
func (t *Trust) LogOf(note []byte) *tlog.Verifier {
	if f := t.frozenNamed(note); f != nil {
		return f.Log
	}
	return t.Log
}

func (t *Trust) frozenNamed(note []byte) *FrozenLog {
	origin, _, _ := strings.Cut(string(note[:min(len(note), maxOrigin)]), "\n")
	for i := range t.Frozen {
		if t.Frozen[i].Log.Origin() == origin {
			return &t.Frozen[i]
		}
	}
	return nil
}

// OpenCheckpoint checks a signed checkpoint of this log, or of one of the frozen logs,
// as its origin says. One of a frozen log must not go beyond the last, nor differ from
// it. The error is tlog.ErrBadCheckpoint.
func (t *Trust) OpenCheckpoint(note []byte) (tlog.Checkpoint, error) {
	f := t.frozenNamed(note)
	if f == nil {
		return t.Log.Open(note)
	}
	cp, err := f.Log.Open(note)
	if err == nil {
		err = f.check(cp)
	}
	return cp, err
}

// maxOrigin is more than the name of a log has, in bytes.
const maxOrigin = 1 << 10

func (f *FrozenLog) check(cp tlog.Checkpoint) error {
	switch {
	case cp.Size > f.Size:
		return fmt.Errorf("%w of %s: it has %d entries, and the log was frozen at %d", tlog.ErrBadCheckpoint, cp.Origin, cp.Size, f.Size)
	case cp.Size == f.Size && cp.Root != f.Root:
		return fmt.Errorf("%w of %s: at %d entries its root is %s, and the log was frozen with %s", tlog.ErrBadCheckpoint, cp.Origin, cp.Size, cp.Root, f.Root)
	}
	return nil
}

// VerifyReceipt is tlog.VerifyReceipt for the log that the receipt names: this one, or
// a frozen one.
func (t *Trust) VerifyReceipt(leaf tlog.Hash, r *tlog.Receipt) (tlog.Checkpoint, error) {
	f := t.frozen(r.LogID)
	if f == nil {
		return tlog.VerifyReceipt(t.Log, leaf, r)
	}
	cp, err := tlog.VerifyReceipt(f.Log, leaf, r)
	if err == nil {
		err = f.check(cp)
	}
	return cp, err
}

// StampReceipt returns when the log of a receipt took the statement with this
// signature. It must have been this log's or that frozen log's time: whoever finds an
// old log's key has no timestamps of that time.
func (t *Trust) StampReceipt(r *tlog.Receipt, signature []byte) (time.Time, error) {
	at, err := t.Stamp(r.Token, signature)
	if err != nil {
		return time.Time{}, err
	}
	valid, origin := t.LogValid, t.Log.Origin()
	if f := t.frozen(r.LogID); f != nil {
		valid, origin = f.Validity, f.Log.Origin()
	}
	if !valid.Holds(at) {
		return time.Time{}, fmt.Errorf("the log %s took entries %s, and the timestamp is of %s", origin, interval(valid), stamp(at))
	}
	return at, nil
}

// Stamp returns the time that an RFC 3161 response of the trusted authority gives
// to the message, in whole seconds; or that of a retired one, of its time.
func (t *Trust) Stamp(token, message []byte) (time.Time, error) {
	at, err := t.authority.verify(token, message)
	if err == nil {
		return at, nil
	}
	for i := range t.Retired {
		r := &t.Retired[i]
		if at, old := r.authority.verify(token, message); old == nil {
			if at.After(r.Until) {
				return time.Time{}, fmt.Errorf("the timestamp authority was retired %s, and the token says %s", stamp(r.Until), stamp(at))
			}
			return at, nil
		}
	}
	return time.Time{}, err
}
