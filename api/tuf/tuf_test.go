package tuf_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/countersign-dev/countersign/api/tuf"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return k
}

func newKeys(t testing.TB) tuf.Keys { return tuf.Keys{Root: key(t), Targets: key(t), Online: key(t)} }

func targets(text string) map[string][]byte {
	return map[string][]byte{"trusted_root.json": []byte(text), "signing_config.v0.2.json": []byte("{}")}
}

// A mirror serves a repository, as the ledger does.
type mirror struct {
	*httptest.Server
	repository *tuf.Repository
	dir        string
}

func newMirror(t *testing.T, k tuf.Keys) *mirror {
	t.Helper()
	m := &mirror{dir: filepath.Join(t.TempDir(), "tuf")}
	m.repository = tuf.At(m.dir)
	_, err := m.repository.Create(k, targets("one"), start)
	must(t, err)
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _, err := m.repository.File(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(m.Close)
	return m
}

// A client is go-tuf's own, with what it remembers in a folder.
type client struct {
	t    *testing.T
	url  string
	root []byte
	dir  string
}

func (m *mirror) client(t *testing.T) *client {
	t.Helper()
	root, _, err := m.repository.File("1.root.json")
	must(t, err)
	return &client{t, m.URL, root, t.TempDir()}
}

func (c *client) fetch(name string, at time.Time) (string, error) {
	c.t.Helper()
	conf, err := config.New(c.url, c.root)
	must(c.t, err)
	conf.LocalMetadataDir, conf.LocalTargetsDir = c.dir, filepath.Join(c.dir, "targets")
	u, err := updater.New(conf)
	must(c.t, err)
	u.UnsafeSetRefTime(at)
	if err := u.Refresh(); err != nil {
		return "", err
	}
	info, err := u.GetTargetInfo(name)
	if err != nil {
		return "", err
	}
	_, text, err := u.DownloadTarget(info, "", "")
	return string(text), err
}

func (c *client) sees(want string, at time.Time) {
	c.t.Helper()
	if got, err := c.fetch("trusted_root.json", at); err != nil || got != want {
		c.t.Errorf("the client sees %q, %v; want %q", got, err, want)
	}
}

func TestAClientSeesWhatIsPublished(t *testing.T) {
	k := newKeys(t)
	m := newMirror(t, k)
	c := m.client(t)
	c.sees("one", start)
	state, err := m.repository.Publish(k, targets("two"), start.Add(time.Hour))
	must(t, err)
	if state.Targets.Number != 2 || state.Timestamp.Number != 2 || state.Root.Number != 1 {
		t.Errorf("versions after the second: %+v", state)
	}
	c.sees("two", start.Add(time.Hour))
	text, err := m.repository.Target("trusted_root.json")
	if err != nil || string(text) != "two" {
		t.Errorf("the newest target is %q, %v", text, err)
	}
	// Without root's key, and with nothing new, only the timestamp moves on.
	state, err = m.repository.Publish(tuf.Keys{Targets: k.Targets, Online: k.Online}, targets("two"), start.Add(2*time.Hour))
	must(t, err)
	if state.Targets.Number != 2 || state.Timestamp.Number != 3 {
		t.Errorf("versions after nothing new: %+v", state)
	}
}

// Whoever serves an older repository is refused by a client that saw a newer one;
// the twin is a client that never did.
func TestAClientRefusesARollback(t *testing.T) {
	k := newKeys(t)
	m := newMirror(t, k)
	before := filepath.Join(t.TempDir(), "before")
	must(t, os.CopyFS(before, os.DirFS(m.dir)))
	_, err := m.repository.Publish(k, targets("two"), start.Add(time.Hour))
	must(t, err)
	c, twin := m.client(t), m.client(t)
	c.sees("two", start.Add(time.Hour))
	m.repository = tuf.At(before)
	var bad *metadata.ErrBadVersionNumber
	if got, err := c.fetch("trusted_root.json", start.Add(2*time.Hour)); !errors.As(err, &bad) {
		t.Errorf("a rolled back timestamp gives %q, %v", got, err)
	}
	twin.sees("one", start.Add(2*time.Hour))

	// A timestamp that grows, over a snapshot that shrank.
	_, err = m.repository.Refresh(k.Online, start.Add(26*time.Hour))
	must(t, err)
	state, err := m.repository.Refresh(k.Online, start.Add(52*time.Hour))
	must(t, err)
	if state.Timestamp.Number <= 2 {
		t.Fatalf("the timestamp has not outgrown the other: %+v", state)
	}
	if got, err := c.fetch("trusted_root.json", start.Add(52*time.Hour)); !errors.As(err, &bad) {
		t.Errorf("a rolled back snapshot gives %q, %v", got, err)
	}
}

// Each version of the root must follow the one before, and be signed by it.
func TestAClientRefusesARootThatDoesNotFollow(t *testing.T) {
	k := newKeys(t)
	m := newMirror(t, k)
	c, twin := m.client(t), m.client(t)
	later := start.Add(tuf.RootLifetime - 24*time.Hour)
	state, err := m.repository.Publish(k, targets("one"), later)
	must(t, err)
	if state.Root.Number != 2 {
		t.Fatalf("the root was not renewed: %+v", state)
	}
	twin.sees("one", later)
	first, _, err := m.repository.File("1.root.json")
	must(t, err)
	second := filepath.Join(m.dir, "2.root.json")
	honest, err := os.ReadFile(second)
	must(t, err)
	other := newMirror(t, newKeys(t))
	foreign, _, err := other.repository.File("1.root.json")
	must(t, err)
	for name, text := range map[string][]byte{"the first again": first, "of other keys": foreign, "a changed one": []byte(strings.Replace(string(honest), `"threshold": 1`, `"threshold": 0`, 1))} {
		must(t, os.WriteFile(second, text, 0o644))
		if got, err := c.fetch("trusted_root.json", later); err == nil {
			t.Errorf("%s as the second root gives %q", name, got)
		}
		if _, err := m.repository.State(); err == nil {
			t.Errorf("%s as the second root is loaded", name)
		}
	}
	must(t, os.WriteFile(second, honest, 0o644))
	c.sees("one", later)
}

// A repository that nobody renews expires; a server that runs renews it in time.
func TestWhatIsOldExpiresUnlessRefreshed(t *testing.T) {
	k := newKeys(t)
	m := newMirror(t, k)
	late := start.Add(tuf.TimestampLifetime + time.Second)
	var expired *metadata.ErrExpiredMetadata
	if _, err := m.client(t).fetch("trusted_root.json", late); !errors.As(err, &expired) {
		t.Errorf("after its lifetime: %v", err)
	}
	for now := start; now.Before(start.Add(tuf.TargetsLifetime - 5*24*time.Hour)); now = now.Add(25 * time.Hour) {
		_, err := m.repository.Refresh(k.Online, now)
		must(t, err)
	}
	state, err := m.repository.State()
	must(t, err)
	if state.Snapshot.Number < 20 || state.Targets.Number != 1 {
		t.Errorf("after a year of refreshing, nearly: %+v", state)
	}
	m.client(t).sees("one", state.Timestamp.Expires.Add(-time.Minute))
	again, err := m.repository.Refresh(k.Online, state.Timestamp.Expires.Add(-tuf.TimestampLifetime))
	must(t, err)
	if again != state {
		t.Errorf("refreshed before a third of the lifetime was over: %+v", again)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	k := newKeys(t)
	m := newMirror(t, k)
	before, err := m.repository.State()
	must(t, err)
	for name, bad := range map[string]tuf.Keys{
		"no key of targets":    {Online: k.Online},
		"no online key":        {Targets: k.Targets},
		"another's of targets": {Targets: key(t), Online: k.Online},
		"another's online":     {Targets: k.Targets, Online: key(t)},
		"the online key twice": {Targets: k.Online, Online: k.Online},
	} {
		if _, err := m.repository.Publish(bad, targets("two"), start); !errors.Is(err, tuf.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.repository.Refresh(k.Targets, start.Add(48*time.Hour)); !errors.Is(err, tuf.ErrKey) {
		t.Errorf("refreshed by the key of targets: %v", err)
	}
	if after, err := m.repository.State(); err != nil || after != before {
		t.Errorf("a refusal changed something: %+v, %v", after, err)
	}
	if _, err := m.repository.Create(k, targets("two"), start); err == nil {
		t.Error("a repository was made twice")
	}
	one := key(t)
	if _, err := tuf.At(t.TempDir()).Create(tuf.Keys{Root: one, Targets: one, Online: key(t)}, nil, start); !errors.Is(err, tuf.ErrKey) {
		t.Errorf("one key in two roles: %v", err)
	}
}

func TestOnlyItsOwnFilesAreServed(t *testing.T) {
	m := newMirror(t, newKeys(t))
	must(t, os.WriteFile(filepath.Join(m.dir, "secret.json"), nil, 0o644))
	for _, path := range []string{"", ".", "lock", "secret.json", "../tuf/timestamp.json", "targets/../timestamp.json", "0.root.json", "2.root.json", "targets", "targets/trusted_root.json", "1.root.json.next"} {
		if _, _, err := m.repository.File(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", path, err)
		}
	}
	for path, never := range map[string]bool{"timestamp.json": false, "1.root.json": true, "1.snapshot.json": true, "1.targets.json": true} {
		if _, immutable, err := m.repository.File(path); err != nil || immutable != never {
			t.Errorf("%s: immutable %v, %v", path, immutable, err)
		}
	}
	if _, err := tuf.At(t.TempDir()).Target("trusted_root.json"); !errors.Is(err, tuf.ErrNone) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := m.repository.Target("else"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such target: %v", err)
	}
}

// A server that renews never takes back what somebody else publishes meanwhile.
func TestRefreshAndPublishDoNotUndoEachOther(t *testing.T) {
	k := newKeys(t)
	m := newMirror(t, k)
	var done sync.WaitGroup
	for i := range 20 {
		at := start.Add(time.Duration(i) * 25 * time.Hour)
		done.Go(func() {
			if _, err := tuf.At(m.dir).Refresh(k.Online, at); err != nil {
				t.Error(err)
			}
		})
		done.Go(func() {
			if _, err := tuf.At(m.dir).Publish(k, targets(at.String()), at); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	state, err := m.repository.State()
	must(t, err)
	if state.Targets.Number != 21 {
		t.Errorf("after twenty publications: %+v", state)
	}
}
