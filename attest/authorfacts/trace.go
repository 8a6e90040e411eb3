package authorfacts

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// TraceRef is the ref under which Agent Trace records are looked for as git notes. The
// format leaves open where records are kept; a file may be named as well.
const TraceRef = "refs/notes/agent-trace"

// MaxTraces bounds a file of records, in bytes.
const MaxTraces = 16 << 20

// A Trace is one Agent Trace record (application/vnd.agent-trace.record+json, versions
// 0.1 and 1.0). Fields that are not used here are skipped.
type Trace struct {
	Version string `json:"version"`
	ID      string `json:"id"`
	VCS     struct {
		Type     string `json:"type"`
		Revision string `json:"revision"`
	} `json:"vcs"`
	Tool struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"tool"`
	Files []TracedFile `json:"files"`
}

// A TracedFile is what a record says of one file.
type TracedFile struct {
	Path          string         `json:"path"`
	Conversations []Conversation `json:"conversations"`
}

// A Conversation is one session with an agent.
type Conversation struct {
	URL         string        `json:"url"`
	Contributor *Contributor  `json:"contributor"`
	Ranges      []TracedRange `json:"ranges"`
}

// A Contributor says who wrote a range: human, ai, mixed or unknown.
type Contributor struct {
	Type  attest.Origin `json:"type"`
	Model string        `json:"model_id"`
}

// A TracedRange are lines of a file, and who wrote them where it was not the
// conversation's contributor.
type TracedRange struct {
	Start       int          `json:"start_line"`
	End         int          `json:"end_line"`
	Contributor *Contributor `json:"contributor"`
}

var traceVersion = regexp.MustCompile(`^(0\.1|1\.0)(\.\d+)?$`)

// ParseTraces reads records: one JSON document, or one a line. Errors are of type
// *attest.FieldError and name the line.
func ParseTraces(text []byte) ([]*Trace, error) {
	if len(text) > MaxTraces {
		return nil, &attest.FieldError{Fault: attest.TooLarge, Field: "trace", Why: fmt.Sprintf("has %d bytes; the limit is %d", len(text), MaxTraces)}
	}
	if t, err := parseTrace("trace", text); err == nil {
		return []*Trace{t}, nil
	} else if !bytes.Contains(bytes.TrimSpace(text), []byte("}\n")) {
		return nil, err
	}
	var out []*Trace
	for i, line := range bytes.Split(text, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		t, err := parseTrace(fmt.Sprintf("line %d", i+1), line)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func parseTrace(field string, text []byte) (*Trace, error) {
	t := &Trace{}
	if err := attest.DecodeForeign(field, text, t); err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) (*Trace, error) {
		return nil, &attest.FieldError{Fault: attest.Malformed, Field: field, Why: fmt.Sprintf(format, args...)}
	}
	if !traceVersion.MatchString(t.Version) {
		return nil, &attest.FieldError{Fault: attest.Unsupported, Field: field + ".version", Why: fmt.Sprintf("%.40q is none of 0.1 and 1.0", t.Version)}
	}
	if t.ID == "" || len(t.Files) > maxFiles {
		return bad("has no id, or more than %d files", maxFiles)
	}
	ranges := 0
	for _, f := range t.Files {
		if err := checkPath(f.Path); err != nil {
			return bad("%v", err)
		}
		for _, c := range f.Conversations {
			if ranges += len(c.Ranges); ranges > maxRanges {
				return bad("has more than %d ranges of lines", maxRanges)
			}
			if !c.Contributor.valid() {
				return bad("contributor %.40q is none of human, ai, mixed and unknown", c.Contributor.Type)
			}
			for _, r := range c.Ranges {
				if r.Start < 1 || r.End < r.Start || r.End > maxLine || !r.Contributor.valid() {
					return bad("lines %d to %d of %.80q are no lines, or by nobody that it may name", r.Start, r.End, f.Path)
				}
			}
		}
	}
	return t, nil
}

func (c *Contributor) valid() bool {
	if c == nil {
		return true
	}
	switch c.Type {
	case attest.OriginHuman, attest.OriginAI, attest.OriginMixed, attest.OriginUnknown:
		return true
	}
	return false
}

// SpeaksOf reports whether the record is about a commit, and whether its lines are
// numbered as in it. Tools write a record while they work, with the commit that they
// work on: then it is the first parent's, and its lines may have moved since.
func (t *Trace) SpeaksOf(c *gitfacts.Commit) (about, exact bool) {
	if t.VCS.Type != "git" {
		return false, false
	}
	rev := gitfacts.ID(strings.ToLower(t.VCS.Revision))
	return rev == c.ID || len(c.Parents) > 0 && rev == c.Parents[0], rev == c.ID
}

// Findings are what the record says of a commit: one for each contributor of each
// conversation. Without exact only the files in touched count, and no lines.
func (t *Trace) Findings(commit gitfacts.ID, where string, exact bool, touched map[string]bool) []Finding {
	type key struct{ url, model, origin string }
	byKey := make(map[key]*Finding)
	var order []*Finding
	for _, f := range t.Files {
		if !exact && !touched[f.Path] {
			continue
		}
		for _, c := range f.Conversations {
			for _, r := range c.whole() {
				by := r.Contributor
				if by == nil {
					by = c.Contributor
				}
				if by == nil { // a record of an agent's trace that names nobody
					by = &Contributor{Type: attest.OriginUnknown}
				}
				k := key{c.URL, by.Model, string(by.Type)}
				found := byKey[k]
				if found == nil {
					found = t.finding(commit, where, c.URL, by)
					byKey[k] = found
					order = append(order, found)
				}
				if exact && r.Start > 0 {
					found.attributed[f.Path] = append(found.attributed[f.Path], gitfacts.Span{First: r.Start, Last: r.End})
				}
			}
		}
	}
	out := make([]Finding, len(order))
	for i, f := range order {
		if out[i] = *f; !exact {
			out[i].attributed = nil
			out[i].Detail = "written while its parent was checked out, so its lines are not counted"
		}
	}
	return out
}

// whole are the ranges of a conversation, or one without lines where it has none.
func (c Conversation) whole() []TracedRange {
	if len(c.Ranges) == 0 {
		return []TracedRange{{}}
	}
	return c.Ranges
}

func (t *Trace) finding(commit gitfacts.ID, where, url string, by *Contributor) *Finding {
	return &Finding{
		Grade: attest.GradeObservedSession, Origin: by.Type, Commit: commit, Where: where + " " + name(t.ID),
		Tool: strings.ToLower(name(t.Tool.Name)), Model: name(by.Model), Version: name(t.Tool.Version), Session: name(url),
		attributed: make(map[string][]gitfacts.Span),
	}
}
