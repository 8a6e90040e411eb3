package authorfacts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// GitAIRef is the ref under which git-ai keeps its notes.
const GitAIRef = "refs/notes/ai"

// A GitAINote is an authorship log of git-ai, `authorship/3.x`: a text part that gives
// lines of files to keys, a line "---", and a JSON document that says what the keys
// are. Lines without a key are untracked, not human.
type GitAINote struct {
	Base  string // the commit that the note says it was made for
	Files []AttributedFile
	// Writers are what the keys stand for, by key. A key of the text part that the
	// document does not explain is an agent, unless it begins with "h_".
	Writers map[string]Writer
}

// An AttributedFile is the part of a note that speaks of one file.
type AttributedFile struct {
	Path    string
	Entries []AttributedLines
}

// AttributedLines are lines of a file, sorted, that one key wrote.
type AttributedLines struct {
	Key   string // as it is written; a session's has "::" and a trace behind it
	Spans []gitfacts.Span
}

// A Writer is what a key stands for.
type Writer struct {
	Human                bool
	Tool, Model, Session string
	Person               string // who ran the agent, or the human it is
}

// gitAIDocument is the JSON part. Fields that are not used here are skipped.
type gitAIDocument struct {
	Schema   string                  `json:"schema_version"`
	Base     string                  `json:"base_commit_sha"`
	Prompts  map[string]gitAISession `json:"prompts"`
	Sessions map[string]gitAISession `json:"sessions"`
	Humans   map[string]struct {
		Author string `json:"author"`
	} `json:"humans"`
}

type gitAISession struct {
	Agent struct {
		Tool  string `json:"tool"`
		ID    string `json:"id"`
		Model string `json:"model"`
	} `json:"agent_id"`
	Human string `json:"human_author"`
}

const gitAISchema = "authorship/3."

// ParseGitAINote reads a note of git-ai. The text part may be empty, and then the
// note begins with "---". Errors are of type *attest.FieldError.
func ParseGitAINote(text []byte) (*GitAINote, error) {
	lines, document, ok := cutNote(string(text))
	if !ok {
		return nil, noteErr("has no line \"---\" before its JSON part")
	}
	n := &GitAINote{Writers: make(map[string]Writer)}
	var d gitAIDocument
	if err := attest.DecodeForeign("note", []byte(document), &d); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(d.Schema, gitAISchema) {
		return nil, &attest.FieldError{Fault: attest.Unsupported, Field: "note.schema_version", Why: fmt.Sprintf("%.80q is not %sx", d.Schema, gitAISchema)}
	}
	if len(d.Prompts)+len(d.Sessions)+len(d.Humans) > maxKeys {
		return nil, &attest.FieldError{Fault: attest.TooLarge, Field: "note", Why: fmt.Sprintf("explains more than %d keys", maxKeys)}
	}
	n.Base = d.Base
	for key, h := range d.Humans {
		n.Writers[key] = Writer{Human: true, Person: h.Author}
	}
	for _, list := range []map[string]gitAISession{d.Prompts, d.Sessions} {
		for key, s := range list { // an agent where a human has the same key: the stronger suspicion
			n.Writers[key] = Writer{Tool: s.Agent.Tool, Model: s.Agent.Model, Session: s.Agent.ID, Person: s.Human}
		}
	}
	return n, n.readFiles(lines)
}

// cutNote divides a note at its first line "---".
func cutNote(text string) (lines, document string, ok bool) {
	if rest, begins := strings.CutPrefix(text, "---\n"); begins {
		return "", rest, true
	}
	return strings.Cut(text, "\n---\n")
}

func noteErr(format string, args ...any) error {
	return &attest.FieldError{Fault: attest.Malformed, Field: "note", Why: fmt.Sprintf(format, args...)}
}

// readFiles reads the text part: a path at the start of a line, and below it, indented
// by two spaces, a key and its lines.
func (n *GitAINote) readFiles(text string) error {
	ranges := 0
	for i, line := range strings.Split(text, "\n") {
		entry, indented := strings.CutPrefix(line, "  ")
		switch {
		case strings.TrimSpace(line) == "":
		case !indented:
			path, err := notePath(line)
			if err != nil {
				return noteErr("line %d: %v", i+1, err)
			}
			if len(n.Files) == maxFiles {
				return noteErr("has more than %d files", maxFiles)
			}
			n.Files = append(n.Files, AttributedFile{Path: path})
		case len(n.Files) == 0:
			return noteErr("line %d gives lines of no file", i+1)
		default:
			key, spec, _ := strings.Cut(entry, " ")
			spans, err := ParseSpans(spec)
			if err != nil || key == "" {
				return noteErr("line %d: %q is no key and lines (%v)", i+1, name(entry), err)
			}
			if ranges += len(spans); ranges > maxRanges {
				return noteErr("has more than %d ranges of lines", maxRanges)
			}
			f := &n.Files[len(n.Files)-1]
			f.Entries = append(f.Entries, AttributedLines{Key: key, Spans: spans})
		}
	}
	return nil
}

func notePath(line string) (string, error) {
	path := line
	if strings.HasPrefix(line, `"`) {
		inner, ok := strings.CutSuffix(line[1:], `"`)
		if path = inner; !ok || strings.Contains(inner, `"`) {
			return "", fmt.Errorf("path %.80q has a quote that does not close", line)
		}
	}
	return path, checkPath(path)
}

// checkPath refuses what is no path below the root of a repository.
func checkPath(path string) error {
	switch {
	case path == "" || len(path) > maxPath:
		return fmt.Errorf("a path has 1 to %d bytes, this has %d", maxPath, len(path))
	case strings.HasPrefix(path, "/") || slices.Contains(strings.Split(path, "/"), ".."):
		return fmt.Errorf("path %.80q leaves the repository", path)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("path %.80q holds a NUL", path)
	}
	return nil
}

// ParseSpans reads lines as git-ai writes them: "4", "1-10", "1-10,15,20-30". They
// count from 1 and ascend without overlapping.
func ParseSpans(s string) ([]gitfacts.Span, error) {
	var out []gitfacts.Span
	last := 0
	for part := range strings.SplitSeq(s, ",") {
		a, b, two := strings.Cut(part, "-")
		first, err := lineNumber(a)
		end := first
		if err == nil && two {
			end, err = lineNumber(b)
		}
		if err != nil {
			return nil, err
		}
		if first <= last || end < first {
			return nil, fmt.Errorf("lines %.40q are not in order", part)
		}
		if len(out) == maxRanges {
			return nil, fmt.Errorf("more than %d ranges of lines", maxRanges)
		}
		out, last = append(out, gitfacts.Span{First: first, Last: end}), end
	}
	return out, nil
}

func lineNumber(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLine || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("%.40q is no line", s)
	}
	return n, nil
}

// Findings are what the note says of a commit: one for each writer, and one for all
// writers whom it does not explain. A session that left no line was still observed.
func (n *GitAINote) Findings(commit gitfacts.ID, where string) []Finding {
	byKey := make(map[string]*Finding)
	for key, w := range n.Writers {
		byKey[key] = n.finding(key, w, commit, where)
	}
	for _, f := range n.Files {
		for _, e := range f.Entries {
			key := e.Key
			if _, known := byKey[key]; !known {
				key, _, _ = strings.Cut(key, "::")
			}
			if byKey[key] == nil {
				byKey[key] = n.finding(key, Writer{Human: strings.HasPrefix(key, "h_")}, commit, where)
				byKey[key].Detail = "a key that the note does not explain"
			}
			found := byKey[key]
			found.attributed[f.Path] = append(found.attributed[f.Path], e.Spans...)
		}
	}
	out := make([]Finding, 0, len(byKey))
	for _, key := range sortedKeys(byKey) {
		out = append(out, *byKey[key])
	}
	return out
}

func (n *GitAINote) finding(key string, w Writer, commit gitfacts.ID, where string) *Finding {
	f := &Finding{
		Grade: attest.GradeObservedSession, Origin: attest.OriginAI, Commit: commit, Where: where + " " + name(key),
		Tool: strings.ToLower(name(w.Tool)), Model: name(w.Model), Session: name(w.Session), Person: name(w.Person),
		attributed: make(map[string][]gitfacts.Span),
	}
	if w.Human {
		f.Origin = attest.OriginHuman
	}
	return f
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
