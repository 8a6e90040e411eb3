package follow_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-dev/countersign/verify/follow"
)

func TestStateFolderIsOfOneLogOnePurposeAndOneProcess(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s)
	s.show(s.tree, 3, nil)
	r.step(0, 3)
	log := s.signer.Verifier()
	if _, err := follow.OpenState(r.dir, log, "test"); !errors.Is(err, follow.ErrState) {
		t.Errorf("twice at once: %v", err)
	}
	if err := r.State.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := follow.OpenState(r.dir, log, "something else"); !errors.Is(err, follow.ErrState) {
		t.Errorf("another purpose: %v", err)
	}
	other, err := follow.OpenState(r.dir, newSite(t).signer.Verifier(), "test")
	if err != nil {
		t.Fatal(err)
	}
	if cp, err := other.Remembered(); !errors.Is(err, follow.ErrState) {
		t.Errorf("another log: %+v, %v", cp, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := follow.OpenState(r.dir, log, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if cp, err := again.Remembered(); err != nil || cp.Size != 3 {
		t.Errorf("the same again: %+v, %v", cp, err)
	}
}

// A follower that lost its memory must not begin anew as if nothing had been.
func TestDamagedStateIsRefused(t *testing.T) {
	s := newSite(t)
	s.show(s.tree, 3, nil)
	for name, spoil := range map[string]func(dir string) error{
		"the checkpoint is cut":   func(dir string) error { return os.Truncate(filepath.Join(dir, "checkpoint"), 20) },
		"the checkpoint is empty": func(dir string) error { return os.Truncate(filepath.Join(dir, "checkpoint"), 0) },
		"the checkpoint is huge":  func(dir string) error { return os.Truncate(filepath.Join(dir, "checkpoint"), 1<<20) },
		"the purpose is gone":     func(dir string) error { return os.Remove(filepath.Join(dir, "purpose")) },
		"the purpose is cut":      func(dir string) error { return os.Truncate(filepath.Join(dir, "purpose"), 5) },
	} {
		r := newReader(t, s)
		r.step(0, 3)
		if err := errors.Join(r.State.Close(), spoil(r.dir)); err != nil {
			t.Fatal(err)
		}
		state, err := follow.OpenState(r.dir, s.signer.Verifier(), "test")
		if err == nil {
			_, err = state.Remembered()
			_ = state.Close()
		}
		if !errors.Is(err, follow.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemoteIsOneURL(t *testing.T) {
	for _, bad := range []string{"", "log.example", "ftp://log.example", "http://", "http://u:p@log.example", "http://log.example?x=1", "http://log.example#x", "http://log example"} {
		if _, err := follow.NewRemote(bad, "", 0); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"http://127.0.0.1:7391", "https://log.example/", "https://log.example/prefix"} {
		if _, err := follow.NewRemote(good, "", 0); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}
