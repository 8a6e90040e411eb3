package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// planned is what everybody together says that a plan does.
type planned struct {
	statements []item // that were not taken back
	operations []attest.ResourceOperation
	omitted    int
	// described is the index of the last statement that added something. Who approved
	// before it did not know what they approved.
	described uint64
	derivedBy string // a service that read it out of the file; empty: it is only claimed
	// told is the statement that says what kind of plan it is: the first of a service that
	// read the file, taken back or not, and where none did, the first. Else whoever speaks first could choose the rules.
	told *attest.Operation
}

// about is what the decision is about.
func (j *judge) about() About {
	if j.in.Request.Plan != nil {
		return AboutPlan
	}
	return AboutChange
}

func (j *judge) fileOperation(it item, p *attest.Operation) {
	switch {
	case j.in.Request.Plan == nil || it.Statement().Subjects[0].Digest["sha256"] != j.d.Core.Plan || !j.here(it, p.Repository, ""):
	case p.Environment != j.env.Name && j.on(checkScope):
		j.ignore(it, verify.WrongScope, "", "is about environment %s", p.Environment)
	default:
		j.operations = append(j.operations, it)
	}
}

func (j *judge) filePlanApproval(it item, p *attest.Approval) {
	switch {
	case j.in.Request.Plan == nil || p.About.Plan != j.d.Core.Plan:
		j.ignore(it, verify.SubjectMismatch, "", "is about a plan that was not asked about")
	case j.here(it, p.Repository, ""):
		j.ofPlan = append(j.ofPlan, it)
	}
}

// judgePlan finds out what the plan does, and asks every rule about it.
func (j *judge) judgePlan() {
	plan := j.readPlan()
	if j.denied {
		return
	}
	st := &study{merge: &merge{Commit: &gitfacts.Commit{}, plan: plan}}
	st.result.Plan = &PlanResult{Digest: j.d.Core.Plan}
	for _, it := range plan.statements {
		j.cite(it, "operation of "+nameOf(&st.result))
	}
	st.authors = *j.plannersOf(plan)
	origin := j.planOrigin(&st.authors, plan)
	j.classifyPlan(st)
	st.heard = j.hear(st.merge, &st.authors)
	j.describePlan(st, origin)
	j.holdAgents(st, origin)
	st.planned.ByAgent, st.planned.Unpermitted = st.byAgent, len(st.beyond) > 0
	st.result.Rules = make([]Finding, 0, len(j.in.Set.Rules)+1)
	j.applyRules(st, &ReleaseVars{})
	j.d.Core.Changes = []ChangeResult{st.result}
	j.studies = []*study{st}
}

// readPlan puts together what is said of the plan. What anybody said that it does, it
// does: nobody can make it harmless by saying less, or by taking back what they said.
func (j *judge) readPlan() *planned {
	p := &planned{statements: j.credit(j.operations, "")}
	if len(p.statements) == 0 {
		j.deny(NoPlan, "nobody of the roster says what plan %.12s of %s does to %s", j.d.Core.Plan, j.in.Request.Repository, j.env.Name)
		return p
	}
	type what struct {
		verb                  attest.Verb
		kind, module, address string
	}
	known := make(map[what]int)
	all := j.operations
	if !j.on(checkSaid) {
		all = p.statements
	}
	for _, it := range all {
		said := it.Statement().Predicate.(*attest.Operation)
		if said.Omitted > p.omitted && j.on(checkWhole) {
			p.omitted, p.described = said.Omitted, it.Index()
		}
		for _, op := range said.Each() {
			key := what{op.Verb, op.Kind, op.Module, op.Address}
			at, ok := known[key]
			if !ok {
				at, p.described = len(p.operations), it.Index()
				known[key] = at
				p.operations = append(p.operations, j.in.Set.Domains.kinds.Judge(op))
			}
			mine := &p.operations[at]
			stateful, reversible := mine.Stateful || op.Stateful, mine.Reversible && op.Reversible
			if (stateful != mine.Stateful || reversible != mine.Reversible) && j.on(checkWorse) {
				p.described = it.Index() // it is worse than whoever approved could know
			}
			mine.Stateful, mine.Reversible = stateful, reversible
		}
	}
	reads := func(it item) bool {
		return it.Statement().Predicate.(*attest.Operation).Derived == attest.DerivedFromPlan && (it.by.Kind == roster.Service || !j.on(checkDerived))
	}
	// What kind of plan it is stays said too, by whom it was read, though they took it back.
	told := max(0, slices.IndexFunc(all, reads))
	p.told = all[told].Statement().Predicate.(*attest.Operation)
	if at := slices.IndexFunc(p.statements, reads); at >= 0 {
		p.derivedBy = p.statements[at].by.ID
	}
	slices.SortFunc(p.operations, func(a, b attest.ResourceOperation) int {
		return cmp.Or(cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Module, b.Module))
	})
	return p
}

// plannersOf is the author set of a plan: people and agents who signed what it does,
// whoever any statement names, and who runs the agents. While nobody but a service
// spoke, or somebody who is named did not sign, who made it is not known.
func (j *judge) plannersOf(plan *planned) *authors {
	s := &authors{byWho: make(map[string]*author), agents: make(map[string]bool)}
	for _, it := range j.operations {
		p := it.Statement().Predicate.(*attest.Operation)
		if it.by.Kind != roster.Service {
			j.addPrincipal(s, it.by)
		}
		if p.PlannedBy != "" && j.on(checkOpener) {
			j.addNamed(s, p.PlannedBy)
		}
		for _, a := range p.Agents {
			s.agents[clean(a.Tool)] = true
		}
	}
	signed := make(map[string]bool)
	for _, it := range plan.statements {
		if it.by.Kind != roster.Service {
			signed[it.by.ID] = true
			signed[it.by.Operator] = true // the roster's word, not theirs
		}
	}
	for _, a := range s.list {
		a.verified = !j.on(checkMaker) || a.principal != nil && (signed[a.principal.ID] || a.principal.Operator != "" && signed[a.principal.Operator])
	}
	s.incomplete = len(signed) == 0 && j.on(checkMaker)
	slices.SortFunc(s.list, func(a, b *author) int { return cmp.Compare(a.who, b.who) })
	return s
}

// planOrigin is as originOf: anybody's sign of AI is believed, and "human" only when
// every one of its authors says so under their own key.
func (j *judge) planOrigin(s *authors, plan *planned) attest.Origin {
	ai, mixed := len(s.agents) > 0, false
	for _, it := range j.operations {
		p := it.Statement().Predicate.(*attest.Operation)
		ai, mixed = ai || p.Origin == attest.OriginAI, mixed || p.Origin == attest.OriginMixed
	}
	human := make(map[string]bool)
	for _, it := range plan.statements {
		if it.Statement().Predicate.(*attest.Operation).Origin == attest.OriginHuman {
			human[it.by.ID] = true
		}
	}
	switch {
	case ai:
		return attest.OriginAI
	case mixed:
		return attest.OriginMixed
	case s.incomplete || slices.ContainsFunc(s.list, func(a *author) bool { return a.person() == nil || !human[a.who] }):
		return attest.OriginUnknown
	}
	return attest.OriginHuman
}

// classifyPlan computes the blast radius from the resources. What no service derived,
// and what nobody lists, has the highest tier.
func (j *judge) classifyPlan(st *study) {
	plan := st.plan
	st.class = j.in.Set.Domains.ClassifyOperations(plan.operations)
	st.result.Because = cleanAll(st.class.Because)
	highest := len(j.in.Set.Tiers) - 1
	st.planned.Claimed = plan.derivedBy == ""
	// What nobody read out of the file, or nobody lists, may be in any domain.
	st.class.Unclaimed = st.class.Unclaimed || st.planned.Claimed || plan.omitted > 0
	if st.planned.Claimed && st.class.Tier < highest && j.on(checkClaimed) {
		st.class.Tier = highest
		st.result.Because = append(st.result.Because, "what it does is claimed: no service read it out of the plan file")
	}
	if plan.omitted > 0 && st.class.Tier < highest {
		st.class.Tier = highest
		st.result.Because = append(st.result.Because, fmt.Sprintf("%s did not fit into what was said of it", plural(plan.omitted, "operation")))
	}
}

// maxHarm bounds how many operations a decision names.
const maxHarm = 100

// describePlan fills in what the rules see and what the decision shows.
func (j *judge) describePlan(st *study, origin attest.Origin) {
	j.describeStudy(st, origin)
	plan, r, v := st.plan, st.result.Plan, &st.planned
	r.Tool = clean(plan.told.Tool.Name + " " + plan.told.Tool.Version)
	r.Derived, r.DerivedBy, r.Omitted = string(attest.Claimed), plan.derivedBy, plan.omitted
	if plan.derivedBy != "" {
		r.Derived = string(attest.DerivedFromPlan)
	}
	r.Operations, r.Counts = attest.OperationsDigest(plan.operations).String(), make(map[attest.Verb]int)
	for i := range plan.operations {
		op := &plan.operations[i]
		r.Counts[op.Verb]++
		v.Kinds = append(v.Kinds, op.Kind)
		v.Resources = append(v.Resources, op.Address)
		v.LosesState = v.LosesState || op.Stateful && (op.Verb == attest.VerbDelete || op.Verb == attest.VerbReplace)
		v.OperatorLevel = v.OperatorLevel || j.in.Set.Domains.kinds.OperatorLevel(op.Verb, op.Kind)
		if !op.Reversible {
			if r.Irreversible++; len(r.Harm) < maxHarm {
				r.Harm = append(r.Harm, clean(string(op.Verb)+" "+op.Address))
			}
		}
	}
	slices.Sort(v.Kinds)
	v.Kinds = slices.Compact(v.Kinds)
	slices.Sort(v.Resources)
	v.Resources = slices.Compact(v.Resources)
	if plan.omitted > 0 {
		r.Irreversible += plan.omitted
		v.LosesState, v.OperatorLevel = true, true
	}
	v.Source, v.Irreversible = string(plan.told.Source), r.Irreversible > 0
	v.Creates, v.Updates, v.Deletes, v.Replaces, v.Forgets = r.Counts[attest.VerbCreate], r.Counts[attest.VerbUpdate], r.Counts[attest.VerbDelete], r.Counts[attest.VerbReplace], r.Counts[attest.VerbForget]
	v.Imports, v.Moves, v.Reads, v.Invokes = r.Counts[attest.VerbImport], r.Counts[attest.VerbMove], r.Counts[attest.VerbRead], r.Counts[attest.VerbInvoke]
	v.Tier, v.Domains, v.Agents, v.Authors, v.Origin = st.class.Tier, st.result.Domains, st.result.Agents, st.result.who(), st.result.Origin
	v.Critical = j.in.Set.Domains.Critical(v.Domains)
	v.AIAssisted = origin != attest.OriginHuman
	v.AuthorLevel, v.Authenticated = j.authorLevel(st), st.authenticated()
}

// unfitForPlan holds an approval against the plan that it gives credit to.
func (j *judge) unfitForPlan(it item, p *attest.Approval, plan *planned) (Kind, string) {
	switch {
	case p.Reviewer != it.by.ID && j.on(checkReviewer):
		return verify.UntrustedKey, fmt.Sprintf("says that %s approves, and %s signed it", p.Reviewer, it.by.ID)
	case it.Index() < plan.described && j.on(checkDescribed):
		return StaleApproval, fmt.Sprintf("was given before entry %d said what the plan does", plan.described)
	}
	return "", ""
}
