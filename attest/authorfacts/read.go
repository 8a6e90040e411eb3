package authorfacts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// A Reader reads everything that a clone holds about who wrote its commits.
type Reader struct {
	Repo *gitfacts.Repo
	// Signs are what betrays a tool in a commit; nil stands for the built-in list.
	Signs *gitfacts.SignList
	// NoteRefs are the refs of git-ai notes, usually GitAIRef alone, and TraceRefs those
	// of notes that hold Agent Trace records.
	NoteRefs, TraceRefs []string
	// Files are further Agent Trace records, and Statements what was signed.
	Files      []TraceFile
	Statements []SignedStatement

	notes map[string]*gitfacts.Notes // opened; nil where the ref is not there
}

// A TraceFile is a file of Agent Trace records that was read.
type TraceFile struct {
	Name   string
	Traces []*Trace
}

// A SignedStatement is a statement that was read from a bundle.
type SignedStatement struct {
	Name      string
	Statement *attest.Statement
	By        Signature
}

// Absent lists the refs that are not in the clone. A clone without a ref shows
// nothing of it, which says nothing.
func (r *Reader) Absent(ctx context.Context) ([]string, error) {
	var absent []string
	for _, refs := range [][]string{r.NoteRefs, r.TraceRefs} {
		for _, ref := range refs {
			n, err := r.open(ctx, ref)
			if err != nil {
				return nil, err
			}
			if n == nil {
				absent = append(absent, ref)
			}
		}
	}
	return absent, nil
}

func (r *Reader) open(ctx context.Context, ref string) (*gitfacts.Notes, error) {
	if n, asked := r.notes[ref]; asked {
		return n, nil
	}
	n, err := r.Repo.Notes(ctx, ref)
	if errors.Is(err, gitfacts.ErrNotFound) {
		n, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.notes == nil {
		r.notes = make(map[string]*gitfacts.Notes)
	}
	r.notes[ref] = n
	return n, nil
}

// Read finds what there is about a change, and merges it into one report. Each group
// holds commits of the change as one place shows them: those of the branch, and what
// they became when they were merged. Findings are taken from all of them, and lines
// from the first group that gives any, so that none counts twice.
//
// Only a repository that cannot be read is an error; a note or trace that cannot be is
// in the report as such.
func (r *Reader) Read(ctx context.Context, groups ...[]gitfacts.Commit) (*Report, error) {
	m := newMerger(groups)
	signs := r.Signs
	if signs == nil {
		signs = gitfacts.DefaultSigns()
	}
	about := make(map[gitfacts.ID]bool)
	for i := range m.commits {
		c := &m.commits[i]
		about[c.ID] = true
		m.add(inCommit(signs, c)...)
		if err := r.beside(ctx, m, c); err != nil {
			return nil, err
		}
	}
	for _, s := range r.Statements {
		m.add(Signed(s.Statement, s.By, s.Name, about)...)
	}
	return m.report(), nil
}

// beside reads what stands beside one commit.
func (r *Reader) beside(ctx context.Context, m *merger, c *gitfacts.Commit) error {
	var added map[string][]gitfacts.Span
	lines := func() (map[string][]gitfacts.Span, error) {
		var err error
		if added == nil {
			if added, err = r.Repo.AddedLines(ctx, *c); errors.Is(err, gitfacts.ErrLimit) {
				m.unreadable(c.ID, "the lines that it adds", err)
				added, err = map[string][]gitfacts.Span{}, nil
			}
		}
		return added, err
	}
	var found []Finding
	err := r.eachNote(ctx, m, c, r.NoteRefs, func(where string, text []byte) error {
		n, err := ParseGitAINote(text)
		if err == nil {
			found = append(found, n.Findings(c.ID, where)...)
		}
		return err
	})
	if err != nil {
		return err
	}
	traced := func(where string, traces []*Trace) error {
		for _, t := range traces {
			ok, exact := t.SpeaksOf(c)
			if !ok {
				continue
			}
			added, err := lines()
			if err != nil {
				return err
			}
			touched := make(map[string]bool)
			for path := range added {
				touched[path] = true
			}
			found = append(found, t.Findings(c.ID, where, exact, touched)...)
		}
		return nil
	}
	err = r.eachNote(ctx, m, c, r.TraceRefs, func(where string, text []byte) error {
		traces, err := ParseTraces(text)
		if err != nil {
			return err
		}
		return traced(where, traces)
	})
	for _, f := range r.Files {
		if err == nil {
			err = traced(f.Name, f.Traces)
		}
	}
	if err != nil || len(found) == 0 {
		return err
	}
	added, err = lines()
	if err != nil {
		return err
	}
	m.add(found...)
	m.count(c.ID, found, added)
	return nil
}

// eachNote hands over the notes that a commit has under some refs. One that cannot be
// parsed, or is too large, is noted as unreadable.
func (r *Reader) eachNote(ctx context.Context, m *merger, c *gitfacts.Commit, refs []string, take func(where string, text []byte) error) error {
	for _, ref := range refs {
		n, err := r.open(ctx, ref)
		if err != nil || n == nil {
			if err != nil {
				return err
			}
			continue
		}
		notes, err := n.Of(ctx, c.ID)
		if errors.Is(err, gitfacts.ErrLimit) {
			m.unreadable(c.ID, ref, err)
			continue
		}
		if err != nil {
			return err
		}
		for _, note := range notes {
			err := take(ref, note.Text)
			var field *attest.FieldError
			if errors.As(err, &field) {
				m.unreadable(c.ID, fmt.Sprintf("%s blob %.12s", ref, note.ID), field)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

// inCommit are the signs that the commit object itself holds, each with its place.
func inCommit(signs *gitfacts.SignList, c *gitfacts.Commit) []Finding {
	var out []Finding
	for _, s := range signs.Signs([]gitfacts.Commit{*c}) {
		f := Finding{Grade: s.Grade, Origin: attest.OriginAI, Commit: c.ID, Tool: s.Tool, Detail: s.Detail, Where: "message"}
		switch role, _, _ := strings.Cut(s.Detail, " "); {
		case s.Grade == attest.GradeForgeAccount || s.Grade == attest.GradeTrailer && (role == "author" || role == "committer"):
			f.Where = "header " + role
		default:
			if n := lineOf(c.Message, s); n > 0 {
				f.Where = fmt.Sprintf("message line %d", n)
			}
		}
		out = append(out, f)
	}
	return out
}

// lineOf is the line of a message, from 1, that a sign stands on; 0 when it was put
// together from several places.
func lineOf(message string, s attest.AISign) int {
	key, value, _ := strings.Cut(strings.TrimPrefix(s.Detail, "violation: an agent cannot sign off: "), ": ")
	for i, line := range strings.Split(message, "\n") {
		text := gitfacts.Printable(strings.TrimSpace(line))
		if s.Grade == attest.GradeMarker {
			if strings.Contains(line, s.Detail) {
				return i + 1
			}
			continue
		}
		k, v, ok := strings.Cut(text, ":")
		switch v = strings.TrimSpace(v); {
		case !ok || v == "":
		case strings.HasPrefix(s.Detail, "violation"):
			if strings.EqualFold(strings.TrimSpace(k), "signed-off-by") && strings.HasPrefix(strings.TrimPrefix(s.Detail, "violation: an agent cannot sign off: "), v) {
				return i + 1
			}
		case strings.EqualFold(strings.TrimSpace(k), key) && (strings.HasPrefix(value, v) || strings.HasPrefix(v, value)):
			return i + 1
		}
	}
	return 0
}
