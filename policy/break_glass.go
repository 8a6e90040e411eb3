package policy

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// BreakGlass says how far the rules may be bent in an emergency. A set without it never
// allows that.
type BreakGlass struct {
	Environments []string      // where
	MaxDuration  time.Duration // between notBefore and notAfter of a request; at most 7 days
	MaxUses      int           // that one request may ask for; at most 100
	Level        string        // least level of who grants; empty: any
	Teams        []string      // of who grants, any of these; empty: any
	ReviewWithin time.Duration // of a use, a review is owed; at most 90 days
	Reviewers    int           // how many people review; 1 where the set names none
	Keeps        []string      // rules that hold even so
}

const maxReviewWithin = 90 * 24 * time.Hour

func (s *Set) parseBreakGlass(v strictyaml.Node) error {
	b := &BreakGlass{Reviewers: 1}
	known := []string{"environments", "maxDuration", "maxUses", "level", "teams", "reviewWithin", "reviewers", "keeps"}
	err := v.Fields(known, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "environments":
			b.Environments, err = f.Texts()
		case "maxDuration":
			b.MaxDuration, err = f.Duration(attest.MaxGlassDuration)
		case "maxUses":
			b.MaxUses, err = f.Int(1, attest.MaxGlassUses)
		case "level":
			b.Level, err = f.OneOf("level", s.Levels)
		case "teams":
			b.Teams, err = f.Texts()
		case "reviewWithin":
			b.ReviewWithin, err = f.Duration(maxReviewWithin)
		case "reviewers":
			b.Reviewers, err = f.Int(1, maxCount)
		case "keeps":
			b.Keeps, err = f.Texts()
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(b.Environments) == 0 || b.MaxDuration <= 0 || b.MaxUses == 0 || b.ReviewWithin <= 0 {
		return v.Errorf("environments, maxDuration, maxUses and reviewWithin are needed: where, how long, how often, and by when is it reviewed?")
	}
	for _, e := range b.Environments {
		if _, ok := s.Environment(e); !ok {
			return v.Errorf("environment %q is unknown", e)
		}
	}
	for _, t := range b.Teams {
		if !s.hasTeam(t) {
			return v.Errorf("nobody is in team %q", t)
		}
	}
	for _, id := range b.Keeps {
		if !slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.ID == id }) {
			return v.Errorf("keeps: there is no rule %q", id)
		}
	}
	s.BreakGlass = b
	return nil
}
