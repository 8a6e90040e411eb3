package gitfacts

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
)

// gitRepo is a small repository that a test writes to as an attacker could.
type gitRepo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) *gitRepo {
	t.Helper()
	r := &gitRepo{t, t.TempDir()}
	r.git("init", "-q", "-b", "main")
	r.git("config", "user.name", "alice")
	r.git("config", "user.email", "alice@example.com")
	r.git("config", "commit.gpgsign", "false")
	return r
}

func (r *gitRepo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %s", args, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *gitRepo) commit(message string, files map[string]string) ID {
	r.t.Helper()
	for name, text := range files {
		path := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return ID(r.git("rev-parse", "HEAD"))
}

func (r *gitRepo) open() *Repo {
	r.t.Helper()
	repo, err := Open(context.Background(), r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { repo.Close() })
	return repo
}

// What is found without asking git is what git finds.
func TestMergeBasesAreThoseOfGit(t *testing.T) {
	r := newRepo(t)
	var all []ID
	r.commit("root", map[string]string{"a": "0"})
	for i := range 12 {
		all = append(all, r.commit("main "+string(rune('a'+i)), map[string]string{"a": string(rune('a' + i))}))
	}
	for i, at := range []int{0, 5, 11} {
		r.git("checkout", "-q", string(all[at]))
		for k := range 3 {
			all = append(all, r.commit("topic", map[string]string{"b": string(rune('a' + 3*i + k))}))
		}
	}
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "--no-ff", "-m", "merge", string(all[14]))
	all = append(all, ID(r.git("rev-parse", "HEAD")), r.commit("after", map[string]string{"a": "z"}))
	r.git("checkout", "-q", "--orphan", "other")
	all = append(all, r.commit("apart", map[string]string{"c": "1"}))
	repo := r.open()
	for i, a := range all {
		for k := i % 4; k < len(all); k += 4 { // a quarter of the pairs
			b := all[k]
			want, _ := exec.Command("git", "-C", r.dir, "merge-base", string(a), string(b)).Output()
			got, err := repo.MergeBase(context.Background(), a, b)
			if string(got) != strings.TrimSpace(string(want)) || (err != nil) != (len(want) == 0) {
				t.Errorf("%s and %s: %q (%v), git says %q", short(a), short(b), got, err, want)
			}
		}
	}
}

func TestReplaceRefsDoNotShowAnotherHistory(t *testing.T) {
	r := newRepo(t)
	base := r.commit("base", map[string]string{"a": "1"})
	head := r.commit("real", map[string]string{"a": "2", "secret": "x"})
	r.git("checkout", "-q", string(base))
	r.git("config", "user.name", "mallory")
	fake := r.commit("fake", map[string]string{"a": "2"})
	r.git("checkout", "-q", "main")
	r.git("replace", string(head), string(fake))
	if names := r.git("diff-tree", "-r", "--name-only", string(base), string(head)); strings.Contains(names, "secret") {
		t.Fatal("the replace ref does not work, so this test shows nothing")
	}
	_, facts, err := r.open().Change(context.Background(), base, head)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(facts.PathNames(), " "); got != "a secret" || facts.Commits[0].Author.Name != "alice" {
		t.Errorf("the replaced history is shown: paths %s, author %s", got, facts.Commits[0].Author.Name)
	}
}

func TestRepositoriesWithTwoFacesAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"grafts":     {"info/grafts", strings.Repeat("a", 40) + "\n", "grafts"},
		"alternates": {"objects/info/alternates", "/nowhere\n", "full clone"},
		"shallow":    {"shallow", strings.Repeat("a", 40) + "\n", "unshallow"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.commit("one", map[string]string{"a": "1"})
			path := filepath.Join(r.dir, ".git", c.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Open(context.Background(), r.dir)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Open(context.Background(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a git repository") {
		t.Errorf("an empty folder: %v", err)
	}
}

// A merge driver and attributes of the judged repository must not change what a
// replay gives.
func TestReplayHeedsNoConfigurationOfTheRepository(t *testing.T) {
	r := newRepo(t)
	r.commit("base", map[string]string{"f": "1\n2\n3\n"})
	r.git("checkout", "-q", "-b", "topic")
	head := r.commit("topic", map[string]string{"f": "1\n2\ntopic\n"})
	r.git("checkout", "-q", "main")
	r.commit("main", map[string]string{"f": "1\n2\nmain\n"})
	merged := r.commit("merge (#1)", map[string]string{"f": "1\n2\nevil\n"})
	r.git("config", "merge.evil.driver", "printf '1\\n2\\nevil\\n' > %A")
	if err := os.WriteFile(filepath.Join(r.dir, ".git", "info", "attributes"), []byte("* merge=evil\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := r.open().Bind(context.Background(), merged, head)
	if err != nil {
		t.Fatal(err)
	}
	if o.ReplayClean || o.Binding != attest.BindingResidual || len(o.ResidualPaths) == 0 {
		t.Errorf("a conflict resolved by a configured driver counts as clean: %+v", o)
	}
}

// The tree of an old approved head, put on top of a branch that has moved on,
// looks identical and reverts what came between.
func TestIdentityThatRevertsIsNoIdentity(t *testing.T) {
	r := newRepo(t)
	r.commit("base", map[string]string{"f": "1", "login": "weak"})
	r.git("checkout", "-q", "-b", "topic")
	head := r.commit("topic", map[string]string{"f": "2"})
	r.git("checkout", "-q", "main")
	r.commit("security fix", map[string]string{"login": "strong"})
	merged := r.commit("merge (#1)", map[string]string{"f": "2", "login": "weak"})
	repo := r.open()
	h, _ := repo.Commit(context.Background(), head)
	m, _ := repo.Commit(context.Background(), merged)
	if h.Tree != m.Tree {
		t.Fatal("the trees differ, so this test shows nothing")
	}
	o, err := repo.Bind(context.Background(), merged, head)
	if err != nil {
		t.Fatal(err)
	}
	if o.ReplayClean || o.Binding == attest.BindingIdentity {
		t.Errorf("a hidden revert counts as identity: %+v", o)
	}
	if o.Binding == attest.BindingResidual && strings.Join(o.ResidualPaths, " ") != "login" {
		t.Errorf("residual paths %v", o.ResidualPaths)
	}
}

func TestRenamesShowBothNames(t *testing.T) {
	r := newRepo(t)
	base := r.commit("base", map[string]string{"billing/price.go": "x"})
	if err := os.MkdirAll(filepath.Join(r.dir, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("mv", "billing/price.go", "docs/price.go")
	r.git("commit", "-qm", "move")
	_, facts, err := r.open().Change(context.Background(), base, ID(r.git("rev-parse", "HEAD")))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(facts.PathNames(), " "); got != "billing/price.go docs/price.go" {
		t.Errorf("paths %s", got)
	}
}

func TestRootCommitAndMergesFromTheTarget(t *testing.T) {
	r := newRepo(t)
	root := r.commit("root", map[string]string{"a": "1"})
	if _, facts, err := r.open().Change(context.Background(), "", root); err != nil || len(facts.Paths) != 1 {
		t.Errorf("root: %v", err)
	}
	r.git("checkout", "-q", "-b", "topic")
	r.commit("t1", map[string]string{"b": "1"})
	r.git("checkout", "-q", "main")
	target := r.commit("m1", map[string]string{"c": "1"})
	r.git("checkout", "-q", "topic")
	r.git("merge", "-q", "--no-edit", "main")
	head := r.commit("t2", map[string]string{"b": "2"})
	repo := r.open()
	base, err := repo.MergeBase(context.Background(), target, head)
	if err != nil || base != target {
		t.Fatalf("merge base %s %v", base, err)
	}
	_, facts, err := repo.Change(context.Background(), base, head)
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Commits) != 3 || strings.Join(facts.PathNames(), " ") != "b" {
		t.Errorf("%d commits, paths %v", len(facts.Commits), facts.PathNames())
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	r := newRepo(t)
	r.commit("one", map[string]string{"a": "1"})
	repo := r.open()
	for _, rev := range []string{"refs/pull/7/head", "--all", ""} {
		if _, err := repo.Resolve(context.Background(), rev); err == nil {
			t.Errorf("%q resolves", rev)
		} else if rev == "refs/pull/7/head" && !strings.Contains(err.Error(), rev) {
			t.Errorf("%v does not name %s", err, rev)
		}
	}
}

func TestSSHSignedCommitsNameTheirKey(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	r := newRepo(t)
	key := filepath.Join(t.TempDir(), "id")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ecdsa", "-b", "256", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	base := r.commit("base", map[string]string{"a": "1"})
	r.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "commit", "-q", "--allow-empty", "-S", "-m", "signed")
	head := ID(r.git("rev-parse", "HEAD"))
	repo := r.open()
	c, err := repo.Commit(context.Background(), head)
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := credential.ParseSSHLine(string(line))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := c.SSHSigner(); err != nil || id != public.ID() {
		t.Errorf("signed by %x, %v", id, err)
	}
	c.Signed = append([]byte("x"), c.Signed...)
	if _, err := c.SSHSigner(); err == nil {
		t.Error("a changed commit still verifies")
	}
	unsigned, err := repo.Commit(context.Background(), base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unsigned.SSHSigner(); !errors.Is(err, ErrUnsigned) {
		t.Errorf("unsigned commit: %v", err)
	}
}
