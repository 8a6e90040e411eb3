package alarm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A cursor is the index of the first entry that a receiver was not told of, kept in a
// file. It is moved after the receiver has answered, so a crash in between tells it again:
// the id of the message is the same.
type cursor struct{ file string }

// read returns the index; known is false where the receiver is new.
func (c cursor) read() (index uint64, known bool, err error) {
	text, err := os.ReadFile(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	index, err = strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w: it holds the index of the next entry to look at; write one, or remove the file to begin at the end of the log", c.file, err)
	}
	return index, true, nil
}

// write replaces the file as a whole.
func (c cursor) write(index uint64) error {
	if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.file), "new-*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d\n", index)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
