package authorfacts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// A Report is what was found about some commits, as one answer.
type Report struct {
	// Origin is the strongest suspicion of all findings; without any it is unknown.
	// That people say of a note that a human wrote it makes it no human's.
	Origin attest.Origin `json:"origin"`
	// Grade is that of the strongest evidence of AI; empty without any.
	Grade    attest.Grade   `json:"grade,omitempty"`
	Agents   []attest.Agent `json:"agents"`
	People   []string       `json:"people"` // whom findings name as having run an agent, or written lines
	Findings []Finding      `json:"findings"`
	// Lines counts the lines that the commits add. nil: nothing gave lines.
	Lines *attest.AuthorshipLines `json:"lines,omitempty"`
	// Conflicts say which findings contradict each other. They are kept; the stronger
	// suspicion won.
	Conflicts  []string     `json:"conflicts"`
	Unreadable []Unreadable `json:"unreadable"`
}

// suspicion orders origins; the highest of several wins.
var suspicion = map[attest.Origin]int{attest.OriginHuman: 1, attest.OriginUnknown: 2, attest.OriginMixed: 3, attest.OriginAI: 4}

// grades lists the grades, the strongest first.
var grades = []attest.Grade{attest.GradeAgentSigned, attest.GradeObservedSession, attest.GradeForgeAccount, attest.GradeTrailer, attest.GradeMarker, attest.GradeDeclaration}

// merger collects findings.
type merger struct {
	commits []gitfacts.Commit // each once, in the order of their groups
	group   map[gitfacts.ID]int
	out     Report
	lines   map[int]*attest.AuthorshipLines // by group; nil where nothing gave lines
}

func newMerger(groups [][]gitfacts.Commit) *merger {
	m := &merger{group: make(map[gitfacts.ID]int), lines: make(map[int]*attest.AuthorshipLines)}
	for i, group := range groups {
		for _, c := range group {
			if _, again := m.group[c.ID]; !again {
				m.group[c.ID] = i
				m.commits = append(m.commits, c)
			}
		}
	}
	m.out = Report{Origin: attest.OriginUnknown, Agents: []attest.Agent{}, People: []string{},
		Findings: []Finding{}, Conflicts: []string{}, Unreadable: []Unreadable{}}
	return m
}

func (m *merger) add(f ...Finding) { m.out.Findings = append(m.out.Findings, f...) }

func (m *merger) unreadable(commit gitfacts.ID, where string, err error) {
	m.out.Unreadable = append(m.out.Unreadable, Unreadable{commit, where, name(err.Error())})
}

func (m *merger) conflict(commit gitfacts.ID, format string, args ...any) {
	m.out.Conflicts = append(m.out.Conflicts, fmt.Sprintf("%.12s: ", commit)+fmt.Sprintf(format, args...))
}

// count divides the lines that a commit adds among those who claim them. A line that
// an agent and a human claim is the agent's; one that nobody claims is unknown.
func (m *merger) count(commit gitfacts.ID, found []Finding, added map[string][]gitfacts.Span) {
	given, both, outside := false, 0, 0
	for _, f := range found {
		given = given || f.attributed != nil
	}
	if !given {
		return
	}
	lines := m.lines[m.group[commit]]
	if lines == nil {
		lines = &attest.AuthorshipLines{}
		m.lines[m.group[commit]] = lines
	}
	claims := make(map[string]map[bool][]gitfacts.Span) // by path, then by whether it is AI
	for _, f := range found {
		for path, spans := range f.attributed {
			if f.Origin == attest.OriginUnknown {
				continue
			}
			if claims[path] == nil {
				claims[path] = make(map[bool][]gitfacts.Span)
			}
			isAI := f.Origin != attest.OriginHuman
			claims[path][isAI] = append(claims[path][isAI], spans...)
		}
	}
	for path, spans := range added {
		mine := joined(spans)
		ai, human := overlap(mine, joined(claims[path][true])), overlap(mine, joined(claims[path][false]))
		contested := size(overlap(ai, human))
		lines.AI += size(ai)
		lines.Human += size(human) - contested
		lines.Unknown += size(mine) - size(ai) - size(human) + contested
		both += contested
	}
	for path, by := range claims {
		all := joined(slices.Concat(by[true], by[false]))
		outside += size(all) - size(overlap(all, joined(added[path])))
	}
	if both > 0 {
		m.conflict(commit, "%d lines are claimed by an agent and by a human, and count as the agent's", both)
	}
	if outside > 0 {
		m.conflict(commit, "%d lines are claimed that it does not add; they count for nobody", outside)
	}
}

// joined sorts spans and joins those that touch.
func joined(spans []gitfacts.Span) []gitfacts.Span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b gitfacts.Span) int { return cmp.Compare(a.First, b.First) })
	var out []gitfacts.Span
	for _, s := range spans {
		if n := len(out); n > 0 && s.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, s.Last)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// overlap is what two joined lists have in common.
func overlap(a, b []gitfacts.Span) []gitfacts.Span {
	var out []gitfacts.Span
	for len(a) > 0 && len(b) > 0 {
		s := gitfacts.Span{First: max(a[0].First, b[0].First), Last: min(a[0].Last, b[0].Last)}
		if s.First <= s.Last {
			out = append(out, s)
		}
		if a[0].Last < b[0].Last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

func size(spans []gitfacts.Span) int {
	n := 0
	for _, s := range spans {
		n += s.Last - s.First + 1
	}
	return n
}

// report is the answer. It is the same whatever the order in which findings came.
func (m *merger) report() *Report {
	r := &m.out
	order := make(map[gitfacts.ID]int)
	for i, c := range m.commits {
		order[c.ID] = i
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.Commit], order[b.Commit]), cmp.Compare(slices.Index(grades, a.Grade), slices.Index(grades, b.Grade)),
			strings.Compare(a.Where, b.Where), strings.Compare(a.Tool+a.Model+a.Session, b.Tool+b.Model+b.Session), strings.Compare(a.Detail, b.Detail))
	})
	best := 0
	humans := make(map[gitfacts.ID]string)
	for _, f := range r.Findings {
		if s := suspicion[f.Origin]; s > best {
			best, r.Origin = s, f.Origin
		}
		if f.Origin == attest.OriginHuman {
			humans[f.Commit] = f.Where
		}
		if f.Person != "" {
			r.People = append(r.People, f.Person)
		}
		if f.IsAI() {
			r.Agents = append(r.Agents, f.agents()...)
			if r.Grade == "" || slices.Index(grades, f.Grade) < slices.Index(grades, r.Grade) {
				r.Grade = f.Grade
			}
		}
	}
	m.contradictions(humans)
	for group := range len(m.commits) {
		if r.Lines = m.lines[group]; r.Lines != nil {
			break
		}
	}
	m.weigh()
	slices.Sort(r.People)
	r.People = slices.Compact(r.People)
	slices.SortFunc(r.Agents, compareAgents)
	r.Agents = slices.Compact(r.Agents)
	slices.Sort(r.Conflicts)
	return r
}

// weigh makes AI mixed where line counts, and nothing else, say what it is, and give
// people lines too; and human unknown, where something could not be read or lines are
// nobody's.
func (m *merger) weigh() {
	r := &m.out
	sessionsOnly := r.Lines != nil && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.IsAI() && f.attributed == nil })
	switch {
	case r.Origin == attest.OriginAI && sessionsOnly && r.Lines.Human > 0:
		r.Origin = attest.OriginMixed
	case r.Origin == attest.OriginHuman && (len(r.Unreadable) > 0 || !m.allHuman()):
		r.Origin = attest.OriginUnknown
	}
}

// allHuman reports whether every commit is said to be a human's, to the last line.
func (m *merger) allHuman() bool {
	if m.out.Lines != nil && m.out.Lines.Unknown > 0 {
		return false
	}
	return !slices.ContainsFunc(m.commits, func(c gitfacts.Commit) bool {
		return !slices.ContainsFunc(m.out.Findings, func(f Finding) bool { return f.Commit == c.ID && f.Origin == attest.OriginHuman })
	})
}

// contradictions names the commits that one source gives to a human, and another of
// the same commit, which gives no lines, to an agent.
func (m *merger) contradictions(humans map[gitfacts.ID]string) {
	said := make(map[gitfacts.ID]bool)
	for _, f := range m.out.Findings {
		if where := humans[f.Commit]; where != "" && f.IsAI() && f.attributed == nil && !said[f.Commit] {
			said[f.Commit] = true
			m.conflict(f.Commit, "%s says human and %s says %s (%s); the stronger suspicion wins", where, f.Where, f.Origin, f.Grade)
		}
	}
}

// IsAI reports whether the finding says that an AI took part.
func (f *Finding) IsAI() bool { return f.Origin == attest.OriginAI || f.Origin == attest.OriginMixed }

func (f *Finding) agents() []attest.Agent {
	if f.Tool == "" {
		return nil
	}
	a := attest.Agent{Tool: f.Tool, Model: f.Model, Version: f.Version}
	if strings.Contains(f.Session, "://") {
		a.SessionRef = f.Session
	} else {
		a.SessionID = f.Session
	}
	return []attest.Agent{a}
}

func compareAgents(a, b attest.Agent) int {
	return cmp.Or(strings.Compare(a.Tool, b.Tool), strings.Compare(a.Model, b.Model), strings.Compare(a.Version, b.Version),
		strings.Compare(a.SessionID, b.SessionID), strings.Compare(a.SessionRef, b.SessionRef))
}
