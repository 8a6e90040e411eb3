package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/api/console"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// maxWaiting bounds how many changes, plans and releases are each looked at for one
// answer; the oldest are left out.
const maxWaiting = 300

// Inbox lists what waits for approvals.
func (s *verifierService) Inbox(ctx context.Context, req *connect.Request[countersignv1.InboxRequest]) (*connect.Response[countersignv1.InboxResponse], error) {
	m := req.Msg
	q := console.Query{Person: m.Person, Repository: m.Repository, Environment: m.Environment, Since: s.config.Now().Add(-console.Recent)}
	if m.Since != nil {
		if err := m.Since.CheckValid(); err != nil {
			return nil, s.fail(ctx, malformed("since: %v", err))
		}
		q.Since = m.Since.AsTime()
	}
	w, err := s.waiting(ctx, q)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	out := &countersignv1.InboxResponse{Truncated: w.truncated, TreeSize: w.src.head.Size}
	if s.pages != nil {
		out.Console = s.config.Trust.Console.Party.Origins[0] + console.Path
	}
	for _, i := range w.items {
		assurance := ""
		if i.Assurance > 0 {
			assurance = i.Assurance.String()
		}
		out.Items = append(out.Items, &countersignv1.InboxItem{
			Kind: i.Kind, Repository: i.Repository, Environment: i.Environment, Change: i.Change, Head: i.Head, Changes: i.Changes,
			PlanSha256: i.Plan, ArtifactSha256: i.Artifact, Commit: i.Commit, Title: i.Title, Tier: i.Tier, Origin: i.Origin, Authors: i.Authors,
			Index: i.Index, LoggedAt: timestamppb.New(i.At), Need: i.Need, Who: i.Who, Assurance: assurance,
		})
	}
	return connect.NewResponse(out), nil
}

// waiting is one look at the log for what waits.
type waiting struct {
	*Server
	q         console.Query
	src       *Source
	regime    *regime
	set       *policy.Set
	from      uint64 // index of the first entry that is recent enough
	items     []console.Item
	truncated bool
}

func (s *Server) waiting(ctx context.Context, q console.Query) (*waiting, error) {
	w := &waiting{Server: s, q: q, src: NewSource(s.ledger)}
	var err error
	if w.regime, err = s.regimeOf(ctx, w.src); err != nil {
		return nil, err
	}
	w.set = w.regime.set(s.config.Now())
	if _, ok := w.set.Roster.Principal(q.Person); q.Person != "" && !ok {
		return nil, notFound("person: the roster has no %.80q", q.Person)
	}
	if _, ok := w.set.Environment(q.Environment); q.Environment != "" && !ok {
		return nil, notFound("environment: the policy knows no %.80q", q.Environment)
	}
	if w.from, err = (&ledgerService{Server: s}).firstAt(ctx, timestamppb.New(q.Since), w.src.head.Size); err != nil {
		return nil, err
	}
	for _, look := range []func(context.Context) error{w.changes, w.plans, w.releases} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(w.items, func(a, b console.Item) int {
		return cmp.Or(cmp.Compare(b.Rank, a.Rank), a.At.Compare(b.At), cmp.Compare(a.Environment, b.Environment))
	})
	return w, nil
}

// A told is a statement of the log.
type told struct {
	index uint64
	at    time.Time
	st    *attest.Statement
}

// newest reads the statements of a type, the newest first, and calls look for each
// until it has seen enough of them.
func (w *waiting) newest(ctx context.Context, typ string, look func(told) (enough bool, err error)) error {
	var all []uint64
	for from := w.from; ; {
		found, err := w.ledger.Search(ctx, ledger.Query{Key: attest.TypeKey(typ), From: from, Until: w.src.head.Size, Limit: ledger.MaxPage})
		if err != nil {
			return err
		}
		if all = append(all, found...); len(found) < ledger.MaxPage {
			break
		}
		from = found[len(found)-1] + 1
	}
	for _, index := range slices.Backward(all) {
		t, err := w.read(ctx, index)
		if err != nil {
			return err
		}
		if t.st == nil {
			continue
		}
		if enough, err := look(t); err != nil || enough {
			w.truncated = w.truncated || enough
			return err
		}
	}
	return nil
}

// read is a statement of the log, or the one that it carries; none where the log only
// has its hash.
func (s *Server) read(ctx context.Context, index uint64) (told, error) {
	r, err := s.ledger.Record(ctx, index)
	if err != nil || len(r.Body) == 0 {
		return told{}, err
	}
	b, err := attest.ParseBundle(r.Body)
	if err != nil {
		return told{}, errors.Join(ledger.ErrCorrupt, err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return told{}, errors.Join(ledger.ErrCorrupt, err)
	}
	if carried := attest.CarriedBy(st.Predicate); carried != nil {
		st = carried.Statement
	}
	return told{index, r.Time, st}, nil
}

// environments are those that are asked about.
func (w *waiting) environments() []string {
	var out []string
	for _, e := range w.set.Environments {
		if w.q.Environment == "" || e.Name == w.q.Environment {
			out = append(out, e.Name)
		}
	}
	return out
}

// add takes an item in when what it awaits is what was asked about.
func (w *waiting) add(i console.Item, c *policy.ChangeResult, awaiting []policy.Awaiting) {
	for _, a := range awaiting {
		i.Who = append(i.Who, a.Who...)
		i.Assurance = max(i.Assurance, w.set.Asks(a.Rule))
	}
	slices.Sort(i.Who)
	i.Who = slices.Compact(i.Who)
	if len(i.Who) == 0 || w.q.Person != "" && !slices.Contains(i.Who, w.q.Person) {
		return
	}
	i.Need = append(i.Need, needOf(c, w.q.Person)...)
	w.items = append(w.items, i)
}

// skip says whether an error is about one subject alone; then the others are listed.
func (w *waiting) skip(ctx context.Context, what string, err error) error {
	var limit *verify.LimitError
	if errors.As(err, &limit) {
		w.log.WarnContext(ctx, "cannot say what waits", "subject", what, "error", err)
		return nil
	}
	return err
}

// changes looks at the newest head of each change that was not merged.
func (w *waiting) changes(ctx context.Context) error {
	seen := make(map[string]bool)
	return w.newest(ctx, attest.TypeChange, func(t told) (bool, error) {
		c, ok := t.st.Predicate.(*attest.Change)
		if !ok || c.Change.ID == "" || w.q.Repository != "" && c.Repository != w.q.Repository || seen[attest.ChangeKey(c.Repository, c.Change.ID)] {
			return false, nil
		}
		seen[attest.ChangeKey(c.Repository, c.Change.ID)] = true
		for _, env := range w.environments() {
			p, err := w.preview(ctx, w.src, w.regime, c, env)
			if err != nil {
				return false, w.skip(ctx, "change "+c.Change.ID, err)
			}
			if p.Merged != "" {
				return len(seen) >= maxWaiting, nil
			}
			w.add(w.item("change", t, c.Repository, env, &p.Change), &p.Change, p.Awaiting)
		}
		return len(seen) >= maxWaiting, nil
	})
}

// item describes what a change or a plan is; need says what it wants.
func (w *waiting) item(kind string, t told, repository, env string, c *policy.ChangeResult) console.Item {
	i := console.Item{
		Kind: kind, Repository: repository, Environment: env, Change: c.Change, Head: c.Head, Title: c.Title,
		Tier: c.Tier, Rank: slices.Index(w.set.Tiers, c.Tier), Origin: c.Origin, Index: t.index, At: t.at,
	}
	for _, a := range c.Authors {
		i.Authors = append(i.Authors, a.Who)
	}
	return i
}

// plans looks at what is said of plans.
func (w *waiting) plans(ctx context.Context) error {
	seen := make(map[question]bool)
	return w.newest(ctx, attest.TypeOperation, func(t told) (bool, error) {
		o, ok := t.st.Predicate.(*attest.Operation)
		if !ok || w.q.Repository != "" && o.Repository != w.q.Repository || !slices.Contains(w.environments(), o.Environment) {
			return false, nil
		}
		digest, err := attest.ParseDigest(t.st.Subjects[0].Digest["sha256"])
		q := question{plan: digest, repository: o.Repository, environment: o.Environment, dryRun: true}
		if err != nil || seen[q] {
			return false, nil
		}
		seen[q] = true
		v, err := w.judge(ctx, w.src, w.regime, q, "")
		if err != nil {
			return false, w.skip(ctx, "plan "+digest.String(), err)
		}
		if core := &v.decision.Core; len(core.Changes) == 1 {
			c := &core.Changes[0]
			i := w.item("plan", t, o.Repository, o.Environment, c)
			i.Plan, i.Title = digest.String(), strings.TrimSpace(c.Plan.Tool)+": "+countsOf(c.Plan.Counts)
			w.add(i, c, core.Awaiting)
		}
		return len(seen) >= maxWaiting, nil
	})
}

func countsOf(counts map[attest.Verb]int) string {
	var parts []string
	for _, v := range attest.Verbs() {
		if counts[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
		}
	}
	return strings.Join(parts, ", ")
}

// needOf says in words what enforced rules miss that somebody could give; with a person,
// what they could.
func needOf(c *policy.ChangeResult, person string) []string {
	var out []string
	for _, f := range c.Rules {
		if !f.Held && !f.Audit && f.Need != "" && (person == "" || slices.Contains(f.Who, person)) && !slices.Contains(out, f.Need) {
			out = append(out, f.Need)
		}
	}
	return out
}
