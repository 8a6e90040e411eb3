package policy

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// A Request is what a gate asks: may this artifact, or this commit, of this
// repository go to this environment? Or: may this plan be applied there?
type Request struct {
	Plan        *attest.Digest // of the file that will be applied; then there is no artifact and no commit
	Artifact    *attest.Digest // nil: Commit alone is judged
	Commit      gitfacts.ID    // with an artifact it may be empty; when given, it must be the artifact's source
	Repository  string         // canonical id: see attest.ParseRepository
	Environment string
	Nonce       string // goes into the decision, so that a replayed one is seen
}

// Input is everything that a decision depends on. Decide reads nothing else: no
// clock, no network, no files.
type Input struct {
	Set *Set // the policy in force, which owners of Trust stand behind
	// History has every set of the log up to the view, for who there was when; Set is
	// the one of it that is in force. Nil where Set is somebody's own (an auditor's, a
	// candidate): then its people are those of all times.
	History  *History
	Trust    *verify.Trust // whose earlier verdicts are believed; what flags named unsafe are in force
	Request  Request
	Gathered *verify.Gathered
	Now      time.Time // of the decision
	// MaxViewAge is how old the view of the log may be; zero means
	// Trust.MaxCheckpointAge. The log's own process may pass more: its view is
	// the log.
	MaxViewAge time.Duration
	// DryRun marks that the asking gate is not on the roster, so that nothing
	// will be logged.
	DryRun bool

	off map[check]bool // tests only
}

// MaxSkew is how far the verifier's clock may be behind the log's before it
// refuses to judge anything by time.
const MaxSkew = 5 * time.Minute

// Decide judges. It is a pure function: the same evidence in any order, with
// any duplicates, gives the same Core to the byte. It denies by default, and
// answers every input, however broken.
//
// It goes: may this be asked at all → is the view of the log fresh, and have
// witnesses said so where trust names some → can all
// negative evidence be read → which one commit is the source → which commits lie
// between it and a trusted start → what is proven about each → what each rule
// says about each. For a plan: may this be asked → is the view fresh → can all
// negative evidence be read → what does the plan do → what each rule says about it.
func Decide(in Input) *Decision {
	j := &judge{in: in, d: &Decision{Core: Core{Verdict: Deny}}}
	j.describe()
	if in.Set == nil || in.Set.Roster == nil || in.Set.Domains == nil || in.Trust == nil || in.Gathered == nil {
		j.d.Core.Verdict = Error
		j.deny(PolicyInvalid, "there is no policy set, no trust or no evidence to judge with")
		return j.d
	}
	j.view = &in.Gathered.View
	j.posture()
	steps := []func(){j.checkPolicy, j.checkRequest, j.checkView, j.checkWitnesses, j.readEvidence, j.checkNegatives, j.findSource, j.findRange, j.judgeChanges}
	if in.Request.Plan != nil {
		steps = []func(){j.checkPolicy, j.checkRequest, j.checkView, j.checkWitnesses, j.readEvidence, j.checkNegatives, j.judgePlan}
	}
	for _, step := range steps {
		if step(); j.denied {
			break
		}
	}
	j.conclude()
	return j.d
}

// judge is one decision in the making.
type judge struct {
	in     Input
	d      *Decision
	denied bool // as a whole, before any rule was asked
	// reviewing: it is a preview of a change under review, and no verdict.
	reviewing bool
	view      *verify.LogView
	env       Environment

	evidence
	revocations revocations
	freezes     freezes
	glass       glass
	gaps        gaps
	excepted    time.Time // when the first exception ends that stood in; zero: none did
	citations   []citation
	outcomes    *happened // nil until a rule asks
	snapshots   []item    // by whom figures may be taken, newest first; nil until a rule asks
	looked      map[lookBack]*lately

	to      gitfacts.ID
	rosters []*roster.Roster // that were in force up to now, the present one first
	builder []*roster.Principal
	commits []*gitfacts.Commit   // of the range, oldest first
	below   map[gitfacts.ID]bool // proven ancestors of the commit under judgement
	signs   *gitfacts.SignList
	studies []*study

	layouts   map[string]*laidOut // by name, once asked for
	proposing bool                // a change under review is looked at, and no release
}

// deny ends the decision with a reason; the first one stays.
func (j *judge) deny(kind Kind, format string, args ...any) {
	if j.denied {
		return
	}
	j.denied = true
	j.d.Core.Kind, j.d.Core.Why = kind, clean(fmt.Sprintf(format, args...))
}

// describe fills in what was asked and what was judged with.
func (j *judge) describe() {
	c, in := &j.d.Core, &j.in
	c.Repository, c.Environment, c.Nonce = clean(in.Request.Repository), clean(in.Request.Environment), clean(in.Request.Nonce)
	if in.Request.Artifact != nil {
		c.Artifact = in.Request.Artifact.String()
	}
	if in.Request.Plan != nil {
		c.Plan = in.Request.Plan.String()
	}
	c.DecidedAt = attest.At(in.Now)
	c.ExpiresAt = c.DecidedAt
	// Whether witnesses have timed it is found out later.
	c.Completeness, c.Time = "operator", "operator"
	if in.Gathered != nil && in.Gathered.Followed() {
		c.Completeness = "followed"
	}
	if s := in.Set; s != nil {
		c.Policy = PolicyRef{Name: s.Name, Version: s.Version, Digest: s.Digest().String()}
	}
	if g := in.Gathered; g != nil {
		v := g.View
		c.Log = LogRef{Origin: v.Origin, Size: v.Size, Root: v.Root.String(), Time: attest.At(v.Time), ChainLength: v.ChainLength, Chain: v.Chain.String()}
	}
}

func (j *judge) checkRequest() {
	r, s, g := &j.in.Request, j.in.Set, &j.in.Gathered.Request
	if g.Repository != r.Repository || g.Environment != r.Environment || g.Commit != r.Commit ||
		!sameDigest(g.Artifact, r.Artifact) || !sameDigest(g.Plan, r.Plan) {
		j.deny(verify.SubjectMismatch, "the evidence was gathered for another request")
	}
	if r.Plan != nil && (r.Artifact != nil || r.Commit != "") {
		j.deny(verify.SubjectMismatch, "a plan was asked about, and an artifact or a commit too")
	}
	i := slices.IndexFunc(s.Environments, func(e Environment) bool { return e.Name == r.Environment })
	if i >= 0 {
		j.env = s.Environments[i]
	} else if j.on(checkEnvironment) {
		names := make([]string, len(s.Environments))
		for i, e := range s.Environments {
			names[i] = e.Name
		}
		j.deny(UnknownEnvironment, "the policy knows no environment %q; it has %s", r.Environment, strings.Join(names, ", "))
	}
	if err := attest.ParseRepository(r.Repository); err != nil {
		j.deny(verify.WrongScope, "%v", err)
	}
	if len(s.Rules) == 0 {
		j.deny(PolicyInvalid, "the policy has no rules, and nothing is allowed by default")
	}
}

func sameDigest(a, b *attest.Digest) bool { return a == b || a != nil && b != nil && *a == *b }

// checkView refuses to judge by a clock that the log contradicts, or from a
// state of the log that may hide what came since.
func (j *judge) checkView() {
	limit := j.maxViewAge()
	switch now, at := j.in.Now, j.view.Time; {
	case j.on(checkClock) && now.Before(at.Add(-MaxSkew)):
		j.deny(StaleView, "the clock says %s, and the log was already at %s: set the clock", stamp(now), stamp(at))
	case j.on(checkViewAge) && (at.IsZero() || now.Sub(at) > limit):
		j.deny(StaleView, "the view of the log is from %s, more than %s ago; what was revoked since cannot be seen", stamp(at), limit)
	}
}

func (j *judge) maxViewAge() time.Duration {
	if j.in.MaxViewAge > 0 {
		return j.in.MaxViewAge
	}
	return j.in.Trust.MaxCheckpointAge
}

// checkWitnesses wants the quorum of the witnesses that trust names: first at all,
// then by cosignatures that are neither too old nor of the future. Those that are
// count for nobody; a quorum of others is one even so. Then the times of the log
// are not its operator's word alone.
func (j *judge) checkWitnesses() {
	w, all := j.in.Trust.Witnesses, j.view.Cosignatures
	if w == nil {
		return
	}
	for _, c := range all {
		j.d.Annex.Witnesses = append(j.d.Annex.Witnesses, Witnessed{c.Witness, attest.At(c.Time)})
	}
	limit := j.maxViewAge()
	fresh := tlog.Within(all, j.in.Now.Add(-limit), j.in.Now.Add(MaxSkew))
	switch {
	case !w.Holds(all):
		j.deny(verify.WitnessQuorum, "trust wants the view of the log cosigned by %s", w.Need())
	case !w.Holds(fresh):
		j.deny(StaleView, "the clock says %s, and by cosignatures of the last %s the witnesses are not enough: trust wants %s", stamp(j.in.Now), limit, w.Need())
	case w.Required():
		j.d.Core.Time = "witnessed"
	}
}

// checkNegatives denies when somebody of the roster took something back or
// rejected it, and it cannot be read: it might be about this. What the keys of
// strangers signed takes nothing away.
func (j *judge) checkNegatives() {
	first := uint64(math.MaxUint64)
	for _, n := range j.negatives() {
		if j.on(checkNegative) && n.Unreadable() && !j.isStranger(n.Refusal) {
			first = min(first, n.Link.Index)
		}
	}
	if first < math.MaxUint64 {
		j.deny(NegativeUnreadable, "entry %d takes something back or rejects it, and cannot be read", first)
	}
}

// isStranger reports whether a refused entry, whose leaf names a key, names one
// that is nobody's.
func (j *judge) isStranger(r *verify.Refusal) bool {
	key, err := hex.DecodeString(r.Signer)
	if err != nil || len(key) != len(roster.KeyID{}) || r.Corrupt {
		return false
	}
	return !j.known(roster.KeyID(key))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// conclude turns findings into a verdict.
func (j *judge) conclude() {
	c := &j.d.Core
	j.sumUp()
	if !j.denied && len(c.Changes) == 0 {
		j.deny(NoChange, "there is nothing to judge")
	}
	failed := !j.denied && len(j.bentStudies()) > 0
	if failed && j.env.Mode != Audited {
		j.bend()
	}
	switch {
	case c.Verdict == AllowBreakGlass:
	case failed && j.audits():
		j.denyForRules()
		c.Verdict = AllowAudit
		c.ExpiresAt = attest.At(j.in.Now.Add(j.in.Set.ValidFor))
	case failed:
		j.denyForRules()
		j.await()
	case j.denied:
		j.await()
	default:
		c.Verdict = Allow
		c.ExpiresAt = attest.At(j.in.Now.Add(j.in.Set.ValidFor))
	}
	if c.Verdict.Opens() && !j.excepted.IsZero() {
		c.ExpiresAt = attest.At(earlier(c.ExpiresAt.Time, j.excepted))
	}
	j.glassPosture()
	j.listInputs()
	j.sortIgnored()
}

// audits reports whether the gate only says what it would do: where the environment's mode
// is audit, and rules, or what is missing of the range, are all that failed.
func (j *judge) audits() bool {
	if j.env.Mode != Audited {
		return false
	}
	for i := range j.d.Core.Changes {
		for _, f := range j.d.Core.Changes[i].Rules {
			if !f.Held && !f.Audit && alwaysHolds(f.Rule) && f.Rule != findingRange && j.on(checkAuditHolds) {
				return false
			}
		}
	}
	return true
}

// denyForRules gives the first failure as the reason.
func (j *judge) denyForRules() {
	c := &j.d.Core
	for i := range c.Changes {
		for _, f := range c.Changes[i].Rules {
			if !f.Held && !f.Audit {
				j.deny(f.Kind, "%s: %s", nameOf(&c.Changes[i]), f.Why)
			}
		}
	}
}

// nameOf is how people call a change.
func nameOf(c *ChangeResult) string {
	if c.Plan != nil {
		return "plan " + c.Plan.Digest[:12]
	}
	if c.Change != "" {
		return "change " + c.Change
	}
	return "commit " + short(gitfacts.ID(c.Commit))
}

func short(id gitfacts.ID) string { return string(id[:min(12, len(id))]) }
