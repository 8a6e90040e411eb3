package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// item is one statement whose signer is somebody of this policy's roster.
type item struct {
	*verify.Evidence
	by  *roster.Principal // nil for the service key's verdicts
	key *roster.Key
	via *roster.Principal // the forge that says so, where it is the signer and not by
}

// evidence is what was gathered, by what it speaks of. Each list is in log order.
type evidence struct {
	releases    []item
	decisions   []item // by the service key
	changes     map[gitfacts.ID][]item
	admissions  map[gitfacts.ID][]item
	authorships map[gitfacts.ID][]item
	risks       map[gitfacts.ID][]item
	approvals   map[gitfacts.ID][]item // by head
	byChange    map[string][]item      // approvals, by change id
	operations  []item                 // what is said of the plan that was asked about
	ofPlan      []item                 // approvals of it
	agentMade   map[gitfacts.ID][]item // provenance of commits that an agent made

	spellings   map[identity][]string // payload digests, in hex, of a statement but for its first
	permissions map[string][]item     // what agents may do, by roster id
	links       map[string][]item     // of steps, by their names
}

// readEvidence keeps, of everything that was gathered, what somebody may say, once.
func (j *judge) readEvidence() {
	perCommit := func() map[gitfacts.ID][]item { return make(map[gitfacts.ID][]item, len(j.in.Gathered.Range)) }
	j.evidence = evidence{
		changes: perCommit(), admissions: perCommit(), authorships: perCommit(), risks: perCommit(), approvals: perCommit(), agentMade: make(map[gitfacts.ID][]item),
		permissions: make(map[string][]item), links: make(map[string][]item),
		byChange: make(map[string][]item, len(j.in.Gathered.Range)),
	}
	for _, e := range j.inOrder() {
		if it, ok := j.accept(e); ok {
			j.file(it)
		}
	}
	for _, r := range j.in.Gathered.Refusals {
		if r != nil {
			j.d.Annex.Ignored = append(j.d.Annex.Ignored, Ignored{Index: r.Index, Kind: r.Kind, Type: clean(r.PredicateType), Signer: clean(r.Signer), Why: clean(r.Check + ": " + r.Why)})
		}
	}
}

// identity is what makes two statements the same.
type identity struct {
	signer roster.KeyID
	said   attest.Digest
}

// inOrder returns what was gathered in log order. A statement counts once, at its
// first index, however often it was logged or handed in: its identity is signer
// and what they signed. Other spellings of it are noted, because taking back
// one takes back all.
func (j *judge) inOrder() []*verify.Evidence {
	g := j.in.Gathered
	all := make([]*verify.Evidence, 0, len(g.Evidence)+len(g.Negative))
	add := func(e *verify.Evidence) {
		if e != nil && e.Statement() != nil { // the zero Evidence, which verify never makes
			all = append(all, e)
		}
	}
	for _, e := range g.Evidence {
		add(e)
	}
	for _, e := range g.Releases {
		add(e)
	}
	for i := range g.Negative {
		add(g.Negative[i].Evidence)
	}
	slices.SortFunc(all, func(a, b *verify.Evidence) int { return cmp.Compare(a.Index(), b.Index()) })
	seen := make(map[identity]attest.Digest, len(all))
	last := ^uint64(0)
	return slices.DeleteFunc(all, func(e *verify.Evidence) bool {
		id := identity{e.Signer(), e.Said()}
		first, known := seen[id]
		again := e.Index() == last || j.on(checkSameStatement) && known
		switch last = e.Index(); {
		case !known:
			seen[id] = e.Digest()
		case first != e.Digest():
			if j.spellings == nil {
				j.spellings = make(map[identity][]string)
			}
			j.spellings[id] = append(j.spellings[id], e.Digest().String())
		}
		return again
	})
}

// accept asks whose word this is, whether it was theirs when it was logged, and
// whether they may say such a thing. Package verify asked the same of its own
// roster; a decision may be made with another (an auditor's baseline).
func (j *judge) accept(e *verify.Evidence) (item, bool) {
	it, typ := item{Evidence: e}, e.Statement().Predicate.Type()
	if typ == attest.TypeDecision || typ == attest.TypeVSA {
		if !j.byService(e) {
			j.ignore(it, verify.UntrustedKey, "", "is a verdict, and not by the service that is trusted to give them")
			return it, false
		}
		return it, true
	}
	var ok bool
	if it.by, it.key, ok = j.rosterFor(e).ByKey(e.Signer()); !ok {
		if j.on(checkSigner) {
			j.ignore(it, verify.UntrustedKey, "", "its signer is not on the roster")
			return it, false
		}
		it.by, it.key = &roster.Principal{ID: "stranger", Kind: roster.Person}, &roster.Key{}
	}
	if j.on(checkSignerTime) && !(it.by.Holds(e.Time()) && it.key.Holds(e.Time())) {
		j.ignore(it, verify.KeyTime, "", "%s or their key was not valid when it was logged, at %s", it.by.ID, stamp(e.Time()))
		return it, false
	}
	if claim := verify.Unpinned(e.Identity(), it.key); claim != "" && j.on(checkSigner) {
		j.ignore(it, verify.WrongScope, "", "its certificate does not say the %s that the roster pins for %s", claim, it.by.ID)
		return it, false
	}
	if a, ok := e.Statement().Predicate.(*attest.Approval); ok && a.WitnessedBy != nil {
		return j.acceptWitnessed(it, a)
	}
	if j.on(checkMay) && !may(it.by, typ) {
		j.ignore(it, verify.WrongScope, "", "%s %s may not make statements of this type", it.by.Kind, it.by.ID)
		return it, false
	}
	return it, true
}

func (j *judge) byService(e *verify.Evidence) bool {
	t := j.in.Trust
	return t.Service != nil && roster.KeyID(t.Service.ID()) == e.Signer() && t.ServiceValid.Holds(e.Time())
}

// may says who may make which statements: services what the roster lists, and
// people and agents what they can know themselves. Approvals by others are let
// through, so that it can be said why they do not count.
func may(p *roster.Principal, typ string) bool {
	switch typ {
	case attest.TypeApproval:
		return true
	case attest.TypeAuthorship, attest.TypeRevocation, attest.TypeRisk, attest.TypeOperation, attest.TypePolicy, attest.TypeFreeze, attest.TypeBreakGlass, attest.TypeGap:
		return p.Kind != roster.Service || p.MaySign(typ)
	}
	switch typ {
	case attest.TypeAgentPermissions, attest.TypeDeepDive:
		return p.Kind == roster.Person
	case attest.TypeIncident, attest.TypeLink, attest.TypeCohortSnapshot:
		return p.Kind == roster.Person || p.Kind == roster.Service && p.MaySign(typ)
	}
	return p.Kind == roster.Service && p.MaySign(typ)
}

// file puts an item where it will be looked for.
func (j *judge) file(it item) {
	st := it.Statement()
	commit := gitfacts.ID(st.Subjects[0].Digest["gitCommit"])
	switch p := st.Predicate.(type) {
	case *attest.Revocation:
		j.revocations.add(it, p)
	case *attest.Freeze:
		j.freezes.add(it, p)
	case *attest.Gap:
		j.gaps.add(it, p)
	case *attest.BreakGlass:
		j.glass.add(it, p)
	case *attest.Decision:
		j.decisions = append(j.decisions, it)
		j.glass.use(it, p)
	case *attest.Release:
		j.releases = append(j.releases, it)
	case *attest.SLSAProvenance:
		j.releases = append(j.releases, it)
		j.fileAgentCommit(it, p)
	case *attest.Change:
		if j.here(it, p.Repository, p.Change.ID) {
			j.changes[commit] = append(j.changes[commit], it)
		}
	case *attest.Admission:
		if j.here(it, p.Repository, p.Change.ID) {
			j.admissions[commit] = append(j.admissions[commit], it)
		}
	case *attest.Authorship:
		if j.here(it, p.Repository, p.Change.ID) {
			j.authorships[commit] = append(j.authorships[commit], it)
		}
	case *attest.Risk:
		if j.here(it, p.Repository, p.Change.ID) {
			j.risks[commit] = append(j.risks[commit], it)
		}
	case *attest.Operation:
		j.fileOperation(it, p)
	case *attest.Link:
		j.links[p.Name] = append(j.links[p.Name], it)
	case *attest.AgentPermissions:
		j.filePermissions(it, p)
	case *attest.Approval:
		if p.About != nil {
			j.filePlanApproval(it, p)
		} else if j.here(it, p.Repository, p.Change.ID) {
			j.approvals[commit] = append(j.approvals[commit], it)
			j.byChange[p.Change.ID] = append(j.byChange[p.Change.ID], it)
		}
	}
}

// fileAgentCommit files provenance under the commits that it says an agent made,
// whatever repository it names: it can only add to a suspicion.
func (j *judge) fileAgentCommit(it item, p *attest.SLSAProvenance) {
	if _, ok := p.AgentCommit(); !ok {
		return
	}
	for _, s := range it.Statement().Subjects {
		if c := gitfacts.ID(s.Digest["gitCommit"]); c != "" {
			j.agentMade[c] = append(j.agentMade[c], it)
		}
	}
}

// here reports whether a statement is about the repository that was asked about.
func (j *judge) here(it item, repository, change string) bool {
	if repository == j.in.Request.Repository || !j.on(checkRepository) {
		return true
	}
	j.ignore(it, verify.WrongScope, change, "is about repository %s", repository)
	return false
}

// ignore records an item that gave no credit.
func (j *judge) ignore(it item, kind Kind, change, format string, args ...any) {
	ig := Ignored{Index: it.Index(), Kind: kind, Type: clean(it.Statement().Predicate.Type()), Change: clean(change), Why: clean(fmt.Sprintf(format, args...))}
	if it.by != nil {
		ig.Signer = it.by.ID
	} else {
		k := it.Signer()
		ig.Signer = fmt.Sprintf("%x", k[:])
	}
	j.d.Annex.Ignored = append(j.d.Annex.Ignored, ig)
}

// citation is an item that counted, and as what.
type citation struct {
	item
	role string
}

// cite records an item that counted.
func (j *judge) cite(it item, role string) { j.citations = append(j.citations, citation{it, role}) }

// listInputs writes what was cited, each once, in log order.
func (j *judge) listInputs() {
	order := make([]*citation, len(j.citations))
	for i := range j.citations {
		order[i] = &j.citations[i]
	}
	slices.SortFunc(order, func(a, b *citation) int {
		return cmp.Or(cmp.Compare(a.Index(), b.Index()), strings.Compare(a.role, b.role))
	})
	order = slices.CompactFunc(order, func(a, b *citation) bool { return a.Index() == b.Index() && a.role == b.role })
	j.d.Core.Inputs = make([]Cited, len(order))
	for i, c := range order {
		signer := "service"
		if c.by != nil {
			signer = c.by.ID
		}
		if by := c.VouchedBy(); by != "" {
			j.d.Annex.Vouched = append(j.d.Annex.Vouched, Vouched{Index: c.Index(), By: by})
		}
		j.d.Core.Inputs[i] = Cited{Index: c.Index(), Type: c.Statement().Predicate.Type(), Digest: c.Digest().String(), Signer: signer, Role: clean(c.role)}
	}
}

// maxText bounds text from outside, in bytes.
const maxText = 1000

// clean makes text from outside safe to print and to encode: valid UTF-8, no
// control characters, of bounded length.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= 0x20 && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
