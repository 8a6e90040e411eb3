package cohort

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/attest"
)

// A Suggestion is a rule that the data speak for. It is text for people who own the
// policy: nothing here applies it.
type Suggestion struct {
	By     Dimension `json:"by"`
	Cohort string    `json:"cohort"`
	Title  string    `json:"title"`
	Rule   string    `json:"rule"` // YAML, an item of rules in policy.yaml, in audit mode
	Ratio  Ratio     `json:"ratio"`
	// The numbers behind it: failures of deployments, and the entries of both.
	Failed             int      `json:"failed"`
	Deployments        int      `json:"deployments"`
	AgainstFailed      int      `json:"againstFailed"`
	AgainstDeployments int      `json:"againstDeployments"`
	FailedEntries      []uint64 `json:"failedEntries"`
	// Backtest is what the rule would have changed in the past; absent where none was made.
	Backtest *Backtest `json:"backtest,omitempty"`
}

// A Backtest says how decisions of the past come out with a rule, if it had enforced.
type Backtest struct {
	Decisions int `json:"decisions"` // that were made again
	WouldDeny int `json:"wouldDeny"` // of those that were allowed, how many the rule would have denied
	Failures  int `json:"failures"`  // of these, how many let a deployment go that failed
	// Entries are the decisions that it would have denied.
	Entries []uint64 `json:"entries"`
}

// Backtester runs a rule against the past; see Suggest. Failures are for Suggest to count.
type Backtester func(rule string) (*Backtest, error)

// Suggestions are what the data speak for, and against how many comparisons it had to
// hold.
type Suggestions struct {
	Origin      string       `json:"origin"`
	Size        uint64       `json:"size"`
	Suggestions []Suggestion `json:"suggestions"`
	// Comparisons is how many were made. Each had to leave no doubt at Level, which is
	// stricter the more there are (Bonferroni), so that chance alone seldom suggests.
	Comparisons int      `json:"comparisons"`
	Level       float64  `json:"level"`
	Backtested  bool     `json:"backtested"`
	Warnings    []string `json:"warnings"`
}

// suggestible are the dimensions that a rule's `when` can tell apart.
var suggestible = []Dimension{ByOrigin, ByTool, ByTier, ByDomain, BySeniority, ByAftermath, ByCritical}

// Suggest proposes rules for cohorts that fail more often than the rest, by more than
// chance. backtest may be nil: then no suggestion has one.
func (l *Log) Suggest(q Query, backtest Backtester) (*Suggestions, error) {
	j := l.join()
	q.fill()
	out := &Suggestions{Origin: l.Origin, Size: l.Size, Suggestions: []Suggestion{}, Backtested: backtest != nil, Warnings: []string{}}
	type candidate struct {
		by        Dimension
		row, rest Row
	}
	var all []candidate
	for _, by := range suggestible {
		split := j.split(by, &q)
		names := make([]string, 0, len(split))
		for name := range split {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if condition(by, name) == "" {
				continue
			}
			in, rest := split[name][0], split[name][1]
			if len(in) >= fewDeployments && len(rest) >= fewDeployments {
				all = append(all, candidate{by, row(name, in, &q), row("all others", rest, &q)})
			}
		}
	}
	out.Comparisons = len(all)
	out.Level = 1 - (1-Level)/float64(max(len(all), 1))
	for _, c := range all {
		ratio := compareRows(&c.row, &c.rest, out.Level)
		if c.row.Failed+c.rest.Failed < fewFailures || ratio.Ratio == nil || ratio.Ratio.Low <= 1 {
			continue
		}
		s := Suggestion{By: c.by, Cohort: c.row.Cohort, Ratio: ratio, Failed: c.row.Failed, Deployments: c.row.Deployments,
			AgainstFailed: c.rest.Failed, AgainstDeployments: c.rest.Deployments, FailedEntries: c.row.FailedEntries}
		s.Title, s.Rule = propose(c.by, c.row.Cohort, l.Levels)
		if backtest != nil {
			var err error
			if s.Backtest, err = backtest(s.Rule); err != nil {
				return nil, fmt.Errorf("backtest of %s %s: %w", c.by, c.row.Cohort, err)
			}
			s.Backtest.Failures = j.failedUnder(s.Backtest.Entries, &q)
		}
		out.Suggestions = append(out.Suggestions, s)
	}
	slices.SortStableFunc(out.Suggestions, func(a, b Suggestion) int { return cmp.Compare(b.Ratio.Ratio.Low, a.Ratio.Ratio.Low) })
	if len(out.Suggestions) > 0 {
		out.Warnings = append(out.Warnings, "a cohort that fails more often need not fail because of what it is called by: look at the deployments before you change a rule")
	}
	if backtest == nil {
		out.Warnings = append(out.Warnings, "no backtest was made: what a rule would have held up is not known")
	}
	return out, nil
}

// failedUnder counts the decisions, of these, that a deployment which failed names or was
// described by.
func (j *joined) failedUnder(decisions []uint64, q *Query) int {
	failed := make(map[uint64]bool)
	held, _ := j.once(q)
	for _, d := range held {
		if d.Under != nil && slices.Contains(decisions, d.Under.Index) && slices.ContainsFunc(d.Caused, q.fails) {
			failed[d.Under.Index] = true
		}
	}
	return len(failed)
}

// split parts the deployments for every cohort into those in it and those that are known
// not to be. Unknown ones are on neither side.
func (j *joined) split(by Dimension, q *Query) map[string][2][]*Deployed {
	held, _ := j.once(q)
	groups := make(map[string]map[*Deployed]bool)
	unknown := make(map[*Deployed]bool)
	for _, d := range held {
		for _, c := range j.cohorts(d, by) {
			if c == Unknown {
				unknown[d] = true
				continue
			}
			if groups[c] == nil {
				groups[c] = make(map[*Deployed]bool)
			}
			groups[c][d] = true
		}
	}
	out := make(map[string][2][]*Deployed)
	for name, in := range groups {
		var parts [2][]*Deployed
		for _, d := range held {
			switch {
			case in[d]:
				parts[0] = append(parts[0], d)
			case !unknown[d]:
				parts[1] = append(parts[1], d)
			}
		}
		out[name] = parts
	}
	return out
}

// condition is the `when` that tells a cohort's changes; "" where none does.
func condition(by Dimension, name string) string {
	switch {
	case name == Unknown || name == None:
		return ""
	case by == ByOrigin && name == "some":
		return "change.aiAssisted"
	case by == ByOrigin:
		return fmt.Sprintf("change.origin == %q", string(attest.OriginAI))
	case by == ByTool:
		return strconv.Quote(name) + " in change.agents"
	case by == ByTier:
		return "change.tier >= tiers." + name // anybody can raise one
	case by == ByDomain:
		return strconv.Quote(name) + " in change.domains"
	case by == ByAftermath:
		return fmt.Sprintf(`incidents.%s("7d") > 0`, name)
	case by == ByCritical && name == several:
		return "release.critical.size() > 1"
	case by == ByCritical:
		return "release.critical.size() == 1"
	case by == BySeniority:
		return "change.authorLevel <= levels." + name // who is not authenticated has none, and stands below
	}
	return ""
}

// propose writes a rule in audit mode that asks for two people, one of them of the
// highest level.
func propose(by Dimension, name string, levels []string) (title, rule string) {
	who, slots := "Two people approve", "[{count: 2}]"
	if len(levels) > 0 {
		top := levels[len(levels)-1]
		who, slots = "Two people approve, one of them "+top+",", "[{count: 1, level: "+top+"}, {count: 1}]"
	}
	title = fmt.Sprintf("%s where %s is %s", who, by, name)
	timing := ""
	if by == ByAftermath { // what was merged when it broke could never be approved before the merge
		timing = "\n    timing: beforeRelease"
	}
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(fmt.Sprintf("suggested-%s-%s", by, name)))
	return title, fmt.Sprintf(`- id: %s
  title: %s
  when: '%s'
  mode: audit
  require:
    approvals: %s%s
  remedy: Ask one more person.
`, id, strconv.Quote(title), strings.ReplaceAll(condition(by, name), "'", "''"), slots, timing)
}
