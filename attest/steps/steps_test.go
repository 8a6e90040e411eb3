package steps

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
)

// inFolder makes files and goes there.
func inFolder(t *testing.T, files ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f+"\r\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func names(t *testing.T, patterns ...string) string {
	t.Helper()
	files, err := Record(patterns)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

func TestEveryFileOfAPatternIsRecordedOnce(t *testing.T) {
	inFolder(t, "a.go", "src/b.go", "src/deep/c.go", "src.go", ".git/HEAD", "src/.git/HEAD", ".countersign/x")
	if err := os.Symlink("a.go", "link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("src", "folder"); err != nil {
		t.Fatal(err)
	}
	for patterns, want := range map[string]string{
		"a.go":                "a.go",
		"src":                 "src/b.go src/deep/c.go",
		"src src/b.go ./src/": "src/b.go src/deep/c.go",
		"*.go src src.go":     "a.go src.go src/b.go src/deep/c.go",
		".":                   "a.go link src.go src/b.go src/deep/c.go",
		". src a.go":          "a.go link src.go src/b.go src/deep/c.go",
		"src/*.go src/deep/*": "src/b.go src/deep/c.go",
		"link":                "link",
	} {
		if got := names(t, strings.Fields(patterns)...); got != want {
			t.Errorf("%s: %q, want %q", patterns, got, want)
		}
	}
	files, err := Record([]string{"a.go", "link"})
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]string{"sha256": attest.DigestOf([]byte("a.go\r\n")).String()} // line ends as they are
	if diff := cmp.Diff([]attest.LinkArtifact{{Name: "a.go", Digest: sum}, {Name: "link", Digest: sum}}, files); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeRecordedIsRefused(t *testing.T) {
	inFolder(t, "a", "big")
	if err := os.Truncate("big", MaxFile+1); err != nil { // sparse
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", "endless"); err != nil {
		t.Fatal(err)
	}
	if _, err := Record([]string{"endless"}); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a device: %v", err)
	}
	for pattern, want := range map[string]error{"nothing": ErrNothing, "*.tar": ErrNothing, "big": ErrLimit, "[": filepath.ErrBadPattern} {
		if _, err := Record([]string{"a", pattern}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", pattern, err, want)
		}
	}
	if got := names(t, "a"); got != "a" {
		t.Errorf("%q", got)
	}
	if files, err := Record(nil); err != nil || len(files) != 0 {
		t.Errorf("no pattern: %v, %v", files, err)
	}
}
