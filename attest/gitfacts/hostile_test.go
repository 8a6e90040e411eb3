package gitfacts

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// made builds objects as somebody would who does not use git.
type made struct {
	t       testing.TB
	objects []Object
}

func (m *made) add(typ, body string) ID {
	o := Object{Type: typ, Body: []byte(body)}
	m.objects = append(m.objects, o)
	sum := sha1.Sum(o.appendLoose(nil))
	return ID(hex.EncodeToString(sum[:]))
}

func rawID(t testing.TB, id ID) string {
	t.Helper()
	raw, err := hex.DecodeString(string(id))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (m *made) commit(tree ID, extra string) ID {
	return m.add("commit", fmt.Sprintf("tree %s\nauthor a <a@example.com> 1 +0000\ncommitter a <a@example.com> 1 +0000\n%s\nmessage\n", tree, extra))
}

func (m *made) derive(base, head ID) (*Facts, error) {
	m.t.Helper()
	blob, err := Encode(m.objects)
	if err != nil {
		m.t.Fatal(err)
	}
	return Derive(base, head, blob)
}

// Twenty trees of ten entries, each naming the next one ten times, stand for more
// files, or for more empty folders, than anybody can list.
func TestTreesThatNameEachOtherAreCutOff(t *testing.T) {
	for leaf, want := range map[string]string{
		"100644 " + strings.Repeat("f", 200) + "\x00" + strings.Repeat("x", 20): "paths that differ",
		"": "more entries",
	} {
		m := &made{t: t}
		id := m.add("tree", leaf)
		for range 20 {
			body := ""
			for i := range 10 {
				body += fmt.Sprintf("40000 %d\x00%s", i, rawID(t, id))
			}
			id = m.add("tree", body)
		}
		start := time.Now()
		_, err := m.derive("", m.commit(id, ""))
		var typed *Error
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	}
}

func TestNamesThatNoStatementCanHoldAreRefused(t *testing.T) {
	for name, want := range map[string]string{
		strings.Repeat("n", 4097): "longer than 4096",
		"caf\xe9":                 "not UTF-8",
		"..":                      "is no tree",
		".GIT":                    "is no tree",
		"a/b":                     "is no tree",
		"":                        "is no tree",
	} {
		m := &made{t: t}
		tree := m.add("tree", "100644 "+name+"\x00"+strings.Repeat("x", 20))
		if _, err := m.derive("", m.commit(tree, "")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", name, err, want)
		}
	}
}

func TestTreesOutOfOrderAreRefused(t *testing.T) {
	x := strings.Repeat("x", 20)
	for name, body := range map[string]string{
		"unsorted":          "100644 b\x00" + x + "100644 a\x00" + x,
		"twice":             "100644 a\x00" + x + "100644 a\x00" + x,
		"file and folder":   "100644 a\x00" + x + "100644 a.c\x00" + x + "40000 a\x00" + x,
		"mode of no kind":   "100600 a\x00" + x,
		"mode with a zero":  "040000 a\x00" + x,
		"cut short":         "100644 a\x00" + x[1:],
		"folder as if file": "40000 a\x00" + x + "100644 a.c\x00" + x,
	} {
		if _, err := parseTree(ID(strings.Repeat("a", 40)), []byte(body)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := parseTree(ID(strings.Repeat("a", 40)), []byte("100644 a.c\x00"+x+"40000 a\x00"+x+"100644 a0\x00"+x)); err != nil {
		t.Errorf("the twin is refused: %v", err)
	}
}

// Two readers must never see two authors: a commit line that can be read in two
// ways is no commit.
func TestCommitsThatReadTwoWaysAreRefused(t *testing.T) {
	id, tree := ID(strings.Repeat("a", 40)), strings.Repeat("b", 40)
	const who = "a <a@example.com> 1 +0000"
	good := "tree " + tree + "\nparent " + tree + "\nauthor " + who + "\ncommitter " + who + "\nencoding x\n\nm\n"
	if _, err := parseCommit(id, []byte(good)); err != nil {
		t.Fatalf("the twin is refused: %v", err)
	}
	for name, change := range map[string][2]string{
		"two addresses":      {"author a <", "author a <b@example.com> <"},
		"no address":         {"author a <a@example.com>", "author a"},
		"no time":            {"author " + who, "author a <a@example.com>"},
		"signed time":        {"author a <a@example.com> 1", "author a <a@example.com> -1"},
		"year 10000":         {"author a <a@example.com> 1", "author a <a@example.com> 253402300800"},
		"no zone":            {"author " + who, "author a <a@example.com> 1"},
		"two authors":        {"committer " + who, "author " + who + "\ncommitter " + who},
		"late author":        {"encoding x", "author " + who},
		"parent behind":      {"encoding x", "parent " + tree},
		"short parent":       {"parent " + tree, "parent " + tree[1:]},
		"upper case":         {"tree " + tree, "tree " + strings.ToUpper(tree)},
		"two encodings":      {"encoding x", "encoding x\nencoding y"},
		"two signatures":     {"encoding x", "gpgsig x\ngpgsig y"},
		"continues nothing":  {"encoding x", " x"},
		"header of one word": {"encoding x", "encoding"},
		"NUL":                {"encoding x", "encoding x\x00"},
		"no tree":            {"tree " + tree + "\n", ""},
	} {
		if _, err := parseCommit(id, []byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEveryCoAuthorIsNamed(t *testing.T) {
	const message = "title\n\nCo-authored-by: A <a@example.com>\nco-AUTHORED-by : B <b@example.com> (pairing)\r\n" +
		"Co-authored-by: C\n  <c@example.com>\nCo-authored-by: D <d@example.com>, E <e@example.com>\n" +
		"\nCo-authored-by: f@example.com\n\nlater\n\nSigned-off-by: G <g@example.com>\n"
	var got []string
	for _, p := range coAuthors(message) {
		got = append(got, p.Email)
	}
	want := []string{"a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com", "f@example.com"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSignsOfEveryKind(t *testing.T) {
	list := DefaultSigns()
	for trailer, want := range map[string]string{
		"Co-authored-by: Claude <noreply@anthropic.com> via the CLI":                   "claude",
		"Co-authored-by: claude[bot] <209825114+claude[bot]@users.noreply.github.com>": "claude",
		"Co-authored-by: claude[bot] <claude[bot]@users.noreply.github.com>":           "claude",
		"Co-authored-by: Copilot <175728472+Copilot@users.noreply.github.com>":         "copilot",
		"Co-authored-by: Cursor <cursoragent@cursor.com>":                              "cursor",
		"Co-authored-by: Codex <noreply@openai.com>":                                   "codex",
		"Co-authored-by: roomote@roocode.com":                                          "roo-code",
		"Assisted-by: Claude:claude-opus coccinelle":                                   "claude",
		"Cursor-Session: 12":                            "cursor",
		"Agent-Logs-Url: https://example.com":           "agent",
		"Signed-off-by: Claude <noreply@anthropic.com>": "claude",
	} {
		signs := list.Signs([]Commit{{Message: "fix\n\n" + trailer + "\n"}})
		if len(signs) != 1 || signs[0].Tool != want {
			t.Errorf("%q: %+v, want %s", trailer, signs, want)
		}
		if off := strings.HasPrefix(trailer, "Signed-off-by"); len(signs) == 1 && off != strings.Contains(signs[0].Detail, "violation") {
			t.Errorf("%q: detail %q", trailer, signs[0].Detail)
		}
	}
	if s := list.Signs([]Commit{{Author: Person{Name: "alice (aider)", Email: "alice@example.com"}}}); len(s) != 1 || s[0].Tool != "aider" {
		t.Errorf("aider: %+v", s)
	}
}

// A message of lines that continue a trailer must not cost their square.
func TestLongMessagesAreReadInOneGo(t *testing.T) {
	start := time.Now()
	trailers("A: b\n" + strings.Repeat(" c\n", 150_000))
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

func FuzzParseCommit(f *testing.F) {
	tree := strings.Repeat("b", 40)
	f.Add([]byte("tree " + tree + "\nauthor a <a@example.com> 1 +0000\ncommitter a <a@example.com> 1 +0000\ngpgsig x\n y\n\nm\n\nCo-authored-by: x\n <y@z>\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := parseCommit(ID(strings.Repeat("a", 40)), body)
		if err != nil {
			return
		}
		if !strings.HasPrefix(string(body), "tree "+string(c.Tree)+"\n") || !strings.HasSuffix(string(body), c.Message) {
			t.Error("tree or message are not those of the object")
		}
		if len(c.Signed) > len(body) || strings.ContainsAny(c.Author.Email+c.Committer.Email, "<>\n") {
			t.Errorf("signed %d of %d bytes, author %q", len(c.Signed), len(body), c.Author.Email)
		}
		DefaultSigns().Signs([]Commit{c})
	})
}
