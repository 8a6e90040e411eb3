package tuf

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

const timestampFile = "timestamp.json"

func versioned(role string, version int64) string { return fmt.Sprintf("%d.%s.json", version, role) }

// state is the newest metadata, each signed as the newest root wants it.
type state struct {
	root      *metadata.Metadata[metadata.RootType]
	targets   *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

func (s *state) versions() State {
	v := func(number int64, expires time.Time) Version { return Version{number, expires.UTC()} }
	return State{
		Root: v(s.root.Signed.Version, s.root.Signed.Expires), Targets: v(s.targets.Signed.Version, s.targets.Signed.Expires),
		Snapshot: v(s.snapshot.Signed.Version, s.snapshot.Signed.Expires), Timestamp: v(s.timestamp.Signed.Version, s.timestamp.Signed.Expires),
	}
}

// load follows the way of a client (section 5 of the specification), but for expiry:
// what is expired has to be renewed.
func (r *Repository) load() (*state, error) {
	var s state
	if err := r.loadRoot(&s); err != nil {
		return nil, err
	}
	var err error
	if s.timestamp, err = signedBy(r, s.root, metadata.TIMESTAMP, timestampFile, metadata.Timestamp()); err != nil {
		return nil, err
	}
	snapshot, ok := s.timestamp.Signed.Meta["snapshot.json"]
	if !ok {
		return nil, errors.New("timestamp.json names no snapshot")
	}
	if s.snapshot, err = signedBy(r, s.root, metadata.SNAPSHOT, versioned(metadata.SNAPSHOT, snapshot.Version), metadata.Snapshot()); err != nil {
		return nil, err
	}
	targets, ok := s.snapshot.Signed.Meta["targets.json"]
	if !ok {
		return nil, fmt.Errorf("%s names no targets", versioned(metadata.SNAPSHOT, snapshot.Version))
	}
	if s.targets, err = signedBy(r, s.root, metadata.TARGETS, versioned(metadata.TARGETS, targets.Version), metadata.Targets()); err != nil {
		return nil, err
	}
	if s.snapshot.Signed.Version != snapshot.Version || s.targets.Signed.Version != targets.Version {
		return nil, errors.New("the TUF metadata disagree about their versions")
	}
	return &s, nil
}

// maxRoots is how many versions of the root a client follows.
const maxRoots = 256

// loadRoot finds the newest root. The first is believed: whoever has this folder is
// the one that made it.
func (r *Repository) loadRoot(s *state) error {
	for version := int64(1); version <= maxRoots; version++ {
		text, err := r.read(versioned(metadata.ROOT, version))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		next, err := metadata.Root().FromBytes(text)
		if err == nil && s.root != nil {
			err = s.root.VerifyDelegate(metadata.ROOT, next)
		}
		if err == nil {
			err = next.VerifyDelegate(metadata.ROOT, next)
		}
		if err == nil && next.Signed.Version != version {
			err = fmt.Errorf("it says version %d", next.Signed.Version)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", versioned(metadata.ROOT, version), err)
		}
		s.root = next
	}
	if s.root == nil {
		return fmt.Errorf("%w in %s", ErrNone, r.dir)
	}
	return nil
}

func signedBy[T metadata.Roles](r *Repository, root *metadata.Metadata[metadata.RootType], role, file string, empty *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	text, err := r.read(file)
	if err != nil {
		return nil, err
	}
	m, err := empty.FromBytes(text)
	if err == nil {
		err = root.VerifyDelegate(role, m)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}
