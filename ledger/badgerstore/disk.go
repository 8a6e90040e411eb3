package badgerstore

import (
	"io"
	"os"
	"path/filepath"
)

// A file is what the store asks of an open file. Tests put faults behind it.
type file interface {
	io.ReaderAt
	io.WriterAt
	// Sync returns when the bytes written, and the size, are on the medium.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	Close() error
}

// A disk is what the store asks of the file system, for everything but Badger's
// own files.
type disk interface {
	// Open opens a file for reading and writing; flag adds os.O_CREATE,
	// os.O_EXCL or os.O_TRUNC. Files are readable by their owner alone.
	Open(path string, flag int) (file, error)
	Rename(from, to string) error
	// SyncDir makes the names in a folder permanent.
	SyncDir(path string) error
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) Open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// replace makes content the whole of the file at path: readers, and whoever
// comes after a crash, find the old content or the new one, never a mixture.
func replace(d disk, path string, content []byte) error {
	temp := path + ".new"
	f, err := d.Open(temp, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := d.Rename(temp, path); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}
