package console

import (
	"net/http"
	"slices"

	"github.com/countersign-dev/countersign/policy"
)

// release is the page of a release: each of its changes, and what it waits for.
func (s *Console) release(r *http.Request, f *frame) (string, any, error) {
	if err := need(r, "repository", "environment", "artifact"); err != nil {
		return "", nil, err
	}
	q := r.URL.Query()
	d, err := s.config.Ledger.Release(r.Context(), q.Get("repository"), q.Get("environment"), q.Get("artifact"))
	if err != nil {
		return "", nil, err
	}
	f.Title = "Release"
	if d.Core.Release != "" {
		f.Title = "Release " + d.Core.Release
	}
	set := s.config.Ledger.Policy()
	type row struct {
		policy.ChangeResult
		Link   string
		Rank   int
		Held   bool
		Wanted bool
		Others bool // approvals could help
		Failed []policy.Finding
	}
	var rows []row
	for _, c := range d.Core.Changes {
		one := row{ChangeResult: c, Rank: max(slices.Index(set.Tiers, c.Tier), 0), Held: true}
		if c.Change != "" && c.Head != "" {
			one.Link = f.With("change", "repository", d.Core.Repository, "id", c.Change, "head", c.Head)
		}
		for _, rule := range c.Rules {
			if !rule.Held && !rule.Audit {
				one.Held = false
				one.Others = one.Others || len(rule.Who) > 0
				one.Wanted = one.Wanted || f.As != "" && slices.Contains(rule.Who, f.As)
				one.Failed = append(one.Failed, rule)
			}
		}
		rows = append(rows, one)
	}
	return "release.html", map[string]any{"Core": d.Core, "Rows": rows, "Allowed": d.Core.Verdict == policy.Allow, "Tiers": len(set.Tiers)}, nil
}
