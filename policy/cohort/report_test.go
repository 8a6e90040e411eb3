package cohort

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

// ship logs the whole life of one artifact, from request to deployment, and returns the
// index of the deployment.
func (l *Log) ship(n int, edit func(*Change)) uint64 {
	id := fmt.Sprintf("%064x", n)
	r := Request{Entry: l.next("ci", "0"), Repository: "example.com/org/app", ID: fmt.Sprint(n), Head: id, Paths: 3, Writers: []string{"bob"}}
	r.FirstCommit = r.Time.Add(-time.Hour)
	l.Requests = append(l.Requests, r)
	a := Approval{Entry: l.next("alice", "0"), Repository: r.Repository, ID: r.ID, Head: id}
	l.Approvals = append(l.Approvals, a)
	d := l.decide("0", "allow", func(d *Decision) {
		d.Digest, d.Artifact = id, id
		d.Changes = []Change{{ID: r.ID, Head: id, Commit: id, Tier: "low", Origin: "human", Domains: []string{"docs"},
			Authors: []policy.Author{{Who: "bob", Level: "junior"}}, Approved: []policy.Voice{{Person: "alice", Assurance: "key", Index: a.Index}}}}
		edit(&d.Changes[0])
	})
	at := l.Size
	l.deploy("gate", "0", "", func(dep *Deployment) {
		dep.Digest, dep.Artifacts, dep.Decision = "d"+id[1:], []string{id}, d.Digest
	})
	return at
}

func (l *Log) breaks(n int, severity attest.Severity, confidence attest.Confidence) {
	id := fmt.Sprintf("d%063x", n)
	end := attest.At(epoch.Add(10000*time.Hour + time.Duration(n)*time.Hour))
	l.Said = append(l.Said, said(l.next("pager", "0"), &attest.Incident{ID: fmt.Sprintf("INC-%d", n), Severity: severity,
		StartedAt: attest.At(epoch.Add(10000 * time.Hour)), DetectedAt: attest.At(epoch.Add(10000 * time.Hour)), ResolvedAt: &end,
		Causes: []attest.Cause{{Kind: attest.CauseDeployment, Digest: id, Confidence: confidence}}}))
}

func ai(c *Change)     { c.Origin, c.Agents = "ai", []string{"claude"} }
func human(*Change)    {}
func nobody(c *Change) { c.Origin = "unknown" }

func TestFiguresOfASmallStory(t *testing.T) {
	l := office()
	first := l.ship(1, human)
	second := l.ship(2, ai)
	l.ship(3, ai)
	l.ship(4, nobody)
	l.deploy("gate", "9", "", func(d *Deployment) { d.Artifacts = []string{hexOf("9")} }) // of which nothing is known
	l.breaks(2, attest.Sev1, attest.Confirmed)
	l.breaks(3, attest.Sev3, attest.Possible)
	l.breaks(7, attest.Sev2, attest.Confirmed)
	r := l.Report(Query{})
	var names []string
	for _, c := range r.Cohorts {
		names = append(names, fmt.Sprintf("%s %d/%d", c.Cohort, c.Failed, c.Deployments))
	}
	if diff := cmp.Diff([]string{"none 0/1", "all 1/2", "unknown 0/2"}, names); diff != "" {
		t.Fatal(diff)
	}
	all := r.Cohorts[1]
	if all.Incidents != (BySeverity{Sev1: 1}) || all.FailureRate.Value != 0.5 || !slices.Contains(all.Entries, second) || slices.Contains(all.Entries, first) {
		t.Errorf("%+v", all)
	}
	if all.Restore.Known != 1 || all.Restore.Median.Duration() != 2*time.Hour {
		t.Errorf("time to restore %+v, want two hours", all.Restore)
	}
	if all.Lead.Median.Duration() != time.Hour+3*time.Minute || all.Waiting.Median.Duration() != time.Minute {
		t.Errorf("lead %s, waiting %s", all.Lead.Median.Duration(), all.Waiting.Median.Duration())
	}
	if len(r.Unplaced) != 1 || r.Unplaced[0].ID != "INC-7" || len(r.Uncertain) != 1 || r.Uncertain[0].ID != "INC-3" {
		t.Errorf("unplaced %v, uncertain %v", r.Unplaced, r.Uncertain)
	}
	if r.Against != "all" || len(r.Ratios) != 2 || !strings.Contains(r.Ratios[0].Warning, "too few") || r.Ratios[0].Decides {
		t.Errorf("against %s: %+v", r.Against, r.Ratios)
	}
	if got := l.Report(Query{Confidence: attest.Possible}).Cohorts[1].Failed; got != 2 {
		t.Errorf("with less confidence %d failed, want 2", got)
	}
	if got := l.Report(Query{Severity: attest.Sev2, Confidence: attest.Possible}).Cohorts[1].Failed; got != 1 {
		t.Errorf("of sev2 and worse %d failed, want 1", got)
	}
}

func TestSayingItTwiceIsOneDeployment(t *testing.T) {
	again := func(edit func(*Deployment)) func(*Log) {
		return func(l *Log) {
			l.deploy("ci", "7", "", func(d *Deployment) {
				d.Artifacts = l.Deployments[0].Artifacts
				if edit != nil {
					edit(d)
				}
			})
		}
	}
	for name, c := range map[string]struct {
		tell func(*Log)
		want int
	}{
		"the same payload, signed again": {func(l *Log) {
			l.deploy("gate", "7", "", func(d *Deployment) { *d = l.Deployments[0]; d.Index = l.Size - 1 })
		}, 1},
		"somebody else says it, too":        {again(nil), 1},
		"to another place":                  {again(func(d *Deployment) { d.Target = "eu-1" }), 2},
		"to another environment":            {again(func(d *Deployment) { d.Environment = "staging" }), 2},
		"another artifact":                  {again(func(d *Deployment) { d.Artifacts = []string{hexOf("8")} }), 2},
		"back again after another release":  {func(l *Log) { l.ship(2, human); again(nil)(l) }, 3},
		"an incident that names the second": {func(l *Log) { again(nil)(l) }, 1},
	} {
		l := office()
		l.ship(1, human)
		c.tell(l)
		l.Said = append(l.Said, said(l.next("pager", "0"), &attest.Incident{ID: "INC-1", Severity: attest.Sev1,
			Causes: []attest.Cause{{Kind: attest.CauseDeployment, Digest: l.Deployments[len(l.Deployments)-1].Digest, Confidence: attest.Likely}}}))
		r := l.Report(Query{By: ByEnvironment})
		failed := 0
		for _, row := range r.Cohorts {
			failed += row.Failed
		}
		if r.Deployments != c.want || r.Deployments+r.Repeated != len(l.Deployments) || failed != 1 {
			t.Errorf("%s: %d deployments, want %d; %d repeat, %d failed", name, r.Deployments, c.want, r.Repeated, failed)
		}
	}
}

func TestUnknownIsNeverHuman(t *testing.T) {
	origins := func(words ...string) []Change {
		var out []Change
		for _, w := range words {
			out = append(out, Change{Origin: w})
		}
		return out
	}
	for want, list := range map[string][][]string{
		None:    {{"human"}, {"human", "human"}},
		"all":   {{"ai"}, {"mixed"}, {"ai", "mixed"}},
		"some":  {{"ai", "human"}, {"unknown", "mixed"}},
		Unknown: {{"unknown"}, {"human", "unknown"}, {""}, {"robot"}, {"Human"}},
	} {
		for _, words := range list {
			if got := origin(origins(words...)); got != want {
				t.Errorf("%v: %s, want %s", words, got, want)
			}
		}
	}
}

func TestEveryDimensionKnowsWhatItDoesNotKnow(t *testing.T) {
	l := office()
	l.deploy("gate", "9", "", func(d *Deployment) { d.Artifacts = []string{hexOf("9")} })
	for _, by := range Dimensions() {
		want := Unknown
		if by == ByEnvironment {
			want = "production"
		}
		if r := l.Report(Query{By: by}); len(r.Cohorts) != 1 || r.Cohorts[0].Cohort != want {
			t.Errorf("%s: %+v", by, r.Cohorts)
		}
	}
}

func TestCohortsOfEveryDimension(t *testing.T) {
	by := func(list ...string) []policy.Author {
		var out []policy.Author
		for _, who := range list {
			out = append(out, policy.Author{Who: who, Level: map[string]string{"alice": "senior", "bob": "junior"}[who]})
		}
		return out
	}
	for _, c := range []struct {
		by   Dimension
		edit func(*Change)
		want []string
	}{
		{ByTool, human, []string{None}},
		{ByTool, nobody, []string{Unknown}},
		{ByTool, ai, []string{"claude"}},
		{ByTool, func(c *Change) { c.Origin = "ai" }, []string{"unnamed tool"}},
		{ByModel, ai, []string{"claude opus"}},
		{ByModel, func(c *Change) { c.Origin, c.Agents = "ai", []string{"claude", "codex"} }, []string{"claude opus", "unknown model of codex"}},
		{ByAutonomy, human, []string{None}},
		{ByAutonomy, nobody, []string{Unknown}},
		{ByAutonomy, ai, []string{"assisted"}},
		{ByAutonomy, func(c *Change) { c.Origin, c.Agents, c.Authors = "ai", []string{"robot"}, by("robot") }, []string{"autonomous"}},
		{ByAutonomy, func(c *Change) { c.Origin, c.Agents, c.Authors = "ai", []string{"robot"}, by("robot", "alice") }, []string{"assisted"}},
		{ByAutonomy, func(c *Change) {
			c.Origin, c.Agents, c.Authors = "ai", []string{"robot"}, by("robot", "eve@example.com")
		}, []string{Unknown}},
		{ByAutonomy, func(c *Change) { c.Origin, c.Agents, c.Authors = "ai", []string{"robot"}, by("robot", "bob") }, []string{"assisted"}}, // bob operates it, and wrote too
		{ByTier, human, []string{"low"}},
		{ByTier, func(c *Change) { c.Tier = "enormous" }, []string{Unknown}},
		{ByDomain, func(c *Change) { c.Domains = []string{"checkout", "docs"} }, []string{"checkout", "docs"}},
		{ByTeam, human, []string{"shop"}},
		{ByTeam, func(c *Change) { c.Authors = by("eve@example.com") }, []string{Unknown}},
		{BySeniority, func(c *Change) { c.Authors = by("alice", "bob") }, []string{"junior"}},
		{BySeniority, func(c *Change) { c.Authors = by("alice") }, []string{"senior"}},
		{BySeniority, func(c *Change) { c.Authors = by("alice", "eve@example.com") }, []string{Unknown}},
		{ByApprovals, human, []string{"1"}},
		{ByApprovals, func(c *Change) { c.Approved = nil }, []string{"0"}},
		{ByAssurance, human, []string{"key"}},
		{ByAssurance, func(c *Change) { c.Approved = nil }, []string{None}},
		{ByAssurance, func(c *Change) {
			c.Approved = []policy.Voice{{Person: "alice", Assurance: "verified"}, {Person: "carol", Assurance: "presence"}}
		}, []string{"presence"}},
		{ByAssurance, func(c *Change) { c.Approved = []policy.Voice{{Person: "alice", Assurance: "sworn"}} }, []string{Unknown}},
		{ByRepository, human, []string{"example.com/org/app"}},
	} {
		l := office()
		l.ship(1, c.edit)
		head := l.Requests[0].Head
		l.Authorships = append(l.Authorships, Authorship{Entry: l.next("bob", "0"), Repository: "example.com/org/app", Head: head, Agents: []attest.Agent{{Tool: "claude", Model: "opus"}}})
		j := l.join()
		if diff := cmp.Diff(c.want, j.cohorts(j.deployed[0], c.by)); diff != "" {
			t.Errorf("%s: %s", c.by, diff)
		}
	}
}

func TestARuleIsSuggestedOnlyWhereTheNumbersSpeak(t *testing.T) {
	tell := func(broken int) *Suggestions {
		l := office()
		for n := 1; n <= 80; n++ {
			edit := human
			if n%2 == 0 {
				edit = ai
			}
			l.ship(n, edit)
		}
		for n := 1; n <= broken; n++ {
			l.breaks(2*n, attest.Sev2, attest.Likely)
		}
		s, err := l.Suggest(Query{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := tell(4); len(s.Suggestions) != 0 {
		t.Errorf("four failures suggest %+v", s.Suggestions)
	}
	s := tell(20)
	if len(s.Suggestions) != 2 || s.Backtested || s.Suggestions[0].Backtest != nil {
		t.Fatalf("%+v", s)
	}
	for _, one := range s.Suggestions {
		if one.Failed != 20 || one.AgainstFailed != 0 || len(one.FailedEntries) != 20 || !strings.Contains(one.Rule, "mode: audit") {
			t.Errorf("%+v", one)
		}
	}
	if !strings.Contains(s.Suggestions[0].Rule, `when: 'change.origin == "ai"'`) || !strings.Contains(s.Suggestions[1].Rule, `when: '"claude" in change.agents'`) {
		t.Errorf("%s\n%s", s.Suggestions[0].Rule, s.Suggestions[1].Rule)
	}
}

func TestSignalsOfRubberStamps(t *testing.T) {
	l := office()
	l.ship(1, human) // approved after a minute, three paths: 20 s each
	if s := l.Signals(Query{}); len(s.Fast) != 0 || s.Approvals != 1 {
		t.Errorf("a minute for three paths: %+v", s)
	}
	l.Requests[0].Paths = 7
	if s := l.Signals(Query{}); len(s.Fast) != 1 || s.Fast[0].After.Duration() != time.Minute {
		t.Errorf("a minute for seven paths: %+v", s)
	}
	swap := func(c *Change) {
		c.Authors, c.Approved = []policy.Author{{Who: "alice"}}, []policy.Voice{{Person: "bob", Index: 1}}
	}
	for n := 2; n <= 6; n++ {
		edit := human
		if n >= 4 {
			edit = swap
		}
		l.ship(n, edit)
	}
	s := l.Signals(Query{})
	if len(s.Pairs) != 1 || s.Pairs[0].A != "alice" || s.Pairs[0].B != "bob" || s.Pairs[0].ByA != 3 || s.Pairs[0].ByB != 3 || len(s.Pairs[0].Entries) != 6 {
		t.Errorf("%+v", s.Pairs)
	}
	for n := 7; n <= 24; n++ {
		l.ship(n, human)
	}
	if s := l.Signals(Query{}); len(s.Busy) != 1 || s.Busy[0].Person != "alice" || len(s.Busy[0].Entries) != 24 {
		t.Errorf("%+v", s.Busy)
	}
}

// hostile are names that try to leave their place in a rule.
var hostile = []string{"claude", `x" || true || "`, `it's`, "a: b # c", "- {}", "\\", "\u00e9\u202e", strings.Repeat("n", 900)}

func TestASuggestedRuleLoadsAndIsOneRule(t *testing.T) {
	for _, name := range hostile {
		for _, by := range suggestible {
			word := name
			if by == ByTier || by == BySeniority { // words of the policy itself
				word = map[Dimension]string{ByTier: "high", BySeniority: "senior"}[by]
			}
			if other := map[Dimension]string{ByOrigin: "all", ByAftermath: "sev1", ByCritical: several}[by]; other != "" {
				word = other
			}
			_, rule := propose(by, word, []string{"junior", "senior"})
			set := "name: office\nversion: 1\nlevels: [junior, senior]\ntiers: [low, high]\nenvironments:\n  - {name: production, approvals: beforeRelease, gates: []}\nvalidFor: 15m\nrules:\n" +
				"  - id: reviewed\n    title: Reviewed\n    require:\n      approvals: [{count: 1}]\n    remedy: Ask.\n  " + strings.ReplaceAll(strings.TrimRight(rule, "\n"), "\n", "\n  ") + "\n"
			s, err := policy.ParseSet(attest.PolicyFiles{Policy: set, People: people(t), Domains: "domains:\n  - {name: code, tier: high, paths: [\"*.go\"], reason: it runs}\n"})
			if err != nil {
				t.Errorf("%s %q: %v\n%s", by, word, err, rule)
				continue
			}
			if len(s.Rules) != 2 || s.Rules[1].Mode != policy.Audit || s.Rules[1].Forbid {
				t.Errorf("%s %q: %+v", by, word, s.Rules)
			}
		}
	}
}

// people is the smallest people.yaml that a policy set takes.
func people(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("owners: [olga, oscar]\npeople:\n")
	for _, id := range []string{"olga", "oscar"} {
		k, err := attest.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		pem := strings.ReplaceAll(strings.TrimSpace(string(k.Public().PEM())), "\n", "\n          ")
		fmt.Fprintf(&b, "  - id: %s\n    from: 2026-01-01T00:00:00Z\n    level: senior\n    emails: [%s@example.com]\n    keys:\n      - name: key\n        from: 2026-01-01T00:00:00Z\n        publicKey: |\n          %s\n", id, id, pem)
	}
	return b.String()
}

func TestIncidentsThatEndWithoutAPersonAreShown(t *testing.T) {
	for name, c := range map[string]struct {
		who  string
		edit func(*attest.Incident)
		want int
	}{
		"an agent ends it":          {"pager", func(i *attest.Incident) { i.ResolvedBy = "robot" }, 1},
		"nobody says who":           {"pager", nil, 1},
		"a person ends it":          {"pager", func(i *attest.Incident) { i.ResolvedBy = "alice" }, 0},
		"a person reports it":       {"alice", func(i *attest.Incident) { i.ResolvedBy = "robot" }, 0},
		"it is not over":            {"pager", func(i *attest.Incident) { i.ResolvedAt = nil }, 0},
		"a stranger's name is used": {"pager", func(i *attest.Incident) { i.ResolvedBy = "eve" }, 1},
	} {
		l := office()
		l.say(c.who, "a", c.edit)
		if s := l.Signals(Query{}); len(s.Unattended) != c.want {
			t.Errorf("%s: %+v", name, s.Unattended)
		}
	}
}

func TestInventoryNamesItsHoles(t *testing.T) {
	l := office()
	l.ship(1, ai)
	l.ship(2, nobody)
	l.deploy("gate", "9", "", func(d *Deployment) { d.Artifacts = []string{hexOf("9")} })
	l.Activities = []Activity{{Signer: "robot", Kind: roster.Agent, Type: attest.TypeAuthorship, Count: 2, First: 1, Last: 5}}
	inv := l.Inventory()
	if len(inv.Tools) != 1 || inv.Tools[0].Name != "claude" || len(inv.Repositories) != 1 || len(inv.Agents) != 1 || inv.Agents[0].About != "operated by bob" {
		t.Errorf("%+v", inv)
	}
	var holes []string
	for _, h := range inv.Unknown {
		holes = append(holes, fmt.Sprintf("%d %s", h.Count, h.What))
	}
	want := []string{"1 changes by AI whose model nobody names", "1 changes of which nobody says who wrote them", "1 deployments of an artifact that nobody says the source of"}
	if diff := cmp.Diff(want, holes); diff != "" {
		t.Error(diff)
	}
}
