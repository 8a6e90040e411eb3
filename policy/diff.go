package policy

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A Difference is one thing that a set changes of the set before.
type Difference struct {
	Where  string `json:"where"` // such as "rule two-people: approvals"
	Before string `json:"before,omitzero"`
	After  string `json:"after,omitzero"`
	Effect Effect `json:"effect"`
}

// Effect says whether a change may take effect at once.
type Effect string

// The effects. What is on the closed list of changes that can only deny more tightens;
// what changes no verdict is a word; all else waits, also where it looks stricter:
// people, keys, levels, domains and expressions can each open a way.
const (
	Tighter Effect = "tightens"
	Word    Effect = "words"
	Waits   Effect = "waits"
	Excepts Effect = "excepts" // an exception, which may have a shorter delay
)

// Tightens reports whether a set that makes these changes takes effect at once.
func Tightens(changes []Difference) bool {
	return !slices.ContainsFunc(changes, func(d Difference) bool { return d.Effect != Tighter && d.Effect != Word })
}

// Diff lists what a set changes of another, rule by rule.
func Diff(before, after *Set) []Difference {
	d := &differ{}
	d.settings(before, after)
	d.environments(before, after)
	d.rules(before, after)
	d.exceptions(before, after)
	d.people(before.Roster, after.Roster)
	d.domains(before.Domains, after.Domains)
	return d.out
}

type differ struct{ out []Difference }

func (d *differ) note(where, before, after string, e Effect) {
	if before != after {
		d.add(where, before, after, e)
	}
}

func (d *differ) add(where, before, after string, e Effect) {
	d.out = append(d.out, Difference{Where: where, Before: before, After: after, Effect: e})
}

// ordered notes a change of something of which more is stricter.
func ordered[T cmp.Ordered](d *differ, where string, before, after T, show func(T) string) {
	e := Waits
	if after > before {
		e = Tighter
	}
	d.note(where, show(before), show(after), e)
}

func text[T any](v T) string { return fmt.Sprint(v) }

// rest notes that two things still differ when all that is compared one by one is set
// aside: what nobody thought of waits.
func rest[T any](d *differ, where string, a, b T) {
	if !reflect.DeepEqual(a, b) {
		d.add(where+": other settings", "as before", "others", Waits)
	}
}

// waits notes a change that is none of those that take effect at once. Things that read
// alike may still differ.
func (d *differ) waits(where string, before, after any) {
	if !reflect.DeepEqual(before, after) {
		d.add(where, text(before), text(after), Waits)
	}
}

func (d *differ) settings(a, b *Set) {
	d.note("name", a.Name, b.Name, Word)
	d.waits("levels", a.Levels, b.Levels)
	d.waits("tiers", a.Tiers, b.Tiers)
	ordered(d, "validFor", -a.ValidFor, -b.ValidFor, func(v time.Duration) string { return (-v).String() })
	ordered(d, "changes: delay", a.Changes.Delay, b.Changes.Delay, text[time.Duration])
	ordered(d, "changes: approvals", a.Changes.Approvals, b.Changes.Approvals, text[int])
	d.exceptionLimits(a.Changes, b.Changes)
	if !reflect.DeepEqual(a.signs, b.signs) {
		d.note("signs of AI", "as before", "others", Waits)
	}
	d.breakGlass(a.BreakGlass, b.BreakGlass)
	d.layouts(a.files.Layouts, b.files.Layouts)
	rest(d, "policy", a.unlisted(), b.unlisted())
	d.waits("budgets", a.Budgets, b.Budgets)
	ordered(d, "snapshots: maxAge", -a.SnapshotAge, -b.SnapshotAge, func(v time.Duration) string { return (-v).String() })
	list := func(s *Set) map[string]string {
		out := make(map[string]string)
		for _, x := range s.Baselines {
			out[x.Repository+" "+x.Environment+" "+x.Commit] = x.Reason
		}
		return out
	}
	eachKey(list(a), list(b), func(key string, was, is *string) {
		switch {
		case was == nil:
			d.note("baseline "+key, "", *is, Waits)
		case is == nil:
			d.note("baseline "+key, *was, "", Waits)
		default:
			d.note("baseline "+key+": reason", *was, *is, Word)
		}
	})
}

// layouts lists those that come, go and change: all of it waits.
func (d *differ) layouts(a, b map[string]string) {
	eachKey(a, b, func(name string, was, is *string) {
		switch {
		case was == nil:
			d.note("layout "+name, "", "there", Waits)
		case is == nil:
			d.note("layout "+name, "there", "", Waits)
		case *was != *is:
			d.add("layout "+name, "as before", "another", Waits)
		}
	})
}

// unlisted is what Diff compares nowhere else: of what a set is by now, nothing.
func (s Set) unlisted() Set {
	s.Name, s.Version, s.Levels, s.Tiers, s.Environments, s.ValidFor, s.Baselines, s.Budgets, s.SnapshotAge, s.Changes = "", 0, nil, nil, nil, 0, nil, nil, 0, Changes{}
	s.Rules, s.Roster, s.Domains, s.signs, s.BreakGlass, s.Exceptions = nil, nil, nil, nil, nil, nil
	s.Layouts = nil
	s.files, s.digest, s.payload = attest.PolicyFiles{}, attest.Digest{}, attest.Digest{}
	return s
}

// eachKey calls do for each key of either map, in order.
func eachKey[V any](a, b map[string]V, do func(key string, was, is *V)) {
	keys := slices.Sorted(maps.Keys(a))
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		var was, is *V
		if v, ok := a[k]; ok {
			was = &v
		}
		if v, ok := b[k]; ok {
			is = &v
		}
		do(k, was, is)
	}
}

func (d *differ) environments(a, b *Set) {
	list := func(s *Set) map[string]Environment {
		out := make(map[string]Environment)
		for _, e := range s.Environments {
			out[e.Name] = e
		}
		return out
	}
	eachKey(list(a), list(b), func(name string, was, is *Environment) {
		where := "environment " + name
		switch {
		case was == nil:
			d.note(where, "", "approvals "+string(is.Approvals), Waits)
		case is == nil:
			d.note(where, "there", "", Tighter)
		default:
			d.timing(where+": approvals", was.Approvals, is.Approvals)
			d.waits(where+": gates", was.Gates, is.Gates)
			mode := Waits
			if is.Mode == Enforced {
				mode = Tighter
			}
			d.note(where+": mode", string(was.Mode), string(is.Mode), mode)
			x, y := *was, *is
			x.Approvals, x.Gates, x.Mode, y.Approvals, y.Gates, y.Mode = "", nil, "", "", nil, ""
			rest(d, where, x, y)
		}
	})
}

func (d *differ) timing(where string, a, b Timing) {
	e := Waits
	if b == BeforeMerge && a == BeforeRelease {
		e = Tighter
	}
	d.note(where, string(a), string(b), e)
}

func (d *differ) rules(a, b *Set) {
	list := func(s *Set) map[string]Rule {
		out := make(map[string]Rule)
		for _, r := range s.Rules {
			out[r.ID] = r
		}
		return out
	}
	eachKey(list(a), list(b), func(id string, was, is *Rule) {
		where := "rule " + id
		switch {
		case was == nil && is.When == nil && is.About == AboutChange:
			d.note(where, "", is.Title, Tighter)
		case was == nil:
			// The first rule about plans is what allows any.
			d.note(where, "", is.Title+" (about: "+string(is.About)+", when: "+whenOf(is)+")", Waits)
		case is == nil:
			d.note(where, was.Title, "", Waits)
		default:
			d.rule(where, was, is)
		}
	})
}

func (d *differ) rule(where string, a, b *Rule) {
	d.note(where+": title", a.Title, b.Title, Word)
	d.note(where+": remedy", a.Remedy, b.Remedy, Word)
	d.note(where+": controls", text(a.Controls), text(b.Controls), Word)
	d.waits(where+": about", a.About, b.About)
	d.waits(where+": when", whenOf(a), whenOf(b))
	rest(d, where, a.unlisted(), b.unlisted())
	mode := Waits
	if b.Mode == Enforce {
		mode = Tighter
	}
	d.note(where+": mode", string(a.Mode), string(b.Mode), mode)
	from := Waits
	if b.EffectiveFrom.Before(a.EffectiveFrom) {
		from = Tighter
	}
	d.note(where+": effectiveFrom", dateOf(a), dateOf(b), from)
	if a.Forbid != b.Forbid {
		e := Waits
		if b.Forbid {
			e = Tighter
		}
		d.note(where, demandOf(a), demandOf(b), e)
		return
	}
	d.require(where, &a.Require, &b.Require)
}

// unlisted is what rule compares nowhere else.
func (r Rule) unlisted() Rule {
	r.ID, r.About, r.Title, r.When, r.Mode, r.Remedy, r.EffectiveFrom, r.Controls, r.Forbid = "", "", "", nil, "", "", time.Time{}, nil, false
	q := &r.Require
	q.Slots, q.Bindings, q.Timing, q.MaxAge, q.Followed, q.Recomputers, q.DeepDives, q.Permitted, q.Layout = nil, nil, "", 0, false, 0, "", false, ""
	return r
}

func whenOf(r *Rule) string {
	if r.When == nil {
		return "always"
	}
	return r.When.Source()
}

func dateOf(r *Rule) string {
	if r.EffectiveFrom.IsZero() {
		return ""
	}
	return stamp(r.EffectiveFrom)
}

func demandOf(r *Rule) string {
	if r.Forbid {
		return "forbids"
	}
	return "requires"
}

func (d *differ) require(where string, a, b *Require) {
	d.slots(where+": approvals", a.Slots, b.Slots)
	old, now := bindingsOf(a), bindingsOf(b)
	e := Tighter
	if slices.ContainsFunc(now, func(x attest.Binding) bool { return !slices.Contains(old, x) }) {
		e = Waits
	}
	d.note(where+": bindings", text(old), text(now), e)
	// The environment's timing is not looked at: none named waits.
	timing := Waits
	if b.Timing == BeforeMerge {
		timing = Tighter
	}
	d.note(where+": timing", string(a.Timing), string(b.Timing), timing)
	age := Waits
	if b.MaxAge > 0 && (a.MaxAge == 0 || b.MaxAge < a.MaxAge) {
		age = Tighter
	}
	d.note(where+": maxAge", text(a.MaxAge), text(b.MaxAge), age)
	followed := Waits
	if b.Followed {
		followed = Tighter
	}
	d.note(where+": followed", text(a.Followed), text(b.Followed), followed)
	dives := Waits
	if b.DeepDives != "" && (a.DeepDives == "" || b.DeepDives.Below(a.DeepDives)) {
		dives = Tighter
	}
	d.note(where+": deepDives", string(a.DeepDives), string(b.DeepDives), dives)
	layout := Waits
	if a.Layout == "" {
		layout = Tighter
	}
	d.note(where+": layout", a.Layout, b.Layout, layout)
	permitted := Waits
	if b.Permitted {
		permitted = Tighter
	}
	d.note(where+": permitted", text(a.Permitted), text(b.Permitted), permitted)
	ordered(d, where+": recomputers", a.Recomputers, b.Recomputers, text[int])
}

func bindingsOf(q *Require) []attest.Binding {
	if len(q.Bindings) == 0 {
		return []attest.Binding{attest.BindingIdentity, attest.BindingReplay}
	}
	return slices.Sorted(slices.Values(q.Bindings))
}

// slots compares slot by slot: more people, more who are excluded, more assurance, and
// more slots are stricter. Other levels, teams and kinds wait.
func (d *differ) slots(where string, a, b []Slot) {
	e := Tighter
	for i := range a {
		if i >= len(b) || !tighterSlot(a[i], b[i]) {
			e = Waits
		}
	}
	if !reflect.DeepEqual(a, b) {
		d.add(where, slotsOf(a), slotsOf(b), e)
	}
}

func tighterSlot(a, b Slot) bool {
	if slices.ContainsFunc(a.Exclude, func(x string) bool { return !slices.Contains(b.Exclude, x) }) {
		return false
	}
	if b.Count < a.Count || b.least() < a.least() {
		return false
	}
	for _, s := range []*Slot{&a, &b} {
		s.Count, s.Assurance, s.Exclude = 0, 0, nil
	}
	return reflect.DeepEqual(a, b)
}

func slotsOf(list []Slot) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.TrimSpace(fmt.Sprintf("%d %s", s.Count, s.Level))
		for _, more := range []struct {
			word string
			list string
		}{{"of", strings.Join(s.Teams, "/")}, {"not", strings.Join(s.Exclude, "/")}, {"by", fmt.Sprint(s.Kinds)}, {"with", assuranceWord(s)}} {
			if more.list != "" && more.list != "[]" {
				out[i] += " " + more.word + " " + more.list
			}
		}
	}
	return strings.Join(out, " + ")
}

func assuranceWord(s Slot) string {
	if s.Assurance == 0 {
		return ""
	}
	return s.Assurance.String()
}

// people lists who comes, goes and changes. All of it waits: taking somebody's word away
// at once is what revocations are for.
func (d *differ) people(a, b *roster.Roster) {
	d.waits("owners", a.Owners, b.Owners)
	list := func(r *roster.Roster) map[string]*roster.Principal {
		out := make(map[string]*roster.Principal)
		for _, p := range r.Principals() {
			out[p.ID] = p
		}
		return out
	}
	eachKey(list(a), list(b), func(id string, was, is **roster.Principal) {
		switch {
		case was == nil:
			d.note("people: "+id, "", principalOf(*is), Waits)
		case is == nil:
			d.note("people: "+id, principalOf(*was), "", Waits)
		case !reflect.DeepEqual(*was, *is):
			before, after := principalOf(*was), principalOf(*is)
			if before == after {
				after += " (other keys, addresses or times)"
			}
			d.note("people: "+id, before, after, Waits)
		}
	})
}

func principalOf(p *roster.Principal) string {
	out := string(p.Kind)
	for _, s := range []string{p.Level, strings.Join(p.Teams, "/"), p.Operator, strings.Join(p.May, " ")} {
		if s != "" {
			out += " " + s
		}
	}
	return fmt.Sprintf("%s, %s", out, plural(len(p.Keys), "key"))
}

func (d *differ) domains(a, b *Domains) {
	list := func(x *Domains) map[string]domain {
		out := make(map[string]domain)
		for _, one := range x.list {
			out[one.name] = one
		}
		return out
	}
	show := func(x *Domains, o *domain) string {
		if o == nil {
			return ""
		}
		claims := []string{x.tiers[o.tier]}
		for _, p := range o.patterns {
			claims = append(claims, p.text)
		}
		for _, r := range o.resources {
			claims = append(claims, r.String())
		}
		return strings.Join(claims, " ")
	}
	eachKey(list(a), list(b), func(name string, was, is *domain) {
		if was == nil || is == nil {
			d.add("domain "+name, show(a, was), show(b, is), Waits)
			return
		}
		d.note("domain "+name+": reason", was.reason, is.reason, Word)
		x, y := *was, *is
		x.reason, y.reason = "", ""
		if !reflect.DeepEqual(x, y) {
			d.add("domain "+name, show(a, was), show(b, is), Waits)
		}
	})
	if !reflect.DeepEqual(a.kinds, b.kinds) {
		d.note("domains: kinds", "as before", "others", Waits)
	}
	x, y := *a, *b
	x.tiers, x.list, x.kinds, y.tiers, y.list, y.kinds = nil, nil, nil, nil, nil, nil
	rest(d, "domains", x, y)
}
