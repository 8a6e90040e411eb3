package gitfacts

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest"
)

// A file of the object folder that holds other bytes than its name says.
func TestBytesUnderAnotherIDAreNoticed(t *testing.T) {
	r := newRepo(t)
	id := r.commit("real", map[string]string{"a": "1"})
	body := strings.Replace(r.git("cat-file", "commit", string(id)), "alice@", "carol@", 1) + "\n"
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	fmt.Fprintf(z, "commit %d\x00%s", len(body), body)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.dir, ".git", "objects", string(id[:2]), string(id[2:]))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := r.open().Commit(context.Background(), id)
	if err == nil || !strings.Contains(err.Error(), string(id[:12])) {
		t.Errorf("got %v", err)
	}
}

// The commit-graph is a file beside the objects, and git believes its parents.
func TestALyingCommitGraphIsNotRead(t *testing.T) {
	r := newRepo(t)
	first := r.commit("first", map[string]string{"a": "1"})
	second := r.commit("second", map[string]string{"a": "2"})
	third := r.commit("third", map[string]string{"a": "3"})
	r.git("commit-graph", "write", "--reachable")
	path := filepath.Join(r.dir, ".git", "objects", "info", "commit-graph")
	graph, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Give the third commit the first one as its parent: exchange the position of
	// the parent that stands behind its tree.
	ids := bytes.Index(graph, []byte(rawID(t, min(first, second, third))))
	position := func(id ID) []byte {
		return []byte{0, 0, 0, byte((bytes.Index(graph[ids:], []byte(rawID(t, id)))) / 20)}
	}
	tree := bytes.Index(graph, []byte(rawID(t, ID(r.git("rev-parse", string(third)+"^{tree}")))))
	if !bytes.Equal(graph[tree+20:tree+24], position(second)) {
		t.Fatal("the file has another layout than this test knows")
	}
	copy(graph[tree+20:], position(first))
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, graph, 0o644); err != nil {
		t.Fatal(err)
	}
	if n := r.git("rev-list", "--count", string(third)); n != "2" {
		t.Skipf("this git counts %s commits, so it does not believe the file", n)
	}
	list, err := r.open().Range(context.Background(), first, third)
	if err != nil || len(list) != 2 {
		t.Errorf("the range has %d commits: %v", len(list), err)
	}
}

func TestPartialClonesAreRefused(t *testing.T) {
	r := newRepo(t)
	r.commit("one", map[string]string{"a": "1"})
	pack := filepath.Join(r.dir, ".git", "objects", "pack")
	if err := os.MkdirAll(pack, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pack, "pack-x.promisor"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), r.dir); err == nil || !strings.Contains(err.Error(), "partial clone") {
		t.Errorf("got %v", err)
	}
}

// What is missing must not be fetched: a remote's address can be a command.
func TestMissingObjectsRunNoCommand(t *testing.T) {
	r := newRepo(t)
	r.commit("one", map[string]string{"a": "1"})
	ran := filepath.Join(t.TempDir(), "ran")
	r.git("config", "core.repositoryformatversion", "1")
	r.git("config", "extensions.partialClone", "origin")
	r.git("config", "remote.origin.promisor", "true")
	r.git("config", "protocol.ext.allow", "always")
	r.git("config", "remote.origin.url", "ext::touch "+ran)
	_, err := r.open().Commit(context.Background(), ID(strings.Repeat("a", 40)))
	if err == nil {
		t.Error("an object that is not there was read")
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the repository ran a command")
	}
}

// merge=union in a committed file would make any conflict clean.
func TestReplayHeedsNoCommittedAttributes(t *testing.T) {
	r := newRepo(t)
	r.commit("base", map[string]string{"f": "1\n", ".gitattributes": "* merge=union\n"})
	r.git("checkout", "-q", "-b", "topic")
	head := r.commit("topic", map[string]string{"f": "1\ntopic\n"})
	r.git("checkout", "-q", "main")
	r.commit("main", map[string]string{"f": "1\nmain\n"})
	merged := r.commit("merge (#1)", map[string]string{"f": "1\nmain\ntopic\n"})
	o, err := r.open().Bind(context.Background(), merged, head)
	if err != nil {
		t.Fatal(err)
	}
	if o.ReplayClean || o.Binding == attest.BindingIdentity || o.Binding == attest.BindingReplay {
		t.Errorf("a conflict that an attribute resolves counts as clean: %+v", o)
	}
}

func TestHistoriesThatShareNothingCannotBeBound(t *testing.T) {
	r := newRepo(t)
	r.commit("base", map[string]string{"f": "1"})
	merged := r.commit("main", map[string]string{"f": "2"})
	r.git("checkout", "-q", "--orphan", "other")
	head := r.commit("other", map[string]string{"f": "3"})
	repo := r.open()
	o, err := repo.Bind(context.Background(), merged, head)
	if err != nil || o.Binding != attest.BindingUnverifiable || o.ReplayClean {
		t.Errorf("%+v %v", o, err)
	}
	if _, err := repo.MergeBase(context.Background(), merged, head); !errors.Is(err, ErrNotFound) {
		t.Errorf("merge base: %v", err)
	}
}

func TestReplayWorksInAnyFolder(t *testing.T) {
	r := newRepo(t)
	r.commit("base", map[string]string{"f": "1"})
	r.git("checkout", "-q", "-b", "topic")
	head := r.commit("topic", map[string]string{"g": "1"})
	r.git("checkout", "-q", "main")
	r.commit("main", map[string]string{"h": "1"})
	merged := r.commit("merge (#1)", map[string]string{"g": "1"})
	moved := filepath.Join(t.TempDir(), "a: [b]*")
	if err := os.Rename(r.dir, moved); err != nil {
		t.Fatal(err)
	}
	r.dir = moved
	o, err := r.open().Bind(context.Background(), merged, head)
	if err != nil || o.Binding != attest.BindingReplay {
		t.Errorf("%+v %v", o, err)
	}
}

func TestSHA256RepositoriesAreRead(t *testing.T) {
	r := &gitRepo{t, t.TempDir()}
	r.git("init", "-q", "-b", "main", "--object-format=sha256")
	r.git("config", "user.name", "alice")
	r.git("config", "user.email", "alice@example.com")
	base := r.commit("base", map[string]string{"f": "1"})
	r.git("checkout", "-q", "-b", "topic")
	head := r.commit("topic", map[string]string{"g": "1"})
	r.git("checkout", "-q", "main")
	r.commit("main", map[string]string{"h": "1"})
	merged := r.commit("merge (#1)", map[string]string{"g": "1"})
	repo := r.open()
	blob, facts, err := repo.Change(context.Background(), base, head)
	if err != nil || len(facts.Paths) != 1 || len(head) != 64 {
		t.Fatalf("%+v %v", facts, err)
	}
	if _, err := Derive(base[:40], head[:40], blob); err == nil {
		t.Error("ids cut to another length are accepted")
	}
	if o, err := repo.Bind(context.Background(), merged, head); err != nil || o.Binding != attest.BindingReplay {
		t.Errorf("%+v %v", o, err)
	}
}
