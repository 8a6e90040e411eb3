package follow

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// Names in a state folder; docs/formats.md says what is in each.
const (
	checkpointFile = "checkpoint"
	unprovenFile   = "unproven"
	purposeFile    = "purpose"
	lockName       = "lock"
	tilesFolder    = "tile"
	freshFolder    = "tile.new"
	evidenceFolder = "evidence"
)

// MaxPurpose is the longest purpose of a state folder, in bytes.
const MaxPurpose = 64 << 10

// A State is a follower's memory: the last checkpoint whose whole log it has
// verified, the tiles that led to it, and what it holds against the log. One
// process may use a folder at a time.
//
// Every file is replaced whole: written beside its place, synced, renamed, and the
// folder synced. A crash leaves the old file or the new one.
type State struct {
	dir  string
	log  *tlog.Verifier
	lock *os.File // held until Close
}

// ErrState says that a state folder cannot be used for this: it belongs to another
// log or another purpose, somebody else is using it, or it is damaged.
var ErrState = errors.New("state folder")

// ErrBusy comes with ErrState when another process is using the folder.
var ErrBusy = errors.New("another process is using it")

// OpenState opens the folder of a follower of a log, and makes it when it is
// missing. Purpose says what the entries that were followed have been used for; a
// folder of another purpose is refused, because entries that it has passed would
// never be looked at. The error is ErrState where the folder is to blame.
func OpenState(dir string, log *tlog.Verifier, purpose string) (*State, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	s := &State{dir: dir, log: log, lock: lock}
	if err := lockFile(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("%w %s: %w: %w", ErrState, dir, ErrBusy, err), lock.Close())
	}
	if err := s.claim(purpose); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close lets go of the folder.
func (s *State) Close() error {
	if s.lock == nil { // ReadState took none
		return nil
	}
	return s.lock.Close()
}

// claim writes the purpose into a new folder, and compares it in another.
func (s *State) claim(purpose string) error {
	want := "countersign follow v1\n" + purpose + "\n"
	got, err := readLimited(filepath.Join(s.dir, purposeFile), MaxPurpose+64)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := s.Remembered(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		} else if err == nil {
			return fmt.Errorf("%w %s: has a checkpoint, and %s is missing", ErrState, s.dir, purposeFile)
		}
		return s.replace(purposeFile, []byte(want))
	}
	if err != nil {
		return fmt.Errorf("%w %s: %w", ErrState, s.dir, err)
	}
	if string(got) != want {
		return fmt.Errorf("%w %s: was made for %q, and this is %q: use another folder, which begins with the first entry", ErrState, s.dir,
			bytes.TrimPrefix(got, []byte("countersign follow v1\n")), purpose)
	}
	return nil
}

// Remembered returns the checkpoint up to which everything was verified;
// fs.ErrNotExist before the first, ErrState when the log's key did not sign it.
func (s *State) Remembered() (tlog.Checkpoint, error) {
	cp, _, err := s.remembered()
	return cp, err
}

func (s *State) remembered() (tlog.Checkpoint, []byte, error) {
	path := filepath.Join(s.dir, checkpointFile)
	note, err := readLimited(path, MaxCheckpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return tlog.Checkpoint{}, nil, err
	}
	if err != nil {
		return tlog.Checkpoint{}, nil, fmt.Errorf("%w %s: %w", ErrState, s.dir, err)
	}
	cp, err := s.log.Open(note)
	if err != nil {
		return tlog.Checkpoint{}, nil, fmt.Errorf("%w: %s: it is of another log, or damaged: %w", ErrState, path, err)
	}
	return cp, note, nil
}

// remember replaces the checkpoint. When it returns nil nothing smaller is ever
// taken again, whatever becomes of this process.
func (s *State) remember(note []byte) error {
	if err := s.replace(checkpointFile, note); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(s.dir, unprovenFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write state folder: %w", err)
	}
	return nil
}

// keepUnproven keeps a checkpoint that the log signed and has not shown the tree
// of: should it never do so, somebody may have to answer for it.
func (s *State) keepUnproven(note []byte) error { return s.replace(unprovenFile, note) }

// keepEvidence writes a proof under a name made from its bytes, and returns the
// path; one that is there stays.
func (s *State) keepEvidence(name string, p *verify.SavedProof) (string, error) {
	text, err := p.Marshal()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, evidenceFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("keep evidence: %w", err)
	}
	sum := sha256.Sum256(text)
	name = fmt.Sprintf("%s-%x.json", name, sum[:6])
	if err := s.replace(filepath.Join(evidenceFolder, name), text); err != nil {
		return "", fmt.Errorf("keep evidence: %w", err)
	}
	return filepath.Join(dir, name), syncFolder(s.dir)
}

// replace puts a file in place whole, and returns when it is durable.
func (s *State) replace(name string, text []byte) error {
	path := filepath.Join(s.dir, name)
	if err := writeWhole(path, text, (*os.File).Sync); err != nil {
		return fmt.Errorf("write state folder: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// writeWhole writes beside a path and renames; sync is called before.
func writeWhole(path string, text []byte, sync func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = sync(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync state folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync state folder: %w", err)
	}
	return nil
}

func readLimited(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("%s: has more than %d bytes", path, limit)
	}
	return b, err
}
