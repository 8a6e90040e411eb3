package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign-dev/countersign/policy"
)

// render prints a decision for people: the verdict, a line for each change, what
// is missing, who could give it and how, and what was seen and did not count.
func (a *app) render(d *policy.Decision, verbose bool) {
	c := &d.Core
	a.printf("%s  %s\n", a.verdict(c.Verdict), a.bold(headline(c)))
	if c.Verdict == policy.AllowAudit {
		a.printf("       the gate of %s only audits; it would deny\n", c.Environment)
	}
	if c.Why != "" {
		a.printf("       %s: %s\n", c.Kind, c.Why)
	}
	if next := remedies[c.Kind]; next != "" {
		a.printf("       → %s\n", next)
	}
	a.printf("%s\n", a.faint(fmt.Sprintf("       policy %s v%d sha256:%.12s…  log %s as of size %d, at %s", c.Policy.Name, c.Policy.Version, c.Policy.Digest,
		c.Log.Origin, c.Log.Size, c.Log.Time.Format(time.RFC3339))))
	if c.Plan == "" {
		a.renderChanges(c)
	} else {
		a.renderPlan(c)
	}
	a.renderGap(c)
	a.renderExceptions(c)
	a.renderGlass(c)
	a.renderFailures(c)
	a.renderAwaiting(c)
	a.renderIgnored(d, verbose)
	a.renderVouched(d)
	a.renderPosture(d)
}

// remedies say what is next where it is no rule that denies.
var remedies = map[policy.Kind]string{
	policy.NoBaseline:      "The owners of the policy say in baselines: of policy.yaml at which commit the record begins; all above it is judged.",
	policy.NoRelease:       "Whoever built it says so with countersign attest release.",
	policy.AmbiguousSource: "Take the wrong one back: countersign log search --type release --subject sha256:…, and countersign attest revocation --statement DIGEST.",
	policy.NoChange:        "CI attests it with countersign attest range, for the past as well; for what cannot be attested owners record a gap (countersign gap).",
	policy.Frozen:          "Two officers or owners let releases go on with countersign freeze lift.",
}

func (a *app) verdict(v policy.Verdict) string {
	switch v {
	case policy.Allow:
		return a.green("ALLOW")
	case policy.AllowAudit:
		return a.red("ALLOW (AUDIT)")
	case policy.AllowBreakGlass:
		return a.red("ALLOW (BREAK-GLASS)")
	case policy.Deny:
		return a.red("DENY ")
	}
	return a.red("ERROR")
}

func headline(c *policy.Core) string {
	what := c.Release
	switch {
	case c.Plan != "":
		return fmt.Sprintf("plan %.12s of %s to %s", c.Plan, c.Repository, c.Environment)
	case what != "":
	case c.To != "":
		what = fmt.Sprintf("%.12s", c.To)
	default:
		what = fmt.Sprintf("artifact sha256:%.12s…", c.Artifact)
	}
	ai := 0
	for _, ch := range c.Changes {
		if ch.Origin == "ai" || ch.Origin == "mixed" {
			ai++
		}
	}
	text := fmt.Sprintf("%s of %s to %s", what, c.Repository, c.Environment)
	if len(c.Changes) > 0 {
		text += fmt.Sprintf(": %s, %d with AI, since %.8s (%s)", plural(len(c.Changes), "change"), ai, c.From, c.FromBecause)
	}
	return text
}

// renderPlan shows what the plan does, who made it and who approves it.
func (a *app) renderPlan(c *policy.Core) {
	for _, ch := range c.Changes {
		p := ch.Plan
		how := "claimed: no service read it out of the plan file"
		if p.DerivedBy != "" {
			how = "read out of the plan file by " + p.DerivedBy
		}
		a.printf("\n  does      %s  %s\n", counted(p.Counts), a.faint(how))
		if p.Omitted > 0 {
			a.printf("            %s\n", a.red(plural(p.Omitted, "more operation")+" that nobody lists"))
		}
		for _, h := range p.Harm[:min(len(p.Harm), 10)] {
			a.printf("            %s\n", a.red(h+"  (cannot be undone)"))
		}
		if p.Irreversible > 10 {
			a.printf("            … %s that cannot be undone, in all\n", plural(p.Irreversible, "operation"))
		}
		for _, u := range p.Unpermitted[:min(len(p.Unpermitted), 10)] {
			a.printf("  beyond    %s\n", a.red(u))
		}
		because := ch.Because
		if len(because) > 3 {
			because = append(slices.Clone(because[:3]), "…")
		}
		a.printf("  reaches   %s  %s\n", ch.Tier, a.faint(strings.Join(because, "; ")))
		a.printf("  made by   %s  %s\n", authors(ch.Authors), a.faint("origin "+ch.Origin))
		a.printf("  approved  %s\n", voices(ch.Approved))
	}
}

func (a *app) renderChanges(c *policy.Core) {
	if len(c.Changes) == 0 {
		return
	}
	a.printf("\n")
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\tCHANGE\tCOMMIT\tTIER\tORIGIN\tAUTHORS\tAPPROVED BY\tBOUND\tMISSING")
	for _, ch := range c.Changes {
		mark, missing := "ok", []string{}
		for _, f := range ch.Rules {
			if !f.Held {
				mark = "--"
				missing = append(missing, f.Rule)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%.8s\t%s\t%s\t%s\t%s\t%s\t%s\n", mark, ch.Change, ch.Commit, ch.Tier, ch.Origin,
			authors(ch.Authors), voices(ch.Approved), ch.Binding, strings.Join(missing, ", "))
	}
	w.Flush()
	if slices.ContainsFunc(c.Changes, func(ch policy.ChangeResult) bool { return strings.Contains(authors(ch.Authors), "?") }) {
		a.printf("%s\n", a.faint("? an author whom nothing authenticates: may be anybody, so one more person is needed"))
	}
}

func authors(list []policy.Author) string {
	var out []string
	for _, x := range list {
		who := x.Who
		if !x.Authenticated {
			who += "?"
		}
		out = append(out, who)
	}
	return strings.Join(out, " ")
}

func voices(list []policy.Voice) string {
	if len(list) == 0 {
		return "nobody"
	}
	var out []string
	for _, v := range list {
		who := v.Person
		if v.WitnessedBy != "" {
			who += " (on " + v.WitnessedBy + ")"
		}
		if v.Late && v.Earlier == 0 {
			who += " (late)"
		}
		out = append(out, who)
	}
	return strings.Join(out, " ")
}

// renderFailures groups what is missing by rule and by what would mend it.
func (a *app) renderFailures(c *policy.Core) {
	for _, r := range c.Rules {
		if r.Failed == 0 {
			continue
		}
		mode := ""
		if r.Mode == string(policy.Audit) {
			mode = " (audit only: shown, not enforced)"
		}
		if r.Mode == "upcoming" {
			mode = " (warning: not enforced yet)"
		}
		a.printf("\n%s  %s%s\n", a.bold(r.Rule), r.Title, mode)
		type group struct {
			text string
			ids  []string
		}
		var groups []group
		for _, ch := range c.Changes {
			for _, f := range ch.Rules {
				if f.Rule != r.Rule || f.Held {
					continue
				}
				text := string(f.Kind) + ": " + f.Why
				if f.Need != "" {
					text += "\n      needs " + f.Need
				}
				if len(f.Who) > 0 {
					text += "\n      could be given by " + strings.Join(f.Who, ", ")
				}
				i := slices.IndexFunc(groups, func(g group) bool { return g.text == text })
				if i < 0 {
					groups = append(groups, group{text: text})
					i = len(groups) - 1
				}
				groups[i].ids = append(groups[i].ids, changeName(ch))
			}
		}
		for _, g := range groups {
			a.printf("  %s\n      %s\n", strings.Join(g.ids, " "), g.text)
		}
		switch {
		case tooLate(c, r.Rule):
			a.printf("    → No approval can help any more. Owners can make an exception, and in an emergency people break the glass:\n      docs/operations.md, When the rules must bend.\n")
		case r.Remedy != "":
			a.printf("    → %s\n", r.Remedy)
		}
	}
}

// tooLate reports whether a rule misses approvals that nobody can give any more.
func tooLate(c *policy.Core, rule string) bool {
	late := false
	for i := range c.Changes {
		for _, f := range c.Changes[i].Rules {
			if f.Rule != rule || f.Held {
				continue
			}
			if !strings.Contains(f.Why, policy.NoNewApproval) {
				return false
			}
			late = true
		}
	}
	return late
}

func changeName(ch policy.ChangeResult) string {
	if ch.Plan != nil {
		return fmt.Sprintf("plan %.12s", ch.Plan.Digest)
	}
	if ch.Change != "" {
		return ch.Change
	}
	return fmt.Sprintf("%.8s", ch.Commit)
}

// renderAwaiting gives the commands that would turn a deny into allow.
func (a *app) renderAwaiting(c *policy.Core) {
	if len(c.Awaiting) == 0 {
		return
	}
	byPeople, how := map[string][]string{}, map[string]string{}
	var order []string
	for _, w := range c.Awaiting {
		who := strings.Join(w.Who, ", ")
		if who == "" {
			who = "nobody on the roster"
		}
		what := shellWords([]string{w.Change}) // somebody else's word
		if w.Plan != "" {
			what = "--plan sha256:" + w.Plan
		}
		if !slices.Contains(byPeople[who], what) {
			byPeople[who] = append(byPeople[who], what)
		}
		if !slices.Contains(order, who) {
			order, how[who] = append(order, who), "--key YOUR-KEY.pem"
		}
		if provedTooLittle(c, &w) {
			how[who] = "--ssh=YOUR-SECURITY-KEY.pub   (or a passkey, on the console's page)"
		}
	}
	a.printf("\nApprovals alone would turn this into allow:\n")
	for _, who := range order {
		a.printf("  %s:\n    countersign approve %s \\\n      --repository %s --environment %s %s\n", who, strings.Join(byPeople[who], " "), c.Repository, c.Environment, how[who])
	}
}

// provedTooLittle reports whether approvals are there that do not show that somebody was.
func provedTooLittle(c *policy.Core, w *policy.Awaiting) bool {
	for i := range c.Changes {
		ch := &c.Changes[i]
		if ch.Change != w.Change || ch.Head != w.Head {
			continue
		}
		if slices.ContainsFunc(ch.Rules, func(f policy.Finding) bool { return f.Rule == w.Rule && f.Kind == policy.LowAssurance }) {
			return true
		}
	}
	return false
}

func (a *app) renderIgnored(d *policy.Decision, verbose bool) {
	const few = 12
	list := d.Annex.Ignored
	if len(list) == 0 {
		return
	}
	a.printf("\nSeen, and does not count:\n")
	for i, x := range list {
		if i == few && !verbose {
			a.printf("  … and %d more (--verbose)\n", len(list)-few)
			break
		}
		a.printf("  #%d  %s  %s\n", x.Index, x.Kind, x.Why)
	}
}

func (a *app) renderVouched(d *policy.Decision) {
	for i, v := range d.Annex.Vouched {
		if i == 0 {
			a.printf("\nVouched for by another log:\n")
		}
		a.printf("  #%d  %s\n", v.Index, v.By)
	}
}

func (a *app) renderPosture(d *policy.Decision) {
	p := d.Annex.Posture
	var levels []string
	for l, n := range p.ByLevel {
		levels = append(levels, fmt.Sprintf("%d %s", n, l))
	}
	slices.Sort(levels)
	text := fmt.Sprintf("%d of %d paths fell to the lowest tier; %d people (%s)", p.LowestTier, p.Paths, p.People, strings.Join(levels, ", "))
	if len(p.AuditRules) > 0 {
		text += "; audit only: " + strings.Join(p.AuditRules, ", ")
	}
	if len(p.GateModes) > 0 {
		text += "; gates: " + strings.Join(p.GateModes, ", ")
	}
	for _, e := range p.Exceptions {
		text += fmt.Sprintf("; exception %s to %s until %s", e.ID, e.Rule, e.Until.Format(time.RFC3339))
	}
	if p.Gaps > 0 {
		text += "; " + plural(p.Gaps, "gap") + " recorded"
	}
	if p.GlassOpen > 0 {
		text += "; " + plural(p.GlassOpen, "break-glass case") + " open"
	}
	for _, r := range p.ReviewsOwed {
		text += fmt.Sprintf("; review of break-glass case %.12s %s %s", r.Case, map[bool]string{true: "was owed by", false: "is owed by"}[r.Overdue], r.By.Format(time.RFC3339))
	}
	if len(p.Unsafe) > 0 {
		text += "; UNSAFE: " + strings.Join(p.Unsafe, ", ")
	}
	a.printf("\n%s\n%s\n", a.faint("posture: "+text), a.faint("completeness: "+d.Core.Completeness+"   time: "+d.Core.Time))
	for _, w := range d.Annex.Witnesses {
		a.printf("%s\n", a.faint(fmt.Sprintf("witness: %s cosigned size %d at %s", printable(w.Witness, 64), d.Core.Log.Size, w.Time.Format(time.RFC3339))))
	}
}

// renderExceptions says where a rule is as good as held.
func (a *app) renderExceptions(c *policy.Core) {
	for _, ch := range c.Changes {
		for _, f := range ch.Rules {
			if f.Exception != "" {
				a.printf("\n%s  %s of %s: %s\n", a.bold("exception"), f.Rule, changeName(ch), f.Why)
			}
		}
	}
}

// renderGap says what nobody saw.
func (a *app) renderGap(c *policy.Core) {
	g := c.Gap
	if g == nil {
		return
	}
	count := "commits that nobody counted"
	if g.Commits > 0 {
		count = plural(g.Commits, "commit")
	}
	a.printf("\n%s  %s above %.12s up to %.12s were seen by nobody: %s (recorded in #%d by %s)\n", a.red("GAP"), count, g.From, g.To, printable(g.Reason, 300), g.Index, strings.Join(g.SignedBy, ", "))
}
