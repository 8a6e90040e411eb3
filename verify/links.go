package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/planfacts"
)

// MaxMaterials is how many files are followed from links to those who made them.
const MaxMaterials = 2_000

// A LinkRule says which materials of a step another step made: those whose name has the
// prefix, and, behind it, the pattern, in which * is any text.
type LinkRule struct{ Step, Prefix, Pattern string }

func (r *LinkRule) match(step, name string) bool {
	// in-toto takes a prefix away where there is one, and else the name as it is.
	return step == r.Step && planfacts.MatchGlob(r.Pattern, strings.TrimPrefix(name, r.Prefix))
}

// links finds the links of the steps that made the artifact: those that have it among
// their products, and from each those of the steps whose products it read.
func (g *gatherer) links() error {
	req := &g.out.Request
	if req.Links == nil || req.Artifact == nil {
		return nil
	}
	queue := g.of(attest.SubjectKey("sha256", req.Artifact.String()))
	followed := make(map[string]bool)
	for len(queue) > 0 {
		var keys []string
		for _, e := range queue {
			for _, digest := range follow(e, req.Links) {
				if key := attest.SubjectKey("sha256", digest); !followed[key] {
					followed[key] = true
					keys = append(keys, key)
				}
			}
		}
		if len(followed) > MaxMaterials {
			return &LimitError{fmt.Sprintf("%d files that steps read from others", len(followed)), MaxMaterials}
		}
		if err := g.find(keys...); err != nil {
			return err
		}
		queue = nil
		for _, key := range keys {
			g.use(key)
			queue = append(queue, g.of(key)...)
		}
	}
	return nil
}

// follow is what a link read that another step may have made: SHA-256 in hex, sorted.
func follow(e *Evidence, rules []LinkRule) []string {
	l, ok := e.statement.Predicate.(*attest.Link)
	if !ok {
		return nil
	}
	var out []string
	for _, m := range l.Materials {
		hex := m.Digest["sha256"]
		if len(hex) == 64 && slices.ContainsFunc(rules, func(r LinkRule) bool { return r.match(l.Name, m.Name) }) {
			out = append(out, hex)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
