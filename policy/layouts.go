package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/steps"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
	"github.com/countersign-dev/countersign/verify"
)

// maxSteps bounds the steps of a layout.
const maxSteps = 20

// A Layout says how an artifact is made: which steps, by whom, and which files go from
// one to the next. It is in-toto's idea, with people and services of the roster for keys.
type Layout struct {
	Name    string
	Expires time.Time
	// Steps are in the order in which they are taken; the artifact is a product of the last.
	Steps []LayoutStep
}

// A LayoutStep is one step of a layout.
type LayoutStep struct {
	steps.Step
	Functionaries []string // roster ids of those whose links count
	Threshold     int      // how many of them must say the same of the files; at least 1
	Command       []string // that they must have run; empty: any
}

// readLayouts reads layouts/NAME.yaml. Anything else in that folder is an error: it would
// be there, and be no policy.
func readLayouts(dir string, read func(string) (string, error)) (map[string]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, layoutsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string]string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok || !e.Type().IsRegular() {
			return nil, fmt.Errorf("%w: %s is no layout: layouts are files NAME.yaml", ErrInvalid, filepath.Join(dir, layoutsDir, e.Name()))
		}
		text, err := read(filepath.Join(layoutsDir, e.Name()))
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = make(map[string]string)
		}
		out[name] = text
	}
	return out, nil
}

// parseLayouts reads the layouts of a set, once its people are known.
func (s *Set) parseLayouts() error {
	for _, name := range slices.Sorted(maps.Keys(s.files.Layouts)) {
		root, err := strictyaml.Parse(layoutsDir+"/"+name+".yaml", []byte(s.files.Layouts[name]))
		if err != nil {
			return err
		}
		l, err := s.parseLayout(name, root)
		if err != nil {
			return err
		}
		if s.Layouts == nil {
			s.Layouts = make(map[string]*Layout)
		}
		s.Layouts[name] = l
	}
	return nil
}

func (s *Set) parseLayout(name string, root strictyaml.Node) (*Layout, error) {
	l := &Layout{Name: name}
	err := root.Fields([]string{"expires", "steps"}, func(key string, v strictyaml.Node) (err error) {
		if key == "expires" {
			l.Expires, err = v.Time()
			return err
		}
		return v.Items(func(item strictyaml.Node) error {
			step, err := s.parseStep(item)
			if err == nil && slices.Contains(l.names(), step.Name) {
				err = item.Errorf("step %q is there twice", step.Name)
			}
			l.Steps = append(l.Steps, step)
			return err
		})
	})
	switch {
	case err != nil:
		return nil, err
	case l.Expires.IsZero():
		return nil, root.Errorf("expires is needed: until when is this how artifacts are made?")
	case len(l.Steps) == 0 || len(l.Steps) > maxSteps:
		return nil, root.Errorf("has %d steps; 1 to %d are allowed", len(l.Steps), maxSteps)
	}
	for i := range l.Steps {
		if err := l.Steps[i].Check(l.names()); err != nil {
			return nil, root.Errorf("step %s: %v", l.Steps[i].Name, err)
		}
	}
	if lost := l.unreached(); lost != "" {
		return nil, root.Errorf("step %s: nothing leads to it; let the materials of a later step MATCH something WITH PRODUCTS FROM %s", lost, lost)
	}
	return l, nil
}

func (l *Layout) names() []string {
	var out []string
	for i := range l.Steps {
		out = append(out, l.Steps[i].Name)
	}
	return out
}

func (s *Set) parseStep(v strictyaml.Node) (LayoutStep, error) {
	step := LayoutStep{Threshold: 1}
	err := v.Fields([]string{"name", "functionaries", "threshold", "command", "materials", "products"}, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "name":
			if step.Name, err = f.Text(); err == nil && strings.ContainsAny(step.Name, " \t") {
				err = f.Errorf("%q: a step's name is one word", step.Name)
			}
		case "functionaries":
			step.Functionaries, err = s.functionaries(f)
		case "threshold":
			step.Threshold, err = f.Int(1, maxCount)
		case "command":
			step.Command, err = f.Texts()
		case "materials":
			step.Materials, err = artifactRules(f)
		case "products":
			step.Products, err = artifactRules(f)
		}
		return err
	})
	switch {
	case err != nil:
	case step.Name == "":
		err = v.Errorf("a step needs a name, that of countersign run --step")
	case len(step.Functionaries) == 0:
		err = v.Errorf("step %s: functionaries are needed: whose links count?", step.Name)
	case step.Threshold > len(step.Functionaries):
		err = v.Errorf("step %s: threshold %d of %d functionaries", step.Name, step.Threshold, len(step.Functionaries))
	}
	return step, err
}

// functionaries are people, and services that may make links. Agents are none.
func (s *Set) functionaries(v strictyaml.Node) ([]string, error) {
	list, err := v.Texts()
	if err != nil {
		return nil, err
	}
	for i, id := range list {
		p, ok := s.Roster.Principal(id)
		switch {
		case !ok:
			return nil, v.Errorf("%q is nobody of %s", id, peopleFile)
		case p.Kind == roster.Agent:
			return nil, v.Errorf("%s is an agent, and agents answer for no step", id)
		case p.Kind == roster.Service && !p.MaySign(attest.TypeLink):
			return nil, v.Errorf("service %s may not make links: it needs may: [link]", id)
		case slices.Contains(list[:i], id):
			return nil, v.Errorf("%s is there twice", id)
		}
	}
	return list, nil
}

func artifactRules(v strictyaml.Node) ([]steps.Rule, error) {
	var out []steps.Rule
	err := v.Items(func(item strictyaml.Node) error {
		text, err := item.Text()
		if err != nil {
			return err
		}
		r, err := steps.ParseRule(text)
		if err != nil {
			return item.Errorf("%v", err)
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// unreached is the first step whose links nothing finds; empty when all are. Links are
// found from the artifact back: by what a step read and another one made.
func (l *Layout) unreached() string {
	reached := map[string]bool{l.Steps[len(l.Steps)-1].Name: true}
	for range l.Steps {
		for i := range l.Steps {
			for _, r := range l.Steps[i].Materials {
				if from, products := r.From(); products && reached[l.Steps[i].Name] {
					reached[from] = true
				}
			}
		}
	}
	for _, name := range l.names() {
		if !reached[name] {
			return name
		}
	}
	return ""
}

// LinkRules say which files lead to further links, for every layout that a rule asks for.
func (s *Set) LinkRules() []verify.LinkRule {
	var out []verify.LinkRule
	for i := range s.Rules {
		l := s.Layouts[s.Rules[i].Require.Layout]
		if l == nil {
			continue
		}
		for k := range l.Steps {
			for _, r := range l.Steps[k].Materials {
				if _, products := r.From(); products {
					prefix, pattern := r.Reach()
					out = append(out, verify.LinkRule{Step: l.Steps[k].Name, Prefix: prefix, Pattern: pattern})
				}
			}
		}
		if out == nil { // one step: its links are the artifact's
			out = []verify.LinkRule{}
		}
	}
	return out
}
