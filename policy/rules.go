package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Limits on rules.
const (
	maxRules = 1000
	maxSlots = 16
	maxCount = 100 // people in one slot
)

func (s *Set) parseRules(v strictyaml.Node) error {
	env, err := newExpressions(s)
	if err != nil {
		return v.Errorf("%v", err)
	}
	err = v.Items(func(item strictyaml.Node) error {
		r, err := s.parseRule(item, env)
		if err != nil {
			return err
		}
		for _, other := range s.Rules {
			if other.ID == r.ID {
				return item.Errorf("rule %q is there twice", r.ID)
			}
		}
		if s.Rules = append(s.Rules, r); len(s.Rules) > maxRules {
			return item.Errorf("more than %d rules", maxRules)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !s.leavesNothingUnseen(AboutChange) {
		return v.Errorf("at least one enforced rule without `when` and `effectiveFrom` must require approvals, or something could pass unseen")
	}
	if slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.About == AboutPlan }) && !s.leavesNothingUnseen(AboutPlan) {
		return v.Errorf("at least one enforced rule `about: plan` without `when` and `effectiveFrom` must require approvals, or some plan could pass unseen")
	}
	return nil
}

func (s *Set) leavesNothingUnseen(about About) bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool {
		return r.About == about && r.Mode == Enforce && r.When == nil && r.EffectiveFrom.IsZero() && len(r.Require.Slots) > 0
	})
}

func (s *Set) parseRule(v strictyaml.Node, env *expressions) (Rule, error) {
	r := Rule{Mode: Enforce, About: AboutChange}
	requires := false
	var when strictyaml.Node
	source := ""
	known := []string{"id", "about", "title", "when", "require", "forbid", "mode", "remedy", "effectiveFrom", "controls"}
	err := v.Fields(known, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "id":
			r.ID, err = f.Text()
		case "about":
			var about string
			about, err = f.OneOf("subject of rules", []string{string(AboutChange), string(AboutPlan)})
			r.About = About(about)
		case "title":
			r.Title, err = f.Text()
		case "when":
			when = f // compiled when it is known what the rule is about
			source, err = f.Text()
		case "require":
			requires = true
			r.Require, err = s.parseRequire(f)
		case "forbid":
			r.Forbid, err = f.Bool()
		case "mode":
			var mode string
			mode, err = f.OneOf("mode", []string{string(Enforce), string(Audit)})
			r.Mode = Mode(mode)
		case "remedy":
			r.Remedy, err = f.Text()
		case "effectiveFrom":
			r.EffectiveFrom, err = f.Time()
		case "controls":
			r.Controls, err = controls(f)
		}
		return err
	})
	if err == nil && source != "" {
		if r.When, err = env.compile(r.About, source); err != nil {
			err = when.Errorf("rule %s: when: %v", cmp.Or(r.ID, "without an id"), err)
		}
	}
	switch {
	case err != nil:
		return r, err
	case r.About == AboutPlan && r.Require.forMerges():
		return r, v.Errorf("rule %q is about plans, which have no binding, merge, merger or replay: bindings, timing, recomputers, layout and exclude: [merger] mean nothing there", r.ID)
	case r.About == AboutPlan && slices.ContainsFunc(r.Require.Slots, func(s Slot) bool { return s.least() == roster.ByForge }):
		return r, v.Errorf("rule %q is about plans, and forges witness no approvals of plans", r.ID)
	case r.About == AboutChange && r.Require.Permitted:
		return r, v.Errorf("rule %q is about changes, and permissions are about what is done to the world: permitted is for rules `about: plan`", r.ID)
	case r.ID == "" || r.Title == "":
		return r, v.Errorf("a rule needs an id and a title")
	case requires == r.Forbid:
		return r, v.Errorf("rule %q must either require something or `forbid: true`", r.ID)
	}
	return r, nil
}

// controls reads references such as SOC2:CC8.1: a framework, a colon, and its own name
// for the control.
func controls(v strictyaml.Node) ([]string, error) {
	list, err := v.Texts()
	for _, c := range list {
		framework, name, ok := strings.Cut(c, ":")
		if !ok || framework == "" || name == "" || len(c) > 100 || strings.ContainsFunc(c, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, v.Errorf("%.120q is no control such as SOC2:CC8.1", c)
		}
	}
	if err == nil && (len(list) == 0 || len(list) > 20) {
		err = v.Errorf("names %d controls; 1 to 20 are allowed", len(list))
	}
	return list, err
}

func (s *Set) parseRequire(v strictyaml.Node) (Require, error) {
	var q Require
	present := false
	known := []string{"approvals", "bindings", "timing", "maxAge", "presence", "followed", "recomputers", "deepDives", "permitted", "layout"}
	err := v.Fields(known, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "approvals":
			err = f.Items(func(item strictyaml.Node) error {
				slot, err := s.parseSlot(item)
				q.Slots = append(q.Slots, slot)
				return err
			})
		case "bindings":
			q.Bindings, err = bindings(f)
		case "timing":
			q.Timing, err = timing(f)
		case "maxAge":
			q.MaxAge, err = f.Duration(10 * 365 * 24 * time.Hour)
		case "presence":
			present, err = f.Bool()
		case "followed":
			q.Followed, err = f.Bool()
		case "recomputers":
			q.Recomputers, err = f.Int(1, 10)
		case "deepDives":
			q.DeepDives, err = severity(f)
		case "layout":
			q.Layout, err = s.layoutName(f)
		case "permitted":
			q.Permitted, err = f.Bool()
		}
		return err
	})
	if err != nil {
		return q, err
	}
	if len(q.Slots) > maxSlots {
		return q, v.Errorf("has more than %d slots", maxSlots)
	}
	if present && len(q.Slots) == 0 {
		return q, v.Errorf("presence: of whom? there are no approvals")
	}
	for i := range q.Slots {
		if present && q.Slots[i].least() == roster.ByForge {
			return q, v.Errorf("presence: a forge proves none, and a slot takes its word")
		}
		if present {
			q.Slots[i].Assurance = max(q.Slots[i].Assurance, roster.Present)
		}
	}
	if len(q.Slots) == 0 && q.Bindings == nil && !q.Followed && q.Recomputers == 0 && q.DeepDives == "" && !q.Permitted && q.Layout == "" {
		return q, v.Errorf("requires nothing")
	}
	return q, nil
}

func (s *Set) layoutName(v strictyaml.Node) (string, error) {
	name, err := v.Text()
	if err == nil && s.Layouts[name] == nil {
		err = v.Errorf("there is no %s/%s.yaml", layoutsDir, name)
	}
	return name, err
}

// forMerges reports whether it asks for what only a merge has.
func (q *Require) forMerges() bool {
	return q.Layout != "" || q.Bindings != nil || q.Timing != "" || q.Recomputers > 0 ||
		slices.ContainsFunc(q.Slots, func(s Slot) bool { return slices.Contains(s.Exclude, "merger") })
}

func bindings(v strictyaml.Node) ([]attest.Binding, error) {
	known := []string{string(attest.BindingIdentity), string(attest.BindingReplay), string(attest.BindingPatch), string(attest.BindingResidual)}
	var out []attest.Binding
	err := v.Items(func(item strictyaml.Node) error {
		b, err := item.OneOf("binding", known)
		out = append(out, attest.Binding(b))
		return err
	})
	if err == nil && len(out) == 0 {
		err = v.Errorf("is empty: name what is accepted")
	}
	return out, err
}

// excludable are the roles that a slot may exclude, beyond those that always are.
var excludable = []string{"merger", "owner"}

func (s *Set) parseSlot(v strictyaml.Node) (Slot, error) {
	var slot Slot
	err := v.Fields([]string{"count", "level", "teams", "kinds", "assurance", "exclude"}, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "count":
			slot.Count, err = f.Int(1, maxCount)
		case "level":
			slot.Level, err = f.OneOf("level", s.Levels)
		case "teams":
			if slot.Teams, err = f.Texts(); err == nil {
				for _, t := range slot.Teams {
					if !s.hasTeam(t) {
						return f.Errorf("nobody is in team %q", t)
					}
				}
			}
		case "kinds":
			err = f.Items(func(item strictyaml.Node) error {
				k, err := item.OneOf("kind of approval", []string{string(Explicit), string(Forge)})
				slot.Kinds = append(slot.Kinds, ApprovalKind(k))
				return err
			})
		case "assurance":
			var name string
			name, err = f.OneOf("assurance", roster.Assurances)
			slot.Assurance = roster.ParseAssurance(name)
		case "exclude":
			err = f.Items(func(item strictyaml.Node) error {
				role, err := item.OneOf("role", excludable)
				slot.Exclude = append(slot.Exclude, role)
				return err
			})
		}
		return err
	})
	switch {
	case err != nil:
	case slot.Count == 0:
		err = v.Errorf("count is needed: how many people?")
	case slot.Assurance > roster.ByForge && slices.Contains(slot.Kinds, Forge):
		err = v.Errorf("kinds lists forge, which proves less than assurance: %s", slot.Assurance)
	case slot.Assurance == roster.ByForge && len(slot.Kinds) > 0 && !slices.Contains(slot.Kinds, Forge):
		err = v.Errorf("assurance is forge, and kinds does not list it")
	}
	return slot, err
}

func (s *Set) hasTeam(team string) bool {
	return slices.ContainsFunc(s.Roster.Principals(), func(p *roster.Principal) bool { return slices.Contains(p.Teams, team) })
}
