// Package strictyaml reads YAML 1.2 files whose meaning must not depend on the
// reader: no anchors, aliases, tags or merge keys, no duplicate or unknown keys,
// and scalars by our own rules: `no` is a word, `010` is refused. Every error
// names the file, line and column.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits on a file.
const (
	MaxFile  = 1 << 20 // bytes
	maxDepth = 16
	maxItems = 100_000 // of one list
)

// An Error is a fault at one place of a file.
type Error struct {
	File         string
	Line, Column int
	Why          string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Why) }

// A Node is one value of a file, with its place.
type Node struct {
	file string
	n    *yaml.Node
}

// Parse reads the one document of a file.
func Parse(file string, text []byte) (Node, error) {
	at := func(line, column int, format string, args ...any) (Node, error) {
		return Node{}, &Error{file, line, column, fmt.Sprintf(format, args...)}
	}
	if len(text) > MaxFile {
		return at(1, 1, "has %d bytes; the limit is %d", len(text), MaxFile)
	}
	// The library expands nothing while it builds nodes, so an alias bomb is
	// still small here, and refused below.
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return at(1, 1, "is empty")
		}
		line, why := placed(err)
		return at(line, 1, "%s", why)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return at(max(more.Line, 1), max(more.Column, 1), "holds a second document")
	}
	if len(doc.Content) != 1 {
		return at(1, 1, "is empty")
	}
	root := Node{file, doc.Content[0]}
	return root, root.check(0)
}

// placed takes an error of the library apart: "yaml: line 2: why".
func placed(err error) (line int, why string) {
	why = strings.TrimPrefix(err.Error(), "yaml: ")
	if number, rest, ok := strings.Cut(strings.TrimPrefix(why, "line "), ": "); ok {
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			return n, rest
		}
	}
	return 1, why
}

// check refuses what no file of ours may hold, at any depth.
func (v Node) check(depth int) error {
	switch {
	case depth > maxDepth:
		return v.Errorf("is nested deeper than %d levels", maxDepth)
	case v.n.Kind == yaml.AliasNode || v.n.Anchor != "":
		return v.Errorf("anchors and aliases are not allowed")
	case v.n.Style&yaml.TaggedStyle != 0:
		return v.Errorf("tags are not allowed")
	case len(v.n.Content) > maxItems:
		return v.Errorf("has more than %d items", maxItems)
	}
	seen := make(map[string]bool)
	for i, c := range v.n.Content {
		child := Node{v.file, c}
		if v.n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode || c.Value == "<<" || c.Value == "" {
				return child.Errorf("is not a plain key")
			}
			if seen[c.Value] {
				return child.Errorf("key %q is there twice", c.Value)
			}
			seen[c.Value] = true
		}
		if err := child.check(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// Errorf makes an error at this node's place.
func (v Node) Errorf(format string, args ...any) error {
	e := &Error{File: v.file, Line: 1, Column: 1, Why: fmt.Sprintf(format, args...)}
	if v.n != nil {
		e.Line, e.Column = v.n.Line, v.n.Column
	}
	return e
}

// Place is "line:column".
func (v Node) Place() string { return fmt.Sprintf("%d:%d", v.n.Line, v.n.Column) }

// Fields calls read for each key of a mapping. read returns false for a key that
// it does not know, which is an error here; known are offered as a hint.
func (v Node) Fields(known []string, read func(key string, value Node) error) error {
	if v.n.Kind != yaml.MappingNode {
		return v.Errorf("must be a mapping of keys to values")
	}
	for i := 0; i+1 < len(v.n.Content); i += 2 {
		key, value := Node{v.file, v.n.Content[i]}, Node{v.file, v.n.Content[i+1]}
		if !contains(known, key.n.Value) {
			return key.Errorf("unknown key %q%s", key.n.Value, Suggest(key.n.Value, known))
		}
		if err := read(key.n.Value, value); err != nil {
			return err
		}
	}
	return nil
}

// Items calls read for each item of a list.
func (v Node) Items(read func(item Node) error) error {
	if v.n.Kind != yaml.SequenceNode {
		return v.Errorf("must be a list")
	}
	for _, c := range v.n.Content {
		if err := read(Node{v.file, c}); err != nil {
			return err
		}
	}
	return nil
}

// Text is a scalar as it is written. Empty and null scalars are refused.
func (v Node) Text() (string, error) {
	if v.n.Kind != yaml.ScalarNode {
		return "", v.Errorf("must be a text")
	}
	plain := v.n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if v.n.Value == "" || plain && (v.n.Value == "~" || v.n.Value == "null") {
		return "", v.Errorf("is empty")
	}
	return v.n.Value, nil
}

// Texts is a list of distinct texts.
func (v Node) Texts() ([]string, error) {
	var out []string
	err := v.Items(func(item Node) error {
		s, err := item.Text()
		if err != nil {
			return err
		}
		if contains(out, s) {
			return item.Errorf("%q is there twice", s)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// Int is a plain decimal integer from lo to hi: no sign, no leading zero, no
// quotes, no fraction.
func (v Node) Int(lo, hi int) (int, error) {
	n, err := 0, error(nil)
	if v.n.Kind == yaml.ScalarNode && v.n.Style == 0 {
		n, err = strconv.Atoi(v.n.Value)
	}
	if v.n.Kind != yaml.ScalarNode || v.n.Style != 0 || err != nil || strconv.Itoa(n) != v.n.Value || n < lo || n > hi {
		return 0, v.Errorf("%.40q is not a whole number from %d to %d", v.n.Value, lo, hi)
	}
	return n, nil
}

// Bool is true or false, without quotes.
func (v Node) Bool() (bool, error) {
	if v.n.Kind == yaml.ScalarNode && v.n.Style == 0 && (v.n.Value == "true" || v.n.Value == "false") {
		return v.n.Value == "true", nil
	}
	return false, v.Errorf("%.40q is not true or false", v.n.Value)
}

// Time is RFC 3339 in UTC with a Z.
func (v Node) Time() (time.Time, error) {
	s, err := v.Text()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !strings.HasSuffix(s, "Z") {
		return time.Time{}, v.Errorf("%.40q is not a time such as 2026-01-31T00:00:00Z", s)
	}
	return t.UTC(), nil
}

// Duration is a Go duration such as 15m or 720h, above zero and at most limit.
func (v Node) Duration(limit time.Duration) (time.Duration, error) {
	s, err := v.Text()
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > limit {
		return 0, v.Errorf("%.40q is not a duration such as 15m, up to %s", s, limit)
	}
	return d, nil
}

// OneOf is a text out of a list.
func (v Node) OneOf(what string, allowed []string) (string, error) {
	s, err := v.Text()
	if err != nil {
		return "", err
	}
	if !contains(allowed, s) {
		return "", v.Errorf("%s %q is unknown%s", what, s, Suggest(s, allowed))
	}
	return s, nil
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// Suggest makes a hint from the known words nearest to a mistyped one.
func Suggest(word string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	if len(known) == 0 {
		return "; none is defined"
	}
	return "; known are " + strings.Join(known, ", ")
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
