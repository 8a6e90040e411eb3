package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/policy"
)

// planPage is the page of a plan.
type planPage struct {
	*Plan
	Tier        string
	Rank, Tiers int
	First       *policy.ChangeResult
	Result      *policy.PlanResult
	Others      []string
	Counts      []counted
	Answers     []answerable
	Mine        verdictOfMine
	Approved    []policy.Voice
	Ignored     []policy.Ignored
	CLI         string
}

// plan is the page on which a person answers for a plan.
func (s *Console) plan(r *http.Request, f *frame) (string, any, error) {
	if err := need(r, "repository", "digest"); err != nil {
		return "", nil, err
	}
	q := r.URL.Query()
	p, err := s.config.Ledger.Plan(r.Context(), q.Get("repository"), q.Get("digest"))
	if err != nil {
		return "", nil, err
	}
	f.Title = "Plan " + short(p.Digest)
	set := s.config.Ledger.Policy()
	v := &planPage{Plan: p, Tiers: len(set.Tiers)}
	for _, e := range p.Environments {
		core := &e.Decision.Core
		if len(core.Changes) == 0 {
			v.Answers = append(v.Answers, answerable{Name: e.Name, Kind: core.Kind, Why: core.Why, Blocked: true})
			continue
		}
		c := &core.Changes[0]
		if v.First == nil {
			v.First, v.Result, v.Tier = c, c.Plan, c.Tier
			v.Rank = max(slices.Index(set.Tiers, v.Tier), 0)
		}
		v.Answers = append(v.Answers, answerFor(set, e.Name, f.As, c, core.Verdict == policy.Allow, core.Kind, core.Why, core.Awaiting))
		v.Approved = append(v.Approved, c.Approved...)
		v.Ignored = append(v.Ignored, e.Decision.Annex.Ignored...)
	}
	if v.First == nil {
		return "", nil, &Fault{http.StatusNotFound, string(policy.NoPlan), "Nothing that counts is said of this plan: " + v.Answers[0].Why}
	}
	for verb, n := range v.Result.Counts {
		v.Counts = append(v.Counts, counted{string(verb), n})
	}
	slices.SortFunc(v.Counts, func(a, b counted) int { return strings.Compare(a.Name, b.Name) })
	v.Ignored = uncounted(v.Ignored, v.Approved)
	v.Others = agents(v.First.Agents, v.First.Authors)
	v.Mine = s.mine(f, v.First.Authors, v.Approved, v.Answers)
	v.CLI = command(set, "--plan sha256:"+p.Digest, p.Repository, v.Answers)
	return "plan.html", v, nil
}
