package gitfacts

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNotesAreReadWhereGitPutsThem(t *testing.T) {
	r := newRepo(t)
	ctx := context.Background()
	one := r.commit("one", map[string]string{"a": "1"})
	two := r.commit("two", map[string]string{"a": "2"})
	if _, err := r.open().Notes(ctx, "refs/notes/ai"); !errors.Is(err, ErrNotFound) {
		t.Errorf("notes that are not there: %v", err)
	}
	r.git("notes", "--ref=ai", "add", "-m", "first", string(one))
	of := func(repo *Repo, id ID) string {
		t.Helper()
		n, err := repo.Notes(ctx, "refs/notes/ai")
		if err != nil {
			t.Fatal(err)
		}
		notes, err := n.Of(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, x := range notes {
			all = append(all, strings.TrimSpace(string(x.Text)))
		}
		return strings.Join(all, "|")
	}
	if got := of(r.open(), one) + "," + of(r.open(), two); got != "first," {
		t.Errorf("flat tree: %q", got)
	}
	// The same note under a fan-out of two levels, and another beside it.
	blob := r.git("notes", "--ref=ai", "list", string(one))
	r.git("read-tree", "--empty")
	for _, path := range []string{string(one[:2]) + "/" + string(one[2:4]) + "/" + string(one[4:]), string(one[:2]) + "/" + string(one[2:])} {
		r.git("update-index", "--add", "--cacheinfo", "100644,"+blob+","+path)
	}
	r.git("update-ref", "refs/notes/ai", r.git("commit-tree", "-m", "notes", r.git("write-tree")))
	if got := of(r.open(), one); got != "first|first" {
		t.Errorf("fan-out: %q", got)
	}
}

func TestANoteHasALimit(t *testing.T) {
	r := newRepo(t)
	c := r.commit("one", map[string]string{"a": "1"})
	for size, want := range map[int]error{maxNote: nil, maxNote + 1: ErrLimit} {
		path := filepath.Join(r.dir, ".git", "note")
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o644); err != nil {
			t.Fatal(err)
		}
		r.git("notes", "--ref=ai", "add", "-f", "-C", r.git("hash-object", "-w", path), string(c))
		n, err := r.open().Notes(context.Background(), "refs/notes/ai")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Of(context.Background(), c); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
	}
}

func TestAMissingNoteSaysWhatToFetch(t *testing.T) {
	r := newRepo(t)
	c := r.commit("one", map[string]string{"a": "1"})
	r.git("notes", "--ref=ai", "add", "-m", "gone", string(c))
	blob := r.git("notes", "--ref=ai", "list", string(c))
	if err := os.Remove(filepath.Join(r.dir, ".git", "objects", blob[:2], blob[2:])); err != nil {
		t.Fatal(err)
	}
	n, err := r.open().Notes(context.Background(), "refs/notes/ai")
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Of(context.Background(), c)
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "git fetch origin refs/notes/ai:refs/notes/ai") {
		t.Errorf("%v", err)
	}
}

func TestAddedLinesAreThoseOfTheCommit(t *testing.T) {
	r := newRepo(t)
	root := r.commit("root", map[string]string{"a": "1\n2\n3\n", "b c": "x\n"})
	next := r.commit("next", map[string]string{
		"a":         "0\n1\n2\n3\nend", // with no line break at its end
		"b c":       "+++ b/a\n@@ -1 +1,9 @@\n",
		"q\"uote":   "1\n2\n",
		"bin":       "\x00\x01\n",
		"ünïcödé/f": "1\n",
	})
	for id, want := range map[ID]map[string][]Span{
		root: {"a": {{1, 3}}, "b c": {{1, 1}}},
		next: {"a": {{1, 1}, {5, 5}}, "b c": {{1, 2}}, "q\"uote": {{1, 2}}, "ünïcödé/f": {{1, 1}}},
	} {
		repo := r.open()
		c, err := repo.Commit(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := repo.AddedLines(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", c.Title(), diff)
		}
	}
}

func FuzzReadAdded(f *testing.F) {
	f.Add([]byte("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1,2 @@ f\n-a\n+b\n+c\n\\ No newline at end of file\n"))
	f.Add([]byte("+++ \"b/\\303\\274\"\n@@ -0,0 +1 @@\n+\n"))
	f.Add([]byte("@@ -1,0 +99999999999999999999 @@\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		added, err := readAdded(bytes.NewReader(text))
		if err != nil {
			return
		}
		for path, spans := range added {
			for _, s := range spans {
				if s.First < 0 || s.Last < s.First || s.Last-s.First > len(text) {
					t.Errorf("%q: %v of a diff of %d bytes", path, s, len(text))
				}
			}
		}
	})
}
