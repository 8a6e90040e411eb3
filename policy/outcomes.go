package policy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/incident"
)

// What an expression may ask about outcomes, as of the decision:
//
//	incidents.sev1("7d")              how many of what the change touches
//	incidents.sev2("checkout", "7d")  how many of a domain, of sev2 or worse
//	budget.remaining("checkout")      share of the domain's error budget that is left
//	budget.remaining()                the least of all domains that the change touches
//	cohort.failureRate("ai", "30d")   share of deployments to the environment that failed
//
// An incident counts while it lasts, and until the window has passed since the log
// learned of its end, or that it is as bad as it is.
type outcomes struct {
	j    *judge
	st   *study
	seen [][]*incident.Incident // that counted, perhaps more than once
	said []figures              // of cohorts
	dark string                 // why figures are not known
}

var (
	incidentsType = cel.OpaqueType("countersign.Incidents")
	budgetType    = cel.OpaqueType("countersign.Budget")
	cohortType    = cel.OpaqueType("countersign.Cohort")
)

// asks is which outcomes an expression asks for.
type asks struct{ incidents, cohorts bool }

// counters are the functions of incidents, by the mildest severity that each counts.
var counters = map[string]attest.Severity{
	"sev1": attest.Sev1, "sev2": attest.Sev2, "sev3": attest.Sev3, "any": attest.Sev4,
}

func outcomeOptions() []cel.EnvOption {
	opts := []cel.EnvOption{cel.Variable("incidents", incidentsType), cel.Variable("budget", budgetType), cel.Variable("cohort", cohortType)}
	opts = append(opts, cohortOptions()...)
	for name, severity := range counters {
		opts = append(opts, cel.Function(name,
			cel.MemberOverload("incidents_"+name, []*cel.Type{incidentsType, cel.StringType}, cel.IntType,
				cel.BinaryBinding(func(on, w ref.Val) ref.Val { return countOf(on, severity, "", w) })),
			cel.MemberOverload("incidents_"+name+"_domain", []*cel.Type{incidentsType, cel.StringType, cel.StringType}, cel.IntType,
				cel.FunctionBinding(func(args ...ref.Val) ref.Val {
					domain, ok := args[1].Value().(string)
					if !ok || domain == "" {
						return types.NewErr("incidents.%s: the domain is empty", name)
					}
					return countOf(args[0], severity, domain, args[2])
				}))))
	}
	return append(opts, cel.Function("remaining",
		cel.MemberOverload("budget_remaining", []*cel.Type{budgetType}, cel.DoubleType,
			cel.UnaryBinding(func(on ref.Val) ref.Val { return remainingOf(on, "") })),
		cel.MemberOverload("budget_remaining_domain", []*cel.Type{budgetType, cel.StringType}, cel.DoubleType,
			cel.BinaryBinding(func(on, domain ref.Val) ref.Val {
				name, _ := domain.Value().(string)
				if name == "" {
					return types.NewErr("budget.remaining: the domain is empty")
				}
				return remainingOf(on, name)
			}))))
}

func countOf(on ref.Val, severity attest.Severity, domain string, w ref.Val) ref.Val {
	facts, ok := on.(incidentFacts)
	text, _ := w.Value().(string)
	span, good := window(text)
	switch {
	case !ok || facts.o == nil:
		return types.NewErr("incidents: there are none to ask about here")
	case !good:
		return types.NewErr("incidents: %q is no window such as 7d", text)
	}
	n, err := facts.o.count(severity, domain, span)
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Int(n)
}

func remainingOf(on ref.Val, domain string) ref.Val {
	facts, ok := on.(budgetFacts)
	if !ok || facts.o == nil {
		return types.NewErr("budget: there are none to ask about here")
	}
	left, err := facts.o.remaining(domain)
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Double(left)
}

// count counts incidents of a severity or worse, of a domain or of what the change
// touches, and notes which they were.
func (o *outcomes) count(severity attest.Severity, domain string, span time.Duration) (int, error) {
	if domain != "" && !o.j.in.Set.Domains.Has(domain) {
		return 0, fmt.Errorf("incidents: domain %q is unknown", clean(domain))
	}
	l := o.j.look(lookBack{severity: severity, span: span})
	list := l.touched(o.st)
	if domain != "" {
		list = l.hit([]string{domain})
	}
	if len(list) > 0 {
		o.seen = append(o.seen, list)
	}
	return len(list), nil
}

// remaining is what is left of the budget of a domain, or the least of the domains that
// the change touches: 1 where none of them has one.
func (o *outcomes) remaining(domain string) (float64, error) {
	set := o.j.in.Set
	if domain != "" && set.budget(domain) == nil {
		return 0, fmt.Errorf("budget: domain %q has none", clean(domain))
	}
	least := 1.0
	for i := range set.Budgets {
		b := &set.Budgets[i]
		if domain != "" && b.Domain != domain || domain == "" && !touches(o.st, []string{b.Domain}) {
			continue
		}
		list := slices.DeleteFunc(slices.Clone(o.j.look(lookBack{severity: b.Severity, span: maxWindow}).hit([]string{b.Domain})), func(inc *incident.Incident) bool {
			return inc.Said.ResolvedAt != nil && !inc.Said.ResolvedAt.After(o.j.in.Now.Add(-b.Window))
		})
		if len(list) > 0 {
			o.seen = append(o.seen, list)
		}
		least = min(least, b.remaining(list, o.j.in.Now))
	}
	return least, nil
}

// What `incidents`, `budget` and `cohort` stand for while an expression runs. Nothing can
// be done with them but to call their functions.
type (
	incidentFacts struct{ opaque }
	budgetFacts   struct{ opaque }
	cohortFacts   struct{ opaque }
)

// Type implements ref.Val.
func (incidentFacts) Type() ref.Type { return incidentsType }

// Type implements ref.Val.
func (budgetFacts) Type() ref.Type { return budgetType }

// Type implements ref.Val.
func (cohortFacts) Type() ref.Type { return cohortType }

// opaque is the rest of them.
type opaque struct{ o *outcomes }

var errOpaque = errors.New("is asked through its functions alone")

// ConvertToNative implements ref.Val.
func (opaque) ConvertToNative(reflect.Type) (any, error) { return nil, errOpaque }

// ConvertToType implements ref.Val.
func (opaque) ConvertToType(ref.Type) ref.Val { return types.WrapErr(errOpaque) }

// Equal implements ref.Val.
func (opaque) Equal(ref.Val) ref.Val { return types.WrapErr(errOpaque) }

// Value implements ref.Val.
func (f opaque) Value() any { return f.o }
