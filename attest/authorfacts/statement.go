package authorfacts

import (
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/attest"
)

// Limits of what is said of one change. Whoever may push notes could else fill a log with
// statements, of which a verdict reads so many and no more.
const (
	maxEvidence = 500 // items of evidence, and agents
	maxPeople   = 50  // whom notes name: a statement each
)

// Statements are what a witness signs about the head of a change: the sessions that
// notes and traces beside the commits record. What the commits prove themselves is
// left out, for every verifier derives it. They say ai or mixed and nothing else, so
// that nobody who signs them can make a change look better. There is one for each
// person who ran an agent, and at least one; none when no session was recorded. Of more than
// 50 people, the first in the order of the findings are named.
//
// shared has everything but what was found.
func (r *Report) Statements(subject attest.Subject, shared attest.Authorship) []*attest.Statement {
	p := shared
	people := []string{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Person != "" && len(people) < maxPeople {
			people = appendNew(people, address(f.Person))
		}
		if f.Grade != attest.GradeObservedSession || !f.IsAI() || len(p.Evidence) == maxEvidence {
			continue
		}
		p.Evidence = append(p.Evidence, attest.AISign{Grade: f.Grade, Tool: f.Tool, Where: string(f.Commit), Detail: strings.TrimSpace(f.Where + " " + f.Lines())})
		for _, a := range f.agents() {
			p.Agents = appendNew(p.Agents, a)
		}
	}
	if len(p.Evidence) == 0 {
		return nil
	}
	p.Lines = r.Lines
	if p.Origin = r.Origin; p.Origin != attest.OriginMixed {
		p.Origin = attest.OriginAI
	}
	var out []*attest.Statement
	for i := 0; i < max(len(people), 1); i++ {
		of := p
		if len(people) > 0 {
			of.HumanOperator = people[i]
		}
		if i > 0 { // the same lines must not count twice
			of.Lines = nil
		}
		out = append(out, &attest.Statement{Subjects: []attest.Subject{subject}, Predicate: &of})
	}
	return out
}

func appendNew[T comparable](list []T, v T) []T {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}

// address is the address of a person, in lower case, or the text where it has none.
func address(person string) string {
	if _, rest, ok := strings.Cut(person, "<"); ok {
		if mail, _, closed := strings.Cut(rest, ">"); closed && mail != "" {
			person = mail
		}
	}
	person = strings.ToLower(strings.TrimSpace(person))
	return strings.ToValidUTF8(person[:min(len(person), 128)], "")
}

// Lines says which lines a finding claims, for people: the files, shortened.
func (f *Finding) Lines() string {
	const few = 3
	var out []string
	paths := sortedKeys(f.attributed)
	for _, path := range paths[:min(len(paths), few)] {
		var spans []string
		all := joined(f.attributed[path])
		for _, s := range all[:min(len(all), few)] {
			if s.First == s.Last {
				spans = append(spans, fmt.Sprint(s.First))
			} else {
				spans = append(spans, fmt.Sprintf("%d-%d", s.First, s.Last))
			}
		}
		if len(all) > few {
			spans = append(spans, "…")
		}
		out = append(out, name(path)+" "+strings.Join(spans, ","))
	}
	if len(paths) > few {
		out = append(out, fmt.Sprintf("and %d more files", len(paths)-few))
	}
	return strings.Join(out, "; ")
}
