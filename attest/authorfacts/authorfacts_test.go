package authorfacts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

const head = gitfacts.ID("86a6b6302849a5aadebca21a6c56f78ba46947f7")

// Every shape of a note that git-ai has written: prompts with bare keys, sessions with
// traces, humans, quoted paths, and a note of no lines at all.
const wholeNote = `src/main.rs
  s_c9883b05a2487d::t_9f8e7d6c5b4a32 1-10,15
  h_31dce776f88375 11-12
"my file.rs"
  d9978a8723e02b52 5,7-9
  77aa77aa77aa77aa 20
---
{
  "schema_version": "authorship/3.0.0",
  "git_ai_version": "1.3.0",
  "base_commit_sha": "894ac0d1ffef96a40f340152794612ee34dc87c1",
  "prompts": {"d9978a8723e02b52": {"agent_id": {"tool": "cursor", "id": "6ef2299e", "model": "sonnet-4.5"}, "human_author": null, "accepted_lines": 4, "messages": []}},
  "sessions": {"s_c9883b05a2487d": {"agent_id": {"tool": "Claude", "id": "conv-1", "model": "opus-4.6"}, "human_author": "Alice <alice@example.com>"}},
  "humans": {"h_31dce776f88375": {"author": "Alice <alice@example.com>"}}
}
`

const emptyNote = "---\n" + `{"schema_version": "authorship/3.0.0", "base_commit_sha": "", "prompts": {"d9978a8723e02b52": {"agent_id": {"tool": "cursor", "id": "1", "model": "m"}, "accepted_lines": 0}}}`

func parseNote(t *testing.T, text string) *GitAINote {
	t.Helper()
	n, err := ParseGitAINote([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestANoteGivesEveryWriterAFinding(t *testing.T) {
	var got []string
	for _, f := range parseNote(t, wholeNote).Findings(head, GitAIRef) {
		got = append(got, fmt.Sprintf("%s %s %s|%s|%s %s %s", f.Origin, f.Tool, f.Model, f.Session, f.Where, f.Lines(), f.Person))
	}
	want := []string{
		"ai  ||refs/notes/ai 77aa77aa77aa77aa my file.rs 20 ",
		"ai cursor sonnet-4.5|6ef2299e|refs/notes/ai d9978a8723e02b52 my file.rs 5,7-9 ",
		"human  ||refs/notes/ai h_31dce776f88375 src/main.rs 11-12 Alice <alice@example.com>",
		"ai claude opus-4.6|conv-1|refs/notes/ai s_c9883b05a2487d src/main.rs 1-10,15 Alice <alice@example.com>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if f := parseNote(t, emptyNote).Findings(head, GitAIRef); len(f) != 1 || f[0].Tool != "cursor" || !f[0].IsAI() {
		t.Errorf("a session that left no line: %+v", f)
	}
}

func TestMalformedNotesAreRefused(t *testing.T) {
	parseNote(t, wholeNote)
	for what, c := range map[string]struct{ old, new string }{
		"no end of the text part":      {"\n---\n", "\n--\n"},
		"another schema":               {"authorship/3.0.0", "authorship/4.0.0"},
		"no schema":                    {`"schema_version": "authorship/3.0.0",`, ""},
		"a name twice":                 {`"humans"`, `"prompts": {}, "humans"`},
		"text behind the document":     {"\n}\n", "\n}\n{}"},
		"sessions that are a list":     {`"sessions": {`, `"sessions": [], "x": {`},
		"lines of no file":             {"src/main.rs\n", ""},
		"a key without lines":          {" 11-12", ""},
		"line zero":                    {"11-12", "0-12"},
		"lines backwards":              {"11-12", "12-11"},
		"lines out of order":           {"1-10,15", "15,1-10"},
		"lines that overlap":           {"1-10,15", "1-10,10"},
		"a line with a sign":           {"11-12", "+11"},
		"a line with a zero before it": {"11-12", "011"},
		"a huge line":                  {"11-12", "11-99999999999"},
		"a space between lines":        {"1-10,15", "1-10, 15"},
		"a path that leaves":           {"src/main.rs", "../main.rs"},
		"a path from the root":         {"src/main.rs", "/main.rs"},
		"an open quote":                {`"my file.rs"`, `"my file.rs`},
	} {
		spoiled := strings.Replace(wholeNote, c.old, c.new, 1)
		if spoiled == wholeNote {
			t.Fatalf("%s: the note has no %q", what, c.old)
		}
		if _, err := ParseGitAINote([]byte(spoiled)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

const trace = `{"version":"0.1.0","id":"550e8400-e29b-41d4-a716-446655440000","timestamp":"2026-02-23T14:30:00Z",
"vcs":{"type":"git","revision":"86a6b6302849a5aadebca21a6c56f78ba46947f7"},"tool":{"name":"cursor","version":"2.4.0"},
"files":[{"path":"src/a.go","conversations":[{"url":"https://api.cursor.example/1","contributor":{"type":"ai","model_id":"anthropic/claude-opus-4-5"},
"ranges":[{"start_line":1,"end_line":4,"content_hash":"murmur3:9f2e8a1b"},{"start_line":5,"end_line":6,"contributor":{"type":"human"}}]}]}],"metadata":{"x":1}}`

func TestATraceGivesEveryContributorAFinding(t *testing.T) {
	oneLine := strings.ReplaceAll(trace, "\n", "")
	traces, err := ParseTraces([]byte(oneLine + "\n\n" + strings.Replace(oneLine, `"0.1.0"`, `"1.0"`, 1) + "\n"))
	if err != nil || len(traces) != 2 {
		t.Fatalf("%d records, %v", len(traces), err)
	}
	about, exact := traces[0].SpeaksOf(&gitfacts.Commit{ID: head})
	if !about || !exact {
		t.Error("the record does not speak of its own revision")
	}
	about, exact = traces[0].SpeaksOf(&gitfacts.Commit{ID: "b", Parents: []gitfacts.ID{head}})
	if !about || exact {
		t.Error("the record does not speak of what was written on top of its revision")
	}
	if about, _ = traces[0].SpeaksOf(&gitfacts.Commit{ID: "c", Parents: []gitfacts.ID{"d", head}}); about {
		t.Error("the record speaks of a merge")
	}
	f := traces[0].Findings(head, "x", true, nil)
	if len(f) != 2 || f[0].Origin != attest.OriginAI || f[0].Lines() != "src/a.go 1-4" || f[1].Origin != attest.OriginHuman || f[1].Lines() != "src/a.go 5-6" {
		t.Errorf("%+v", f)
	}
	if f = traces[0].Findings(head, "x", false, map[string]bool{"src/b.go": true}); len(f) != 0 {
		t.Errorf("files that the commit does not touch: %+v", f)
	}
}

func TestMalformedTracesAreRefused(t *testing.T) {
	for what, c := range map[string]struct{ old, new string }{
		"another version":        {`"0.1.0"`, `"2.0"`},
		"no version":             {`"version":"0.1.0",`, ``},
		"no id":                  {`"id":"550e8400-e29b-41d4-a716-446655440000",`, ``},
		"an unknown contributor": {`"type":"ai"`, `"type":"robot"`},
		"line zero":              {`"start_line":1`, `"start_line":0`},
		"lines backwards":        {`"end_line":4`, `"end_line":0`},
		"a fraction of a line":   {`"end_line":4`, `"end_line":4.5`},
		"a path that leaves":     {"src/a.go", "../../a.go"},
		"a name twice":           {`"metadata"`, `"id":"x","metadata"`},
		"half a record":          {`"metadata":{"x":1}}`, ``},
	} {
		spoiled := strings.Replace(trace, c.old, c.new, 1)
		if spoiled == trace {
			t.Fatalf("%s: the trace has no %q", what, c.old)
		}
		if _, err := ParseTraces([]byte(spoiled)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if _, err := ParseTraces([]byte(trace)); err != nil {
		t.Errorf("unspoiled: %v", err)
	}
}

// found makes a report of findings about one commit that adds lines 1 to 10 of a file.
func found(list ...Finding) *Report {
	c := gitfacts.Commit{ID: head}
	m := newMerger([][]gitfacts.Commit{{c}})
	for i := range list {
		list[i].Commit = head
	}
	m.add(list...)
	m.count(head, list, map[string][]gitfacts.Span{"f": {{First: 1, Last: 10}}})
	return m.report()
}

func session(o attest.Origin, first, last int) Finding {
	return Finding{Grade: attest.GradeObservedSession, Origin: o, Where: string(o), Tool: "t", attributed: map[string][]gitfacts.Span{"f": {{First: first, Last: last}}}}
}

func TestTheStrongerSuspicionWins(t *testing.T) {
	trailer := Finding{Grade: attest.GradeTrailer, Origin: attest.OriginAI, Where: "message line 3", Tool: "claude"}
	human := Finding{Grade: attest.GradeDeclaration, Origin: attest.OriginHuman, Where: "declaration"}
	for what, c := range map[string]struct {
		list      []Finding
		origin    attest.Origin
		grade     attest.Grade
		lines     string
		conflicts int
	}{
		"nothing":                              {nil, attest.OriginUnknown, "", "", 0},
		"a trailer":                            {[]Finding{trailer}, attest.OriginAI, attest.GradeTrailer, "", 0},
		"a declaration of human":               {[]Finding{human}, attest.OriginHuman, "", "", 0},
		"a declaration against a trailer":      {[]Finding{human, trailer}, attest.OriginAI, attest.GradeTrailer, "", 1},
		"a session with every line":            {[]Finding{session(attest.OriginAI, 1, 10)}, attest.OriginAI, attest.GradeObservedSession, "10/0/0", 0},
		"lines that nobody tracked":            {[]Finding{session(attest.OriginAI, 1, 4)}, attest.OriginAI, attest.GradeObservedSession, "4/0/6", 0},
		"lines of both":                        {[]Finding{session(attest.OriginAI, 1, 4), session(attest.OriginHuman, 5, 9)}, attest.OriginMixed, attest.GradeObservedSession, "4/5/1", 0},
		"lines of both, and a trailer":         {[]Finding{session(attest.OriginAI, 1, 4), session(attest.OriginHuman, 5, 9), trailer}, attest.OriginAI, attest.GradeObservedSession, "4/5/1", 1},
		"one line claimed twice":               {[]Finding{session(attest.OriginAI, 1, 5), session(attest.OriginHuman, 5, 9)}, attest.OriginMixed, attest.GradeObservedSession, "5/4/1", 1},
		"people's lines, and some untracked":   {[]Finding{session(attest.OriginHuman, 1, 9)}, attest.OriginUnknown, "", "0/9/1", 0},
		"people's lines, all of them":          {[]Finding{session(attest.OriginHuman, 1, 10)}, attest.OriginHuman, "", "0/10/0", 0},
		"people's lines against a trailer":     {[]Finding{session(attest.OriginHuman, 1, 10), trailer}, attest.OriginAI, attest.GradeTrailer, "0/10/0", 1},
		"lines that the commit does not add":   {[]Finding{session(attest.OriginHuman, 1, 99)}, attest.OriginHuman, "", "0/10/0", 1},
		"a mixed session counts as an agent's": {[]Finding{session(attest.OriginMixed, 1, 10)}, attest.OriginMixed, attest.GradeObservedSession, "10/0/0", 0},
		"a session of unknown origin":          {[]Finding{session(attest.OriginUnknown, 1, 10)}, attest.OriginUnknown, "", "0/0/10", 0},
	} {
		r := found(c.list...)
		lines := ""
		if r.Lines != nil {
			lines = fmt.Sprintf("%d/%d/%d", r.Lines.AI, r.Lines.Human, r.Lines.Unknown)
		}
		if r.Origin != c.origin || r.Grade != c.grade || lines != c.lines || len(r.Conflicts) != c.conflicts {
			t.Errorf("%s: %s by %q, lines %s, %q; want %s by %q, lines %s, %d conflicts", what, r.Origin, r.Grade, lines, r.Conflicts, c.origin, c.grade, c.lines, c.conflicts)
		}
	}
}

func TestAStatementCanOnlyRaiseSuspicion(t *testing.T) {
	subject := attest.Subject{Digest: map[string]string{"gitCommit": string(head)}}
	for _, f := range [][]Finding{nil, {session(attest.OriginHuman, 1, 10)}, {session(attest.OriginUnknown, 1, 2)},
		{{Grade: attest.GradeTrailer, Origin: attest.OriginAI, Tool: "claude"}}, {{Grade: attest.GradeDeclaration, Origin: attest.OriginAI, Tool: "claude"}}} {
		if st := found(f...).Statements(subject, attest.Authorship{}); len(st) != 0 {
			t.Errorf("%+v gives a statement", f)
		}
	}
	list := []Finding{session(attest.OriginAI, 1, 4), session(attest.OriginHuman, 5, 9), session(attest.OriginAI, 6, 6)}
	list[0].Person, list[1].Person, list[2].Person = "Alice <Alice@example.com>", "bob@example.com", "alice@example.com"
	st := found(list...).Statements(subject, attest.Authorship{})
	var operators []string
	for i, s := range st {
		p := s.Predicate.(*attest.Authorship)
		operators = append(operators, p.HumanOperator)
		if p.Origin != attest.OriginMixed || len(p.Evidence) != 2 || (p.Lines != nil) != (i == 0) {
			t.Errorf("%+v", p)
		}
	}
	if diff := cmp.Diff([]string{"alice@example.com", "bob@example.com"}, operators); diff != "" {
		t.Error(diff)
	}
}

func FuzzGitAINote(f *testing.F) {
	f.Add([]byte(wholeNote))
	f.Add([]byte(emptyNote))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseGitAINote(text)
		if err != nil {
			return
		}
		for _, file := range n.Files {
			for _, e := range file.Entries {
				if again, err := ParseSpans(printSpans(e.Spans)); err != nil || !cmp.Equal(again, e.Spans) {
					t.Errorf("%v prints as %s: %v", e.Spans, printSpans(e.Spans), err)
				}
			}
		}
		r := found(n.Findings(head, GitAIRef)...)
		if r.Lines != nil && r.Lines.AI+r.Lines.Human+r.Lines.Unknown != 10 {
			t.Errorf("10 lines are %+v", r.Lines)
		}
	})
}

func printSpans(spans []gitfacts.Span) string {
	var out []string
	for _, s := range spans {
		out = append(out, fmt.Sprintf("%d-%d", s.First, s.Last))
	}
	return strings.Join(out, ",")
}

func FuzzTraces(f *testing.F) {
	f.Add([]byte(trace))
	f.Add([]byte(strings.ReplaceAll(trace, "\n", "") + "\n" + strings.ReplaceAll(trace, "\n", "")))
	f.Fuzz(func(t *testing.T, text []byte) {
		traces, err := ParseTraces(text)
		if err != nil {
			return
		}
		for _, x := range traces {
			r := found(x.Findings(head, "x", true, nil)...)
			if r.Lines != nil && r.Lines.AI+r.Lines.Human+r.Lines.Unknown != 10 {
				t.Errorf("10 lines are %+v", r.Lines)
			}
		}
	})
}
