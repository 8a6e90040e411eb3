package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// author is one member of a change's author set.
type author struct {
	who       string
	principal *roster.Principal // nil: a stranger, or an AI tool that the roster does not know
	tool      bool              // an AI tool's address
	// made are the commits that name them as author or committer. Whoever stands
	// there must be authenticated; other mentions only ever add people.
	made     []*gitfacts.Commit
	verified bool
}

// person is the human of the roster that this is; nil for anybody else.
func (a *author) person() *roster.Principal {
	if a.principal != nil && a.principal.Kind == roster.Person {
		return a.principal
	}
	return nil
}

// authors is the author set of one change: whoever wrote, committed,
// co-wrote or opened it, and whoever runs the agents among them. Git's word only
// ever adds people.
type authors struct {
	list       []*author
	byWho      map[string]*author
	incomplete bool // some commits are not proven, so there may be others
	agents     map[string]bool
}

func (s *authors) add(who string) *author {
	if a := s.byWho[who]; a != nil {
		return a
	}
	a := &author{who: who}
	s.list = append(s.list, a)
	s.byWho[who] = a
	return a
}

// authorsOf collects the author set from the commits of the review and of the merge.
//
// Where a forge made the merged commit out of the review and nothing else, it wrote
// the author line too, and nobody else can sign there: then that line only adds,
// and who made the content is said by the commits of the review.
func (j *judge) authorsOf(m *merge, commits []*gitfacts.Commit, complete bool, binding attest.Binding) *authors {
	s := &authors{byWho: make(map[string]*author), agents: make(map[string]bool), incomplete: !complete}
	for _, c := range commits {
		made := c
		if c.ID == m.ID && m.ID != m.head && accepts(nil, binding) && j.byForge(c) {
			made = nil
		}
		j.addGit(s, c.Author, made, false)
		if j.on(checkCommitter) {
			j.addGit(s, c.Committer, c, true)
		}
		if j.on(checkCoAuthor) {
			for _, p := range c.CoAuthors {
				j.addGit(s, p, nil, false)
			}
		}
	}
	for _, it := range slices.Concat(j.changes[m.head], j.changes[m.ID]) {
		if by := it.Statement().Predicate.(*attest.Change).OpenedBy; by != "" && j.on(checkOpener) {
			j.addNamed(s, by)
		}
	}
	for _, it := range slices.Concat(j.authorships[m.head], j.authorships[m.ID]) {
		p := it.Statement().Predicate.(*attest.Authorship)
		if p.HumanOperator != "" && j.on(checkOperator) {
			j.addNamed(s, p.HumanOperator)
		}
		if it.by.Kind == roster.Agent {
			j.addPrincipal(s, it.by)
		}
	}
	j.authenticate(s, m)
	slices.SortFunc(s.list, func(a, b *author) int { return strings.Compare(a.who, b.who) })
	return s
}

// byForge reports whether a forge of the roster committed.
func (j *judge) byForge(c *gitfacts.Commit) bool {
	pr, ok := j.in.Set.Roster.ByEmail(c.Committer.Email)
	return ok && pr.Kind == roster.Service && pr.Forge
}

// addGit adds a name that git records. made is the commit when the person made
// it, and not only is mentioned in it. A forge that commits for others is no author.
func (j *judge) addGit(s *authors, p gitfacts.Person, made *gitfacts.Commit, committer bool) {
	var a *author
	pr, ok := j.in.Set.Roster.ByEmail(p.Email)
	for _, old := range j.former(p.Email, pr) {
		if !(committer && old.Kind == roster.Service && old.Forge) {
			j.addFormer(s, old)
		}
	}
	if ok {
		if committer && pr.Kind == roster.Service && pr.Forge {
			return
		}
		a = j.addPrincipal(s, pr)
	} else if tool := j.signs.Tool(p.Email); tool != "" {
		a = s.add(tool)
		a.tool = true
		s.agents[tool] = true
	} else {
		a = s.add(clean(strings.ToLower(p.Email)))
		if made == nil {
			a.made = append(a.made, nil) // a stranger may be anybody, wherever named
		}
	}
	if made != nil {
		a.made = append(a.made, made)
	}
}

// addNamed adds a roster id or an address that a statement names.
func (j *judge) addNamed(s *authors, name string) {
	if pr, ok := j.in.Set.Roster.Principal(name); ok {
		j.addPrincipal(s, pr)
		return
	}
	j.addGit(s, gitfacts.Person{Email: name}, nil, false)
}

// addPrincipal adds somebody of the roster, and with an agent its operator. An
// agent without a known operator is run by one of the people who are in the set
// anyway.
func (j *judge) addPrincipal(s *authors, pr *roster.Principal) *author {
	a := s.add(pr.ID)
	a.principal = pr
	if pr.Kind == roster.Agent {
		s.agents[pr.ID] = true
		if op, ok := j.in.Set.Roster.Principal(pr.Operator); ok && j.on(checkOperator) {
			s.add(op.ID).principal = op
		}
	}
	return a
}

// addFormer adds somebody whom an earlier roster calls so. That can only add people, and
// what was an agent's stays an agent's.
func (j *judge) addFormer(s *authors, pr *roster.Principal) {
	if a := s.add(pr.ID); a.principal == nil {
		a.principal = pr
	}
	if pr.Kind == roster.Agent {
		s.agents[pr.ID] = true
		if j.on(checkOperator) && pr.Operator != "" {
			if op := s.add(pr.Operator); op.principal == nil {
				op.principal = &roster.Principal{ID: pr.Operator, Kind: roster.Person}
			}
		}
	}
}

// authenticate finds out whose name is their own word: a signed authorship about
// the head, or a signature on each commit that they made. A service says in an
// authorship what it read in notes, which anybody can write: that it signs for the
// commits that bear its own name, too, only its signature on them shows.
func (j *judge) authenticate(s *authors, m *merge) {
	for _, it := range j.ownAuthorships(m) {
		if it.by.Kind == roster.Service && j.on(checkOwnHand) {
			continue
		}
		for _, a := range s.list {
			if a.principal != nil && a.principal.ID == it.by.ID || a.principal != nil && a.principal.Kind == roster.Agent && a.principal.Operator == it.by.ID {
				a.verified = true
				j.cite(it, "authorship of "+it.by.ID)
			}
		}
	}
	at := m.proposedAt
	if len(m.admissions) > 0 {
		at = m.admissions[0].Time()
	}
	for _, a := range s.list {
		if len(a.made) == 0 {
			a.verified = true
		}
		if !a.verified && !at.IsZero() {
			a.verified = !slices.ContainsFunc(a.made, func(c *gitfacts.Commit) bool { return !j.signedBy(c, a, at) })
		}
	}
}

// ownAuthorships are the authorships about what was reviewed that give credit.
func (j *judge) ownAuthorships(m *merge) []item {
	about := m.head
	if about == "" {
		about = m.ID
	}
	return j.credit(j.authorships[about], m.change)
}

// signedBy reports whether a commit carries an SSH signature by a key of the
// author, or of the person who runs the agent. The key must have been valid when
// the log first heard of the merge.
func (j *judge) signedBy(c *gitfacts.Commit, a *author, at time.Time) bool {
	if c == nil || c.Signature == "" {
		return false
	}
	id, err := c.SSHSigner()
	if err != nil {
		return false
	}
	pr, key, ok := j.in.Set.Roster.ByKey(id)
	if !ok || a.principal == nil || pr.ID != a.principal.ID && pr.ID != a.principal.Operator {
		return false
	}
	return pr.Holds(at) && key.Holds(at) && !j.revokedKey(pr, key)
}

// revokedKey reports whether a key or its holder was revoked at all: a commit has
// no time that could be held against the revocation's.
func (j *judge) revokedKey(pr *roster.Principal, key *roster.Key) bool {
	r := &j.revocations
	for _, rev := range slices.Concat(r.keys[attest.KeyID(key.ID).String()], r.people[pr.ID]) {
		if j.mayRevoke(rev, pr) {
			return true
		}
	}
	return false
}

// holds reports whether somebody is in the author set.
func (s *authors) holds(id string) bool {
	a := s.byWho[id]
	return a != nil && a.principal != nil
}

// authenticated reports whether nobody else can hide behind an author's name.
func (s *authors) authenticated() bool {
	return !s.incomplete && !slices.ContainsFunc(s.list, func(a *author) bool { return !a.verified })
}

// authorLevel is what rules see of the authors' levels. A name that nobody stands behind
// may be anybody's, so it lends nobody its level.
func (j *judge) authorLevel(st *study) int {
	if !st.authenticated() && j.on(checkOwnLevel) {
		return -1
	}
	return st.level(j.in.Set.Levels)
}

// level is the lowest rank among the human authors; strangers and nobody count as -1.
func (s *authors) level(levels []string) int {
	lowest, people := len(levels), 0
	for _, a := range s.list {
		switch p := a.person(); {
		case p != nil:
			people++
			lowest = min(lowest, slices.Index(levels, p.Level))
		case a.principal == nil && !a.tool:
			return -1
		}
	}
	if people == 0 || s.incomplete {
		return -1
	}
	return lowest
}

// results are the authors as a decision shows them.
func (s *authors) results() []Author {
	out := make([]Author, 0, len(s.list)+1)
	for _, a := range s.list {
		r := Author{Who: a.who, Authenticated: a.verified}
		if p := a.person(); p != nil {
			r.Level = p.Level
		}
		out = append(out, r)
	}
	if s.incomplete {
		out = append(out, Author{Who: "unknown"})
	}
	return out
}
