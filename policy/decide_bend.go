package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// bend finds a case that lets the release go although rules of the policy failed: the
// first in log order that does for all of them. Why one that names it does not is said.
//
// Only what rules ask can be bent. What always holds without a rule is not: what is asked
// about, its proven source and range, rejections, freezes, evidence that cannot be read.
func (j *judge) bend() {
	for _, request := range j.glass.requests {
		p := request.Statement().Predicate.(*attest.BreakGlass)
		if !j.isNamed(p) {
			continue
		}
		used, kind, why := j.breaks(request, p)
		if kind != "" {
			j.ignore(request, kind, "", "does not break the glass: %s", why)
			continue
		}
		c := &j.d.Core
		c.Verdict, c.BreakGlass = AllowBreakGlass, used
		j.citeCase(request, used)
		return
	}
}

// isNamed reports whether a request speaks of what is asked about at all.
func (j *judge) isNamed(p *attest.BreakGlass) bool {
	return j.covers(p, nil) || slices.ContainsFunc(j.studies, func(st *study) bool { return j.covers(p, st) })
}

// covers reports whether a request names the subject of the decision, and with it every
// change, or this one by its reviewed head or its commit.
func (j *judge) covers(p *attest.BreakGlass, st *study) bool {
	if !j.on(checkGlassSubject) || slices.Contains(p.Artifacts, j.subject()) {
		return true
	}
	if st == nil || st.plan != nil {
		return false
	}
	return slices.Contains(p.Heads, string(st.head)) || slices.Contains(p.Heads, st.result.Commit)
}

// coversRule reports whether a request covers what one rule found of a change. A reviewed
// head stands for what was merged only where the rule takes how the one became the other.
func (j *judge) coversRule(p *attest.BreakGlass, st *study, rule string) bool {
	if j.covers(p, nil) || st.plan != nil || slices.Contains(p.Heads, st.result.Commit) {
		return true
	}
	i := slices.IndexFunc(j.in.Set.Rules, func(r Rule) bool { return r.ID == rule })
	return i < 0 || j.isHead(&j.in.Set.Rules[i], st)
}

// breaks holds one request, and what came of it, against the policy; a kind says why it
// does not serve.
func (j *judge) breaks(request item, p *attest.BreakGlass) (*GlassUse, Kind, string) {
	b := j.in.Set.BreakGlass
	if b == nil {
		return nil, NotAvailable, "the policy has no section breakGlass, so nothing bends it"
	}
	for _, check := range []func(item, *attest.BreakGlass) (Kind, string){j.glassScope, j.glassTime, j.glassCovers, j.glassReviews} {
		if kind, why := check(request, p); kind != "" {
			return nil, kind, why
		}
	}
	granted, kind, why := j.granted(request)
	if kind != "" {
		return nil, kind, why
	}
	use := &GlassUse{
		Case: request.Digest().String(), Index: request.Index(), RequestedBy: request.by.ID, Ticket: clean(p.Ticket), Justification: clean(p.Justification),
		Uses: p.Uses, NotAfter: *p.NotAfter, Bent: j.bent(),
	}
	for _, g := range granted {
		use.GrantedBy = append(use.GrantedBy, g.by.ID)
		use.Granted = append(use.Granted, g.Index())
	}
	return use, j.countUse(use), fmt.Sprintf("it was used %s, and that is all it allows", plural(p.Uses, "time"))
}

// countUse finds out which use of its case this is, and how long it lasts.
func (j *judge) countUse(use *GlassUse) Kind {
	now, passages := j.in.Now, j.passages(use.Case)
	ends, from := now.Add(j.in.Set.ValidFor), now
	use.Use = len(passages) + 1
	for i, u := range passages {
		if u.subject == j.subject() && now.Before(u.until) {
			use.Use, ends, from = i+1, u.until, u.from
		}
	}
	if use.Use > use.Uses && j.on(checkGlassUses) {
		return UsedUp
	}
	j.d.Core.ExpiresAt = attest.At(earlier(ends, use.NotAfter.Time))
	use.ReviewBy = attest.At(from.Add(j.in.Set.BreakGlass.ReviewWithin))
	return ""
}

func (j *judge) glassScope(_ item, p *attest.BreakGlass) (Kind, string) {
	b := j.in.Set.BreakGlass
	switch {
	case !j.on(checkGlassScope):
	case p.Repository != j.in.Request.Repository:
		return verify.WrongScope, "is about repository " + p.Repository
	case p.Environment != j.env.Name:
		return verify.WrongScope, "is for environment " + p.Environment
	case !slices.Contains(b.Environments, p.Environment):
		return verify.WrongScope, fmt.Sprintf("the policy lets nobody break the glass in %s", p.Environment)
	}
	return "", ""
}

func (j *judge) glassTime(request item, p *attest.BreakGlass) (Kind, string) {
	b, now := j.in.Set.BreakGlass, j.in.Now
	switch {
	case request.by.Kind != roster.Person && j.on(checkGlassPerson):
		return NotHuman, request.by.ID + " is no person"
	case j.revoked(request):
		return Revoked, "was taken back"
	case j.on(checkGlassLimit) && p.NotAfter.Sub(p.NotBefore.Time) > b.MaxDuration:
		return BeyondLimit, fmt.Sprintf("asks for %s, and the policy's limit is %s", p.NotAfter.Sub(p.NotBefore.Time), b.MaxDuration)
	case j.on(checkGlassLimit) && p.Uses > b.MaxUses:
		return BeyondLimit, fmt.Sprintf("asks for %s, and the policy's limit is %d", plural(p.Uses, "use"), b.MaxUses)
	case j.on(checkGlassTime) && now.Before(p.NotBefore.Time):
		return Expired, "begins at " + stamp(p.NotBefore.Time)
	case j.on(checkGlassTime) && !now.Before(p.NotAfter.Time):
		return Expired, "ended at " + stamp(p.NotAfter.Time)
	}
	return "", ""
}

// glassCovers wants every failure to be one of a rule that may be bent, of a change that
// the request names.
func (j *judge) glassCovers(_ item, p *attest.BreakGlass) (Kind, string) {
	for i, st := range j.studies {
		for _, f := range j.d.Core.Changes[i].Rules {
			switch {
			case f.Held || f.Audit:
			case !j.covers(p, st):
				return verify.SubjectMismatch, fmt.Sprintf("does not name %s", nameOf(&st.result))
			case !j.coversRule(p, st, f.Rule):
				return Unbound, fmt.Sprintf("names the reviewed head of %s, and what was merged is not known to be that (%s): name commit %s, or the artifact", nameOf(&st.result), st.unbound, st.result.Commit)
			case j.on(checkGlassHolds) && (alwaysHolds(f.Rule) || f.Kind == PolicyInvalid):
				return f.Kind, fmt.Sprintf("%s of %s is none of a rule's demands, and nothing bends it", f.Rule, nameOf(&st.result))
			case j.on(checkGlassKeeps) && slices.Contains(j.in.Set.BreakGlass.Keeps, f.Rule):
				return f.Kind, fmt.Sprintf("the policy keeps rule %s even then", f.Rule)
			}
		}
	}
	return "", ""
}

func alwaysHolds(finding string) bool {
	return finding == findingRange || finding == findingVeto || finding == findingSession || finding == findingFreeze || finding == findingPolicy
}

// bent lists the rules that failed and are bent, and marks the findings.
func (j *judge) bent() []string {
	var out []string
	for i := range j.d.Core.Changes {
		for _, f := range j.d.Core.Changes[i].Rules {
			if !f.Held && !f.Audit && !slices.Contains(out, f.Rule) {
				out = append(out, f.Rule)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (j *judge) glassReviews(request item, _ *attest.BreakGlass) (Kind, string) {
	if !j.on(checkGlassReviewed) {
		return "", ""
	}
	digest, due := j.overdue(request.by)
	if digest == "" {
		return "", ""
	}
	whose := "somebody of no team"
	if t := j.teamsOf(digest); len(t) > 0 {
		whose = "team " + strings.Join(t, ", ")
	}
	return ReviewDue, fmt.Sprintf("a review of case %.12s (%s) was owed by %s: give it first (countersign break-glass review)", digest, whose, stamp(due))
}

// granted lists who grants a request: one person, or two while an author of what is let
// through is not authenticated, and may be either.
func (j *judge) granted(request item) ([]item, Kind, string) {
	need := 1
	for _, st := range j.bentStudies() {
		if !st.authenticated() && j.on(checkAuthenticated) {
			need = 2
		}
	}
	var out []item
	kind, why := Insufficient, "nobody has granted it"
	for _, g := range j.glass.grants[request.Digest().String()] {
		k, w := j.deafGrant(request, g)
		switch {
		case k != "":
			j.ignore(g, k, "", "grants nothing: %s", w)
			kind, why = k, w
		case !slices.ContainsFunc(out, func(o item) bool { return o.by.ID == g.by.ID }):
			out = append(out, g)
		}
	}
	switch {
	case len(out) >= need:
		return out[:need], "", ""
	case len(out) > 0:
		return nil, Insufficient, "an author is not authenticated and may be who granted it: one more person is needed"
	}
	return nil, kind, why
}

// bentStudies are the changes that would not go without it.
func (j *judge) bentStudies() []*study {
	var out []*study
	for i, st := range j.studies {
		if slices.ContainsFunc(j.d.Core.Changes[i].Rules, func(f Finding) bool { return !f.Held && !f.Audit }) {
			out = append(out, st)
		}
	}
	return out
}

// deafGrant says why a grant is not heard.
func (j *judge) deafGrant(request, g item) (Kind, string) {
	b, levels := j.in.Set.BreakGlass, j.in.Set.Levels
	switch {
	case g.by.Kind != roster.Person && j.on(checkGlassPerson):
		return NotHuman, g.by.ID + " is no person"
	case g.by.ID == request.by.ID && j.on(checkGlassSelf):
		return SelfApproval, g.by.ID + " asked for it"
	case j.revoked(g):
		return Revoked, "was taken back"
	case b.Level != "" && j.on(checkGlassLevel) && slices.Index(levels, g.by.Level) < slices.Index(levels, b.Level):
		return NotSenior, fmt.Sprintf("%s is of level %s, and the policy wants %s or above", g.by.ID, g.by.Level, b.Level)
	case len(b.Teams) > 0 && j.on(checkGlassLevel) && !slices.ContainsFunc(b.Teams, func(t string) bool { return slices.Contains(g.by.Teams, t) }):
		return NotSenior, fmt.Sprintf("%s is not of team %s", g.by.ID, strings.Join(b.Teams, " or "))
	}
	for _, st := range j.bentStudies() {
		if st.holds(g.by.ID) && j.on(checkGlassAuthor) {
			return SelfApproval, fmt.Sprintf("%s is among the authors of %s, or runs an agent that is", g.by.ID, nameOf(&st.result))
		}
		if why := j.unenrolled(g.by.ID, st.merge); why != "" {
			return EnrolledLater, why
		}
	}
	return "", ""
}

// citeCase names what a verdict rests on.
func (j *judge) citeCase(request item, use *GlassUse) {
	j.cite(request, "break-glass request")
	for _, g := range j.glass.grants[use.Case] {
		if slices.Contains(use.Granted, g.Index()) {
			j.cite(g, "break-glass grant")
		}
	}
}
