package badgerstore

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Options say where a store is and how it behaves. Dir is needed; the rest has
// defaults.
type Options struct {
	// Dir holds the store: the journal, the index, and the head unless HeadDir
	// says otherwise.
	Dir string
	// HeadDir is the folder of the file that remembers the last signed
	// checkpoint, best on another volume. Dir when empty. It must exist.
	HeadDir string
	// HeadEvery is how often the head follows the journal: 5 seconds when zero.
	// A store that is set back by less than that is not noticed by the head.
	HeadEvery time.Duration
	// MinFree is the free space, in bytes, below which Commit answers
	// ledger.ErrReadOnly: 256 MiB when zero.
	MinFree uint64
	// Free returns the free space of the file system that holds a folder, in
	// bytes. The system is asked when nil.
	Free func(dir string) (uint64, error)
	// SegmentSize is how many bytes of the journal are in a segment before the
	// next one is begun: 128 MiB when zero, 1 GiB at most.
	SegmentSize int64
	// Verifier checks the signed checkpoints: in Open the last one and the
	// head's, in Check all of them. Nothing is checked when nil.
	Verifier *tlog.Verifier
	// Log gets what opening had to repair. Discarded when nil.
	Log *slog.Logger

	disk disk // the system's when nil
}

const (
	defaultHeadEvery   = 5 * time.Second
	defaultMinFree     = 256 << 20
	defaultSegmentSize = 128 << 20
)

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("a store needs a folder")
	}
	if o.HeadEvery == 0 {
		o.HeadEvery = defaultHeadEvery
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.Free == nil {
		o.Free = freeBytes
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	if o.HeadEvery < 0 || o.SegmentSize < 0 || o.SegmentSize > 1<<30 {
		return o, fmt.Errorf("a head every %v or segments of %d bytes cannot be", o.HeadEvery, o.SegmentSize)
	}
	return o, nil
}

func (o Options) layout() layout { return layout{o.Dir, cmp.Or(o.HeadDir, o.Dir)} }

// A layout names the files of a store.
type layout struct{ dir, headDir string }

func (l layout) journal() string   { return filepath.Join(l.dir, "journal") }
func (l layout) index() string     { return filepath.Join(l.dir, "index") }
func (l layout) positions() string { return filepath.Join(l.dir, "positions") }
func (l layout) state() string     { return filepath.Join(l.dir, "state") }
func (l layout) lock() string      { return filepath.Join(l.dir, "lock") }
func (l layout) head() string      { return filepath.Join(l.headDir, headName) }

// takeLock keeps every other process out of the store until the file is closed.
func (l layout) takeLock() (*os.File, error) {
	f, err := os.OpenFile(l.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another process", l.dir)
		}
		return nil, fmt.Errorf("lock %s: %w", l.dir, err)
	}
	return f, nil
}
