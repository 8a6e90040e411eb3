package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

var newTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func digestsIn(t *testing.T, box string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(box, "pending"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	sort.Strings(names)
	return names
}

type rangeOutput struct {
	Commits    []ranged `json:"commits"`
	Statements int      `json:"statements"`
}

func TestRangeAttestsARealRelease(t *testing.T) {
	key, private := keyFile(t, "ci")
	c := &client{t: t}
	box := t.TempDir()
	args := []string{"attest", "range", "v0.5.8..v0.5.9", "--repo", historyDir(t), "--repository", litestream,
		"--heads", "refs/pull/{id}/head", "--key", key, "--offline", "--format", "json", "--outbox", box}
	var out rangeOutput
	if err := json.Unmarshal([]byte(c.want(exitYes, args...)), &out); err != nil {
		t.Fatal(err)
	}
	withAI := 0
	for _, x := range out.Commits {
		if len(x.Tools) > 0 {
			withAI++
		}
		if x.Binding != "identity" && x.Binding != "replay" {
			t.Errorf("change %s is bound by %s", x.Change, x.Binding)
		}
	}
	if len(out.Commits) != 28 || out.Statements != 56 || withAI != 25 {
		t.Errorf("%d commits, %d statements, %d with AI; the history has 28, 56 and 25", len(out.Commits), out.Statements, withAI)
	}
	for _, name := range digestsIn(t, box) {
		checkProves(t, filepath.Join(box, "pending", name), private.Public())
	}
	before := digestsIn(t, box)
	c.want(exitYes, args...)
	if diff := cmp.Diff(before, digestsIn(t, box)); diff != "" {
		t.Errorf("another run signs other statements: %s", diff)
	}
	args[len(args)-1] = t.TempDir()
	c.want(exitYes, args...)
	if diff := cmp.Diff(before, digestsIn(t, args[len(args)-1])); diff != "" {
		t.Errorf("without the outbox the statements differ: %s", diff)
	}
}

// checkProves holds what was signed against what its own objects prove.
func checkProves(t *testing.T, path string, key *attest.PublicKey) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := attest.ParseBundle(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify(b.PAE(), b.Signature); err != nil {
		t.Fatal(err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		t.Fatal(err)
	}
	var base, head string
	var objects []byte
	var paths []string
	switch p := st.Predicate.(type) {
	case *attest.Change:
		base, head, objects, paths = p.Base, p.Head, p.Objects, p.Paths
	case *attest.Admission:
		base, head, objects, paths = p.Parents[0], p.Merged, p.Objects, p.Paths
	}
	facts, err := gitfacts.Derive(gitfacts.ID(base), gitfacts.ID(head), objects)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(facts.PathNames(), paths); diff != "" {
		t.Error(diff)
	}
	if got := st.Subjects[0].Digest["gitTree"]; got != string(facts.HeadTree) {
		t.Errorf("subject has tree %s, its commit %s", got, facts.HeadTree)
	}
}

func TestHalvesOfARangeMakeTheWhole(t *testing.T) {
	key, _ := keyFile(t, "ci")
	c := &client{t: t}
	halves, whole := t.TempDir(), t.TempDir()
	args := []string{"attest", "range", "v0.5.7..v0.5.8", "--repo", historyDir(t), "--repository", litestream,
		"--heads", "refs/pull/{id}/head", "--key", key, "--offline", "--outbox"}
	c.want(exitYes, append(args, halves, "--changes-only")...)
	if n := len(digestsIn(t, halves)); n != 18 {
		t.Errorf("%d changes", n)
	}
	c.want(exitYes, append(args, halves, "--admissions-only")...)
	c.want(exitYes, append(args, whole)...)
	if diff := cmp.Diff(digestsIn(t, whole), digestsIn(t, halves)); diff != "" {
		t.Error(diff)
	}
}

func TestCommitsWithoutReviewAreAdmittedAsSuch(t *testing.T) {
	key, _ := keyFile(t, "ci")
	c := &client{t: t}
	var out rangeOutput
	text := c.want(exitYes, "attest", "range", "v0.5.7..v0.5.8", "--repo", historyDir(t), "--repository", litestream,
		"--key", key, "--offline", "--format", "json", "--outbox", t.TempDir())
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	if out.Statements != 18 || out.Commits[0].Binding != "unverifiable" || out.Commits[0].Head != "" {
		t.Errorf("%d statements, first %+v", out.Statements, out.Commits[0])
	}
}

func TestWrongRangesSayWhatIsWrong(t *testing.T) {
	key, _ := keyFile(t, "ci")
	history := historyDir(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"missing repository":   {[]string{"v1..v2", "--repo", t.TempDir(), "--repository", litestream}, "not a git repository"},
		"missing revision":     {[]string{"v0.5.8..v9.9.9", "--repo", history, "--repository", litestream}, `"v9.9.9"`},
		"missing head":         {[]string{"v0.5.8..v0.5.9", "--repo", history, "--repository", litestream, "--heads", "refs/mr/{id}"}, "refs/mr/1114"},
		"no range":             {[]string{"v0.5.8", "--repo", history, "--repository", litestream}, "FROM..TO"},
		"backwards":            {[]string{"v0.5.9..v0.5.8", "--repo", history, "--repository", litestream}, "no ancestor"},
		"empty":                {[]string{"v0.5.8..v0.5.8", "--repo", history, "--repository", litestream}, "no commit"},
		"no repository id":     {[]string{"v0.5.8..v0.5.9", "--repo", history}, "--repository"},
		"uncanonical id":       {[]string{"v0.5.8..v0.5.9", "--repo", history, "--repository", "https://github.com/x/y.git"}, "--repository"},
		"pattern without id":   {[]string{"v0.5.8..v0.5.9", "--repo", history, "--repository", litestream, "--heads", "refs/pull/head"}, "{id}"},
		"expression no group":  {[]string{"v0.5.8..v0.5.9", "--repo", history, "--repository", litestream, "--change-id", "#[0-9]+"}, "group"},
		"both halves asked":    {[]string{"v0.5.8..v0.5.9", "--repo", history, "--repository", litestream, "--changes-only", "--admissions-only"}, "changes-only"},
		"option as a revision": {[]string{"v0.5.8..--all", "--repo", history, "--repository", litestream}, "--all"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := &client{t: t}
			box := t.TempDir()
			cl.want(exitWrong, append([]string{"attest", "range", "--key", key, "--offline", "--outbox", box}, c.args...)...)
			if !strings.Contains(cl.err.String(), c.want) {
				t.Errorf("says %q, want something about %q", &cl.err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(box, "*", "*")); len(left) > 0 && name != "missing head" {
				t.Errorf("leaves %v behind", left)
			}
		})
	}
}

// Every release since v0.5.0 has the commits that git counts, bound as docs/binding.md
// says. It takes a while, so it runs only when COUNTERSIGN_WHOLE_HISTORY is set.
func TestEveryReleaseIsCountedAsGitCounts(t *testing.T) {
	if os.Getenv("COUNTERSIGN_WHOLE_HISTORY") == "" {
		t.Skip("set COUNTERSIGN_WHOLE_HISTORY=1 to run it")
	}
	table, err := os.ReadFile("../../docs/binding.md")
	if err != nil {
		t.Fatal(err)
	}
	key, _ := keyFile(t, "ci")
	from, releases := "v0.5.0", 0
	for line := range strings.SplitSeq(string(table), "\n") {
		cell := strings.Fields(strings.ReplaceAll(line, "|", " "))
		if len(cell) != 10 || !strings.HasPrefix(cell[0], "v0.5.") {
			continue
		}
		out, err := exec.Command("git", "-C", historyDir(t), "rev-list", "--count", "--first-parent", from+".."+cell[0]).Output()
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t}
		text := c.want(exitYes, "attest", "range", from+".."+cell[0], "--repo", historyDir(t), "--repository", litestream, "--missing-heads",
			"--heads", "refs/pull/{id}/head", "--key", key, "--offline", "--format", "json", "--outbox", t.TempDir())
		var got rangeOutput
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		bound, heads, tools := make(map[string]int), 0, 0
		for _, x := range got.Commits {
			bound[x.Binding]++
			if x.Head != "" {
				heads++
			}
			if len(x.Tools) > 0 {
				tools++
			}
		}
		have := fmt.Sprint(cell[0], " ", strings.TrimSpace(string(out)), " ", len(got.Commits), " ", heads, " ", bound["identity"], " ", bound["replay"], " ",
			bound["patch"], " ", bound["residual"], " ", bound["unverifiable"], " ", tools)
		if want := strings.Join(cell, " "); have != want {
			t.Errorf("%s; docs/binding.md says %s", have, want)
		}
		from, releases = cell[0], releases+1
	}
	if releases != 16 {
		t.Errorf("%d releases in docs/binding.md, want 16", releases)
	}
}
