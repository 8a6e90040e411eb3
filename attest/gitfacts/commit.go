package gitfacts

import (
	"bytes"
	"fmt"
	"slices"
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
	if err := checkHeaders(lines[i:]); err != nil {
		return bad("%v", err)
	}
	c.Signature, c.Signed = splitSignature(id, body)
	c.CoAuthors = coAuthors(c.Message)
	return c, nil
}

// checkHeaders looks at the headers behind the committer. Those that git gives a
// meaning come once, and none of the first ones comes again.
func checkHeaders(lines []string) error {
	seen := make(map[string]bool)
	for i, l := range lines {
		if i > 0 && strings.HasPrefix(l, " ") {
			continue // belongs to the header above
		}
		key, _, ok := strings.Cut(l, " ")
		if !ok || key == "" {
			return fmt.Errorf("header %.40q", l)
		}
		switch key {
		case "tree", "parent", "author", "committer":
			return fmt.Errorf("header %.40q out of order", l)
		case "encoding", "gpgsig", "gpgsig-sha256":
			if seen[key] {
				return fmt.Errorf("header %s twice", key)
			}
			seen[key] = true
		}
	}
	return nil
}

// maxSeconds is the last second of the year 9999, the last that texts can tell.
const maxSeconds = 253402300799

// parsePerson reads "name <address> seconds zone" as git writes it. An angle
// bracket anywhere else would let two readers see two addresses, so it is an error.
func parsePerson(s string) (Person, error) {
	name, rest, ok1 := strings.Cut(s, "<")
	email, when, ok2 := strings.Cut(rest, ">")
	if !ok1 || !ok2 {
		return Person{}, fmt.Errorf("%.80q has no address", s)
	}
	if strings.ContainsAny(name+email+when, "<>") {
		return Person{}, fmt.Errorf("%.80q has more than one address", s)
	}
	seconds, zone, ok := strings.Cut(strings.TrimPrefix(when, " "), " ")
	n, err := strconv.ParseUint(seconds, 10, 63)
	if !ok || err != nil || n > maxSeconds || !validZone(zone) {
		return Person{}, fmt.Errorf("%.80q has no time", s)
	}
	return Person{Name: strings.TrimSpace(name), Email: strings.TrimSpace(email), When: time.Unix(int64(n), 0).UTC()}, nil
}

// validZone takes a sign and four digits; old tools wrote up to six.
func validZone(zone string) bool {
	return len(zone) >= 5 && len(zone) <= 7 && (zone[0] == '+' || zone[0] == '-') && strings.Trim(zone[1:], "0123456789") == ""
}

// splitSignature returns the signature of a commit and the bytes that it covers:
// the object without any signature, as git takes it (Documentation/
// gitformat-signature). A repository's hash decides under which header it stands.
func splitSignature(id ID, body []byte) (string, []byte) {
	end := bytes.Index(body, []byte("\n\n"))
	if end < 0 || !bytes.Contains(body[:end], []byte("\ngpgsig")) {
		return "", nil
	}
	ours := []byte("gpgsig ")
	if len(id) == 64 {
		ours = []byte("gpgsig-sha256 ")
	}
	var sig []string
	var signed []byte
	in, mine := false, false // inside a signature; inside the one that counts
	for rest := body[:end+1]; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		continued := bytes.HasPrefix(line, []byte(" "))
		if !continued {
			in = bytes.HasPrefix(line, []byte("gpgsig"))
			mine = bytes.HasPrefix(line, ours)
		}
		switch {
		case mine && continued:
			sig = append(sig, string(line[1:]))
		case mine:
			sig = append(sig, string(line[len(ours):]))
		case !in:
			signed = append(append(signed, line...), '\n')
		}
	}
	return strings.Join(sig, "\n"), append(signed, body[end+1:]...)
}

// trailer is one "Key: value" line of a message.
type trailer struct{ key, value string }

// maxTrailer bounds how long lines are joined to a trailer, in bytes.
const maxTrailer = 4096

// trailers returns every line of a message that looks like a trailer, wherever
// it stands, joined with the indented lines that continue it. Git takes only the
// last paragraph, and squashing moves trailers out of it; what they say can only
// tighten, so more is better.
func trailers(message string) []trailer {
	var out []trailer
	follows := false // the line above was a trailer or continued one
	for line := range strings.SplitSeq(message, "\n") {
		text := strings.TrimSpace(line)
		if follows && text != "" && line[0] != text[0] && len(out[len(out)-1].value) < maxTrailer {
			out[len(out)-1].value += " " + text
		}
		key, value, ok := strings.Cut(text, ":")
		key = strings.TrimSpace(key)
		if ok && key != "" && !strings.ContainsAny(key, " \t/<") {
			// An indented one may be a continuation: then it counts as both.
			own := trailer{strings.ToLower(key), strings.TrimSpace(value)}
			if follows && line[0] != text[0] {
				out = slices.Insert(out, len(out)-1, own)
			} else {
				out, follows = append(out, own), true
			}
			continue
		}
		follows = follows && text != "" && line[0] != text[0]
	}
	return out
}

// addressees returns the people that a trailer's value names: whatever stands in
// angle brackets, or, where nothing does, each word with an @ in it.
func addressees(value string) []Person {
	var out []Person
	for rest := value; ; {
		name, after, ok := strings.Cut(rest, "<")
		email, behind, closed := strings.Cut(after, ">")
		if !ok || !closed {
			break
		}
		out = append(out, Person{Name: strings.Trim(name, " \t,;"), Email: strings.TrimSpace(email[strings.LastIndexByte(email, '<')+1:])})
		rest = behind
	}
	if len(out) > 0 {
		return out
	}
	for word := range strings.FieldsSeq(value) {
		if word = strings.Trim(word, "<>(),;"); strings.Contains(word, "@") {
			out = append(out, Person{Email: word})
		}
	}
	return out
}

func coAuthors(message string) []Person {
	var out []Person
	for _, t := range trailers(message) {
		if t.key == "co-authored-by" {
			out = append(out, addressees(t.value)...)
		}
	}
	return out
}

// Title is the first line of the message.
func (c Commit) Title() string {
	title, _, _ := strings.Cut(strings.TrimLeft(c.Message, "\n"), "\n")
	return title
}
