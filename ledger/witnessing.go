package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Witnesses cosign checkpoints: package witness asks real ones.
type Witnesses interface {
	// Ask makes a checkpoint the one that each witness is asked for from now on, in
	// place of the one before, and asks those again who cosigned the same. It
	// returns at once.
	Ask(cp tlog.Checkpoint, note []byte)
	// Run asks until the context is done. It proves what it asks for with prove,
	// and hands each cosignature, one signature line, to deliver, whose error
	// says that it is not a right one. No witness holds up another.
	Run(ctx context.Context, prove Prove, deliver func(cp tlog.Checkpoint, line []byte) error)
}

// Prove proves that the log of one size is the beginning of the log of another.
type Prove = func(ctx context.Context, from, to uint64) ([]tlog.Hash, error)

// A Keeper keeps the last note that it was given, over every kind of stop.
type Keeper interface {
	// Keep replaces the note. When it returns nil the note is durable.
	Keep(note []byte) error
	// Kept returns the note, or nil when none was ever kept.
	Kept() ([]byte, error)
}

// Witnessing is how a ledger has its checkpoints cosigned. With a quorum, the
// head that is committed and the head that is published differ: entries are
// durable first, and nobody is told of them before the witnesses have cosigned a
// checkpoint that covers them. With "quorum none" nothing waits, and cosignatures
// are added to the head when they come.
type Witnessing struct {
	Policy    *tlog.Policy // names the log
	Witnesses Witnesses
	Keeper    Keeper        // of the published note; needed with a quorum
	Wait      time.Duration // for the quorum, before Append gives up; 2 s
	Refresh   time.Duration // after which an idle log's head is cosigned again; 1 h
	Report    func(error)   // is told what keeps a head from being published; may be nil
}

// MaxCosignatureSkew is how far the time of a new cosignature may be from ours.
const MaxCosignatureSkew = 5 * time.Minute

// ErrWitnessQuorum: too few witnesses have cosigned in time. The entries are
// durable, or were not taken at all; append them again and get their first places,
// with receipts, once there is a quorum.
var ErrWitnessQuorum = errors.New("witness quorum missing")

func (w *Witnessing) withDefaults(log *tlog.Verifier) (*Witnessing, error) {
	if w == nil {
		return nil, nil
	}
	c := *w
	switch {
	case c.Policy == nil || c.Witnesses == nil || c.Policy.Required() && c.Keeper == nil:
		return nil, errors.New("witnessing needs a policy, witnesses, and a keeper where there is a quorum")
	case !c.Policy.Names(log):
		return nil, fmt.Errorf("the witness policy does not name the log %s", log.VKey())
	case c.Wait < 0 || c.Refresh < 0:
		return nil, errors.New("a time of witnessing is negative")
	}
	if c.Wait == 0 {
		c.Wait = 2 * time.Second
	}
	if c.Refresh == 0 {
		c.Refresh = time.Hour
	}
	if c.Report == nil {
		c.Report = func(error) {}
	}
	return &c, nil
}

// quorum says whether heads wait for witnesses.
func (l *Ledger) quorum() bool { return l.witnessing != nil && l.witnessing.Policy.Required() }

// lastPublished finds the published head again: the kept note, where it belongs
// to this log and has the quorum that is wanted now; otherwise the empty log, and
// the witnesses will be asked for the committed head.
func (l *Ledger) lastPublished(ctx context.Context) (*Head, error) {
	note, err := l.witnessing.Keeper.Kept()
	if err != nil {
		return nil, fmt.Errorf("read the published checkpoint: %w", err)
	}
	if note != nil {
		if err := l.checkKept(ctx, note); err != nil {
			return nil, fmt.Errorf("published checkpoint: %w", err)
		}
		cp, cosignatures, err := l.witnessing.Policy.Check(note)
		if err == nil && l.witnessing.Policy.Holds(cosignatures) {
			return l.stampHead(cp, note, l.committed.Time)
		}
	}
	empty, err := l.store.Checkpoint(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint of the empty log: %w", err)
	}
	return &empty, nil
}

// checkKept holds the kept note, which witnesses have seen, against the store.
func (l *Ledger) checkKept(ctx context.Context, note []byte) error {
	cp, err := l.verifier.Open(note)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case cp.Size > l.committed.Size:
		return fmt.Errorf("%w: witnesses have cosigned %d entries, and the store holds %d", ErrRolledBack, cp.Size, l.committed.Size)
	}
	root, err := l.tree.Root(ctx, cp.Size)
	if err != nil {
		return asCorrupt(err)
	}
	if root != cp.Root {
		return fmt.Errorf("%w: witnesses have cosigned the root %s for %d entries, and the store has %s", ErrCorrupt, cp.Root, cp.Size, root)
	}
	return nil
}

// stampHead makes a head of a note, with a token of now, or of the earliest time
// that it may have where the clock is behind that.
func (l *Ledger) stampHead(cp tlog.Checkpoint, note []byte, earliest time.Time) (*Head, error) {
	at := l.config.Now().UTC().Truncate(time.Millisecond)
	if at.Before(earliest) {
		at = earliest
	}
	token, err := l.config.Stamper.Stamp(note, at)
	if err != nil {
		return nil, fmt.Errorf("stamp checkpoint: %w", err)
	}
	return &Head{Checkpoint: cp, Note: note, Token: token, Time: at}, nil
}

// Unpublished returns how many entries are durable and not yet covered by a head
// that enough witnesses cosigned: zero without a quorum.
func (l *Ledger) Unpublished() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.committed.Size - l.head.Size
}

// unpublishedPools bounds what is durable and unpublished, in pools: beyond it
// nothing more is taken, until the witnesses are back.
const unpublishedPools = 4

// mayCommit refuses at once what would only add to what waits for witnesses.
func (l *Ledger) mayCommit() error {
	if !l.quorum() {
		return nil
	}
	if n := l.Unpublished(); n > uint64(unpublishedPools*l.config.PoolEntries) {
		return fmt.Errorf("%d entries wait for witnesses (%s), and nothing more is taken: %w", n, l.witnessing.Policy.Need(), ErrWitnessQuorum)
	}
	return nil
}

// published waits for the head that a call's receipts are made for.
func (l *Ledger) published(ctx context.Context, c *call) (*Head, error) {
	if !l.quorum() {
		return c.head, nil
	}
	var size uint64
	for i := range c.items {
		size = max(size, c.items[i].index+1)
	}
	return l.await(ctx, size)
}

// Settle waits until everything that is durable now is published: at once without
// a quorum, else at most as long as Append waits, and then it is ErrWitnessQuorum.
// Whoever counts entries before appending counts what is published.
func (l *Ledger) Settle(ctx context.Context) error {
	if !l.quorum() {
		return nil
	}
	_, err := l.await(ctx, l.committedHead().Size)
	return err
}

// await returns the published head once it covers size entries.
func (l *Ledger) await(ctx context.Context, size uint64) (*Head, error) {
	patience := time.NewTimer(l.witnessing.Wait)
	defer patience.Stop()
	for {
		l.mu.Lock()
		head, grown, ended := l.head, l.grown, l.ended
		l.mu.Unlock()
		switch {
		case head.Size >= size:
			return head, nil
		case ended != nil:
			return nil, ended
		}
		select {
		case <-grown:
		case <-patience.C:
			return nil, fmt.Errorf("stored, and not cosigned within %s by %s: %w", l.witnessing.Wait, l.witnessing.Policy.Need(), ErrWitnessQuorum)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
