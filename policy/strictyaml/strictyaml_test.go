package strictyaml

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// What one reader takes for one thing and another for something else is refused,
// with its place.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, place, why string }{
		"nothing":            {"", "1:1", "empty"},
		"only a comment":     {"# nothing\n", "1:1", "empty"},
		"key twice":          {"a: 1\nb: 2\na: 3\n", "3:1", `"a" is there twice`},
		"key twice, quoted":  {"a: 1\n\"a\": 3\n", "2:1", `"a" is there twice`},
		"key twice, deep":    {"a:\n  - b: 1\n    b: 2\n", "3:5", `"b" is there twice`},
		"anchor":             {"a: &x 1\n", "1:4", "anchors"},
		"alias":              {"a: &x 1\nb: *x\n", "1:4", "anchors"},
		"merge key":          {"a:\n  <<: {b: 1}\n", "2:3", "not a plain key"},
		"tag":                {"a: !!str 1\n", "1:4", "tags"},
		"own tag":            {"a: !run 1\n", "1:4", "tags"},
		"tag on a mapping":   {"a: !!map {b: 1}\n", "1:4", "tags"},
		"key of a list":      {"? [a, b]\n: 1\n", "1:3", "not a plain key"},
		"empty key":          {"\"\": 1\n", "1:1", "not a plain key"},
		"second document":    {"a: 1\n---\na: 2\n", "2:1", "second document"},
		"tab as indentation": {"a:\n\tb: 1\n", "2:1", "cannot start any token"},
		"not closed":         {"a: [1, 2\n", "1:1", "did not find"},
		"nested deep":        {"a: " + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "\n", "1:20", "nested deeper than 16"},
		"large":              {strings.Repeat("#", MaxFile+1), "1:1", "limit is 1048576"},
		"bytes, no text":     {"a: \xff\n", "1:1", "UTF-8"},
	} {
		_, err := Parse("policy.yaml", []byte(c.text))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Why, c.why) || !strings.HasPrefix(err.Error(), "policy.yaml:"+c.place+": ") {
			t.Errorf("%s: %v, want %s: …%s…", name, err, c.place, c.why)
		}
	}
}

// An alias bomb is refused before anything of it is expanded.
func TestAliasBomb(t *testing.T) {
	text := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for i := 'b'; i < 'z'; i++ {
		text += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", i-1), 9), ", "))
	}
	if _, err := Parse("f", []byte(text)); err == nil || !strings.Contains(err.Error(), "anchors") {
		t.Error(err)
	}
}

// value is the value of the one key of a file.
func value(t testing.TB, text string) Node {
	t.Helper()
	root, err := Parse("f", []byte("k: "+text+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out Node
	if err := root.Fields([]string{"k"}, func(_ string, v Node) error { out = v; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestScalars(t *testing.T) {
	text := func(n Node) (any, error) { return n.Text() }
	number := func(n Node) (any, error) { return n.Int(0, 100) }
	truth := func(n Node) (any, error) { return n.Bool() }
	moment := func(n Node) (any, error) { return n.Time() }
	length := func(n Node) (any, error) { return n.Duration(24 * time.Hour) }
	word := func(n Node) (any, error) { return n.OneOf("tier", []string{"low", "high"}) }
	for _, c := range []struct {
		read func(Node) (any, error)
		text string
		want any // nil when it is refused
	}{
		{text, "no", "no"}, {text, "NO", "NO"}, {text, "010", "010"}, {text, "1.10", "1.10"}, {text, "2026-01-01", "2026-01-01"},
		{text, `"~"`, "~"}, {text, `'null'`, "null"}, {text, "~", nil}, {text, "null", nil}, {text, `""`, nil}, {text, "[]", nil}, {text, "{}", nil},
		{number, "0", 0}, {number, "100", 100}, {number, "101", nil}, {number, "-1", nil}, {number, "+1", nil}, {number, "010", nil},
		{number, "0x10", nil}, {number, "1e1", nil}, {number, "1.0", nil}, {number, `"1"`, nil}, {number, "1_0", nil}, {number, "[1]", nil},
		{number, "99999999999999999999", nil},
		{truth, "true", true}, {truth, "false", false}, {truth, "True", nil}, {truth, "yes", nil}, {truth, `"true"`, nil}, {truth, "1", nil},
		{moment, "2026-01-31T00:00:00Z", time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}, {moment, "2026-01-31", nil},
		{moment, "2026-01-31T00:00:00+02:00", nil}, {moment, "2026-02-31T00:00:00Z", nil}, {moment, "2026-01-31 00:00:00Z", nil},
		{length, "15m", 15 * time.Minute}, {length, "24h", 24 * time.Hour}, {length, "25h", nil}, {length, "0s", nil}, {length, "-1m", nil}, {length, "15", nil},
		{word, "low", "low"}, {word, "Low", nil}, {word, "lowest", nil},
	} {
		got, err := c.read(value(t, c.text))
		var e *Error
		switch {
		case c.want == nil && !errors.As(err, &e):
			t.Errorf("%s is read as %v, want an error (%v)", c.text, got, err)
		case c.want != nil && (err != nil || got != c.want):
			t.Errorf("%s is read as %v (%v), want %v", c.text, got, err, c.want)
		case c.want == nil && (e.Line != 1 || e.Column != 4):
			t.Errorf("%s: the place is %d:%d, want 1:4", c.text, e.Line, e.Column)
		}
	}
}

func TestFieldsNameWhatTheyDoNotKnow(t *testing.T) {
	root, err := Parse("f", []byte("teirs: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = root.Fields([]string{"tiers", "rules"}, func(string, Node) error { t.Error("an unknown key is read"); return nil })
	if want := `f:1:1: unknown key "teirs"; did you mean "tiers"?`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := value(t, "[a, b, a]").Texts(); err == nil || !strings.Contains(err.Error(), `1:11: "a" is there twice`) {
		t.Error(err)
	}
	if err := value(t, "a").Items(nil); err == nil {
		t.Error("a text is read as a list")
	}
	if err := value(t, "a").Fields(nil, nil); err == nil {
		t.Error("a text is read as a mapping")
	}
}

// No input makes the reader fail in another way than with a place.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1", "a: [b, {c: d}]", "a: &x\n", "---\n...\n---\n", "? a\n: b", "a: |\n  x\n", "a: !!binary x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := Parse("f", text)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
				t.Errorf("%v has no place", err)
			}
			return
		}
		walk(t, v, 0)
	})
}

// walk reads every value in every way.
func walk(t *testing.T, v Node, depth int) {
	if depth > maxDepth+1 {
		t.Fatal("deeper than allowed")
	}
	_, _ = v.Text()
	_, _ = v.Texts()
	_, _ = v.Int(0, 9)
	_, _ = v.Bool()
	_, _ = v.Time()
	_, _ = v.Duration(time.Hour)
	_ = v.Items(func(item Node) error { walk(t, item, depth+1); return nil })
	if v.n.Kind == 0 {
		t.Fatal("a node of no kind")
	}
	seen := map[string]bool{}
	for i := 0; v.n.Kind == yaml.MappingNode && i+1 < len(v.n.Content); i += 2 {
		if seen[v.n.Content[i].Value] {
			t.Fatal("a key twice")
		}
		seen[v.n.Content[i].Value] = true
		walk(t, Node{v.file, v.n.Content[i+1]}, depth+1)
	}
}
