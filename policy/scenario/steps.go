package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// do enacts one step that is logged, or that moves the clock.
func (t *teller) do(s *step) error {
	now := attest.At(t.log.Clock)
	switch s.verb {
	case "commit", "push", "squash", "merge", "baseline", "auditor", "unsafe", "mode", "speaks", "certifies":
		return nil
	case "wait":
		d, err := time.ParseDuration(s.arg(0))
		t.log.Clock = t.log.Clock.Add(d)
		return err
	case "ask":
		t.ask = *s
		return nil
	case "again":
		was := t.statements[s.arg(0)]
		return t.write(s, was.st, was.key)
	case "respell":
		st, ok := t.statements[s.arg(0)].st.Respelled()
		if !ok {
			return fmt.Errorf("there is no other spelling")
		}
		return t.write(s, st, Key("console"))
	case "garbage":
		return t.garbage(s.arg(0))
	case "change":
		return t.change(s)
	case "admit":
		return t.admit(s, now)
	case "approve", "reject", "withdraw":
		return t.review(s, now)
	case "operation":
		return t.operation(s, now)
	case "link":
		return t.link(s)
	case "permit":
		return t.permit(s, now)
	case "authorship":
		return t.sign(s, s.arg(0), t.about(s.arg(1)), &attest.Authorship{
			Repository: s.opt("repo", Repository), Change: attest.ChangeRef{ID: number(s.arg(1))}, Origin: attest.Origin(s.arg(2)),
			HumanOperator: s.opt("operator", ""), Agents: agents(s), DeclaredBy: s.opt("as", principal(s.arg(0))), DeclaredAt: now,
		})
	case "risk":
		return t.sign(s, s.arg(0), t.about(s.arg(1)), &attest.Risk{
			Repository: Repository, Change: attest.ChangeRef{ID: number(s.arg(1))}, Tier: s.arg(2), Classifier: attest.Classifier{ID: "tool"}, AssessedAt: now,
		})
	case "release":
		return t.sign(s, s.opt("by", "builder"), artifact(s), &attest.Release{
			Repository: s.opt("repo", Repository), Name: s.opt("name", "v1"), To: string(t.id(s.arg(0))), ReleasedAt: now,
		})
	case "slsa":
		return t.provenance(s)
	case "vsa":
		return t.sign(s, s.opt("by", "builder"), artifact(s), &attest.VSA{
			Verifier: attest.VSAVerifier{ID: "https://verifier.example.com"}, TimeVerified: now, ResourceURI: "git+https://" + Repository,
			Policy: attest.VSAResource{Digest: map[string]string{"sha256": attest.DigestOf(nil).String()}}, VerificationResult: "PASSED",
			VerifiedLevels: []string{"SLSA_BUILD_LEVEL_3"}, SLSAVersion: "1.1",
		})
	case "agentmade":
		return t.sign(s, s.opt("by", "builder"), t.about(s.arg(0)), &attest.Foreign{PredicateType: attest.TypeSLSAProvenance, Raw: jsontext.Value(agentCommit)})
	case "revoke":
		return t.revoke(s)
	case "allow":
		return t.allow(s, now)
	case "gate":
		return t.gate(s)
	case "snapshot":
		return t.snapshot(s, now)
	case "incident", "dive", "second":
		return t.outcome(s, now)
	case "freeze", "lift":
		return t.freeze(s, now)
	case "request":
		return t.request(s, now)
	case "grant", "review":
		return t.answer(s, now)
	case "used":
		return t.used(s, now)
	case "gap":
		return t.gap(s, now)
	case "set":
		return t.makeSet(s)
	case "publish":
		return t.publish(s)
	case "attach":
		return t.attach(s)
	case "noise":
		return t.sign(s, s.opt("by", "stranger"), t.about(s.arg(0)), &attest.Foreign{PredicateType: "https://example.com/noise/v1", Raw: jsontext.Value("{}")})
	}
	return fmt.Errorf("unknown verb")
}

// agentCommit is provenance of a commit that an agent made.
const agentCommit = `{"buildDefinition":{"buildType":"https://refs.arewm.com/agent-commit/v0.1","internalParameters":{"agent":` +
	`{"model":{"modelId":"m"},"runtime":{"name":"robot","version":"1"}}},"resolvedDependencies":[]},"runDetails":{"builder":{"id":"https://example.com/agents"}}}`

// principal is who a key belongs to.
func principal(key string) string {
	id, _, _ := strings.Cut(key, "/")
	return id
}

// agents names the tool and the session of a statement, where it names any.
func agents(s *step) []attest.Agent {
	if !s.has("tool") && !s.has("session") {
		return nil
	}
	return []attest.Agent{{Tool: s.opt("tool", "claude"), SessionID: s.opt("session", "")}}
}

func artifact(s *step) []attest.Subject {
	return []attest.Subject{
		{Name: "first", Digest: map[string]string{"sha256": attest.DigestOf([]byte(s.opt("first", "other"))).String()}},
		{Name: s.opt("artifact", "a"), Digest: map[string]string{"sha256": attest.DigestOf([]byte(s.opt("artifact", "a"))).String()}},
	}
}

// about is the subject of a commit: its id and its tree.
func (t *teller) about(label string) []attest.Subject {
	d := map[string]string{"gitCommit": string(t.id(label))}
	if c, err := t.history.repo.Commit(context.Background(), t.id(label)); err == nil {
		d["gitTree"] = string(c.Tree)
	}
	return []attest.Subject{{Digest: d}}
}

func (t *teller) sign(s *step, who string, subjects []attest.Subject, p attest.Predicate) error {
	return t.write(s, &attest.Statement{Subjects: subjects, Predicate: p}, Key(who))
}

func (t *teller) write(s *step, st *attest.Statement, key *attest.PrivateKey) error {
	if s.has("via") {
		if err := t.assert(s, st); err != nil {
			return err
		}
		if !s.has("uncarried") {
			key = Key("console")
		}
	}
	b, err := attest.Sign(st, key)
	public := key.Public()
	if err == nil && s.has("keyless") {
		b, public, err = t.keyless(s, st)
	}
	if err != nil {
		return err
	}
	index, err := t.send(s, st, b, public)
	if s.name != "" {
		t.names[s.name] = index
		t.statements[s.name] = signed{st, key}
	}
	return err
}

func (t *teller) change(s *step) error {
	head := t.id(s.arg(0))
	base, err := t.history.mergeBase(head, t.id(s.opt("with", t.mainBelow(s.arg(0)))))
	if err != nil {
		return err
	}
	if b := s.opt("base", ""); b != "" {
		base = t.id(b)
	}
	c, err := t.history.change(base, head)
	if err != nil {
		return err
	}
	blob, paths := c.blob, slices.Clone(c.paths)
	if s.has("omit") {
		paths = slices.DeleteFunc(paths, func(p string) bool { return p == s.opts["omit"] })
	}
	if s.has("empty") {
		blob = nil
	}
	return t.sign(s, s.opt("by", "ci"), t.about(s.arg(0)), &attest.Change{
		Repository: s.opt("repo", Repository), Change: attest.ChangeRef{ID: s.opt("id", number(s.arg(0)))}, TargetRef: s.opt("target", "refs/heads/main"),
		Base: string(base), Head: string(head), Objects: blob, Paths: paths, OpenedBy: s.opt("opener", ""),
	})
}

// mainBelow is the commit that the squash or merge of a head was put on; the base
// when it was not merged.
func (t *teller) mainBelow(head string) string {
	for _, c := range t.history.commits {
		if c.head == head {
			return c.parents[0]
		}
	}
	return "base"
}

func (t *teller) admit(s *step, now attest.Time) error {
	merged := t.id(s.arg(0))
	c := t.history.byLabel[s.arg(0)]
	head := s.opt("head", c.head)
	p := &attest.Admission{
		Repository: s.opt("repo", Repository), Change: attest.ChangeRef{ID: s.opt("id", number(s.arg(0)))}, TargetRef: s.opt("target", "refs/heads/main"),
		Merged: string(merged), Binding: attest.BindingUnverifiable, GitVersion: t.history.repo.Version(), MergedBy: s.opt("mergedby", ""), AdmittedAt: now,
	}
	for _, parent := range c.parents {
		p.Parents = append(p.Parents, string(t.id(parent)))
	}
	reach := gitfacts.ID("")
	if head != "" && head != "none" {
		p.ReviewedHead = string(t.id(head))
		o, err := t.history.bind(merged, t.id(head))
		if err != nil {
			return err
		}
		p.Binding, p.ReplayClean, p.ResidualPaths, p.Strategy = o.Binding, o.ReplayClean, o.ResidualPaths, o.Strategy
		if reach, err = t.history.mergeBase(t.id(c.parents[0]), t.id(head)); err != nil {
			return err
		}
	}
	if b := s.opt("binding", ""); b != "" {
		p.Binding, p.ReplayClean = attest.Binding(b), b == "identity" || b == "replay"
	}
	facts, err := t.history.admitted(merged, reach)
	if err != nil {
		return err
	}
	if p.Paths = facts.paths; !s.has("empty") {
		p.Objects = facts.blob
	}
	return t.sign(s, s.opt("by", "ci"), t.about(s.arg(0)), p)
}

// operation says what a plan does: operation WHO PLAN VERB:ADDRESS…, the kind being
// what precedes the last name of the address.
func (t *teller) operation(s *step, now attest.Time) error {
	o := &attest.Operation{
		Repository: s.opt("repo", Repository), Environment: s.opt("env", "production"), Source: attest.OperationSource(s.opt("source", string(attest.TerraformPlan))),
		Tool: attest.OperationTool{Name: "terraform", Version: "1.11.4"}, Derived: attest.Derivation(s.opt("derived", "claimed")),
		PlannedBy: s.opt("planned", ""), Origin: attest.Origin(s.opt("origin", "unknown")), Agents: agents(s),
		DeclaredBy: principal(s.arg(0)), DeclaredAt: now,
	}
	var all []attest.ResourceOperation
	for _, text := range s.args[2:] {
		verb, address, _ := strings.Cut(text, ":")
		kind, _, _ := strings.Cut(address, ".")
		// The worst that can be believed of a signer: that nothing is lost.
		all = append(all, attest.ResourceOperation{Verb: attest.Verb(verb), Address: address, Kind: kind, Reversible: verb != "delete" && !s.has("forever")})
	}
	o.SetOperations(all)
	if s.has("omitted") {
		o.Omitted, o.Counts[attest.VerbUpdate] = 1, o.Counts[attest.VerbUpdate]+1
	}
	return t.sign(s, s.arg(0), plan(s.arg(1)), o)
}

func plan(name string) []attest.Subject {
	return []attest.Subject{{Name: name, Digest: map[string]string{"sha256": attest.DigestOf([]byte(name)).String()}}}
}

func (t *teller) review(s *step, now attest.Time) error {
	if p := s.opt("plan", ""); p != "" {
		subjects := plan(p)
		return t.sign(s, s.arg(0), subjects, &attest.Approval{
			Decision: decisions[s.verb], Reviewer: s.opt("as", principal(s.arg(0))), Repository: s.opt("repo", Repository),
			About: &attest.ApprovalAbout{Plan: subjects[0].Digest["sha256"]}, Scope: attest.Scope{Environments: strings.Split(s.opt("env", "production,staging"), ",")}, ApprovedAt: now,
		})
	}
	subjects := t.about(s.arg(1))
	if s.has("at") {
		d, err := time.ParseDuration(s.opts["at"])
		if err != nil {
			return err
		}
		now = attest.At(now.Add(d))
	}
	if tree := s.opt("tree", ""); tree != "" {
		subjects[0].Digest["gitTree"] = t.about(tree)[0].Digest["gitTree"]
	}
	signer := s.arg(0)
	p := &attest.Approval{
		Decision: decisions[s.verb],
		Reviewer: s.opt("as", principal(signer)), Repository: s.opt("repo", Repository), Change: attest.ChangeRef{ID: s.opt("id", number(s.arg(1)))},
		TargetRef: s.opt("target", "refs/heads/main"), Scope: attest.Scope{Environments: strings.Split(s.opt("env", "production,staging"), ",")}, ApprovedAt: now,
	}
	if s.has("seen") { // on a forge, by this account
		signer = s.opt("by", "hub")
		p.WitnessedBy = &attest.Witnessed{Forge: s.opt("host", "example.com"), Account: s.opts["seen"]}
	}
	return t.sign(s, signer, subjects, p)
}

var decisions = map[string]attest.ApprovalDecision{"approve": attest.Approved, "reject": attest.Rejected, "withdraw": attest.Withdrawn}

func (t *teller) provenance(s *step) error {
	deps := `{"buildDefinition":{"buildType":"https://example.com/build","resolvedDependencies":[`
	for i, label := range strings.Split(s.arg(0), ",") {
		if i > 0 {
			deps += ","
		}
		deps += fmt.Sprintf(`{"uri":"git+https://%s","digest":{"gitCommit":%q}}`, s.opt("repo", Repository), t.id(label))
	}
	raw := jsontext.Value(deps + `]},"runDetails":{"builder":{"id":"https://example.com/builder"}}}`)
	return t.sign(s, s.opt("by", "builder"), artifact(s), &attest.Foreign{PredicateType: attest.TypeSLSAProvenance, Raw: raw})
}

func (t *teller) revoke(s *step) error {
	var what attest.Revoked
	switch {
	case s.has("entry"):
		st, err := t.statements[s.opts["entry"]].st.Marshal()
		if err != nil {
			return err
		}
		what = attest.Revoked{Kind: attest.RevokedStatement, Digest: attest.DigestOf(st).String()}
	case s.has("key"):
		what = attest.Revoked{Kind: attest.RevokedKey, Digest: Key(s.opts["key"]).Public().ID().String()}
	case s.has("session"):
		what = attest.Revoked{Kind: attest.RevokedSession, Session: s.opts["session"]}
	default:
		what = attest.Revoked{Kind: attest.RevokedPerson, Person: s.opts["person"]}
	}
	r := &attest.Revocation{Revokes: []attest.Revoked{what}, Reason: "mistake", By: principal(s.arg(0))}
	if s.has("from") { // the time of a named entry, moved
		d, err := time.ParseDuration(s.opt("plus", "0s"))
		if err != nil {
			return err
		}
		at := attest.At(t.log.entries[t.names[s.opts["from"]]].at.Add(d))
		r.EffectiveFrom = &at
	}
	subject := what.Digest
	if subject == "" {
		subject = attest.DigestOf([]byte(what.Person + what.Session)).String()
	}
	return t.sign(s, s.arg(0), []attest.Subject{{Digest: map[string]string{"sha256": subject}}}, r)
}

func (t *teller) allow(s *step, now attest.Time) error {
	to := string(t.id(s.arg(0)))
	return t.sign(s, s.opt("by", "service"), []attest.Subject{{Digest: map[string]string{"gitCommit": to}}}, &attest.Decision{
		Repository: s.opt("repo", Repository), Environment: s.opt("env", "production"), Verdict: s.opt("verdict", "allow"), To: to,
		DecidedAt: now, ExpiresAt: now, Core: jsontext.Value("{}"), Annex: jsontext.Value("{}"),
	})
}

// garbage logs negative evidence that nobody can read.
func (t *teller) garbage(who string) error {
	b, err := attest.SignPayload([]byte(`{"revokes":`), Key(who))
	if err != nil {
		return err
	}
	body, err := b.Marshal()
	if err != nil {
		return err
	}
	_, err = t.log.Put(attest.Logged{Leaf: attest.Leaf(b, Key(who).Public()), Body: body, Negative: attest.Everything, Stamp: b.Signature})
	return err
}
