package tuf

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Create makes a repository with these targets, by name, and all three keys. A folder
// that has one is refused.
func (r *Repository) Create(k Keys, targets map[string][]byte, now time.Time) (State, error) {
	return r.change(func(w *writer) error {
		if _, err := r.load(); !errors.Is(err, ErrNone) {
			return fmt.Errorf("%s has a TUF repository already (%v)", r.dir, err)
		}
		w.state.root = metadata.Root()
		for role, key := range map[string]ed25519.PrivateKey{
			metadata.ROOT: k.Root, metadata.TARGETS: k.Targets, metadata.SNAPSHOT: k.Online, metadata.TIMESTAMP: k.Online,
		} {
			if key == nil {
				return fmt.Errorf("%w of %s is missing", ErrKey, role)
			}
			public, err := metadata.KeyFromPublicKey(key.Public())
			if err != nil {
				return fmt.Errorf("%w of %s: %w", ErrKey, role, err)
			}
			if err := w.state.root.Signed.AddKey(public, role); err != nil {
				return fmt.Errorf("%w of %s: %w", ErrKey, role, err)
			}
		}
		if err := distinct(k); err != nil {
			return err
		}
		w.state.root.Signed.Version = 0
		if err := w.newRoot(k.Root, now); err != nil {
			return err
		}
		w.state.targets, w.state.snapshot, w.state.timestamp = metadata.Targets(), metadata.Snapshot(), metadata.Timestamp()
		w.state.targets.Signed.Version, w.state.snapshot.Signed.Version, w.state.timestamp.Signed.Version = 0, 0, 0
		return w.newTargets(k, targets, now)
	})
}

// distinct keeps the keys of what is trusted apart from the one that a server has.
func distinct(k Keys) error {
	if k.Online.Equal(k.Root) || k.Online.Equal(k.Targets) || k.Root.Equal(k.Targets) {
		return fmt.Errorf("%w: one key in two roles", ErrKey)
	}
	return nil
}

// Publish makes these the targets, all of them, where they differ from what is there
// or would expire soon. It needs the keys of targets and online; with that of root as
// well it renews a root that would expire within a third of its lifetime.
func (r *Repository) Publish(k Keys, targets map[string][]byte, now time.Time) (State, error) {
	return r.change(func(w *writer) (err error) {
		if w.state, err = r.load(); err != nil {
			return err
		}
		if k.Root != nil && due(w.state.root.Signed.Expires, RootLifetime/3, now) {
			if err := w.newRoot(k.Root, now); err != nil {
				return err
			}
		}
		if w.sameTargets(targets) && !due(w.state.targets.Signed.Expires, TargetsLifetime/3, now) {
			return w.renew(k.Online, now, true)
		}
		return w.newTargets(k, targets, now)
	})
}

// Refresh renews the timestamp, and the snapshot, when a third of their lifetime is
// over. It does not touch what they speak of.
func (r *Repository) Refresh(online ed25519.PrivateKey, now time.Time) (State, error) {
	return r.change(func(w *writer) (err error) {
		if w.state, err = r.load(); err != nil {
			return err
		}
		return w.renew(online, now, false)
	})
}

// change does one thing at a time, whoever else has the folder open.
func (r *Repository) change(do func(*writer) error) (State, error) {
	unlock, err := r.lock()
	if err != nil {
		return State{}, fmt.Errorf("TUF repository: %w", err)
	}
	defer unlock()
	w := &writer{dir: r.dir, state: &state{}}
	if err := do(w); err != nil {
		return State{}, fmt.Errorf("TUF repository: %w", err)
	}
	// The timestamp is last: until it is replaced, clients see what was there before.
	if err := w.flush(); err != nil {
		return State{}, fmt.Errorf("TUF repository: %w", err)
	}
	return w.state.versions(), nil
}

// due says whether less than left remains until it expires.
func due(expires time.Time, left time.Duration, now time.Time) bool { return expires.Sub(now) < left }

// sameTargets compares by length and digest.
func (w *writer) sameTargets(targets map[string][]byte) bool {
	have := w.state.targets.Signed.Targets
	if len(have) != len(targets) {
		return false
	}
	for name, text := range targets {
		if f, ok := have[name]; !ok || f.VerifyLengthHashes(text) != nil {
			return false
		}
	}
	return true
}

func (w *writer) newRoot(key ed25519.PrivateKey, now time.Time) error {
	m := w.state.root
	m.Signed.Version++
	m.Signed.Expires = expiry(now, RootLifetime)
	text, err := sign(m, m, metadata.ROOT, key)
	if err != nil {
		return err
	}
	w.file(versioned(metadata.ROOT, m.Signed.Version), text)
	return nil
}

func (w *writer) newTargets(k Keys, targets map[string][]byte, now time.Time) error {
	m := w.state.targets
	m.Signed.Version++
	m.Signed.Expires = expiry(now, TargetsLifetime)
	clear(m.Signed.Targets)
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		f, err := metadata.TargetFile().FromBytes(name, targets[name], "sha256")
		if err != nil {
			return fmt.Errorf("target %s: %w", name, err)
		}
		m.Signed.Targets[name] = f
		w.file(targetPath(name, f), targets[name])
	}
	text, err := sign(w.state.root, m, metadata.TARGETS, k.Targets)
	if err != nil {
		return err
	}
	w.file(versioned(metadata.TARGETS, m.Signed.Version), text)
	if w.state.snapshot.Signed.Meta["targets.json"], err = metaFile(m.Signed.Version, text); err != nil {
		return err
	}
	return w.newSnapshot(k.Online, now)
}

func (w *writer) renew(online ed25519.PrivateKey, now time.Time, always bool) error {
	if due(w.state.snapshot.Signed.Expires, SnapshotLifetime*2/3, now) {
		return w.newSnapshot(online, now)
	}
	if always || due(w.state.timestamp.Signed.Expires, TimestampLifetime*2/3, now) {
		return w.newTimestamp(online, now)
	}
	return nil
}

func (w *writer) newSnapshot(online ed25519.PrivateKey, now time.Time) error {
	m := w.state.snapshot
	m.Signed.Version++
	m.Signed.Expires = expiry(now, SnapshotLifetime)
	text, err := sign(w.state.root, m, metadata.SNAPSHOT, online)
	if err != nil {
		return err
	}
	w.file(versioned(metadata.SNAPSHOT, m.Signed.Version), text)
	if w.state.timestamp.Signed.Meta["snapshot.json"], err = metaFile(m.Signed.Version, text); err != nil {
		return err
	}
	return w.newTimestamp(online, now)
}

func (w *writer) newTimestamp(online ed25519.PrivateKey, now time.Time) error {
	m := w.state.timestamp
	m.Signed.Version++
	m.Signed.Expires = expiry(now, TimestampLifetime)
	text, err := sign(w.state.root, m, metadata.TIMESTAMP, online)
	if err != nil {
		return err
	}
	w.file(timestampFile, text)
	return nil
}

// expiry is in whole seconds of UTC, as the specification writes times.
func expiry(now time.Time, lifetime time.Duration) time.Time {
	return now.Add(lifetime).UTC().Truncate(time.Second)
}

func metaFile(version int64, text []byte) (*metadata.MetaFiles, error) {
	f, err := metadata.TargetFile().FromBytes("", text, "sha256")
	if err != nil {
		return nil, err
	}
	return &metadata.MetaFiles{Version: version, Length: f.Length, Hashes: f.Hashes}, nil
}

// sign signs metadata anew, and holds it against the root before anybody sees it.
func sign[T metadata.Roles](root *metadata.Metadata[metadata.RootType], m *metadata.Metadata[T], role string, key ed25519.PrivateKey) ([]byte, error) {
	if key == nil {
		return nil, fmt.Errorf("%w of %s is needed", ErrKey, role)
	}
	signer, err := signature.LoadED25519Signer(key)
	if err != nil {
		return nil, fmt.Errorf("%w of %s: %w", ErrKey, role, err)
	}
	m.ClearSignatures()
	if _, err := m.Sign(signer); err != nil {
		return nil, fmt.Errorf("sign %s: %w", role, err)
	}
	if err := root.VerifyDelegate(role, m); err != nil {
		return nil, fmt.Errorf("%w of %s is not the one that the root names: %w", ErrKey, role, err)
	}
	text, err := m.ToBytes(true)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", role, err)
	}
	return append(bytes.TrimSpace(text), '\n'), nil
}
