package steps

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	intoto "github.com/in-toto/in-toto-golang/in_toto"

	"github.com/countersign-dev/countersign/attest"
)

// maxRules bounds the rules of one list of a step.
const maxRules = 100

// A Rule is an artifact rule of in-toto's layouts (in-toto specification 1.0, section
// 4.3.3), as words: MATCH, ALLOW, DISALLOW, CREATE, DELETE, MODIFY or REQUIRE. In
// patterns * is any text, slashes too, and nothing else has a meaning.
type Rule []string

// ParseRule reads one rule, its words apart by spaces. What in-toto would take and
// then never match (unknown words, character classes, names that are not clean) is refused.
func ParseRule(text string) (Rule, error) {
	r := Rule(strings.Fields(text))
	if len(r) == 0 {
		return nil, errors.New("is empty")
	}
	d, err := intoto.UnpackRule(r)
	if err != nil {
		return nil, fmt.Errorf("%.200q is none of MATCH pattern [IN prefix] WITH MATERIALS|PRODUCTS [IN prefix] FROM step, and ALLOW, DISALLOW, CREATE, DELETE, MODIFY or REQUIRE pattern", text)
	}
	for _, name := range []string{d["pattern"], d["srcPrefix"], d["dstPrefix"]} {
		if strings.ContainsAny(name, `[]?\`) || name != "" && path.Clean(name) != name {
			return nil, fmt.Errorf("%.200q: %.100q is not a clean path, in which only * has a meaning", text, name)
		}
	}
	if d["type"] == "match" && d["dstType"] != "materials" && d["dstType"] != "products" {
		return nil, fmt.Errorf("%.200q: WITH what? MATERIALS or PRODUCTS", text)
	}
	return r, nil
}

// String is the rule as text.
func (r Rule) String() string { return strings.Join(r, " ") }

// From is the step of which the rule asks the files; empty for a rule without MATCH.
// products: its products, and not its materials.
func (r Rule) From() (step string, products bool) {
	d, err := intoto.UnpackRule(r)
	if err != nil || d["type"] != "match" {
		return "", false
	}
	return d["dstName"], d["dstType"] == "products"
}

// Reach is the pattern of names that a MATCH rule can be about: its prefix and pattern.
func (r Rule) Reach() (prefix, pattern string) {
	d, err := intoto.UnpackRule(r)
	if err != nil {
		return "", ""
	}
	if d["srcPrefix"] != "" {
		prefix = d["srcPrefix"] + "/"
	}
	return prefix, d["pattern"]
}

// A Step is a step of a layout, as far as files go.
type Step struct {
	Name                string
	Materials, Products []Rule
}

// Check holds the rules of a step against the names of all steps.
func (s *Step) Check(steps []string) error {
	for _, list := range [][]Rule{s.Materials, s.Products} {
		if len(list) > maxRules {
			return fmt.Errorf("has %d rules; the limit is %d", len(list), maxRules)
		}
		for _, r := range list {
			if from, _ := r.From(); from != "" && !slices.Contains(steps, from) {
				return fmt.Errorf("%s: there is no step %s", r, from)
			}
		}
	}
	return nil
}

// Files are what a link says of files: SHA-256 in hex by name.
type Files struct {
	Materials, Products map[string]string
}

// FilesOf reads a link. One that names a file twice, under a path that is not clean, or
// without a SHA-256 cannot be held against rules, because two readers could see two things.
func FilesOf(st *attest.Statement) (Files, error) {
	l, ok := st.Predicate.(*attest.Link)
	if !ok {
		return Files{}, errors.New("is no link")
	}
	f := Files{Materials: make(map[string]string, len(l.Materials)), Products: make(map[string]string, len(st.Subjects))}
	for _, m := range l.Materials {
		if err := add(f.Materials, m.Name, m.Digest); err != nil {
			return Files{}, fmt.Errorf("material %w", err)
		}
	}
	for _, s := range st.Subjects {
		if err := add(f.Products, s.Name, s.Digest); err != nil {
			return Files{}, fmt.Errorf("product %w", err)
		}
	}
	return f, nil
}

func add(to map[string]string, name string, digest map[string]string) error {
	_, twice := to[name]
	switch {
	case name == "" || path.Clean(name) != name:
		return fmt.Errorf("%.200q is not a clean path", name)
	case twice:
		return fmt.Errorf("%.200q is there twice", name)
	case len(digest["sha256"]) != 64:
		return fmt.Errorf("%.200q has no sha256", name)
	}
	to[name] = digest["sha256"]
	return nil
}

// Hold holds the files of one step against its rules, with those of the steps that its rules
// name; in-toto does that. Unlike in-toto, what no rule takes is not allowed: each list ends
// with DISALLOW *. The error names the first rule that does not hold.
func Hold(s *Step, files map[string]Files) error {
	links := make(map[string]intoto.Metadata, len(files))
	for name, f := range files {
		links[name] = &intoto.Metablock{Signed: intoto.Link{Type: "link", Name: name, Materials: hashes(f.Materials), Products: hashes(f.Products)}}
	}
	verify := func(materials, products []Rule) error {
		item := intoto.Step{SupplyChainItem: intoto.SupplyChainItem{Name: s.Name, ExpectedMaterials: words(materials), ExpectedProducts: words(products)}}
		return intoto.VerifyArtifacts([]any{item}, links)
	}
	nothingElse := Rule{"DISALLOW", "*"}
	materials, products := append(slices.Clone(s.Materials), nothingElse), append(slices.Clone(s.Products), nothingElse)
	if verify(materials, products) == nil {
		return nil
	}
	// in-toto's own words hold names in no certain order; which rule failed is certain.
	for i := range materials {
		if verify(materials[:i+1], nil) != nil {
			return fmt.Errorf("its materials: %s", failed(materials, i, len(s.Materials)))
		}
	}
	for i := range products {
		if verify(nil, products[:i+1]) != nil {
			return fmt.Errorf("its products: %s", failed(products, i, len(s.Products)))
		}
	}
	return errors.New("its files are not what the rules say")
}

func failed(rules []Rule, i, own int) string {
	if i >= own {
		return "some are taken by no rule"
	}
	return rules[i].String() + " does not hold"
}

func words(rules []Rule) [][]string {
	out := make([][]string, len(rules))
	for i, r := range rules {
		out[i] = slices.Clone(r)
	}
	return out
}

func hashes(files map[string]string) map[string]intoto.HashObj {
	out := make(map[string]intoto.HashObj, len(files))
	for name, hex := range files {
		out[name] = intoto.HashObj{"sha256": hex}
	}
	return out
}
