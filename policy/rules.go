package policy

import (
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
	env, err := newExpressions(s.Levels, s.Tiers)
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
	if !slices.ContainsFunc(s.Rules, func(r Rule) bool {
		return r.Mode == Enforce && r.When == nil && r.EffectiveFrom.IsZero() && len(r.Require.Slots) > 0
	}) {
		return v.Errorf("at least one enforced rule without `when` and `effectiveFrom` must require approvals, or something could pass unseen")
	}
	return nil
}

func (s *Set) parseRule(v strictyaml.Node, env *expressions) (Rule, error) {
	r := Rule{Mode: Enforce}
	requires := false
	err := v.Fields([]string{"id", "title", "when", "require", "forbid", "mode", "remedy", "effectiveFrom", "controls"}, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "id":
			r.ID, err = f.Text()
		case "title":
			r.Title, err = f.Text()
		case "when":
			var source string
			if source, err = f.Text(); err == nil {
				if r.When, err = env.compile(source); err != nil {
					err = f.Errorf("when: %v", err)
				}
			}
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
	switch {
	case err != nil:
		return r, err
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
	known := []string{"approvals", "bindings", "timing", "maxAge", "presence", "followed", "recomputers"}
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
			q.Presence, err = f.Bool()
		case "followed":
			q.Followed, err = f.Bool()
		case "recomputers":
			q.Recomputers, err = f.Int(1, 10)
		}
		return err
	})
	if err != nil {
		return q, err
	}
	if len(q.Slots) > maxSlots {
		return q, v.Errorf("has more than %d slots", maxSlots)
	}
	if len(q.Slots) == 0 && q.Bindings == nil && !q.Presence && !q.Followed && q.Recomputers == 0 {
		return q, v.Errorf("requires nothing")
	}
	return q, nil
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
	err := v.Fields([]string{"count", "level", "teams", "kinds", "exclude"}, func(key string, f strictyaml.Node) (err error) {
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
		case "exclude":
			err = f.Items(func(item strictyaml.Node) error {
				role, err := item.OneOf("role", excludable)
				slot.Exclude = append(slot.Exclude, role)
				return err
			})
		}
		return err
	})
	if err == nil && slot.Count == 0 {
		err = v.Errorf("count is needed: how many people?")
	}
	return slot, err
}

func (s *Set) hasTeam(team string) bool {
	return slices.ContainsFunc(s.Roster.Principals(), func(p *roster.Principal) bool { return slices.Contains(p.Teams, team) })
}
