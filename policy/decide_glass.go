package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// glass is everything that is said of broken glass, by case: the payload digest of the
// request, hex.
type glass struct {
	requests []item // in log order
	grants   map[string][]item
	reviews  map[string][]item
	used     map[string][]item // verdicts that used a case
	cases    []string          // that were used, in the order of their first use
}

func (g *glass) add(it item, p *attest.BreakGlass) {
	if g.grants == nil {
		g.grants, g.reviews = make(map[string][]item), make(map[string][]item)
	}
	switch p.Action {
	case attest.GlassRequest:
		g.requests = append(g.requests, it)
	case attest.GlassGrant:
		g.grants[p.Case] = append(g.grants[p.Case], it)
	case attest.GlassReview:
		g.reviews[p.Case] = append(g.reviews[p.Case], it)
	}
}

func (g *glass) use(it item, p *attest.Decision) {
	if p.BreakGlass == "" {
		return
	}
	if g.used == nil {
		g.used = make(map[string][]item)
	}
	if len(g.used[p.BreakGlass]) == 0 {
		g.cases = append(g.cases, p.BreakGlass)
	}
	g.used[p.BreakGlass] = append(g.used[p.BreakGlass], it)
}

// request finds the request of a case; nil where the log has none by anybody of the roster.
func (g *glass) request(digest string) *item {
	for i := range g.requests {
		if g.requests[i].Digest().String() == digest {
			return &g.requests[i]
		}
	}
	return nil
}

// A passage is one use of a case: from the first verdict about a subject to its end. What
// is asked about the same subject before then is the same use.
type passage struct {
	subject string
	from    time.Time // when the log took the verdict
	until   time.Time
	index   uint64
	authors []string // of what it let through, and who runs agents among them
}

// passages counts the uses of a case, in log order. Those whose verdict was taken back
// count: nobody gets a use back.
func (j *judge) passages(digest string) []passage {
	var out []passage
	for _, it := range j.glass.used[digest] {
		p := it.Statement().Predicate.(*attest.Decision)
		subject := subjectOf(it.Statement())
		at := slices.IndexFunc(out, func(u passage) bool { return u.subject == subject && it.Time().Before(u.until) })
		if at < 0 {
			out = append(out, passage{subject, it.Time(), earlier(p.ExpiresAt.Time, it.Time().Add(j.in.Set.ValidFor)), it.Index(), AuthorsIn(p)})
		}
	}
	return out
}

// AuthorsIn lists the authors that a logged verdict names, with who runs agents among them.
func AuthorsIn(p *attest.Decision) []string {
	var core struct {
		Changes []struct {
			Authors []struct {
				Who string `json:"who"`
			} `json:"authors"`
		} `json:"changes"`
	}
	if err := json.Unmarshal(p.Core, &core); err != nil {
		return nil // the service signed it: another version of its form
	}
	var out []string
	for _, c := range core.Changes {
		for _, a := range c.Authors {
			out = append(out, a.Who)
		}
	}
	return out
}

// subjectOf is what a verdict is about: the artifact or plan where it names one, or else
// the commit.
func subjectOf(st *attest.Statement) string {
	for _, alg := range []string{"sha256", "gitCommit"} {
		for _, s := range st.Subjects {
			if d := s.Digest[alg]; d != "" {
				return d
			}
		}
	}
	return ""
}

// subject is what this decision is about, in the same words.
func (j *judge) subject() string {
	c := &j.d.Core
	return cmp.Or(c.Plan, c.Artifact, c.To)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// owed finds the first use of a case that enough people have not reviewed since, and by
// when they should. Who asked, granted or wrote what went through reviews nothing.
func (j *judge) owed(digest string) (use *passage, due time.Time) {
	b, uses := j.in.Set.BreakGlass, j.passages(digest)
	if b == nil {
		b = &BreakGlass{Reviewers: 1}
	}
	parties := make(map[string]bool)
	if r := j.glass.request(digest); r != nil && j.on(checkGlassReviewer) {
		parties[r.by.ID] = true
	}
	for _, g := range j.glass.grants[digest] {
		parties[g.by.ID] = j.on(checkGlassReviewer)
	}
	reviews := j.credit(j.glass.reviews[digest], "")
	for i := range uses {
		people := make(map[string]bool)
		for _, r := range reviews {
			wrote := slices.Contains(uses[i].authors, r.by.ID) && j.on(checkGlassReviewer)
			if r.by.Kind == roster.Person && !parties[r.by.ID] && !wrote && r.Index() > uses[i].index && j.saw(r, &uses[i]) {
				people[r.by.ID] = true
			}
		}
		if len(people) < b.Reviewers {
			return &uses[i], uses[i].from.Add(b.ReviewWithin)
		}
	}
	return nil, time.Time{}
}

// saw reports whether a review says that it was given after a use. One that was kept since
// an earlier use says nothing of this one.
func (j *judge) saw(review item, use *passage) bool {
	return !review.Statement().Predicate.(*attest.BreakGlass).SaidAt.Before(use.from) || !j.on(checkGlassSaw)
}

// teamsOf are the teams of who asked for a case: a review is owed by all of them. Who is
// in none owes it in everybody's name, as does a case whose request nobody knows.
func (j *judge) teamsOf(digest string) []string {
	if r := j.glass.request(digest); r != nil {
		return r.by.Teams
	}
	return nil
}

func shareTeam(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(t string) bool { return slices.Contains(b, t) })
}

// overdue finds a case of the same person, or of the same team, whose review is late. Who
// changed teams still owes their own.
func (j *judge) overdue(by *roster.Principal) (digest string, due time.Time) {
	for _, c := range j.glass.cases {
		use, due := j.owed(c)
		if use == nil || j.in.Now.Before(due) {
			continue
		}
		r := j.glass.request(c)
		same := r != nil && r.by.ID == by.ID && j.on(checkGlassAsker)
		if same || shareTeam(by.Teams, j.teamsOf(c)) || !j.on(checkGlassTeam) {
			return c, due
		}
	}
	return "", time.Time{}
}

// glassPosture counts what is open and what is owed, whatever is asked about.
func (j *judge) glassPosture() {
	p := &j.d.Annex.Posture
	for _, r := range j.glass.requests {
		q := r.Statement().Predicate.(*attest.BreakGlass)
		digest := r.Digest().String()
		if !j.in.Now.Before(q.NotBefore.Time) && j.in.Now.Before(q.NotAfter.Time) && len(j.glass.grants[digest]) > 0 && len(j.passages(digest)) < q.Uses {
			p.GlassOpen++
		}
	}
	for _, c := range j.glass.cases {
		use, due := j.owed(c)
		if use == nil {
			continue
		}
		p.ReviewsOwed = append(p.ReviewsOwed, ReviewOwed{Case: c, Use: use.index, Teams: j.teamsOf(c), By: attest.At(due), Overdue: !j.in.Now.Before(due)})
	}
}
