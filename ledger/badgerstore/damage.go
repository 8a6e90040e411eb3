package badgerstore

import (
	"fmt"

	"github.com/countersign-dev/countersign/ledger"
)

// A Damage is a place in the journal whose bytes are not what was written there.
// It is a ledger.ErrCorrupt.
type Damage struct {
	Segment string // the file's name, in the folder journal
	Offset  int64  // in bytes, of the record that is wrong
	Err     error  // what is wrong with it

	// unreadable bytes may be the rest of a batch that was never acknowledged;
	// a record that is whole and contradicts the others never is.
	unreadable bool
	// batch is where the batch begins in which the bytes stand.
	batch int64
}

func (d *Damage) Error() string {
	return fmt.Sprintf("journal/%s at offset %d: %v", d.Segment, d.Offset, d.Err)
}

// Unwrap lets errors.Is find ledger.ErrCorrupt and the cause.
func (d *Damage) Unwrap() []error { return []error{ledger.ErrCorrupt, d.Err} }

// unreadable says that the bytes at offset are no valid record.
func unreadable(s *segment, offset int64, format string, args ...any) *Damage {
	return &Damage{Segment: s.name(), Offset: offset, Err: fmt.Errorf(format, args...), unreadable: true}
}

// contradiction says that the record at offset is valid and wrong.
func contradiction(s *segment, offset int64, format string, args ...any) *Damage {
	return &Damage{Segment: s.name(), Offset: offset, Err: fmt.Errorf(format, args...)}
}
