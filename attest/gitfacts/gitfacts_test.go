package gitfacts

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/google/go-cmp/cmp"
)

// history is a clone of the real history, made once for all tests.
var history = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gitfacts-history-")
	if err != nil {
		return "", err
	}
	bundle, err := filepath.Abs("../../testdata/litestream-history.bundle")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"clone", "-q", "--bare", bundle, dir},
		{"-C", dir, "fetch", "-q", bundle, "refs/pull/*:refs/pull/*"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			return "", errors.New(string(out))
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := history(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func openHistory(t testing.TB) *Repo {
	t.Helper()
	dir, err := history()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func resolve(t testing.TB, r *Repo, rev string) ID {
	t.Helper()
	id, err := r.Resolve(context.Background(), rev)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var pullID = regexp.MustCompile(`\(#(\d+)\)$`)

type captured struct {
	merged, head, base      ID
	headBlob, admissionBlob []byte
	headFacts, admission    *Facts
}

func capture(t testing.TB, r *Repo, from, to string) []captured {
	t.Helper()
	ctx := context.Background()
	commits, err := r.Range(ctx, resolve(t, r, from), resolve(t, r, to))
	if err != nil {
		t.Fatal(err)
	}
	var out []captured
	for _, id := range commits {
		c, err := r.Commit(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		m := pullID.FindStringSubmatch(c.Title())
		if m == nil {
			t.Fatalf("%s has no id", c.Title())
		}
		x := captured{merged: id, head: resolve(t, r, HeadRef("refs/pull/{id}/head", m[1]))}
		if x.base, err = r.MergeBase(ctx, c.Parents[0], x.head); err != nil {
			t.Fatal(err)
		}
		if x.headBlob, x.headFacts, err = r.Change(ctx, x.base, x.head); err != nil {
			t.Fatal(err)
		}
		if x.admissionBlob, x.admission, err = r.Admitted(ctx, id, x.base); err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

func TestFactsOfRealReleases(t *testing.T) {
	r := openHistory(t)
	ctx := context.Background()
	for _, rel := range []struct {
		from, to         string
		changes, squashs int
	}{{"v0.5.7", "v0.5.8", 18, 16}, {"v0.5.8", "v0.5.9", 28, 25}} {
		all := capture(t, r, rel.from, rel.to)
		withAI, total := 0, 0
		for _, x := range all {
			if len(DefaultSigns().Signs(x.admission.Commits)) > 0 {
				withAI++
			}
			total += len(x.headBlob) + len(x.admissionBlob)
			want, err := r.git(ctx, "diff-tree", "-r", "--no-renames", "--name-only", string(x.merged)+"^1", string(x.merged))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), x.admission.PathNames()); diff != "" {
				t.Errorf("%s: paths differ from git's: %s", x.merged, diff)
			}
			o, err := r.Bind(ctx, x.merged, x.head)
			if err != nil || !o.ReplayClean {
				t.Errorf("%s: %+v %v", x.merged, o, err)
			}
			if identity := x.headFacts.HeadTree == x.admission.HeadTree; identity != (o.Binding == attest.BindingIdentity) {
				t.Errorf("%s: identity %v, binding %s", x.merged, identity, o.Binding)
			}
			if x.base != x.admission.Base && !slices.ContainsFunc(x.admission.Ancestors, func(c Commit) bool { return c.ID == x.base }) {
				t.Errorf("%s: the admission does not reach the base of its head", x.merged)
			}
		}
		if len(all) != rel.changes || withAI != rel.squashs {
			t.Errorf("%s..%s: %d changes, %d with AI; want %d and %d", rel.from, rel.to, len(all), withAI, rel.changes, rel.squashs)
		}
		t.Logf("%s..%s: %d bytes of objects in %d statements", rel.from, rel.to, total, 2*len(all))
	}
}

// A lying job leaves something out, or adds something: every single object that
// is missing, and any that nobody needs, is noticed.
func TestEveryOmissionIsNoticed(t *testing.T) {
	r := openHistory(t)
	all := capture(t, r, "v0.5.7", "v0.5.8")
	x := all[4] // six commits on its branch
	raw, err := decompress(x.headBlob, new([]byte))
	if err != nil {
		t.Fatal(err)
	}
	var objects []Object
	for len(raw) > 0 {
		o, n := cutObject(raw)
		objects, raw = append(objects, o), raw[n:]
	}
	blob, err := Encode(objects)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Derive(x.base, x.head, blob); err != nil {
		t.Fatalf("the twin is refused: %v", err)
	}
	for i := range objects {
		rest := slices.Delete(slices.Clone(objects), i, i+1)
		blob, err := Encode(rest)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Derive(x.base, x.head, blob)
		var want *Error
		if err == nil && len(f.Ancestors) == len(mustDerive(t, x).Ancestors) {
			t.Errorf("without object %d (%s) the facts are the same", i, objects[i].Type)
		} else if err != nil && !errors.As(err, &want) {
			t.Errorf("object %d: error of type %T", i, err)
		}
	}
	junk := append(slices.Clone(objects), Object{Type: "tree", Body: nil})
	if blob, err = Encode(junk); err != nil {
		t.Fatal(err)
	}
	if _, err := Derive(x.base, x.head, blob); err == nil {
		t.Error("an object that nothing reaches is accepted")
	}
	if _, err := Derive(x.head, x.head, blob); err == nil {
		t.Error("an empty range is accepted")
	}
	// A base in the middle of the branch hides the commits below it; the
	// objects then hold more than the range reaches.
	if _, err := Derive(x.headFacts.Commits[1].ID, x.head, x.headBlob); err == nil {
		t.Error("a forged base is accepted with the objects of the whole branch")
	}
}

func mustDerive(t *testing.T, x captured) *Facts {
	t.Helper()
	f, err := Derive(x.base, x.head, x.headBlob)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func cutObject(raw []byte) (Object, int) {
	header, _, _ := strings.Cut(string(raw[:min(len(raw), 40)]), "\x00")
	typ, size, _ := strings.Cut(header, " ")
	n := 0
	for _, c := range size {
		n = n*10 + int(c-'0')
	}
	start := len(header) + 1
	return Object{Type: typ, Body: raw[start : start+n]}, start + n
}

func TestHumansNamedLikeToolsDoNotMatch(t *testing.T) {
	list := DefaultSigns()
	human := Commit{Author: Person{Name: "Claude Gemini", Email: "claude@example.com"}, Message: "fix\n\nCo-authored-by: Claude Dupont <c@example.org>\n"}
	if s := list.Signs([]Commit{human}); len(s) != 0 {
		t.Errorf("matched %v", s)
	}
	for _, trailer := range []string{
		"Co-authored-by: Claude Opus 4.6 (1M context) <noreply@anthropic.com>",
		"co-AUTHORED-by: Copilot <223556219+Copilot@users.noreply.github.com>",
		"Co-authored-by: devin-ai-integration[bot] <158243242+devin-ai-integration[bot]@users.noreply.github.com>",
		"Assisted-by: claude:opus [tool]", "Generated-by: Some Tool", "Made-with: Cursor", "Claude-Session: x",
		"🤖 Generated with [Claude Code](https://claude.com/claude-code)",
	} {
		if s := list.Signs([]Commit{{Message: "fix\n\n" + trailer + "\n"}}); len(s) == 0 {
			t.Errorf("%q is no sign", trailer)
		}
	}
}

func FuzzDerive(f *testing.F) {
	blob, _ := Encode([]Object{{Type: "tree", Body: nil}})
	f.Add("", strings.Repeat("a", 40), blob)
	f.Fuzz(func(t *testing.T, base, head string, blob []byte) {
		facts, err := Derive(ID(base), ID(head), blob)
		if err == nil && len(facts.Commits) == 0 {
			t.Error("facts without a commit")
		}
	})
}

func FuzzParseTree(f *testing.F) {
	f.Add([]byte("100644 a\x00aaaaaaaaaaaaaaaaaaaa"))
	f.Fuzz(func(t *testing.T, body []byte) {
		entries, err := parseTree(ID(strings.Repeat("a", 40)), body)
		if err == nil && len(body) > 0 && len(entries) == 0 {
			t.Error("bytes without entries")
		}
	})
}

func BenchmarkDerive(b *testing.B) {
	r := openHistory(b)
	all := capture(b, r, "v0.5.7", "v0.5.9")
	n := 0
	for b.Loop() {
		x := all[n%len(all)]
		n++
		if _, err := Derive(x.base, x.head, x.headBlob); err != nil {
			b.Fatal(err)
		}
		if _, err := Derive(x.admission.Base, x.merged, x.admissionBlob); err != nil {
			b.Fatal(err)
		}
	}
}
