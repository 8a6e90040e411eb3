package cohort

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/incident"
)

// BypassKind says how a deployment went past the gate.
type BypassKind string

// The kinds.
const (
	NoDecision       BypassKind = "no-decision"       // nobody ever asked about this artifact for this environment
	Denied           BypassKind = "denied"            // what was asked last was not allowed
	Expired          BypassKind = "expired"           // the allow had run out
	NotYet           BypassKind = "not-yet"           // the allow came later
	OtherDigest      BypassKind = "other-digest"      // the allow that it names is of another artifact
	OtherEnvironment BypassKind = "other-environment" // the allow that it names is for another environment
	UnknownDecision  BypassKind = "unknown-decision"  // the log has no decision that it names
	BreakGlass       BypassKind = "break-glass"       // rules failed, and people let it go
	AuditDenial      BypassKind = "audit-denial"      // allowed, though a rule did not hold that is in audit mode, or whose gate is
)

// BypassKinds lists them.
func BypassKinds() []BypassKind {
	return []BypassKind{NoDecision, Denied, Expired, NotYet, OtherDigest, OtherEnvironment, UnknownDecision, BreakGlass, AuditDenial}
}

// A Bypass is one artifact that was deployed past the gate.
type Bypass struct {
	Kind        BypassKind `json:"kind"`
	Deployment  uint64     `json:"deployment"` // index
	Artifact    string     `json:"artifact"`   // sha256
	Repository  string     `json:"repository,omitempty"`
	Environment string     `json:"environment"`
	Actor       string     `json:"actor"`
	AttestedBy  string     `json:"attestedBy"`
	DeployedAt  time.Time  `json:"deployedAt"`
	Decisions   []uint64   `json:"decisions"` // indexes of those that were looked at
	Rules       []string   `json:"rules,omitempty"`
	Why         string     `json:"why"`
}

// A Coverage says who attests what runs in an environment. Without somebody besides the
// CI that builds, nobody would see a bypass, and their number is unknown.
type Coverage struct {
	Environment string   `json:"environment"`
	Repository  string   `json:"repository,omitempty"` // empty: of no known one
	Known       bool     `json:"known"`
	AttestedBy  []string `json:"attestedBy"`
	Deployments int      `json:"deployments"`
	// Bypasses is how many are known; absent where coverage is unknown.
	Bypasses *int   `json:"bypasses,omitempty"`
	Why      string `json:"why,omitempty"`
}

// A Register is what went past the gate, and where nobody could tell.
type Register struct {
	Origin   string            `json:"origin"`
	Size     uint64            `json:"size"`
	AsOf     time.Time         `json:"asOf"`  // when that state of the log was signed
	Kinds    []BypassKind      `json:"kinds"` // that are looked for
	Bypasses []Bypass          `json:"bypasses"`
	Coverage []Coverage        `json:"coverage"`
	Gaps     []Gap             `json:"gaps"`    // that somebody recorded: what lies in them was seen by nobody
	Remarks  []incident.Remark `json:"remarks"` // about deployments that were attested late, or name no decision
	Unread   int               `json:"unread"`  // entries that are no evidence, or of which there is a hash alone
}

// lateAfter is how long after a deployment its statement may come without a remark.
const lateAfter = time.Hour

// Bypasses makes the register of the deployments that a query holds.
func (l *Log) Bypasses(q Query) *Register { return l.join().bypasses(q) }

func (j *joined) bypasses(q Query) *Register {
	q.fill()
	r := &Register{Origin: j.log.Origin, Size: j.log.Size, AsOf: j.log.Time, Unread: j.log.unread(), Kinds: BypassKinds(), Bypasses: []Bypass{}, Gaps: []Gap{}, Remarks: []incident.Remark{}}
	for _, d := range j.deployed {
		if !q.holds(d) {
			continue
		}
		for _, a := range d.Artifacts {
			if b := j.judge(d, a); b != nil {
				r.Bypasses = append(r.Bypasses, *b)
			}
		}
		if late := d.Time.Sub(d.DeployedAt); late > lateAfter {
			r.Remarks = append(r.Remarks, incident.Remark{Index: d.Index, Why: fmt.Sprintf("was attested %s after it is said to have happened", late.Round(time.Minute))})
		}
		if d.Decision == "" {
			r.Remarks = append(r.Remarks, incident.Remark{Index: d.Index, Why: "names no decision; it is held against what the gate said last before it"})
		}
	}
	for _, g := range j.log.Gaps {
		if (q.Repository == "" || q.Repository == g.Repository) && (q.Environment == "" || slices.Contains(g.Environments, q.Environment)) {
			r.Gaps = append(r.Gaps, g)
		}
	}
	r.Coverage = j.coverage(&q, r.Bypasses)
	return r
}

// judge holds one deployed artifact against the decisions; nil when one allowed it.
func (j *joined) judge(d *Deployed, artifact string) *Bypass {
	b := &Bypass{Deployment: d.Index, Artifact: artifact, Repository: d.Repository, Environment: d.Environment, Actor: d.Actor, AttestedBy: d.Signer,
		DeployedAt: d.DeployedAt, Decisions: []uint64{}}
	found := func(k BypassKind, dec *Decision, format string, args ...any) *Bypass {
		b.Kind, b.Why = k, fmt.Sprintf(format, args...)
		if dec != nil {
			b.Decisions = append(b.Decisions, dec.Index)
		}
		return b
	}
	if d.Decision == "" {
		return j.judgeUnnamed(d, artifact, found)
	}
	named := j.byDigest[d.Decision]
	switch {
	case named == nil:
		return found(UnknownDecision, nil, "the log holds no decision %.12s", d.Decision)
	case named.Artifact != artifact && !slices.Contains(d.Artifacts, named.Artifact):
		return found(OtherDigest, named, "decision #%d is about artifact %.12s", named.Index, named.Artifact)
	case named.Artifact != artifact:
		return j.judgeUnnamed(d, artifact, found) // it names the decision of another of its artifacts
	case named.Environment != d.Environment:
		return found(OtherEnvironment, named, "decision #%d is for %s", named.Index, named.Environment)
	}
	return judgeDecision(d, named, found)
}

// judgeUnnamed holds a deployment that names no decision against the last one before it.
func (j *joined) judgeUnnamed(d *Deployed, artifact string, found func(BypassKind, *Decision, string, ...any) *Bypass) *Bypass {
	list := j.byPlace[place{artifact, d.Environment}]
	var last *Decision
	for _, dec := range list {
		if dec.Index < d.Index {
			last = dec
		}
	}
	switch {
	case last != nil:
		return judgeDecision(d, last, found)
	case len(list) > 0:
		return judgeDecision(d, list[0], found)
	}
	return found(NoDecision, nil, "the log holds no decision about this artifact for %s", d.Environment)
}

func judgeDecision(d *Deployed, dec *Decision, found func(BypassKind, *Decision, string, ...any) *Bypass) *Bypass {
	switch {
	case !policy.Verdict(dec.Verdict).Opens():
		return found(Denied, dec, "decision #%d is %s", dec.Index, dec.Verdict)
	case dec.Index > d.Index:
		return found(NotYet, dec, "decision #%d was logged after the deployment", dec.Index)
	case d.DeployedAt.Before(dec.DecidedAt.Add(-clockSkew)):
		return found(NotYet, dec, "decision #%d is of %s", dec.Index, stamp(dec.DecidedAt))
	case d.DeployedAt.After(dec.ExpiresAt):
		return found(Expired, dec, "decision #%d held until %s", dec.Index, stamp(dec.ExpiresAt))
	case dec.Glass != nil:
		b := found(BreakGlass, dec, "decision #%d let it go in case %.12s: asked by %s, granted by %s, %s", dec.Index, dec.Glass.Case, dec.Glass.RequestedBy, strings.Join(dec.Glass.GrantedBy, ", "), dec.Glass.Ticket)
		b.Rules = dec.Glass.Bent
		return b
	case policy.Verdict(dec.Verdict) == policy.AllowAudit:
		b := found(AuditDenial, dec, "decision #%d let go what %s would deny; the gate only audits", dec.Index, strings.Join(dec.AuditFailed, ", "))
		b.Rules = dec.AuditFailed
		return b
	case len(dec.AuditFailed) > 0:
		b := found(AuditDenial, dec, "decision #%d allowed what %s would deny; the rules are in audit mode", dec.Index, strings.Join(dec.AuditFailed, ", "))
		b.Rules = dec.AuditFailed
		return b
	}
	return nil
}

// clockSkew is how far the clocks of a gate and of the log may be apart.
const clockSkew = 5 * time.Minute

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
