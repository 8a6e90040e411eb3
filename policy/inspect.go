package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// placed says where in an expression something is wrong.
func placed(where common.Location, format string, args ...any) error {
	line, column := 1, 1
	if where != nil && where.Line() > 0 && where.Column() >= 0 {
		line, column = where.Line(), where.Column()+1
	}
	return fmt.Errorf("line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

// inspect refuses what types cannot: a division whose divisor could be zero, and
// outcomes of domains, budgets and windows that there are none of.
func (x *expressions) inspect(checked *cel.Ast, e *Expression) error {
	native := checked.NativeRep()
	var first error
	celast.PreOrderVisit(native.Expr(), celast.NewExprVisitor(func(node celast.Expr) {
		if first != nil || node.Kind() != celast.CallKind {
			return
		}
		if why := x.call(node.AsCall(), e); why != "" {
			first = placed(native.SourceInfo().GetStartLocation(node.ID()), "%s", why)
		}
	}))
	return first
}

// call says what is wrong with one call; "" where nothing is.
func (x *expressions) call(c celast.CallExpr, e *Expression) string {
	name, args := c.FunctionName(), c.Args()
	_, counts := counters[name]
	switch {
	case (name == "_/_" || name == "_%_") && !nonzero(args[1]):
		return "divides by what could be zero: the divisor must be a number other than zero"
	case counts && c.IsMemberFunction():
		e.asks.incidents = true
		w, isText := literal(args[len(args)-1])
		if _, ok := window(w); !isText || !ok {
			return fmt.Sprintf("%s: the window must be written out, in days or hours up to 400d, such as \"7d\"", name)
		}
		if len(args) == 2 {
			return x.knownDomain(args[0], x.set.Domains.Names())
		}
	case name == "remaining" && c.IsMemberFunction():
		e.asks.incidents = true
		if len(x.set.Budgets) == 0 {
			return "the policy has no budgets"
		}
		var budgeted []string
		for _, b := range x.set.Budgets {
			budgeted = append(budgeted, b.Domain)
		}
		if len(args) == 1 {
			return x.knownDomain(args[0], budgeted)
		}
	case (name == "failureRate" || name == "deployments") && c.IsMemberFunction():
		e.asks.cohorts = true
		cohort, named := literal(args[0])
		days, windowed := literal(args[1])
		if !named || !windowed || !slices.Contains(snapshotWindows(), days) {
			return fmt.Sprintf("%s: cohort and window must be written out, and snapshots have windows of %s", name, strings.Join(snapshotWindows(), ", "))
		}
		return x.knownCohort(cohort)
	}
	return ""
}

// knownCohort wants a cohort that a snapshot can have.
func (x *expressions) knownCohort(name string) string {
	words := []string{"all", "ai", "human", "unknown"}
	by, what, dimension := strings.Cut(name, ":")
	switch {
	case !dimension && slices.Contains(words, name), dimension && by == "tool" && what != "":
		return ""
	case dimension && by == "domain":
		return x.knownWord("domain", what, x.set.Domains.Names())
	case dimension && by == "tier":
		return x.knownWord("tier", what, x.set.Tiers)
	case dimension && by == "team" && x.set.hasTeam(what):
		return ""
	case dimension && by == "team":
		return fmt.Sprintf("nobody is in team %q", what)
	}
	return fmt.Sprintf("cohort %q is unknown; there are all, ai, human, unknown, domain:NAME, tier:NAME, tool:NAME and team:NAME", name)
}

// knownDomain wants a domain that is written out to be one of these. Others are looked up
// when the expression runs.
func (x *expressions) knownDomain(arg celast.Expr, known []string) string {
	if d, written := literal(arg); written {
		return x.knownWord("domain", d, known)
	}
	return ""
}

func (x *expressions) knownWord(what, word string, known []string) string {
	if slices.Contains(known, word) {
		return ""
	}
	return fmt.Sprintf("%s %q is unknown%s", what, word, strictyaml.Suggest(word, known))
}

// literal is what a string literal says.
func literal(e celast.Expr) (string, bool) {
	if e.Kind() != celast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

func nonzero(e celast.Expr) bool {
	if e.Kind() != celast.LiteralKind {
		return false
	}
	switch v := e.AsLiteral().(type) {
	case types.Int:
		return v != 0
	case types.Uint:
		return v != 0
	case types.Double:
		return v != 0
	}
	return false
}
