package tuf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A writer collects what one change writes.
type writer struct {
	dir   string
	state *state
	files []file
}

type file struct {
	name string
	text []byte
}

func (w *writer) file(name string, text []byte) { w.files = append(w.files, file{name, text}) }

// flush writes the files in their order, each durable and whole before the next. The
// last is the timestamp, which is what makes clients see the others. A crash before
// leaves files that nobody asks for, and that the next change replaces.
func (w *writer) flush() error {
	for _, f := range w.files {
		if err := writeWhole(filepath.Join(w.dir, f.name), f.text); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

func writeWhole(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	next := path + ".next"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock waits for whoever changes the repository, in this process or another: a server
// that renews while somebody publishes would take the publication back.
func (r *Repository) lock() (unlock func(), err error) {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(r.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { f.Close() }, nil
}
