package gitfacts

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseCommit reads a raw commit object. Its headers must come in git's order;
// unknown ones are passed over.
func parseCommit(id ID, body []byte) (Commit, error) {
	c := Commit{ID: id}
	bad := func(format string, args ...any) (Commit, error) {
		return Commit{}, &Error{Object: id, Why: fmt.Sprintf("is no commit: "+format, args...)}
	}
	head, message, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		if head, ok = bytes.CutSuffix(body, []byte("\n")); !ok {
			return bad("no end of headers")
		}
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return bad("NUL in its headers")
	}
	c.Message = string(message)
	lines := strings.Split(string(head), "\n")
	i := 0
	next := func(key string) (string, bool) {
		if i >= len(lines) {
			return "", false
		}
		v, ok := strings.CutPrefix(lines[i], key+" ")
		if ok {
			i++
		}
		return v, ok
	}
	tree, ok := next("tree")
	if c.Tree = ID(tree); !ok || !validID(c.Tree) || len(tree) != len(id) {
		return bad("its first header is not a tree")
	}
	for p, ok := next("parent"); ok; p, ok = next("parent") {
		if !validID(ID(p)) || len(p) != len(id) {
			return bad("parent %.80q", p)
		}
		c.Parents = append(c.Parents, ID(p))
	}
	author, ok1 := next("author")
	committer, ok2 := next("committer")
	if !ok1 || !ok2 {
		return bad("author and committer must follow its parents")
	}
	var err error
	if c.Author, err = parsePerson(author); err != nil {
		return bad("author %v", err)
	}
	if c.Committer, err = parsePerson(committer); err != nil {
		return bad("committer %v", err)
	}
	for _, l := range lines[i:] {
		if strings.HasPrefix(l, "tree ") || strings.HasPrefix(l, "parent ") || strings.HasPrefix(l, "author ") || strings.HasPrefix(l, "committer ") {
			return bad("header %.40q out of order", l)
		}
	}
	c.Signature, c.Signed = splitSignature(body)
	c.CoAuthors = coAuthors(c.Message)
	return c, nil
}

func parsePerson(s string) (Person, error) {
	open, shut := strings.Index(s, "<"), strings.LastIndex(s, ">")
	if open < 0 || shut < open {
		return Person{}, fmt.Errorf("%.80q has no address", s)
	}
	p := Person{Name: strings.TrimSpace(s[:open]), Email: strings.TrimSpace(s[open+1 : shut])}
	seconds, _, _ := strings.Cut(strings.TrimSpace(s[shut+1:]), " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Person{}, fmt.Errorf("%.80q has no time", s)
	}
	p.When = time.Unix(n, 0).UTC()
	return p, nil
}

// splitSignature returns the gpgsig header of a commit and the bytes that it
// covers: the object without that header.
func splitSignature(body []byte) (string, []byte) {
	if !bytes.Contains(body, []byte("\ngpgsig")) {
		return "", nil
	}
	end := bytes.Index(body, []byte("\n\n"))
	var sig []string
	var signed []byte
	inSig := false
	rest := body[:end+1]
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		switch v, ok := bytes.CutPrefix(line, []byte("gpgsig ")); {
		case ok:
			sig, inSig = append(sig, string(v)), true
			continue
		case inSig && bytes.HasPrefix(line, []byte(" ")):
			sig = append(sig, string(line[1:]))
			continue
		}
		inSig = false
		signed = append(append(signed, line...), '\n')
	}
	return strings.Join(sig, "\n"), append(signed, body[end+1:]...)
}

// trailer is one "Key: value" line of a message.
type trailer struct{ key, value string }

// trailers returns every line of a message that looks like a trailer, wherever
// it stands. Git takes only the last paragraph, and squashing moves trailers out of
// it; what they say can only tighten, so more is better.
func trailers(message string) []trailer {
	var out []trailer
	for line := range strings.SplitSeq(message, "\n") {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && key != "" && !strings.ContainsAny(key, " \t/") {
			out = append(out, trailer{strings.ToLower(key), strings.TrimSpace(value)})
		}
	}
	return out
}

func coAuthors(message string) []Person {
	var out []Person
	for _, t := range trailers(message) {
		if t.key != "co-authored-by" {
			continue
		}
		if p, err := parsePerson(t.value + " 0 +0000"); err == nil {
			p.When = time.Time{}
			out = append(out, p)
		}
	}
	return out
}

// Title is the first line of the message.
func (c Commit) Title() string {
	title, _, _ := strings.Cut(strings.TrimLeft(c.Message, "\n"), "\n")
	return title
}
