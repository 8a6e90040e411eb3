package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A Trial is a release that somebody imagines, and what a policy set ought to say of it.
// Run makes real evidence of it, signed with keys that are thrown away, and decides.
type Trial struct {
	Name        string
	Environment string
	Changes     []TrialChange
	Incidents   []TrialIncident // that broke out after the last merge
	Wait        time.Duration   // between them and the release
	Want        Wanted
}

// A TrialChange is one change of the release, in the order of merging. It is reviewed on
// a branch of its own, attested by CI, approved, and squashed by the forge.
type TrialChange struct {
	Author  string   // roster id, or the address of a stranger
	Paths   []string // that it writes
	Message string   // of its commit, trailers and all
	Origin  string   // that the author declares: human, ai, mixed, unknown; empty: nothing
	// Roster ids: Approved and Rejected before the merge; Present approve before it and
	// touch a security key for it; Late approve after it.
	Approved, Present, Rejected, Late []string
	Unreviewed                        bool // pushed onto the branch
	Admitters                         int  // services that make the merge again; zero: all that may
}

// A TrialIncident is something that broke.
type TrialIncident struct {
	Severity attest.Severity
	Domains  []string
	Open     bool // it is not over
	// Lowered are who says that it was a sev4 after all, Reviewed who signs its review.
	Lowered, Reviewed []string
}

// Wanted is what is expected of the decision. What is empty is not looked at.
type Wanted struct {
	Verdict policy.Verdict
	Kind    policy.Kind
	Failed  []string // rules, each of which must fail, and no other
	Who     []string // people who could give what is missing: exactly these
	checks  bool     // Failed was given, perhaps empty
	whoIs   bool
}

// Run makes the evidence and decides with the set. It needs git.
func (tr *Trial) Run(set *policy.Set) (*policy.Decision, error) {
	repositories.mu.Lock()
	defer repositories.mu.Unlock()
	cast, err := castOf(set)
	if err != nil {
		return nil, err
	}
	t := &teller{
		log: NewLog(), names: make(map[string]uint64), auditor: map[string]string{}, statements: make(map[string]signed),
		parcels: make(map[string]parcel), sets: make(map[string]*policy.Set), begins: true,
	}
	t.log.Clock = cast.start
	steps, err := tr.steps(cast)
	if err != nil {
		return nil, err
	}
	if err := t.layOut(steps); err != nil {
		return nil, err
	}
	if err := t.stage(cast, steps); err != nil {
		return nil, err
	}
	told, err := t.judge()
	if err != nil {
		return nil, err
	}
	if told.Err != nil {
		return nil, told.Err
	}
	return policy.Decide(told.Input), nil
}

// stage logs the genesis of the trial and every statement.
func (t *teller) stage(c *company, steps []step) error {
	var err error
	t.set = c.set
	if t.trust, err = t.log.Trust(c.set.Digest()); err != nil {
		return err
	}
	t.trust.Console = console()
	t.trust.Owners, t.trust.UnsafeSingleOwner = c.set.Roster.Owners, len(c.set.Roster.Owners) == 1
	genesis := c.set.Statement("", attest.At(t.log.Clock))
	for _, owner := range c.set.Roster.Owners {
		if _, err := t.log.Append(genesis, Key(c.key(owner))); err != nil {
			return err
		}
	}
	for i := range steps {
		if err := t.do(&steps[i]); err != nil {
			return fmt.Errorf("%s: %w", steps[i].verb, err)
		}
	}
	return t.readPolicies()
}

// A company is everybody of a policy set, with keys of ours.
type company struct {
	set                 *policy.Set
	start               time.Time
	admitters           []string // roster ids of services, the one first that attests changes too
	ci, builder, merger string   // roster ids
}

// key names somebody's key in the ring: it can be nobody's of the cast of stories.
func (c *company) key(id string) string { return "trial of " + id }

// castOf gives everybody of a set a key of ours, since when they are there, and people a
// security key besides.
func castOf(set *policy.Set) (*company, error) {
	c := &company{start: Start}
	var all []roster.Principal
	for _, p := range set.Roster.Principals() {
		one := *p
		one.Keys = []roster.Key{{SPKI: Key(c.key(p.ID)).Public().SPKI(), Name: "trial"}}
		if p.Kind == roster.Person {
			one.Keys = append(one.Keys, roster.Key{SSH: touchKey(c.key(p.ID)).Public, Assurance: roster.Present, Name: "touch"})
		}
		all = append(all, one)
		if from := p.From.Add(time.Hour); from.After(c.start) {
			c.start = from
		}
	}
	people, err := policy.NewPeople(set.Roster.Owners, all, c.start.Add(-time.Minute))
	if err != nil {
		return nil, err
	}
	f := set.Files()
	f.People = people
	if c.set, err = policy.ParseSet(f); err != nil {
		return nil, fmt.Errorf("give everybody a key for the trial: %w", err)
	}
	for _, p := range set.Roster.Principals() {
		switch {
		case c.ci == "" && p.MaySign(attest.TypeChange) && p.MaySign(attest.TypeAdmission):
			c.ci = p.ID
			c.admitters = append([]string{p.ID}, c.admitters...)
		case p.MaySign(attest.TypeAdmission) && !p.MaySign(attest.TypeRelease):
			c.admitters = append(c.admitters, p.ID)
		case c.builder == "" && p.MaySign(attest.TypeRelease) && !p.MaySign(attest.TypeAdmission):
			c.builder = p.ID
		case c.merger == "" && p.Forge:
			c.merger = c.address(p.ID)
		}
	}
	if c.ci == "" || c.builder == "" {
		return nil, fmt.Errorf("people.yaml has no service that may attest change and admission, or none that may attest release")
	}
	return c, nil
}

// address is what git calls somebody.
func (c *company) address(who string) string {
	if c.set != nil {
		if p, ok := c.set.Roster.Principal(who); ok && len(p.Emails) > 0 {
			return p.Emails[0]
		}
	}
	if strings.Contains(who, "@") {
		return who
	}
	return who + "@trial.example.com"
}

// steps are the story of a trial.
func (tr *Trial) steps(c *company) ([]step, error) {
	var out []step
	do := func(verb string, opts map[string]string, args ...string) {
		if opts == nil {
			opts = map[string]string{}
		}
		out = append(out, step{verb: verb, args: args, opts: opts, raw: true})
	}
	last := ""
	for i, ch := range tr.Changes {
		if _, known := c.set.Roster.Principal(ch.Author); !known && !strings.Contains(ch.Author, "@") {
			return nil, fmt.Errorf("change %d: author %q is nobody of people.yaml, and no address", i+1, ch.Author)
		}
		for _, id := range slices.Concat(ch.Approved, ch.Present, ch.Rejected, ch.Late) {
			if _, known := c.set.Roster.Principal(id); !known {
				return nil, fmt.Errorf("change %d: %q is nobody of people.yaml", i+1, id)
			}
		}
		last = tr.change(c, i+1, &ch, do)
	}
	named := func(name, verb string, opts map[string]string, args ...string) {
		do(verb, opts, args...)
		out[len(out)-1].name = name
	}
	for i := range tr.Incidents {
		if err := tr.Incidents[i].tell(c, i+1, named); err != nil {
			return nil, err
		}
	}
	if tr.Wait > 0 {
		do("wait", nil, tr.Wait.String())
	}
	do("release", map[string]string{"by": c.key(c.builder)}, last)
	do("ask", map[string]string{"env": tr.Environment})
	return out, nil
}

// change tells one change, and returns the label of its commit on the branch.
func (tr *Trial) change(c *company, n int, ch *TrialChange, do func(string, map[string]string, ...string)) string {
	head, merged, ci := fmt.Sprintf("h%d", n), fmt.Sprintf("m%d", n), map[string]string{"by": c.key(c.ci)}
	author := c.address(ch.Author)
	opts := map[string]string{}
	if ch.Message != "" {
		opts["message"] = ch.Message
	}
	if ch.Unreviewed {
		do("push", opts, append([]string{merged, author}, ch.Paths...)...)
		do("change", ci, merged)
		do("admit", ci, merged)
		return merged
	}
	do("commit", opts, append([]string{head, author}, ch.Paths...)...)
	committer := c.merger
	if committer == "" {
		committer = author
	}
	do("squash", map[string]string{"of": head, "committer": committer}, merged)
	do("change", ci, head)
	if ch.Origin != "" {
		do("authorship", map[string]string{"as": ch.Author}, c.key(ch.Author), head, ch.Origin)
	}
	say := func(verb, via string, who []string) {
		for _, id := range who {
			opts := map[string]string{"as": id, "env": tr.Environment}
			if via != "" {
				opts["via"] = via
			}
			do(verb, opts, c.key(id), head)
		}
	}
	say("approve", "", ch.Approved)
	say("approve", "touch", ch.Present)
	say("reject", "", ch.Rejected)
	for i, id := range c.admitters {
		if ch.Admitters == 0 || i < ch.Admitters {
			do("admit", map[string]string{"by": c.key(id)}, merged)
		}
	}
	say("approve", "", ch.Late)
	return merged
}

// tell tells an incident: an owner reports it.
func (in *TrialIncident) tell(c *company, n int, do func(name, verb string, opts map[string]string, args ...string)) error {
	for _, id := range slices.Concat(in.Lowered, in.Reviewed) {
		if _, known := c.set.Roster.Principal(id); !known {
			return fmt.Errorf("incident %d: %q is nobody of people.yaml", n, id)
		}
	}
	id, first, now := fmt.Sprintf("INC-%d", n), fmt.Sprintf("i%d", n), fmt.Sprintf("i%d", n)
	opts := map[string]string{"domains": strings.Join(in.Domains, ",")}
	if in.Open {
		opts["open"] = "yes"
	}
	do(first, "incident", opts, c.key(c.set.Roster.Owners[0]), id, string(in.Severity))
	for i, who := range in.Lowered {
		if i > 0 {
			do("", "second", nil, c.key(who), now)
			continue
		}
		lower := maps.Clone(opts)
		lower["over"], now = first, "lowered "+first
		do(now, "incident", lower, c.key(who), id, string(attest.Sev4))
	}
	for i, who := range in.Reviewed {
		if i > 0 {
			do("", "second", nil, c.key(who), "review of "+first)
			continue
		}
		do("review of "+first, "dive", map[string]string{"of": first}, c.key(who), id)
	}
	return nil
}

// Misses says in what a decision is not what was wanted; nothing where it is.
func (w *Wanted) Misses(d *policy.Decision) []string {
	var out []string
	if d.Core.Verdict != w.Verdict {
		out = append(out, fmt.Sprintf("verdict is %s (%s %s), want %s", d.Core.Verdict, d.Core.Kind, d.Core.Why, w.Verdict))
	}
	if w.Kind != "" && d.Core.Kind != w.Kind {
		out = append(out, fmt.Sprintf("kind is %q (%s), want %q", d.Core.Kind, d.Core.Why, w.Kind))
	}
	var failed, who []string
	for _, r := range d.Core.Rules {
		if r.Failed > 0 {
			failed = append(failed, r.Rule)
		}
	}
	for _, a := range d.Core.Awaiting {
		for _, id := range a.Who {
			if !slices.Contains(who, id) {
				who = append(who, id)
			}
		}
	}
	for _, l := range []struct {
		what      string
		looked    bool
		got, want []string
	}{{"rules that fail", w.checks, failed, w.Failed}, {"people who could approve", w.whoIs, who, w.Who}} {
		want := slices.Sorted(slices.Values(l.want))
		slices.Sort(l.got)
		if l.looked && !slices.Equal(l.got, want) {
			out = append(out, fmt.Sprintf("%s: %v, want %v", l.what, l.got, want))
		}
	}
	return out
}
