package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/countersign-dev/countersign/api/console"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
)

// pages is what the console's pages are told, and where their approvals go.
type pages struct{ *ledgerService }

// newPages makes the console's pages.
func newPages(s *ledgerService) (*console.Console, error) {
	c := console.Config{
		Ledger: &pages{s}, Origin: s.config.Trust.Log.Origin(), Now: s.config.Now,
		Describe: func(ctx context.Context, err error) (int, string, string) {
			p := describe(err)
			s.note(ctx, p, err)
			return p.httpStatus(), string(p.kind), p.message
		},
	}
	if s.config.Trust.Console != nil {
		c.Party = s.config.Trust.Console.Party
	}
	return console.New(c)
}

func (p *pages) Policy() *policy.Set { return p.Server.Policy() }

func (p *pages) Status() console.Status {
	head := p.ledger.Head()
	return console.Status{Size: head.Size, Root: head.Root.String(), Time: head.Time, Unwitnessed: int(p.ledger.Unpublished()), Frozen: !p.config.Trust.LogValid.Until.IsZero() && p.config.Now().After(p.config.Trust.LogValid.Until)}
}

func (p *pages) Waiting(ctx context.Context, q console.Query) ([]console.Item, error) {
	w, err := p.waiting(ctx, q)
	if err != nil {
		return nil, err
	}
	return w.items, nil
}

// Change finds a change at a head, and what the rules say of it.
func (p *pages) Change(ctx context.Context, repository, id, head string) (*console.Change, error) {
	if err := attest.ParseRepository(repository); err != nil {
		return nil, err
	}
	src := NewSource(p.ledger)
	heads, err := p.heads(ctx, src, repository, id)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(heads, func(t told) bool { return t.st.Predicate.(*attest.Change).Head == head })
	switch {
	case len(heads) == 0:
		return nil, notFound("change %.80q of %.200q is not in the log; CI attests it with: countersign attest range", id, repository)
	case head == "":
		at = 0
	case at < 0:
		return nil, notFound("change %.80q has no attested head %.80q", id, head)
	}
	t := heads[at]
	c := t.st.Predicate.(*attest.Change)
	out := &console.Change{
		Index: t.index, At: t.at, Repository: repository, ID: id, URI: c.Change.URI, TargetRef: c.TargetRef, Base: c.Base, Head: c.Head,
		Tree: t.st.Subjects[0].Digest["gitTree"], Newest: heads[0].st.Predicate.(*attest.Change).Head,
	}
	for _, other := range heads {
		if o := other.st.Predicate.(*attest.Change); o.Head == c.Head && o.Base != c.Base && !slices.Contains(out.Bases, o.Base) {
			out.Bases = append(out.Bases, o.Base)
		}
	}
	if out.Lines, err = p.lines(ctx, src, c); err != nil {
		return nil, err
	}
	r, err := p.regimeOf(ctx, src)
	if err != nil {
		return nil, err
	}
	for _, env := range r.set(p.config.Now()).Environments {
		preview, err := p.preview(ctx, src, r, c, env.Name)
		if err != nil {
			return nil, err
		}
		out.Environments = append(out.Environments, console.Environment{Name: env.Name, Preview: preview})
	}
	return out, nil
}

// heads are the attestations of a change, the newest first.
func (p *pages) heads(ctx context.Context, src *Source, repository, id string) ([]told, error) {
	found, err := p.ledger.Search(ctx, ledger.Query{Key: attest.ChangeKey(repository, id), Until: max(src.head.Size, 1), Limit: verify.MaxEvidence})
	if err != nil {
		return nil, err
	}
	var out []told
	for _, index := range slices.Backward(found) {
		t, err := p.read(ctx, index)
		if err != nil {
			return nil, err
		}
		if t.st == nil {
			continue
		}
		if c, ok := t.st.Predicate.(*attest.Change); ok && c.Repository == repository && c.Change.ID == id {
			out = append(out, t)
		}
	}
	return out, nil
}

// lines are the newest count of lines that anybody gave for a head, if there is one.
func (p *pages) lines(ctx context.Context, src *Source, c *attest.Change) (*attest.AuthorshipLines, error) {
	found, err := src.Find(ctx, attest.SubjectKey("gitCommit", c.Head))
	if err != nil {
		return nil, err
	}
	for _, index := range slices.Backward(found) {
		t, err := p.read(ctx, index)
		if err != nil {
			return nil, err
		}
		if t.st == nil {
			continue
		}
		if a, ok := t.st.Predicate.(*attest.Authorship); ok && a.Repository == c.Repository && a.Lines != nil {
			return a.Lines, nil
		}
	}
	return nil, nil
}

// preview says what the rules say of a change under review.
func (s *Server) preview(ctx context.Context, src *Source, r *regime, c *attest.Change, environment string) (*policy.Preview, error) {
	in := s.input(r, question{commit: gitfacts.ID(c.Head), repository: c.Repository, environment: environment, dryRun: true}, "")
	return policy.PreviewChange(ctx, src, r.verifier, in, policy.Proposed{
		ID: c.Change.ID, TargetRef: c.TargetRef, Base: gitfacts.ID(c.Base), Head: gitfacts.ID(c.Head),
	})
}

// Plan finds what is said of a plan, and what the rules say of it where somebody says
// that it goes.
func (p *pages) Plan(ctx context.Context, repository, digest string) (*console.Plan, error) {
	plan, err := attest.ParseDigest(digest)
	if err != nil {
		return nil, malformed("digest: %.80q is not 64 lower-case hex digits", digest)
	}
	if err := attest.ParseRepository(repository); err != nil {
		return nil, err
	}
	src := NewSource(p.ledger)
	found, err := src.Find(ctx, attest.SubjectKey("sha256", digest))
	if err != nil {
		return nil, err
	}
	out := &console.Plan{Repository: repository, Digest: digest}
	for _, index := range found {
		t, err := p.read(ctx, index)
		if err != nil {
			return nil, err
		}
		if t.st == nil {
			continue
		}
		o, ok := t.st.Predicate.(*attest.Operation)
		if !ok || o.Repository != repository || t.st.Subjects[0].Digest["sha256"] != digest {
			continue
		}
		out.Operations = append(out.Operations, o.Each()...)
		if !slices.ContainsFunc(out.Environments, func(e console.PlanEnvironment) bool { return e.Name == o.Environment }) {
			out.Environments = append(out.Environments, console.PlanEnvironment{Name: o.Environment, Index: t.index, At: t.at})
		}
	}
	if len(out.Environments) == 0 {
		return nil, notFound("nobody says what plan %.12s of %.200q does; whoever made it says so with: countersign attest plan", digest, repository)
	}
	slices.SortFunc(out.Operations, func(a, b attest.ResourceOperation) int {
		return cmp.Or(cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Kind, b.Kind))
	})
	out.Operations = slices.CompactFunc(out.Operations, func(a, b attest.ResourceOperation) bool { return a.Verb == b.Verb && a.Address == b.Address })
	r, err := p.regimeOf(ctx, src)
	if err != nil {
		return nil, err
	}
	for i := range out.Environments {
		e := &out.Environments[i]
		v, err := p.judge(ctx, src, r, question{plan: plan, repository: repository, environment: e.Name, dryRun: true}, "")
		if err != nil {
			return nil, err
		}
		e.Decision = v.decision
	}
	return out, nil
}

// Release decides about an artifact, or a commit, as a dry run.
func (p *pages) Release(ctx context.Context, repository, environment, artifact string) (*policy.Decision, error) {
	about := asked{artifact: artifact}
	if len(artifact) == 40 { // a commit was judged
		about = asked{commit: artifact}
	}
	q, err := p.ask(caller{}, about, repository, environment)
	if err != nil {
		return nil, err
	}
	v, err := p.decide(ctx, q, "")
	if err != nil {
		return nil, err
	}
	return v.decision, nil
}

// Approve logs an approval with an assertion.
func (p *pages) Approve(ctx context.Context, statement []byte) (console.Logged, error) {
	done, err := p.approve(ctx, statement)
	if err != nil {
		return console.Logged{}, err
	}
	return console.Logged{Index: done.Result.GetIndex(), Assurance: done.Assurance, Digest: attest.DigestOf(statement).String()}, nil
}

// logsByPage reports whether a request is for a page that logs an approval.
func (s *Server) logsByPage(r *http.Request) bool {
	return s.pages != nil && r.URL.Path == console.Path+"answer"
}

// pageOf reports whether a request is for a page, so that what goes wrong is one too.
func (s *Server) pageOf(r *http.Request) bool {
	return s.pages != nil && len(r.URL.Path) >= len(console.Path) && r.URL.Path[:len(console.Path)] == console.Path
}
