package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Domains map paths to areas of the business and to tiers of blast radius.
type Domains struct {
	tiers []string
	list  []domain
}

type domain struct {
	name, reason string
	tier         int
	patterns     []pattern
}

func parseDomains(text string, tiers []string) (*Domains, error) {
	root, err := strictyaml.Parse(domainsFile, []byte(text))
	if err != nil {
		return nil, err
	}
	d := &Domains{tiers: tiers}
	err = root.Fields([]string{"domains"}, func(_ string, v strictyaml.Node) error {
		return v.Items(d.parse)
	})
	if err != nil {
		return nil, err
	}
	if len(d.list) == 0 {
		return nil, root.Errorf("domains: at least one is needed; what none claims has the highest tier")
	}
	return d, nil
}

// Has reports whether a domain has this name.
func (d *Domains) Has(name string) bool {
	return slices.ContainsFunc(d.list, func(o domain) bool { return o.name == name })
}

func (d *Domains) parse(item strictyaml.Node) error {
	one := domain{tier: -1}
	err := item.Fields([]string{"name", "tier", "paths", "reason"}, func(key string, f strictyaml.Node) error {
		switch key {
		case "name", "reason":
			s, err := f.Text()
			if key == "name" {
				one.name = s
			} else {
				one.reason = s
			}
			return err
		case "tier":
			t, err := f.OneOf("tier", d.tiers)
			one.tier = slices.Index(d.tiers, t)
			return err
		default:
			return f.Items(func(p strictyaml.Node) error {
				s, err := p.Text()
				if err != nil {
					return err
				}
				compiled, err := compilePattern(s)
				if err != nil {
					return p.Errorf("%v", err)
				}
				one.patterns = append(one.patterns, compiled)
				return nil
			})
		}
	})
	if err != nil {
		return err
	}
	if one.name == "" || one.tier < 0 || len(one.patterns) == 0 {
		return item.Errorf("a domain needs a name, a tier and paths")
	}
	if slices.ContainsFunc(d.list, func(o domain) bool { return o.name == one.name }) {
		return item.Errorf("domain %q is there twice", one.name)
	}
	d.list = append(d.list, one)
	return nil
}

// A pattern is an exact path, with `*` for any text within one segment and `**`
// for any number of whole segments. There is no other syntax.
type pattern struct {
	text     string
	segments []string
}

func compilePattern(s string) (pattern, error) {
	if strings.ContainsAny(s, `[]{}?!\`) {
		return pattern{}, fmt.Errorf("pattern %.80q: only * and ** are special, and no other pattern characters are allowed", s)
	}
	segments := strings.Split(s, "/")
	for _, seg := range segments {
		if seg == "" || seg == "." || seg == ".." || strings.Contains(seg, "**") && seg != "**" {
			return pattern{}, fmt.Errorf("pattern %.80q: segment %q is not allowed; paths start at the top without a slash", s, seg)
		}
	}
	if len(segments) > 64 || strings.Count(s, "*") > 16 {
		return pattern{}, fmt.Errorf("pattern %.80q is too long", s)
	}
	return pattern{s, segments}, nil
}

// match takes a path by its segments.
func (p pattern) match(path []string) bool { return matchSegments(p.segments, path) }

func matchSegments(pat, path []string) bool {
	for len(pat) > 0 {
		if pat[0] == "**" {
			for i := 0; i <= len(path); i++ {
				if matchSegments(pat[1:], path[i:]) {
					return true
				}
			}
			return false
		}
		if len(path) == 0 || !matchSegment(pat[0], path[0]) {
			return false
		}
		pat, path = pat[1:], path[1:]
	}
	return len(path) == 0
}

// matchSegment matches `*` greedily with one point of return, so it takes at
// most len(pattern)*len(text) steps.
func matchSegment(pat, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pat) && pat[p] == '*':
			star, mark = p, i
			p++
		case p < len(pat) && pat[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pat[p:], "*") == ""
}

// Class is what the domains say of a set of paths.
type Class struct {
	Tier    int      // rank
	Domains []string // sorted
	Because []string // reasons for the tier, sorted; at most 10
	Lowest  int      // how many paths fell to the lowest tier
	// Unclaimed says that it touches a path that no domain claims, or none that can be seen.
	Unclaimed bool
}

const maxReasons = 10

// Classify gives a change the highest tier of any path that it touches, under
// any of the names that the path has or had. A path that no domain claims has the
// highest tier, and so have those that change how other paths are read or checked.
func (d *Domains) Classify(paths []gitfacts.Path) Class {
	top := len(d.tiers) - 1
	var c Class
	because := make(map[int][]string)
	domains := make(map[string]bool)
	note := func(tier int, path, reason, domain string) {
		if tier < c.Tier { // only the reasons for the highest are told
			return
		}
		if c.Tier = tier; len(because[tier]) < maxReasons {
			because[tier] = append(because[tier], path+": "+reason+domain)
		}
	}
	for _, p := range paths {
		if why := critical(p); why != "" {
			note(top, p.Path, why, "")
		}
		rank, claimed := -1, false
		segments := strings.Split(p.Path, "/")
		for i := range d.list {
			one := &d.list[i]
			for _, pat := range one.patterns {
				if !pat.match(segments) {
					continue
				}
				claimed = true
				domains[one.name] = true
				if one.tier > rank {
					rank = one.tier
				}
				note(one.tier, p.Path, pat.text, " → "+one.name)
				break
			}
		}
		switch {
		case !claimed:
			c.Unclaimed = true
			note(top, p.Path, "no domain claims it", "")
		case rank == 0:
			c.Lowest++
		}
	}
	if len(paths) == 0 {
		c.Unclaimed = true
		note(top, "no path", "it touches none that can be seen", "")
	}
	c.Because = slices.Compact(slices.Sorted(slices.Values(because[c.Tier])))
	for name := range domains {
		c.Domains = append(c.Domains, name)
	}
	slices.Sort(c.Domains)
	return c
}

// critical says why a path has the highest tier whatever the domains say.
func critical(p gitfacts.Path) string {
	base := p.Path[strings.LastIndexByte(p.Path, '/')+1:]
	switch {
	case p.OldMode == "160000" || p.NewMode == "160000" || base == ".gitmodules":
		return "a submodule brings content that is not in the diff"
	case p.OldMode == "120000" || p.NewMode == "120000":
		return "a symbolic link stands for another path"
	case base == ".gitattributes":
		return "it changes how git reads other paths"
	case strings.HasPrefix(p.Path, ".github/workflows/"), strings.HasPrefix(p.Path, ".github/actions/"), strings.HasPrefix(p.Path, ".gitea/workflows/"),
		strings.HasPrefix(p.Path, ".forgejo/workflows/"), base == ".gitlab-ci.yml", strings.HasPrefix(p.Path, ".ci/"), strings.HasPrefix(p.Path, ".circleci/"), base == "Jenkinsfile":
		return "it defines the checks"
	case base == "CODEOWNERS", strings.Contains(p.Path, "countersign/"), base == policyFile, base == peopleFile, base == domainsFile:
		return "it is policy"
	}
	return ""
}
