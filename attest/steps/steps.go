// Package steps records what a step of a build or a test did: what its files were
// before a command ran and after, as an in-toto link. Hashing and walking is in-toto's
// own (in-toto-golang); running the command is not, because a step's output belongs to
// whoever waits for it.
package steps

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	intoto "github.com/in-toto/in-toto-golang/in_toto"

	"github.com/countersign-dev/countersign/attest"
)

// Limits on the files of one record. Files are read whole, one at a time.
const (
	MaxFiles = 20_000
	MaxFile  = 512 << 20 // bytes
)

// ErrNothing says that patterns match no file.
var ErrNothing = errors.New("no file matches")

// ErrLimit says that there are more files, or larger ones, than are recorded.
var ErrLimit = errors.New("more than is recorded")

// ignored is what is never part of a step: git's own files, and our outbox.
var ignored = []string{".git", ".countersign"}

// Record hashes every file that the patterns name: a file, a folder with everything in
// it, or a pattern such as dist/*.tar. Symbolic links to files are read, those to
// folders passed over; line ends stay as they are. The result is sorted by name. It is
// for one goroutine at a time in a process, as in-toto's walk is.
func Record(patterns []string) ([]attest.LinkArtifact, error) {
	var paths []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("pattern %.200q: %w", p, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("pattern %.200q: %w", p, ErrNothing)
		}
		for _, path := range found {
			paths = append(paths, filepath.Clean(path))
		}
	}
	files, err := walk(paths)
	if err != nil {
		return nil, err
	}
	hashed, err := intoto.RecordArtifacts(files, []string{"sha256"}, nil, nil, false, false)
	if err != nil {
		return nil, fmt.Errorf("hash files: %w", err)
	}
	out := make([]attest.LinkArtifact, 0, len(hashed))
	for name, digest := range hashed {
		out = append(out, attest.LinkArtifact{Name: name, Digest: map[string]string(digest)})
	}
	slices.SortFunc(out, func(a, b attest.LinkArtifact) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// walk lists the files below paths, each once (in-toto takes a file that comes twice for
// an error), and looks at their sizes before anything is read.
func walk(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains(ignored, d.Name()):
				return fs.SkipDir
			case d.IsDir():
				return nil
			}
			info, err := os.Stat(p) // what a symbolic link leads to
			switch {
			case err != nil:
				return err
			case info.IsDir():
				return nil
			case !info.Mode().IsRegular():
				return fmt.Errorf("%s is no regular file", p)
			case info.Size() > MaxFile:
				return fmt.Errorf("%s has %d bytes: %w", p, info.Size(), ErrLimit)
			}
			if files = append(files, p); len(files) > 2*MaxFiles {
				return fmt.Errorf("more than %d files: %w", MaxFiles, ErrLimit)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", path, err)
		}
	}
	slices.Sort(files)
	if files = slices.Compact(files); len(files) > MaxFiles {
		return nil, fmt.Errorf("%d files: %w", len(files), ErrLimit)
	}
	return files, nil
}

// Link states what a step did whose command ended with 0: its products are the
// subjects. Of a command that failed there is no link, so that none can be taken for one
// of a step that did what it should.
func Link(name string, command []string, materials, products []attest.LinkArtifact) *attest.Statement {
	st := &attest.Statement{Predicate: &attest.Link{
		Name: name, Command: command, Materials: append([]attest.LinkArtifact{}, materials...),
		ByProducts: jsontext.Value(`{"return-value":0}`), Environment: jsontext.Value(`{}`),
	}}
	for _, p := range products {
		st.Subjects = append(st.Subjects, attest.Subject{Name: p.Name, Digest: p.Digest})
	}
	return st
}
