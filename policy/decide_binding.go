package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/verify"
)

// merge is what the admissions of one commit say together.
type merge struct {
	*gitfacts.Commit
	target     gitfacts.ID // first parent
	admissions []item      // that were not taken back
	first      uint64      // index of the first admission, taken back or not: what comes later is late
	head       gitfacts.ID // reviewed; empty when nothing was
	change     string      // id
	targetRef  string
	mergedBy   string // forge account
	claim      attest.Binding
	replay     bool
	highest    bool      // it has the highest tier
	plan       *planned  // set, and little else, when it is no merge at all
	proposedAt time.Time // set while it is under review only, and nobody merged it (PreviewChange)
	trouble    Kind      // set when there is no admission that can be relied on
	why        string
}

// readMerge puts together what admitters say of a commit.
//
// When two of them disagree on what was reviewed, neither is believed. Taking the
// first would let whoever is early choose, taking the last whoever is late, and
// taking any whoever has the most tries; taking none gives nobody a choice. For
// the same reason an admission that was taken back still contradicts. The way out
// is a baseline, which takes the owners.
func (j *judge) readMerge(c *gitfacts.Commit) *merge {
	m := &merge{Commit: c, target: c.Parents[0]}
	all := j.admissions[c.ID]
	if len(all) == 0 {
		m.trouble, m.why = NoChange, "no admission says how it came to the branch"
		return m
	}
	m.first = all[0].Index()
	m.read(all[0].Statement().Predicate.(*attest.Admission))
	for _, it := range all[1:] {
		p := it.Statement().Predicate.(*attest.Admission)
		if j.on(checkAgree) && (gitfacts.ID(p.ReviewedHead) != m.head || p.Change.ID != m.change || p.TargetRef != m.targetRef) {
			m.trouble = Unbound
			m.why = "its admissions contradict each other on what was reviewed: " + entries(all)
		}
		if !j.on(checkAgree) {
			m.read(p)
		}
		m.replay = m.replay && p.ReplayClean
		m.claim = weaker(m.claim, p.Binding)
	}
	m.mergedBy = j.mergedBy(all)
	if m.admissions = j.credit(all, m.change); len(m.admissions) == 0 && m.trouble == "" {
		m.trouble, m.why = Revoked, "its admission was taken back"
	}
	return m
}

// mergedBy is the account that merged, by all admissions that name one; empty where none
// does, and where they name more than one person.
func (j *judge) mergedBy(all []item) string {
	name := ""
	for _, it := range all {
		p := it.Statement().Predicate.(*attest.Admission)
		switch a, known := j.account(name); {
		case p.MergedBy == "" || p.MergedBy == name:
		case name == "" || !j.on(checkMerger):
			name = cmp.Or(name, p.MergedBy)
		default:
			if b, ok := j.account(p.MergedBy); !ok || !known || a.ID != b.ID {
				return ""
			}
		}
	}
	return name
}

func (m *merge) read(p *attest.Admission) {
	m.head, m.change, m.targetRef = gitfacts.ID(p.ReviewedHead), p.Change.ID, p.TargetRef
	m.claim, m.replay = p.Binding, p.ReplayClean
}

// bindingOrder is strongest first.
var bindingOrder = []attest.Binding{
	attest.BindingIdentity, attest.BindingReplay, attest.BindingPatch, attest.BindingResidual, attest.BindingUnverifiable,
}

func weaker(a, b attest.Binding) attest.Binding {
	return bindingOrder[max(rankOf(a), rankOf(b))]
}

func rankOf(b attest.Binding) int {
	if i := slices.Index(bindingOrder, b); i >= 0 {
		return i
	}
	return len(bindingOrder) - 1
}

// bind says how the reviewed head and the merged commit are known to be the same
// change. Trees are derived; that a replay is clean is the admitter's
// word, which counts for nothing where the history itself says otherwise.
func (j *judge) bind(m *merge, review closure) (attest.Binding, string) {
	if m.head == "" {
		return attest.BindingUnverifiable, "nothing was reviewed: it was pushed to the branch"
	}
	if m.trouble != "" {
		return attest.BindingUnverifiable, m.why
	}
	head, ok := j.in.Gathered.Commit(m.head)
	if !ok {
		return attest.BindingUnverifiable, "no change attestation proves the reviewed head " + short(m.head)
	}
	if !review.closed {
		return attest.BindingUnverifiable, "the commits of the reviewed head " + short(m.head) + " are not proven down to the branch: something was left out"
	}
	if why := j.disproven(m, head, review); why != "" && j.on(checkReplayProof) {
		return attest.BindingUnverifiable, why
	}
	switch {
	case (m.replay || !j.on(checkReplay)) && head.Tree == m.Tree:
		return attest.BindingIdentity, ""
	case m.replay:
		return attest.BindingReplay, ""
	case rankOf(m.claim) <= rankOf(attest.BindingReplay):
		return attest.BindingUnverifiable, "its admissions do not agree that the replay is clean"
	}
	return m.claim, "the merge is not the replay of the review"
}

// disproven finds claims of a clean replay that the history contradicts. Where the
// head already holds the target, merging it gives the head's tree; where the
// target already holds the head, merging it gives the target's.
func (j *judge) disproven(m *merge, head *gitfacts.Commit, review closure) string {
	if !m.replay {
		return ""
	}
	if j.below[m.head] {
		if t, ok := j.in.Gathered.Commit(m.target); ok && t.Tree != m.Tree {
			return "the reviewed head " + short(m.head) + " was on the branch already, so merging it cannot have changed anything: the admission is wrong"
		}
		return ""
	}
	if review.meets == m.target && head.Tree != m.Tree {
		return "the reviewed head " + short(m.head) + " starts from the commit below, so merging it gives its own tree, and that differs: the admission is wrong"
	}
	return ""
}

// paths returns the files that the merge changed, as derived from objects; false
// when nothing proves them and they are only claimed.
func (j *judge) paths(m *merge) ([]gitfacts.Path, bool) {
	for _, list := range [][]item{j.admissions[m.ID], j.changes[m.ID]} {
		for _, it := range list {
			if f := it.Facts(); f != nil && f.Head == m.ID && f.Base == m.target {
				return f.Paths, true
			}
		}
	}
	var claimed []gitfacts.Path
	for _, it := range j.admissions[m.ID] {
		for _, p := range it.Statement().Predicate.(*attest.Admission).Paths {
			claimed = append(claimed, gitfacts.Path{Path: p})
		}
	}
	return claimed, false
}

// accepts reports whether a rule takes a binding. Identity is a replay, and more.
func accepts(accepted []attest.Binding, b attest.Binding) bool {
	if len(accepted) == 0 {
		accepted = []attest.Binding{attest.BindingIdentity, attest.BindingReplay}
	}
	return slices.Contains(accepted, b) || b == attest.BindingIdentity && slices.Contains(accepted, attest.BindingReplay)
}

// admitters lists the services that say how the review became the merge, and whose word
// still counts: each made the merge again, and none says less than what is believed.
func (m *merge) admitters() []string {
	var ids []string
	for _, it := range m.admissions {
		ids = append(ids, it.by.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// signers lists who made some items, each once, sorted.
func signers(items []item) string {
	var ids []string
	for _, it := range items {
		ids = append(ids, it.by.ID)
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), ", ")
}

// risk raises the tier of a change to the highest that anybody attested. A tier
// that the policy does not know counts as the highest.
func (j *judge) risk(m *merge, r *ChangeResult, tier int) int {
	if !j.on(checkRisk) {
		return tier
	}
	tiers := j.in.Set.Tiers
	for _, it := range slices.Concat(j.risks[m.head], j.risks[m.ID]) {
		p := it.Statement().Predicate.(*attest.Risk)
		rank := slices.Index(tiers, p.Tier)
		if rank < 0 {
			rank = len(tiers) - 1
			j.ignore(it, verify.Unsupported, m.change, "attests tier %q, which the policy does not know; it counts as the highest", p.Tier)
		}
		if rank > tier {
			tier = rank
			r.Because = append(r.Because, clean("raised to "+tiers[rank]+" by "+it.by.ID))
			j.cite(it, "risk of "+nameOf(r))
		}
	}
	return tier
}
