// Package tuf keeps a repository of The Update Framework in a folder, from which
// Sigstore's clients learn what they trust, and learn of changes: theirs is the check
// that versions only grow and that what is old expires. The specification is
// https://theupdateframework.github.io/specification/ (1.0), with consistent snapshots.
//
// Three keys sign. Those of root and targets say what is trusted, are needed only to
// publish, and can be kept elsewhere in between. The online key signs snapshot and
// timestamp, which say which of that is newest; a running server renews them.
package tuf

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// How long each role's metadata holds. Root and targets change by somebody's will;
// the timestamp is what a client that is shown an old repository notices it by, at
// the latest after its lifetime.
const (
	RootLifetime      = 365 * 24 * time.Hour
	TargetsLifetime   = 365 * 24 * time.Hour
	SnapshotLifetime  = 21 * 24 * time.Hour
	TimestampLifetime = 3 * 24 * time.Hour
)

// maxFile is more than any file of a repository has, in bytes.
const maxFile = 512 << 10

// ErrNone says that a folder has no repository.
var ErrNone = errors.New("there is no TUF repository")

// ErrKey says that a key which is needed is missing, or not the one that the root
// metadata names.
var ErrKey = errors.New("TUF key")

// Keys sign a repository. Those that an operation does not need may be nil.
type Keys struct{ Root, Targets, Online ed25519.PrivateKey }

// A Repository is a folder with a TUF repository, or one to be. Nothing is kept in
// memory: whoever publishes may be another process. It is safe for concurrent use.
type Repository struct{ dir string }

// At names the folder. It need not be there.
func At(dir string) *Repository { return &Repository{dir} }

// State is which versions a repository is at, and when they expire.
type State struct{ Root, Targets, Snapshot, Timestamp Version }

// A Version is one role's newest metadata.
type Version struct {
	Number  int64     `json:"version"`
	Expires time.Time `json:"expires"`
}

// State reads and verifies the newest metadata. Their expiry is not judged.
func (r *Repository) State() (State, error) {
	s, err := r.load()
	if err != nil {
		return State{}, err
	}
	return s.versions(), nil
}

// served are the files that clients may ask for: metadata by name and version, and
// targets by their digest.
var served = regexp.MustCompile(`^(?:timestamp\.json|[1-9][0-9]{0,17}\.(?:root|targets|snapshot)\.json|targets/[0-9a-f]{64}\.[a-z0-9_][a-z0-9_.]{0,63})$`)

// File returns a file by its path below the repository's URL, and whether it never
// changes. The error is fs.ErrNotExist for what no client has to ask for.
func (r *Repository) File(path string) (text []byte, immutable bool, err error) {
	if !served.MatchString(path) {
		return nil, false, fmt.Errorf("%.100q: %w", path, fs.ErrNotExist)
	}
	text, err = r.read(filepath.FromSlash(path))
	return text, path != timestampFile, err
}

// Target returns the newest version of a target. The error is ErrNone where there is
// no repository, and fs.ErrNotExist where it has no such target.
func (r *Repository) Target(name string) ([]byte, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	f, ok := s.targets.Signed.Targets[name]
	if !ok {
		return nil, fmt.Errorf("target %.100q: %w", name, fs.ErrNotExist)
	}
	text, err := r.read(targetPath(name, f))
	if err != nil {
		return nil, err
	}
	if err := f.VerifyLengthHashes(text); err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	return text, nil
}

func targetPath(name string, f *metadata.TargetFiles) string {
	return filepath.Join("targets", hex.EncodeToString(f.Hashes["sha256"])+"."+name)
}

func (r *Repository) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(r.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", f.Name(), maxFile)
	}
	return text, err
}
