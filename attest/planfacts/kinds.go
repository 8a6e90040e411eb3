package planfacts

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Kinds is a table of what kinds of resources are. A kind holds state unless it is
// known not to: what nobody listed counts as stateful.
type Kinds struct {
	stateful, stateless, operator []string // globs
}

//go:embed kinds.yaml
var builtinKinds string

// BuiltinKinds is the table that comes with Countersign.
var BuiltinKinds = sync.OnceValue(func() *Kinds {
	root, err := strictyaml.Parse("kinds.yaml", []byte(builtinKinds))
	if err != nil {
		panic(err) // ours, and tested
	}
	k, err := ParseKinds(root)
	if err != nil {
		panic(err)
	}
	return k
})

// ParseKinds reads a mapping of stateful, stateless and operator to lists of globs.
func ParseKinds(v strictyaml.Node) (*Kinds, error) {
	k := &Kinds{}
	err := v.Fields([]string{"stateful", "stateless", "operator"}, func(key string, f strictyaml.Node) error {
		into := map[string]*[]string{"stateful": &k.stateful, "stateless": &k.stateless, "operator": &k.operator}[key]
		list, err := f.Texts()
		if err != nil {
			return err
		}
		for _, g := range list {
			if err := CheckGlob(g); err != nil {
				return f.Errorf("%v", err)
			}
		}
		*into = list
		return nil
	})
	return k, err
}

// With returns a table that has more in it. Nothing is taken away: a kind that either
// table calls stateful is, and so is one for operators.
func (k *Kinds) With(more *Kinds) *Kinds {
	return &Kinds{
		stateful:  slices.Concat(k.stateful, more.stateful),
		stateless: slices.Concat(k.stateless, more.stateless),
		operator:  slices.Concat(k.operator, more.operator),
	}
}

// Stateful reports whether something is lost when a resource of this kind is made anew.
func (k *Kinds) Stateful(kind string) bool {
	return matchAny(k.stateful, kind) || !matchAny(k.stateless, kind)
}

// OperatorLevel reports whether an operation changes who may do what, where
// everything else stands, or what the tool keeps: work of those who run the
// environment.
func (k *Kinds) OperatorLevel(verb attest.Verb, kind string) bool {
	switch verb {
	case attest.VerbForget, attest.VerbImport, attest.VerbInvoke:
		return true
	case attest.VerbRead:
		return false
	}
	return matchAny(k.operator, kind)
}

// Reversible reports whether applying another plan gives back what was there. A
// deletion and an action of a provider never are; a replacement is where the kind
// holds no state.
func (k *Kinds) Reversible(verb attest.Verb, kind string) bool {
	switch verb {
	case attest.VerbDelete, attest.VerbInvoke:
		return false
	case attest.VerbReplace:
		return !k.Stateful(kind)
	}
	return true
}

// Judge sets Reversible and Stateful.
func (k *Kinds) Judge(op attest.ResourceOperation) attest.ResourceOperation {
	op.Stateful, op.Reversible = k.Stateful(op.Kind), k.Reversible(op.Verb, op.Kind)
	return op
}

func matchAny(globs []string, text string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return MatchGlob(g, text) })
}

// CheckGlob refuses globs that are too long or hold more stars than can be meant.
func CheckGlob(g string) error {
	switch {
	case g == "" || len(g) > maxAddress:
		return fmt.Errorf("pattern %.80q has %d bytes; 1 to %d are allowed", g, len(g), maxAddress)
	case strings.Count(g, "*") > 16 || strings.Contains(g, "**"):
		return fmt.Errorf("pattern %.80q: `*` stands for any text, also with dots and slashes, and 16 of them are enough", g)
	}
	return nil
}

// MatchGlob matches a whole text, `*` being any part of it. It is greedy with one
// point of return, so it takes at most len(glob)*len(text) steps.
func MatchGlob(glob, text string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(text) {
		switch {
		case p < len(glob) && glob[p] == '*':
			star, mark = p, i
			p++
		case p < len(glob) && glob[p] == text[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(glob[p:], "*") == ""
}
