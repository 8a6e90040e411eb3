package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// An Exception lets one rule be as good as held, for named subjects or paths and a limited
// time. It is part of the policy set, so the owners sign it, and everybody knows of it.
type Exception struct {
	ID           string
	Rule         string
	Repository   string
	Environments []string
	// What it is for: one of the three. Paths cover a change all of whose paths they match;
	// Heads a reviewed head, where the rule takes how it was merged, or a merged commit; Artifacts every change of an artifact,
	// or a plan, by its sha256.
	Paths            []string
	Heads, Artifacts []string
	From, Until      time.Time // until exclusive
	Reason           string
	Ticket           string

	patterns []pattern
}

// maxException bounds how long any exception may last.
const (
	maxException  = 180 * 24 * time.Hour
	maxExceptions = 200
)

// Alive reports whether an exception counts at a time.
func (e *Exception) Alive(now time.Time) bool {
	return !now.Before(e.From) && now.Before(e.Until)
}

func (s *Set) parseExceptions(v strictyaml.Node) error {
	if s.Changes.MaxException == 0 {
		return v.Errorf("changes.maxException is needed: how long may an exception last?")
	}
	return v.Items(func(item strictyaml.Node) error {
		e, err := s.parseException(item)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.Exceptions, func(o Exception) bool { return o.ID == e.ID }) {
			return item.Errorf("exception %q is there twice", e.ID)
		}
		if s.Exceptions = append(s.Exceptions, e); len(s.Exceptions) > maxExceptions {
			return item.Errorf("more than %d exceptions", maxExceptions)
		}
		return nil
	})
}

func (s *Set) parseException(v strictyaml.Node) (Exception, error) {
	var e Exception
	known := []string{"id", "rule", "repository", "environments", "paths", "heads", "artifacts", "from", "until", "reason", "ticket"}
	err := v.Fields(known, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "id":
			e.ID, err = f.Text()
		case "rule":
			e.Rule, err = f.Text()
		case "repository":
			e.Repository, err = f.Text()
		case "environments":
			e.Environments, err = f.Texts()
		case "paths":
			err = e.parsePaths(f)
		case "heads":
			e.Heads, err = hexes(f, 40, 64)
		case "artifacts":
			e.Artifacts, err = hexes(f, 64)
		case "from":
			e.From, err = f.Time()
		case "until":
			e.Until, err = f.Time()
		case "reason":
			e.Reason, err = f.Text()
		case "ticket":
			e.Ticket, err = f.Text()
		}
		return err
	})
	if err == nil {
		err = s.checkException(v, &e)
	}
	return e, err
}

func (s *Set) checkException(v strictyaml.Node, e *Exception) error {
	if err := attest.ParseRepository(e.Repository); err != nil {
		return v.Errorf("%v", err)
	}
	for _, name := range e.Environments {
		if _, ok := s.Environment(name); !ok {
			return v.Errorf("environment %q is unknown", name)
		}
	}
	kinds := 0
	for _, n := range []int{len(e.Paths), len(e.Heads), len(e.Artifacts)} {
		kinds += min(n, 1)
	}
	switch {
	case e.ID == "" || e.Reason == "" || len(e.Environments) == 0:
		return v.Errorf("an exception needs an id, a reason and environments")
	case !slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.ID == e.Rule }):
		return v.Errorf("there is no rule %q", e.Rule)
	case kinds != 1:
		return v.Errorf("an exception is for paths, for heads or for artifacts: exactly one of them")
	case e.From.IsZero() || e.Until.IsZero() || !e.Until.After(e.From):
		return v.Errorf("from and until are needed, and until is after from: no exception is for ever")
	case e.Until.Sub(e.From) > s.Changes.MaxException:
		return v.Errorf("lasts %s, and changes.maxException is %s", e.Until.Sub(e.From), s.Changes.MaxException)
	}
	return nil
}

func (e *Exception) parsePaths(v strictyaml.Node) (err error) {
	if e.Paths, err = v.Texts(); err != nil {
		return err
	}
	for _, text := range e.Paths {
		p, err := compilePattern(text)
		if err != nil {
			return v.Errorf("%v", err)
		}
		e.patterns = append(e.patterns, p)
	}
	return nil
}

// hexes reads digests of one of these lengths.
func hexes(v strictyaml.Node, lengths ...int) ([]string, error) {
	list, err := v.Texts()
	for _, h := range list {
		if !slices.Contains(lengths, len(h)) || strings.Trim(h, "0123456789abcdef") != "" {
			return nil, v.Errorf("%.80q is not %d lower-case hex digits", h, lengths[0])
		}
	}
	return list, err
}
