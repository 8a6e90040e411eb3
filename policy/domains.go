package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/attest/planfacts"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Domains map paths, and resources of plans, to areas of the business and to tiers of
// blast radius.
type Domains struct {
	tiers []string
	list  []domain
	kinds *planfacts.Kinds
}

type domain struct {
	name, reason string
	tier         int
	patterns     []pattern
	resources    []resourcePattern
}

func parseDomains(text string, tiers []string) (*Domains, error) {
	root, err := strictyaml.Parse(domainsFile, []byte(text))
	if err != nil {
		return nil, err
	}
	d := &Domains{tiers: tiers, kinds: planfacts.BuiltinKinds()}
	err = root.Fields([]string{"domains", "kinds"}, func(key string, v strictyaml.Node) error {
		if key == "kinds" {
			more, err := planfacts.ParseKinds(v)
			d.kinds = d.kinds.With(more)
			return err
		}
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

// Names lists the domains, in the order of the file.
func (d *Domains) Names() []string {
	out := make([]string, len(d.list))
	for i := range d.list {
		out[i] = d.list[i].name
	}
	return out
}

// Critical are those of some domains that have the highest tier, sorted.
func (d *Domains) Critical(names []string) []string {
	var out []string
	for _, o := range d.list {
		if o.tier == len(d.tiers)-1 && slices.Contains(names, o.name) {
			out = append(out, o.name)
		}
	}
	slices.Sort(out)
	return out
}

// Has reports whether a domain has this name.
func (d *Domains) Has(name string) bool {
	return slices.ContainsFunc(d.list, func(o domain) bool { return o.name == name })
}

func (d *Domains) parse(item strictyaml.Node) error {
	one := domain{tier: -1}
	err := item.Fields([]string{"name", "tier", "paths", "resources", "reason"}, func(key string, f strictyaml.Node) error {
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
		case "resources":
			return f.Items(func(r strictyaml.Node) error {
				p, err := parseResource(r)
				one.resources = append(one.resources, p)
				return err
			})
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
	if one.name == "" || one.tier < 0 || len(one.patterns)+len(one.resources) == 0 {
		return item.Errorf("a domain needs a name, a tier, and paths or resources")
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
		if len(path) == 0 || !planfacts.MatchGlob(pat[0], path[0]) {
			return false
		}
		pat, path = pat[1:], path[1:]
	}
	return len(path) == 0
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
	t := d.tally()
	for _, p := range paths {
		if why := critical(p); why != "" {
			t.note(t.top, p.Path, why, "")
		}
		segments := strings.Split(p.Path, "/")
		t.place(p.Path, func(one *domain) (string, bool) {
			for _, pat := range one.patterns {
				if pat.match(segments) {
					return pat.text, true
				}
			}
			return "", false
		})
	}
	if len(paths) == 0 {
		t.class.Unclaimed = true
		t.note(t.top, "no path", "it touches none that can be seen", "")
	}
	return t.done()
}

// A tally collects what the domains say of one thing after another.
type tally struct {
	*Domains
	top     int // the highest tier
	class   Class
	because map[int][]string
	seen    map[string]bool // domains
}

func (d *Domains) tally() *tally {
	return &tally{Domains: d, top: len(d.tiers) - 1, because: make(map[int][]string), seen: make(map[string]bool)}
}

// note raises the tier; only the reasons for the highest are told.
func (t *tally) note(tier int, what, reason, domain string) {
	if tier < t.class.Tier {
		return
	}
	if t.class.Tier = tier; len(t.because[tier]) < maxReasons {
		t.because[tier] = append(t.because[tier], what+": "+reason+domain)
	}
}

// place asks every domain whether it claims a thing, and by which pattern.
func (t *tally) place(what string, claims func(*domain) (pattern string, ok bool)) {
	rank := -1
	for i := range t.list {
		one := &t.list[i]
		if pattern, ok := claims(one); ok {
			t.seen[one.name] = true
			rank = max(rank, one.tier)
			t.note(one.tier, what, pattern, " → "+one.name)
		}
	}
	switch rank {
	case -1:
		t.class.Unclaimed = true
		t.note(t.top, what, "no domain claims it", "")
	case 0:
		t.class.Lowest++
	}
}

func (t *tally) done() Class {
	t.class.Because = slices.Compact(slices.Sorted(slices.Values(t.because[t.class.Tier])))
	t.class.Domains = slices.AppendSeq(t.class.Domains, maps.Keys(t.seen))
	slices.Sort(t.class.Domains)
	return t.class
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
