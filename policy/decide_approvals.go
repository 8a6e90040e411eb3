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

// voice is one person's approval of one change.
type voice struct {
	item
	late      bool // logged after the change was admitted
	assurance roster.Assurance
	earlier   *voice // the same, said before and not late; nil where this is not late either
}

// heard is what reviewers said of one change: who approves, and who objects.
type heard struct {
	approvals []voice // one a person, in log order
	vetoes    []item
}

// hear sorts everything that anybody said about a change or its head.
func (j *judge) hear(m *merge, s *authors) heard {
	var w heard
	said := make(map[string]*testimony)
	var order []string
	for _, it := range j.said(m) {
		kind, why := j.deaf(it, m, s)
		if kind != "" {
			j.ignore(it, kind, m.change, "%s", why)
			continue
		}
		if said[it.by.ID] == nil {
			said[it.by.ID] = &testimony{}
			order = append(order, it.by.ID)
		}
		j.hearWord(said[it.by.ID], it, m)
	}
	for _, id := range order {
		if it := said[id].latest(); it != nil {
			j.count(&w, *it, said[id].before, m)
		}
	}
	slices.SortFunc(w.approvals, func(a, b voice) int { return cmp.Compare(a.Index(), b.Index()) })
	return w
}

// heldBack reports whether an approval was signed before a rejection or withdrawal
// of the same person that the log has before it: somebody kept it, or logged it
// once more where the first entry is not shown. Here the claimed time counts,
// since it is the person's own and only takes credit away.
func heldBack(approval, before item) bool {
	a := approval.Statement().Predicate.(*attest.Approval)
	b := before.Statement().Predicate.(*attest.Approval)
	return !a.Negative() && b.Negative() && a.ApprovedAt.Before(b.ApprovedAt.Time)
}

// count files one reviewer's latest word, and of the approvals that it repeats the one
// that was in time.
func (j *judge) count(w *heard, it item, before []item, m *merge) {
	switch decision(it) {
	case attest.Rejected:
		w.vetoes = append(w.vetoes, it)
	case attest.Approved:
		if j.revoked(it) {
			j.ignore(it, Revoked, m.change, "was taken back")
			return
		}
		v := voice{item: it, late: j.late(it, m), assurance: it.proves()}
		if v.late {
			v.earlier = j.inTime(before, m)
		}
		w.approvals = append(w.approvals, v)
	case attest.Withdrawn:
		j.ignore(it, Revoked, m.change, "%s took their word back", it.by.ID)
	}
}

func (j *judge) late(it item, m *merge) bool {
	return len(j.admissions[m.ID]) > 0 && it.Index() > m.first
}

// inTime finds, of approvals that were said again, the one that counts where a rule wants
// them before the merge: what proves most of its person, and then the newest.
func (j *judge) inTime(before []item, m *merge) *voice {
	var best *voice
	for _, it := range before {
		if !j.late(it, m) && !j.revoked(it) && (best == nil || it.proves() >= best.assurance) {
			best = &voice{item: it, assurance: it.proves()}
		}
	}
	return best
}

// proves is the assurance of an approval. The roster may be another than the verifier's.
func (it item) proves() roster.Assurance {
	if it.via != nil {
		return roster.ByForge
	}
	return min(it.Assurance(), it.key.Assurance)
}

// said lists approvals and rejections of the head, and of the change by its id,
// which finds those of older heads.
func (j *judge) said(m *merge) []item {
	if m.plan != nil {
		return j.ofPlan
	}
	all := slices.Clone(j.approvals[m.head])
	if m.change != "" {
		all = append(all, j.byChange[m.change]...)
	}
	slices.SortFunc(all, func(a, b item) int { return cmp.Compare(a.Index(), b.Index()) })
	return slices.CompactFunc(all, func(a, b item) bool { return a.Index() == b.Index() })
}

func decision(it item) attest.ApprovalDecision {
	return it.Statement().Predicate.(*attest.Approval).Decision
}

// deaf says why a reviewer's word about this change is not heard; an empty kind
// means that it is. What can only take credit away is heard more easily.
func (j *judge) deaf(it item, m *merge, s *authors) (Kind, string) {
	p := it.Statement().Predicate.(*attest.Approval)
	sub := it.Statement().Subjects[0].Digest
	switch {
	case it.by.Kind != roster.Person && j.on(checkHuman):
		return NotHuman, fmt.Sprintf("%s is no person: agents and services approve nothing", it.by.ID)
	case m.plan == nil && gitfacts.ID(sub["gitCommit"]) != m.head && j.on(checkHead):
		return StaleApproval, fmt.Sprintf("is for head %s, and %s was merged", short(gitfacts.ID(sub["gitCommit"])), headName(m.head))
	case !slices.Contains(p.Scope.Environments, j.env.Name) && j.on(checkScope):
		return verify.WrongScope, fmt.Sprintf("is not for environment %s", j.env.Name)
	case s.holds(it.by.ID) && j.on(checkSelf):
		return SelfApproval, it.by.ID + " is among the authors, or runs an agent that is"
	case p.Negative():
		return "", ""
	}
	if why := j.unenrolled(it.by.ID, m); why != "" {
		return EnrolledLater, why
	}
	return j.unfit(it, p, m)
}

// unfit holds an approval against the change, or the plan, that it gives credit to.
func (j *judge) unfit(it item, p *attest.Approval, m *merge) (Kind, string) {
	if m.plan != nil {
		return j.unfitForPlan(it, p, m.plan)
	}
	head, proven := j.in.Gathered.Commit(m.head)
	tree := it.Statement().Subjects[0].Digest["gitTree"]
	switch {
	case p.Reviewer != it.by.ID && j.on(checkReviewer):
		return verify.UntrustedKey, fmt.Sprintf("says that %s approves, and %s signed it", p.Reviewer, it.by.ID)
	case p.Change.ID != m.change && j.on(checkChangeID):
		return verify.WrongScope, fmt.Sprintf("is for change %s, which shares the head with change %s", p.Change.ID, m.change)
	case p.TargetRef != m.targetRef && j.on(checkTarget):
		return verify.WrongScope, fmt.Sprintf("is for %s, and the change went to %s", p.TargetRef, m.targetRef)
	case proven && gitfacts.ID(tree) != head.Tree && j.on(checkSubjectTree):
		return verify.SubjectMismatch, fmt.Sprintf("names tree %s, and the head has %s", short(gitfacts.ID(tree)), short(head.Tree))
	}
	return "", ""
}

func headName(id gitfacts.ID) string {
	if id == "" {
		return "no reviewed head"
	}
	return short(id)
}
