package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// The ids of findings that no rule of the policy makes, because they always hold.
const (
	findingRange   = "range"
	findingSession = "session"
	findingVeto    = "veto"
	findingFreeze  = "freeze"
	findingPolicy  = "policy"
)

// study is everything that is known of one commit of the range.
type study struct {
	*merge
	authors
	heard
	held    // of a plan
	binding attest.Binding
	unbound string // why the binding is not better
	paths   []gitfacts.Path
	class   Class
	vars    ChangeVars
	planned PlanVars // for a plan, instead of vars
	result  ChangeResult
	open    []opening
	closed  bool // something is missing that no approval can give
}

// judgeChanges studies each commit of the range and asks every rule about it.
func (j *judge) judgeChanges() {
	j.signs = j.in.Set.Signs()
	studies := make([]*study, 0, len(j.commits))
	release := ReleaseVars{Name: j.d.Core.Release, Repository: j.in.Request.Repository, Changes: len(j.commits)}
	for _, c := range j.commits {
		st := j.study(c)
		if j.denied {
			return
		}
		if st.vars.AIAssisted {
			release.AIChanges++
		}
		studies = append(studies, st)
		j.reach(c.ID, j.below)
		release.Domains = append(release.Domains, st.class.Domains...)
	}
	slices.Sort(release.Domains)
	release.Domains = slices.Compact(release.Domains)
	release.Critical = j.in.Set.Domains.Critical(release.Domains)
	j.d.Core.Changes = make([]ChangeResult, 0, len(studies))
	for _, st := range studies {
		st.result.Rules = make([]Finding, 0, len(j.in.Set.Rules)+1)
		j.applyRules(st, &release)
		j.d.Core.Changes = append(j.d.Core.Changes, st.result)
	}
	j.studies = studies
}

// study finds out what is proven of one commit.
func (j *judge) study(c *gitfacts.Commit) *study { return j.studyMerge(j.readMerge(c)) }

func (j *judge) studyMerge(m *merge) *study {
	c, st := m.Commit, &study{merge: m}
	j.checkBuilder(m.admissions)
	st.result = ChangeResult{Change: clean(m.change), Commit: string(c.ID), Head: string(m.head), Title: title(c), BoundBy: signers(m.admissions)}
	name := nameOf(&st.result)
	for _, it := range m.admissions {
		j.cite(it, "admission of "+name)
	}
	merged, review := j.above(c.ID, m.target), closure{closed: true}
	if m.head != "" {
		review = j.above(m.head, m.target)
		for _, it := range j.credit(j.changes[m.head], m.change) {
			j.cite(it, "review of "+name)
		}
	}
	st.binding, st.unbound = j.bind(m, review)
	commits := union(merged.commits, review.commits)
	st.authors = *j.authorsOf(m, commits, merged.closed && review.closed, st.binding)
	origin := j.originOf(m, &st.authors, commits, name)
	j.classify(st)
	st.heard = j.hear(m, &st.authors)
	j.describeChange(st, origin)
	return st
}

// union joins two lists of commits, each once.
func union(a, b []*gitfacts.Commit) []*gitfacts.Commit {
	out := slices.Clone(a)
	for _, c := range b {
		if !slices.ContainsFunc(a, func(o *gitfacts.Commit) bool { return o.ID == c.ID }) {
			out = append(out, c)
		}
	}
	return out
}

func title(c *gitfacts.Commit) string {
	first, _, _ := strings.Cut(c.Message, "\n")
	return clean(first[:min(len(first), 200)])
}

// classify computes the blast radius from the paths between first parent and
// merged commit. What is only claimed has the highest tier.
func (j *judge) classify(st *study) {
	var proven bool
	st.paths, proven = j.paths(st.merge)
	st.class = j.in.Set.Domains.Classify(st.paths)
	st.vars.Claimed = !proven
	st.result.Because = cleanAll(st.class.Because)
	if highest := len(j.in.Set.Tiers) - 1; !proven && j.on(checkClaimed) && st.class.Tier < highest {
		st.class.Tier = highest
		st.result.Because = append(st.result.Because, "its paths are claimed, not proven")
	}
	st.class.Tier = j.risk(st.merge, &st.result, st.class.Tier)
	st.highest = st.class.Tier == len(j.in.Set.Tiers)-1
}

// describeStudy fills in what a decision shows of a change as of a plan.
func (j *judge) describeStudy(st *study, origin attest.Origin) {
	r := &st.result
	r.Binding, r.Tier, r.Domains = string(st.binding), j.in.Set.Tiers[st.class.Tier], st.class.Domains
	r.Origin, r.Authors = string(origin), st.results()
	for tool := range st.agents {
		r.Agents = append(r.Agents, tool)
	}
	slices.Sort(r.Agents)
	name := nameOf(r)
	for _, a := range st.approvals {
		v := Voice{Person: a.by.ID, Level: a.by.Level, Assurance: a.assurance.String(), Index: a.Index(), Late: a.late}
		if a.via != nil {
			v.WitnessedBy = a.via.ID
		}
		j.cite(a.item, "approval of "+name)
		if a.earlier != nil {
			v.Earlier = a.earlier.Index()
			j.cite(a.earlier.item, "approval of "+name)
		}
		r.Approved = append(r.Approved, v)
	}
	for _, a := range st.vetoes {
		j.cite(a, "rejection of "+name)
	}
}

// who lists the authors by name.
func (r *ChangeResult) who() []string {
	var out []string
	for _, a := range r.Authors {
		out = append(out, a.Who)
	}
	return out
}

// describeChange fills in what the rules see and what the decision shows.
func (j *judge) describeChange(st *study, origin attest.Origin) {
	j.describeStudy(st, origin)
	r, v := &st.result, &st.vars
	v.ID, v.Title, v.Tier, v.Domains, v.Agents = r.Change, r.Title, st.class.Tier, r.Domains, r.Agents
	for _, p := range st.paths {
		v.Paths = append(v.Paths, clean(p.Path))
	}
	v.Authors = r.who()
	v.Origin, v.AIAssisted = r.Origin, origin != attest.OriginHuman
	v.AuthorLevel, v.Authenticated = j.authorLevel(st), st.authenticated()
	v.Reviewed = st.head != "" && rankOf(st.binding) < rankOf(attest.BindingUnverifiable)
}

// applyRules asks every rule about one change, and first what always holds.
func (j *judge) applyRules(st *study, release *ReleaseVars) {
	if st.trouble != "" && j.on(checkAdmitted) {
		st.find(Finding{Rule: findingRange, Kind: st.trouble, Why: st.why})
		st.closed = true
	}
	if len(st.vetoes) > 0 && j.on(checkVeto) {
		st.find(Finding{Rule: findingVeto, Kind: Veto, Why: "rejected by " + signers(st.vetoes) + " in " + entries(st.vetoes), Need: "their approval, or a new " + map[About]string{AboutChange: "head", AboutPlan: "plan"}[j.about()]})
		st.closed = true
	}
	if why := j.badSession(st); why != "" {
		st.find(Finding{Rule: findingSession, Kind: Revoked, Why: clean(why), Need: "work of another session, under a new head or plan"})
		st.closed = true
	}
	if why := j.frozen(st); why != "" {
		st.find(Finding{Rule: findingFreeze, Kind: Frozen, Why: clean(why), Need: "two officers or owners who lift it"})
		st.closed = true
	}
	enforced := false
	for i := range j.in.Set.Rules {
		r := &j.in.Set.Rules[i]
		if r.About != j.about() {
			continue
		}
		applies, because, err := j.applies(r, st, release)
		switch {
		case err != nil && j.on(checkExpression):
			audit, from := j.watches(r)
			st.find(Finding{Rule: r.ID, Audit: audit, From: from, Kind: PolicyInvalid, Why: clean(err.Error())})
			st.closed = true
		case applies:
			audit, _ := j.watches(r)
			enforced = enforced || !audit
			f := j.hold(r, st)
			if because != "" {
				f.Why += "; asked " + because
			}
			st.find(f)
		}
	}
	if !enforced && j.on(checkApplies) {
		st.find(Finding{Rule: findingPolicy, Kind: PolicyInvalid, Why: "no rule of the policy speaks of it, and nothing is allowed by default"})
		st.closed = true
	}
}

func (st *study) find(f Finding) { st.result.Rules = append(st.result.Rules, f) }

// applies asks a rule's expression about one change, and says because of which outcomes
// it applies.
func (j *judge) applies(r *Rule, st *study, release *ReleaseVars) (yes bool, because string, err error) {
	if r.When == nil {
		return true, "", nil
	}
	g := &given{environment: j.env.Name}
	if r.About == AboutPlan {
		g.plan = &st.planned
	} else {
		g.change, g.release = &st.vars, release
	}
	if r.When.asks.incidents || r.When.asks.cohorts {
		g.outcomes = &outcomes{j: j, st: st}
	}
	yes, err = r.When.eval(g)
	if g.outcomes != nil {
		return g.outcomes.conclude(yes, err)
	}
	return yes, "", err
}

// watches reports whether a rule only says what it would do: in audit mode, and before
// it takes effect, which from then names.
func (j *judge) watches(r *Rule) (audit bool, from *attest.Time) {
	if j.on(checkEffective) && j.in.Now.Before(r.EffectiveFrom) {
		at := attest.At(r.EffectiveFrom)
		return true, &at
	}
	return r.Mode == Audit, nil
}

// apply holds one rule against one change.
func (j *judge) apply(r *Rule, st *study) Finding {
	f := Finding{Rule: r.ID}
	f.Audit, f.From = j.watches(r)
	fail := func(kind Kind, format string, args ...any) Finding {
		f.Kind, f.Why = kind, clean(fmt.Sprintf(format, args...))
		st.closed = st.closed || !f.Audit
		return f
	}
	q := &r.Require
	switch {
	case r.Forbid && j.on(checkForbid):
		return fail(Forbidden, "%s", r.Title)
	case r.About == AboutChange && !accepts(q.Bindings, st.binding) && !r.Forbid && j.on(checkBinding):
		return fail(Unbound, "its binding is %s: %s", st.binding, st.unbound)
	}
	// What a gate, a build or a merge shows is not there yet while a change is under review.
	if missing := unavailable(q, j.in.Gathered.Followed()); missing != "" && !j.reviewing && j.on(checkAvailable) {
		return fail(NotAvailable, "it asks for %s, which is not to be had here", missing)
	}
	if q.Permitted && j.on(checkPermitted) {
		if why := j.unpermitted(st); why != "" {
			return fail(NotPermitted, "%s", why)
		}
	}
	if q.Layout != "" && !j.reviewing && j.on(checkLayout) {
		if why := j.layoutHolds(q.Layout); why != "" {
			return fail(LayoutNotMet, "layout %s: %s", q.Layout, why)
		}
	}
	if q.Recomputers > 0 && st.proposedAt.IsZero() && j.on(checkRecomputers) {
		if by := st.merge.admitters(); len(by)-1 < q.Recomputers {
			return fail(Unbound, "%d services made the merge and admitted it (%s); the rule asks for %d besides the first", len(by), strings.Join(by, ", "), q.Recomputers)
		}
	}
	if why, need := j.dive(q.DeepDives, st); why != "" {
		f.Need = need
		closed := st.closed
		f = fail(DiveOwed, "%s", why)
		if j.reviewing { // two can sign it yet, and approvals may not wait until after the merge
			st.closed = closed
		}
		return f
	}
	return j.applySlots(r, st, f)
}

// unavailable names what a rule asks for and this gate does not have.
func unavailable(q *Require, followed bool) string {
	switch {
	case q.Followed && !followed:
		return "a gate that follows the log (countersign verify --followed)"
	}
	return ""
}

// applySlots fills a rule's slots with the people who approved.
func (j *judge) applySlots(r *Rule, st *study, f Finding) Finding {
	seats := j.seatsOf(&r.Require, &st.authors)
	before := r.About == AboutChange && j.timing(&r.Require) == BeforeMerge
	voices, late, old := j.usable(r, st, before)
	at := j.seatVoices(voices, seats, st.merge)
	if at.full() {
		f.Held = true
		f.Why = counted(voices, at)
		if len(seats) == 0 {
			f.Why = j.heldWhy(&r.Require, st)
		}
		return f
	}
	o := opening{rule: r, seats: seats, voices: voices, at: at}
	f.Need, f.Why = o.need(len(r.Require.Slots)), counted(voices, at)
	f.Kind = Insufficient
	switch {
	case late > 0 && j.seatVoices(st.approvals, seats, st.merge).full():
		f.Kind = Late
		f.Why += fmt.Sprintf("; %s came after the merge was admitted (#%d)", plural(late, "approval"), st.first)
	case old > 0:
		f.Kind = StaleApproval
		f.Why += fmt.Sprintf("; %s older than %s", plural(old, "approval is", "approvals are"), r.Require.MaxAge)
	case j.seatVoices(assured(voices), seats, st.merge).full():
		f.Kind = LowAssurance
		f.Why += "; those that are there prove less of who was there than is asked"
	case match(len(voices), len(seats), func(int, int) bool { return true }).full():
		f.Kind = NotSenior
	}
	if before && st.proposedAt.IsZero() {
		f.Why += "; " + NoNewApproval
		st.closed = st.closed || !f.Audit
		return f
	}
	o.candidates = j.candidates(st, &o)
	f.Who = j.whoCould(&o, st.merge)
	if !f.Audit {
		st.open = append(st.open, o)
	}
	return f
}

// heldWhy says why a rule holds that asks for nobody's approval.
func (j *judge) heldWhy(q *Require, st *study) string {
	switch {
	case q.Permitted:
		return st.permittedWhy()
	case q.Layout != "" && j.proposing:
		return "layout " + q.Layout + " is asked of the release"
	case q.Layout != "":
		return "the artifact was made as layout " + q.Layout + " says"
	}
	return "its binding is " + string(st.binding)
}

// NoNewApproval is said where a rule wants approvals before the merge, and the change is merged.
const NoNewApproval = "approvals must be logged before the merge, so new ones cannot help this one"

// assured are the same approvals, if they proved all that can be proven.
func assured(voices []voice) []voice {
	out := slices.Clone(voices)
	for i := range out {
		out[i].assurance = roster.Verified
	}
	return out
}

func (j *judge) timing(q *Require) Timing {
	if q.Timing != "" {
		return q.Timing
	}
	return j.env.Approvals
}

// usable picks the approvals that are in time for a rule and young enough.
func (j *judge) usable(r *Rule, st *study, before bool) (voices []voice, late, old int) {
	for _, v := range st.approvals {
		if before && v.earlier != nil {
			v = *v.earlier
		}
		switch {
		case before && v.late && j.on(checkTiming):
			late++
		case r.Require.MaxAge > 0 && j.in.Now.Sub(v.Time()) > r.Require.MaxAge && j.on(checkAge):
			old++
		default:
			voices = append(voices, v)
		}
	}
	return voices, late, old
}

// counted says in words which approvals sit in seats.
func counted(voices []voice, at seating) string {
	names := make([]byte, 0, 64)
	n := 0
	for i := range voices {
		if !slices.Contains(at, i) {
			continue
		}
		if n++; n > 1 {
			names = append(names, ", "...)
		}
		names = append(names, voices[i].by.ID...)
		names = strconv.AppendUint(append(names, " #"...), voices[i].Index(), 10)
	}
	if n == 0 {
		return "no approval counts"
	}
	return plural(n, "approval counts", "approvals count") + " (" + string(names) + ")"
}

func entries(items []item) string {
	var b strings.Builder
	for i, it := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "#%d", it.Index())
	}
	return b.String()
}

// plural is n with a noun, whose plural adds an s unless it is given.
func plural(n int, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return strconv.Itoa(n) + " " + many[0]
	}
	return strconv.Itoa(n) + " " + one + "s"
}

func cleanAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = clean(s)
	}
	return out
}
