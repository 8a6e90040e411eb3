package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
)

// costLimit bounds one evaluation of an expression, in CEL's units. An expression that
// could cost more than loadLimit for a change of maxLoop paths is refused when it is loaded.
const (
	costLimit = 1_000_000
	loadLimit = 100_000_000
	maxLoop   = 10_000
	maxList   = 100 // items of what is no list of paths or resources
)

// maxExpression is the longest expression, in bytes.
const maxExpression = 4096

// An Expression is the `when` of a rule: a CEL expression over one change, its
// release and the environment, checked when it is loaded and bounded when it runs.
type Expression struct {
	source  string
	program cel.Program
	asks    asks
}

// Source is the expression as it was written.
func (e *Expression) Source() string { return e.source }

// ChangeVars is what an expression sees of a change, as `change`.
type ChangeVars struct {
	ID            string   `cel:"id"`
	Title         string   `cel:"title"`
	Tier          int      `cel:"tier"` // rank; compare with tiers.NAME
	Domains       []string `cel:"domains"`
	Paths         []string `cel:"paths"`
	Agents        []string `cel:"agents"`
	Authors       []string `cel:"authors"`
	Origin        string   `cel:"origin"`
	AIAssisted    bool     `cel:"aiAssisted"`  // everything but a believed "human"
	AuthorLevel   int      `cel:"authorLevel"` // lowest rank of its human authors; strangers, and authors who are not authenticated, count as -1
	Authenticated bool     `cel:"authenticated"`
	Claimed       bool     `cel:"claimed"` // facts claimed, not proven
	Reviewed      bool     `cel:"reviewed"`
}

// ReleaseVars is what an expression sees of a release, as `release`.
type ReleaseVars struct {
	Name       string `cel:"name"`
	Repository string `cel:"repository"`
	Changes    int    `cel:"changes"`
	AIChanges  int    `cel:"aiChanges"`
	// Domains are those that its changes touch together, and Critical those of them of
	// the highest tier.
	Domains  []string `cel:"domains"`
	Critical []string `cel:"critical"`
}

// PlanVars is what an expression of a rule about plans sees, as `plan`.
type PlanVars struct {
	Source        string   `cel:"source"`
	Tier          int      `cel:"tier"`
	Domains       []string `cel:"domains"`
	Critical      []string `cel:"critical"` // domains of the highest tier
	Kinds         []string `cel:"kinds"`
	Resources     []string `cel:"resources"`
	Creates       int      `cel:"creates"`
	Updates       int      `cel:"updates"`
	Deletes       int      `cel:"deletes"`
	Replaces      int      `cel:"replaces"`
	Forgets       int      `cel:"forgets"`
	Imports       int      `cel:"imports"`
	Moves         int      `cel:"moves"`
	Reads         int      `cel:"reads"`
	Invokes       int      `cel:"invokes"`
	Irreversible  bool     `cel:"irreversible"`  // something cannot be undone
	LosesState    bool     `cel:"losesState"`    // it deletes or replaces what holds state
	OperatorLevel bool     `cel:"operatorLevel"` // it is work of those who run the environment
	Agents        []string `cel:"agents"`
	Authors       []string `cel:"authors"`
	Origin        string   `cel:"origin"`
	AIAssisted    bool     `cel:"aiAssisted"` // everything but a believed "human"
	AuthorLevel   int      `cel:"authorLevel"`
	Authenticated bool     `cel:"authenticated"`
	Claimed       bool     `cel:"claimed"`     // no service read it out of the plan file
	ByAgent       bool     `cel:"byAgent"`     // an agent made it, or somebody says that AI did
	Unpermitted   bool     `cel:"unpermitted"` // it does what was not permitted to every agent that made it
}

// expressions compiles the expressions of one policy set.
type expressions struct {
	env           map[About]*cel.Env
	tiers, levels map[string]int
	set           *Set // its domains and budgets
}

// ranks numbers words from 0.
func ranks(words []string) map[string]int {
	m := make(map[string]int, len(words))
	for i, w := range words {
		m[w] = i
	}
	return m
}

func newExpressions(s *Set) (*expressions, error) {
	x := &expressions{levels: ranks(s.Levels), tiers: ranks(s.Tiers), env: make(map[About]*cel.Env), set: s}
	opts := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(env.NewLibrarySubset().AddExcludedFunctions(
			&env.Function{Name: "matches"}, &env.Function{Name: "timestamp"}, &env.Function{Name: "duration"}))),
		ext.NativeTypes(reflect.TypeFor[ChangeVars](), reflect.TypeFor[ReleaseVars](), reflect.TypeFor[PlanVars](), ext.ParseStructTags(true)),
		cel.Variable("environment", cel.StringType),
	}
	opts = append(opts, outcomeOptions()...)
	// Each word is a constant of its own, so that a misspelt one is an error at load.
	for prefix, m := range map[string]map[string]int{"levels": x.levels, "tiers": x.tiers} {
		for word, rank := range m {
			opts = append(opts, cel.Constant(prefix+"."+word, cel.IntType, types.Int(rank)))
		}
	}
	for about, seen := range map[About][]cel.EnvOption{
		AboutChange: {cel.Variable("change", cel.ObjectType("policy.ChangeVars")), cel.Variable("release", cel.ObjectType("policy.ReleaseVars"))},
		AboutPlan:   {cel.Variable("plan", cel.ObjectType("policy.PlanVars"))},
	} {
		made, err := cel.NewCustomEnv(slices.Concat(opts, seen)...)
		if err != nil {
			return nil, fmt.Errorf("prepare expressions: %w", err)
		}
		x.env[about] = made
	}
	return x, nil
}

// compile checks an expression against the types and the cost limit. Errors say where in
// the expression, from line and column 1.
func (x *expressions) compile(about About, source string) (*Expression, error) {
	if len(source) > maxExpression {
		return nil, fmt.Errorf("has %d bytes; the limit is %d", len(source), maxExpression)
	}
	env := x.env[about]
	ast, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		first := issues.Errors()[0]
		return nil, placed(first.Location, "%s", strings.TrimSpace(first.Message))
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("line 1, column 1: gives %s; it must give true or false", ast.OutputType())
	}
	e := &Expression{source: source}
	if err := x.inspect(ast, e); err != nil {
		return nil, err
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	cost, err := env.EstimateCost(ast, sizes{})
	if err != nil || cost.Max > loadLimit {
		return nil, fmt.Errorf("line 1, column 1: could cost %d for a change of %d paths, and the limit is %d: it loops inside of a loop, or over too much", cost.Max, maxLoop, loadLimit)
	}
	// Counting costs as much as evaluating, so what cannot reach the limit is not counted.
	if cost.Max >= costLimit {
		opts = append(opts, cel.CostLimit(costLimit))
	}
	if e.program, err = env.Program(ast, opts...); err != nil {
		return nil, fmt.Errorf("line 1, column 1: %w", err)
	}
	return e, nil
}

// sizes bounds what an expression can see, for the estimate of its cost.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	if n.Type().Kind() == types.StringKind {
		return &checker.SizeEstimate{Max: maxText}
	}
	if path := n.Path(); len(path) > 1 && slices.Contains([]string{"paths", "resources"}, path[len(path)-1]) {
		return &checker.SizeEstimate{Max: maxLoop}
	}
	return &checker.SizeEstimate{Max: maxList}
}

// EstimateCallCost implements checker.CostEstimator: the built-in costs hold.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// given is what one evaluation sees.
type given struct {
	change      *ChangeVars
	release     *ReleaseVars
	plan        *PlanVars
	environment string
	outcomes    *outcomes
}

// ResolveName implements cel.Activation.
func (g *given) ResolveName(name string) (any, bool) {
	switch name {
	case "change":
		return g.change, true
	case "release":
		return g.release, true
	case "plan":
		return g.plan, true
	case "environment":
		return g.environment, true
	case "incidents":
		return incidentFacts{opaque{g.outcomes}}, true
	case "budget":
		return budgetFacts{opaque{g.outcomes}}, true
	case "cohort":
		return cohortFacts{opaque{g.outcomes}}, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (g *given) Parent() cel.Activation { return nil }

// Eval runs an expression that asks for no outcomes. An error (an index out of range,
// too much work) is an error, and the rule that asked then denies.
func (e *Expression) Eval(change *ChangeVars, release *ReleaseVars, environment string) (bool, error) {
	return e.eval(&given{change: change, release: release, environment: environment})
}

func (e *Expression) eval(g *given) (bool, error) {
	out, _, err := e.program.Eval(g)
	if err != nil {
		return false, fmt.Errorf("evaluate %.80q: %w", e.source, err)
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("evaluate %.80q: gave no truth value", e.source)
	}
	return yes, nil
}
