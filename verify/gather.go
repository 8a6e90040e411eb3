package verify

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Limits on one gathering.
const (
	MaxEvidence = 2_000   // entries that are opened, besides the chain of negative evidence
	MaxNegative = 10_000  // links of that chain that concern one request, and are opened
	MaxIncident = 10_000  // links of that chain about incidents, which are opened where a rule asks
	MaxLinks    = 200_000 // links of that chain at all
	MaxWalk     = 2_000   // commits of a range
)

// A Request says what is to be judged: an artifact, a commit, or a plan.
type Request struct {
	Plan     *attest.Digest // of the file that will be applied; then Artifact and Commit play no part
	Artifact *attest.Digest // nil: Commit is judged itself
	Commit   gitfacts.ID    // without Artifact, the last commit of the range
	// Repository is the one that counts, and Environment where the release goes.
	Repository, Environment string
	// Links say how links of steps lead to others, from those that made the artifact; nil: no
	// link is asked for.
	Links []LinkRule
	// Permissions asks what the agents that made a plan may do, too.
	Permissions bool
	// Baselines are the commits that the policy accepts as a start there.
	Baselines []gitfacts.ID
	// Incidents asks for everything that was ever said about incidents.
	Incidents bool
	// Snapshots asks for the figures of cohorts that the log took within this time before
	// the view; zero: for none.
	Snapshots time.Duration
}

// A Step is one commit on the first-parent chain of a range.
type Step struct {
	ID gitfacts.ID
	// Commit is what the raw objects prove of it; nil when none of the evidence
	// does, and then the walk ended here.
	Commit *gitfacts.Commit
	// Evidence is what speaks of this very commit, in log order.
	Evidence []*Evidence
}

// Gathered is everything that the log holds about a request, each piece of it
// checked, and none of it judged. The same log gives the same, whoever asks. The
// caller must not change it.
type Gathered struct {
	Request Request
	View    LogView

	// Releases are the statements that say what the artifact was built from:
	// release and SLSA provenance, of any repository, in log order.
	Releases []*Evidence
	// Sources are the distinct commits that those of the request's repository
	// name, sorted; Unclear are those that name no single commit. A revoked one
	// still counts here: it can only stand in the way.
	Sources []gitfacts.ID
	Unclear []*Evidence

	// To is the commit to judge: the only source, or the request's. It is empty
	// when there is none or more than one, and then nothing was walked.
	To gitfacts.ID
	// From is where the range begins, itself not judged: the first start below To
	// on its first-parent chain. Empty when there is none; then either the last
	// Step has no Commit, or the chain ended at a root commit.
	From        gitfacts.ID
	FromBecause string    // "baseline" or "allowed #INDEX"
	Allowed     *Evidence // the decision, where From rests on one
	Range       []Step    // From exclusive to To, oldest first

	Evidence []*Evidence    // found by a key, once each, in log order
	Refusals []*Refusal     // the same for what became no evidence
	Negative []NegativeItem // what takes credit from everything, or from a change of the range

	// Incidents is what was said about incidents, in log order, where the request asks
	// for it: all of it that is in the chain up to View.
	Incidents []NegativeItem
	// Snapshots are the figures of cohorts that the request asks for, newest first.
	Snapshots []NegativeItem

	chain    *chain
	followed bool // Config.Following confirmed it
	v        *Verifier
	commits  map[gitfacts.ID]*gitfacts.Commit
}

// Commit returns a commit that the raw objects of some evidence prove, whoever
// signed it.
func (g *Gathered) Commit(id gitfacts.ID) (*gitfacts.Commit, bool) {
	c, ok := g.commits[id]
	return c, ok
}

// Gather collects from a source what it holds about a request, and opens it. An
// error means that nothing can be said: the source failed, contradicts itself
// (*CorruptError) or holds more than is allowed (*LimitError).
func Gather(ctx context.Context, src Source, v *Verifier, req Request) (*Gathered, error) {
	view, err := v.view(ctx, src)
	if err != nil {
		return nil, err
	}
	g := &gatherer{
		ctx: ctx, src: src, v: v, view: &view,
		answers: make(map[string][]uint64), opened: make(map[uint64]outcome), used: make(map[uint64]bool),
		out: &Gathered{Request: req, View: view, v: v, commits: make(map[gitfacts.ID]*gitfacts.Commit)},
	}
	if g.out.chain, err = v.negative(ctx, src, &view); err != nil {
		return nil, err
	}
	steps := []func() error{g.sources, g.links, g.walk, g.reviews, g.vetoes, g.incidents, g.snapshots, g.finish, g.confirm}
	if req.Plan != nil {
		steps = []func() error{g.plan, g.vetoes, g.incidents, g.snapshots, g.finish, g.confirm}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return g.out, nil
}

// plan finds what speaks of a plan: what it does, and who approves or rejects it. All
// of it is about the digest of the file, and so under one key.
func (g *gatherer) plan() error {
	key := attest.SubjectKey("sha256", g.out.Request.Plan.String())
	if err := g.find(key); err != nil {
		return err
	}
	said := g.about(key, "sha256", g.out.Request.Plan.String())
	g.changes = []string{key}
	if g.out.Request.Permissions {
		return g.permissions(said)
	}
	return nil
}

// permissions finds what was permitted to everybody who may be an agent that made a plan:
// who signed what it does, and whoever is named there.
func (g *gatherer) permissions(said []*Evidence) error {
	var keys []string
	for _, e := range said {
		p, ok := e.statement.Predicate.(*attest.Operation)
		if !ok {
			continue
		}
		names := []string{p.PlannedBy}
		for _, a := range p.Agents {
			names = append(names, a.Tool)
		}
		for _, people := range g.v.rosters() {
			if by, _, ok := people.ByKey(e.signer); ok && by.Kind == roster.Agent {
				names = append(names, by.ID)
			}
			if by, ok := people.ByEmail(p.PlannedBy); ok {
				names = append(names, by.ID)
			}
		}
		for _, n := range names {
			if n != "" {
				keys = append(keys, attest.AgentKey(n))
			}
		}
	}
	if err := g.find(keys...); err != nil {
		return err
	}
	for _, k := range keys {
		g.use(k)
	}
	return nil
}

// sources finds what the artifact was built from.
func (g *gatherer) sources() error {
	out := g.out
	if out.Request.Artifact == nil {
		out.To = out.Request.Commit
		return nil
	}
	key := attest.SubjectKey("sha256", out.Request.Artifact.String())
	if err := g.find(key); err != nil {
		return err
	}
	for _, e := range g.about(key, "sha256", out.Request.Artifact.String()) {
		repository, commit, clear, ok := sourceOf(e)
		if !ok {
			continue
		}
		out.Releases = append(out.Releases, e)
		switch {
		case !clear:
			out.Unclear = append(out.Unclear, e)
		case repository == out.Request.Repository && !slices.Contains(out.Sources, commit):
			out.Sources = append(out.Sources, commit)
		}
	}
	slices.Sort(out.Sources)
	if len(out.Sources) == 1 && len(out.Unclear) == 0 {
		out.To = out.Sources[0]
	}
	return nil
}

// sourceOf reads a release or a provenance; ok is false for other statements,
// and clear when it names a single commit.
func sourceOf(e *Evidence) (repository string, commit gitfacts.ID, clear, ok bool) {
	switch p := e.statement.Predicate.(type) {
	case *attest.Release:
		return p.Repository, gitfacts.ID(p.To), true, true
	case *attest.SLSAProvenance:
		repository, c, clear := p.Source()
		return repository, gitfacts.ID(c), clear, true
	}
	return "", "", false, false
}

// reviews finds what speaks of the reviewed heads of the range, and of the
// changes by their ids, so that reviews of older heads are seen too.
func (g *gatherer) reviews() error {
	if err := g.find(g.pending...); err != nil {
		return err
	}
	// A head may be known under another id than its admission gives.
	for _, key := range g.heads {
		for _, e := range g.of(key) {
			if repository, id, _ := reviewOf(e); repository == g.out.Request.Repository && id != "" {
				g.changes = append(g.changes, attest.ChangeKey(repository, id))
			}
		}
	}
	if err := g.find(g.changes...); err != nil {
		return err
	}
	for _, key := range slices.Concat(g.heads, g.changes) {
		g.use(key)
	}
	return nil
}

// noteReviews notes the keys under which the reviews of a step are.
func (g *gatherer) noteReviews(step Step) {
	for _, e := range step.Evidence {
		repository, id, head := reviewOf(e)
		if repository != g.out.Request.Repository {
			continue
		}
		if head != "" {
			key := attest.SubjectKey("gitCommit", head)
			g.heads, g.pending = append(g.heads, key), append(g.pending, key)
		}
		if id != "" {
			key := attest.ChangeKey(repository, id)
			g.changes, g.pending = append(g.changes, key), append(g.pending, key)
		}
	}
}

// reviewOf reads which change a statement is about, and for an admission, which
// head was reviewed.
func reviewOf(e *Evidence) (repository, id, head string) {
	switch p := e.statement.Predicate.(type) {
	case *attest.Admission:
		return p.Repository, p.Change.ID, p.ReviewedHead
	case *attest.Change:
		return p.Repository, p.Change.ID, ""
	}
	return "", "", ""
}

// finish sorts what was used, and holds it against the chain.
func (g *gatherer) finish() error {
	out := g.out
	for index := range g.used {
		o := g.opened[index]
		if o.refusal != nil {
			out.Refusals = append(out.Refusals, o.refusal)
		} else {
			out.Evidence = append(out.Evidence, o.evidence)
		}
	}
	slices.SortFunc(out.Evidence, func(a, b *Evidence) int { return cmp.Compare(a.index, b.index) })
	slices.SortFunc(out.Refusals, func(a, b *Refusal) int { return cmp.Compare(a.Index, b.Index) })
	for _, e := range out.Evidence {
		if err := out.chain.agrees(e, out.View.ChainLength); err != nil {
			return err
		}
	}
	return nil
}
