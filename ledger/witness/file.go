package witness

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKept is more than a note has, in bytes.
const maxKept = 128 << 10

// A File keeps one note over every kind of stop: whoever reads it, also after a
// crash, finds the note of the last Keep that returned nil, or of one that did not
// return, and never a mixture. One goroutine at a time may use it.
type File struct{ Path string }

// Keep replaces the note: a new file is written and synced, renamed over the old
// one, and the folder is synced. When it returns nil the note is durable.
func (f File) Keep(note []byte) error {
	temp := f.Path + ".new"
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(note)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	if err := os.Rename(temp, f.Path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.Path))
}

// Kept returns the note, or nil when none was ever kept.
func (f File) Kept() ([]byte, error) {
	file, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxKept+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Path, err)
	}
	if len(b) == 0 || len(b) > maxKept {
		return nil, fmt.Errorf("%s has %d bytes, and is no note", f.Path, len(b))
	}
	return b, nil
}

// Forget removes the note, durably.
func (f File) Forget() error {
	if err := os.Remove(f.Path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.Path))
}

// syncDir makes the names in a folder permanent.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
