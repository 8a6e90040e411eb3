package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

// review is the page of a change.
type review struct {
	*Change
	Tier     string
	Rank     int // of the tier, from 0, and of how many
	Tiers    int
	First    *policy.Preview // what does not depend on the environment
	Written  []commit
	Kinds    []counted // how many files of each kind of change
	Files    []file
	Answers  []answerable
	Others   []string // agents that are no authors of their own
	Mine     verdictOfMine
	Claimed  bool
	CLI      string
	Approved []policy.Voice
	Ignored  []policy.Ignored
}

// answerable is one environment, and what is asked there of whoever looks.
type answerable struct {
	Name    string
	Enough  bool
	Kind    policy.Kind
	Why     string
	Wanted  bool // something is missing that this person could give
	Rules   []ruleView
	Blocked bool // approvals alone would not help
}

type ruleView struct {
	policy.Finding
	Title string
	Mine  bool // this person could give what is missing
}

// verdictOfMine is what whoever looks said before, and may say now.
type verdictOfMine struct {
	Author   bool   // their word does not count: they wrote it
	Approved bool   // there is an approval that counts
	Spoke    bool   // they approved or rejected: it can be withdrawn
	Passkeys int    // that they have
	Reason   string // why they cannot answer here; empty when they can
}

type counted struct {
	Name string
	N    int
}

type file struct{ Kind, Path, Note string }

type commit struct{ ID, Title, By string }

// change is the page on which a person answers for a change.
func (s *Console) change(r *http.Request, f *frame) (string, any, error) {
	if err := need(r, "repository", "id"); err != nil {
		return "", nil, err
	}
	q := r.URL.Query()
	c, err := s.config.Ledger.Change(r.Context(), q.Get("repository"), q.Get("id"), q.Get("head"))
	if err != nil {
		return "", nil, err
	}
	f.Title = "Change " + plain(c.ID)
	set := s.config.Ledger.Policy()
	v := &review{Change: c, Tiers: len(set.Tiers)}
	if len(c.Environments) == 0 {
		return "", nil, &Fault{http.StatusNotFound, "UNKNOWN_ENVIRONMENT", "The policy in force knows no environment."}
	}
	v.First = c.Environments[0].Preview
	v.Tier, v.Claimed = v.First.Change.Tier, v.First.Claimed
	if v.Rank = slices.Index(set.Tiers, v.Tier); v.Rank < 0 { // it cannot be judged: see why below
		v.Tier, v.Rank = "unknown", len(set.Tiers)-1
	}
	v.Files, v.Kinds = describeFiles(v.First.Paths)
	for _, c := range v.First.Commits {
		title, _, _ := strings.Cut(c.Message, "\n")
		v.Written = append(v.Written, commit{string(c.ID), plain(title[:min(len(title), 200)]), plain(c.Author.Name)})
	}
	for _, e := range c.Environments {
		v.Answers = append(v.Answers, answerFor(set, e.Name, f.As, &e.Preview.Change, e.Preview.Enough, e.Preview.Kind, e.Preview.Why, e.Preview.Awaiting))
		for _, a := range e.Preview.Change.Approved {
			if !slices.ContainsFunc(v.Approved, func(o policy.Voice) bool { return o.Index == a.Index }) {
				v.Approved = append(v.Approved, a)
			}
		}
		for _, i := range e.Preview.Ignored {
			if i.Change == c.ID && !slices.ContainsFunc(v.Ignored, func(o policy.Ignored) bool { return o.Index == i.Index && o.Kind == i.Kind }) {
				v.Ignored = append(v.Ignored, i)
			}
		}
	}
	v.Ignored = uncounted(v.Ignored, v.Approved)
	v.Others = agents(v.First.Change.Agents, v.First.Change.Authors)
	v.Mine = s.mine(f, v.First.Change.Authors, v.Approved, v.Answers)
	v.CLI = command(set, c.ID, c.Repository, v.Answers)
	return "change.html", v, nil
}

// uncounted leaves out what counts for another environment.
func uncounted(ignored []policy.Ignored, approved []policy.Voice) []policy.Ignored {
	return slices.DeleteFunc(ignored, func(i policy.Ignored) bool {
		return slices.ContainsFunc(approved, func(v policy.Voice) bool { return v.Index == i.Index })
	})
}

// agents are those that are not named as authors already.
func agents(all []string, authors []policy.Author) (others []string) {
	for _, a := range all {
		if !slices.ContainsFunc(authors, func(o policy.Author) bool { return o.Who == a }) {
			others = append(others, a)
		}
	}
	return others
}

// mine says what whoever looks may answer here.
func (s *Console) mine(f *frame, authors []policy.Author, approved []policy.Voice, answers []answerable) verdictOfMine {
	var m verdictOfMine
	p, err := s.reviewer(f.As)
	if err != nil {
		m.Reason = "Choose who you are, above."
		return m
	}
	m.Passkeys = len(s.passkeys(p))
	m.Author = slices.ContainsFunc(authors, func(a policy.Author) bool { return a.Who == f.As })
	m.Approved = slices.ContainsFunc(approved, func(v policy.Voice) bool { return v.Person == f.As })
	m.Spoke = m.Approved
	for _, a := range answers {
		for _, r := range a.Rules {
			if r.Rule == "veto" && !r.Held && strings.Contains(r.Why, f.As) {
				m.Spoke = true
			}
		}
	}
	switch {
	case m.Author:
		m.Reason = "You are among its authors, or run an agent that is: your word about it does not count."
	case m.Passkeys == 0:
		m.Reason = "You have no passkey on the roster."
	case !f.Here:
		m.Reason = "Passkeys do not answer on this address."
	}
	return m
}

// answerFor sorts what the rules say for one environment.
func answerFor(set *policy.Set, name, as string, c *policy.ChangeResult, enough bool, kind policy.Kind, why string, awaiting []policy.Awaiting) answerable {
	a := answerable{Name: name, Enough: enough, Kind: kind, Why: why, Blocked: !enough && len(awaiting) == 0}
	for _, f := range c.Rules {
		r := ruleView{Finding: f, Title: f.Rule}
		for i := range set.Rules {
			if set.Rules[i].ID == f.Rule {
				r.Title = set.Rules[i].Title
			}
		}
		r.Mine = !f.Held && as != "" && slices.Contains(f.Who, as)
		a.Wanted = a.Wanted || r.Mine && !f.Audit
		a.Rules = append(a.Rules, r)
	}
	return a
}

// command is how it is approved from a terminal: for the environments where that is wanted,
// with what proves as much as they ask.
func command(set *policy.Set, what, repository string, answers []answerable) string {
	var names []string
	least := roster.ByKey
	for _, a := range answers {
		if !a.Wanted && slices.ContainsFunc(answers, func(o answerable) bool { return o.Wanted }) {
			continue
		}
		names = append(names, a.Name)
		for _, r := range a.Rules {
			if r.Mine {
				least = max(least, set.Asks(r.Rule))
			}
		}
	}
	how := "--key YOUR-KEY.pem"
	if least > roster.ByKey {
		how = "--ssh=YOUR-SECURITY-KEY.pub"
	}
	const plainWords = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./: "
	if strings.Trim(what+repository, plainWords) != "" || strings.HasPrefix(what, "-") && !strings.HasPrefix(what, "--plan sha256:") {
		return "countersign inbox" // which writes it as a shell takes it
	}
	return "countersign approve " + what + " --repository " + repository + " --environment " + strings.Join(names, ",") + " " + how
}

// describeFiles says of each file what happens to it, and counts.
func describeFiles(paths []gitfacts.Path) ([]file, []counted) {
	order := []string{"added", "modified", "deleted", "mode", "named"}
	counts := make(map[string]int)
	var files []file
	for _, p := range paths {
		f := file{Path: plain(p.Path), Kind: "modified"}
		switch {
		case p.OldMode == "" && p.NewMode == "":
			f.Kind = "named"
		case p.OldMode == "":
			f.Kind = "added"
		case p.NewMode == "":
			f.Kind = "deleted"
		case p.OldID == p.NewID:
			f.Kind = "mode"
		}
		switch mode := p.NewMode; {
		case mode == "120000":
			f.Note = "symbolic link"
		case mode == "160000":
			f.Note = "submodule"
		case mode == "100755" && p.OldMode != mode:
			f.Note = "becomes executable"
		}
		counts[f.Kind]++
		files = append(files, f)
	}
	var kinds []counted
	for _, k := range order {
		if counts[k] > 0 {
			kinds = append(kinds, counted{k, counts[k]})
		}
	}
	return files, kinds
}
