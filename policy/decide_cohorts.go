package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// DefaultSnapshotAge is the SnapshotAge of a set that names none.
const DefaultSnapshotAge = 48 * time.Hour

const maxSnapshotAge = 30 * 24 * time.Hour

// fewDeployments is how many a cohort must have for its rate to be known.
const fewDeployments = 20

// errDark says that what an expression asks is not known.
var errDark = errors.New("is not known")

// figures are those of one cohort, and the snapshot that they are of.
type figures struct {
	attest.CohortFigures
	of item
}

func cohortOptions() []cel.EnvOption {
	args := []*cel.Type{cohortType, cel.StringType, cel.StringType}
	ask := func(args []ref.Val, give func(*attest.CohortFigures) ref.Val) ref.Val {
		facts, ok := args[0].(cohortFacts)
		name, _ := args[1].Value().(string)
		w, _ := args[2].Value().(string)
		if !ok || facts.o == nil {
			return types.NewErr("cohort: there are none to ask about here")
		}
		f, err := facts.o.figures(name, w)
		if err != nil {
			return types.WrapErr(err)
		}
		return give(&f.CohortFigures)
	}
	return []cel.EnvOption{
		cel.Function("failureRate", cel.MemberOverload("cohort_failure_rate", args, cel.DoubleType, cel.FunctionBinding(func(a ...ref.Val) ref.Val {
			return ask(a, func(f *attest.CohortFigures) ref.Val { return types.Double(rate(f)) })
		}))),
		cel.Function("deployments", cel.MemberOverload("cohort_deployments", args, cel.IntType, cel.FunctionBinding(func(a ...ref.Val) ref.Val {
			return ask(a, func(f *attest.CohortFigures) ref.Val { return types.Int(f.Deployments) })
		}))),
	}
}

func rate(f *attest.CohortFigures) float64 { return float64(f.Failed) / float64(f.Deployments) }

// snapshotWindows are those that a rule may name.
func snapshotWindows() []string {
	var out []string
	for _, d := range attest.SnapshotDays() {
		out = append(out, fmt.Sprintf("%dd", d))
	}
	return out
}

// figures finds those of a cohort: of the newest snapshot of everybody who may make one,
// the worst. Without one that is fresh, and where there are too few deployments, they are
// not known.
func (o *outcomes) figures(name, w string) (*figures, error) {
	span, _ := window(w)
	want := attest.CohortFigures{Environment: o.j.env.Name, Cohort: name, Days: int(span / (24 * time.Hour))}
	var worst *figures
	fresh := false
	for _, it := range o.j.figuresOf() {
		fresh = fresh || !o.j.revoked(it)
		p := it.Statement().Predicate.(*attest.CohortSnapshot)
		at, ok := slices.BinarySearchFunc(p.Rows, want, attest.CompareFigures)
		if !ok || p.Rows[at].Deployments < fewDeployments {
			continue
		}
		f := &figures{p.Rows[at], it}
		if worst == nil || o.j.on(checkWorst) && rate(&f.CohortFigures) > rate(&worst.CohortFigures) {
			worst = f
		}
	}
	switch {
	case !fresh:
		o.dark = fmt.Sprintf("there are no figures of cohorts of the last %s", o.j.in.Set.SnapshotAge)
	case worst == nil:
		o.dark = fmt.Sprintf("%s has fewer than %d deployments to %s in %s", name, fewDeployments, o.j.env.Name, w)
	default:
		o.said = append(o.said, *worst)
		return worst, nil
	}
	return nil, fmt.Errorf("cohort.failureRate(%q, %q) %w: %s", name, w, errDark, o.dark)
}

// figuresOf are the newest snapshots of everybody who may make them, not too old.
func (j *judge) figuresOf() []item {
	if j.snapshots != nil {
		return j.snapshots
	}
	j.snapshots = []item{}
	seen := make(map[string]bool)
	for i := range j.in.Gathered.Snapshots {
		n := &j.in.Gathered.Snapshots[i]
		if r := n.Refusal; r != nil {
			j.d.Annex.Ignored = append(j.d.Annex.Ignored, Ignored{Index: n.Link.Index, Kind: r.Kind, Type: clean(r.PredicateType), Signer: clean(r.Signer), Why: clean(r.Check + ": " + r.Why)})
			continue
		}
		it, ok := j.accept(n.Evidence)
		if !ok || seen[it.by.ID] {
			continue
		}
		if kind, why := j.unfitFigures(it); why != "" {
			j.ignore(it, kind, "", "%s", why)
			continue
		}
		seen[it.by.ID] = true
		j.snapshots = append(j.snapshots, it)
	}
	return j.snapshots
}

// unfitFigures says why no rule goes by a snapshot.
func (j *judge) unfitFigures(it item) (Kind, string) {
	p := it.Statement().Predicate.(*attest.CohortSnapshot)
	first := p.AsOf.Time
	if it.Time().Before(first) {
		first = it.Time()
	}
	insider := it.by.Kind == roster.Service && slices.ContainsFunc(
		[]string{attest.TypeChange, attest.TypeAdmission, attest.TypeRelease, attest.TypeSLSAProvenance, attest.TypeDeployment}, it.by.MaySign)
	switch {
	case it.by.Kind == roster.Person && !j.officer(it) && j.on(checkOutsider):
		return verify.WrongScope, fmt.Sprintf("%s is no officer, and owns no policy: figures are theirs, or a service's that does nothing else", it.by.ID)
	case insider && j.on(checkOutsider):
		return RoleConflict, fmt.Sprintf("%s attests what the figures are about", it.by.ID)
	case j.in.Now.Sub(first) > j.in.Set.SnapshotAge && j.on(checkFresh):
		return StaleView, fmt.Sprintf("is as of %s, more than %s ago", stamp(first), j.in.Set.SnapshotAge)
	case p.Size > it.Index():
		return verify.Malformed, fmt.Sprintf("is of %d entries, and is entry %d itself", p.Size, it.Index())
	}
	return "", ""
}

// conclude says what an expression that asked for outcomes comes to: what is not known
// makes the rule apply, which is the stricter side.
func (o *outcomes) conclude(yes bool, err error) (bool, string, error) {
	if o.dark != "" && errors.Is(err, errDark) && o.j.on(checkFew) {
		return true, "because " + o.dark, nil
	}
	if !yes || err != nil {
		return false, "", err
	}
	var because []string
	if seen := slices.Concat(o.seen...); len(seen) > 0 {
		because = append(because, "because of "+o.j.because(slices.CompactFunc(seen, func(a, b *incident.Incident) bool { return a == b })))
	}
	slices.SortFunc(o.said, func(a, b figures) int {
		return cmp.Or(cmp.Compare(a.of.Index(), b.of.Index()), attest.CompareFigures(a.CohortFigures, b.CohortFigures))
	})
	for _, f := range slices.CompactFunc(o.said, func(a, b figures) bool { return a.CohortFigures == b.CohortFigures && a.of.Index() == b.of.Index() }) {
		o.j.cite(f.of, "figures of cohorts")
		because = append(because, fmt.Sprintf("as %d of %d deployments of %s failed in %d days (#%d)", f.Failed, f.Deployments, clean(f.Cohort), f.Days, f.of.Index()))
	}
	return true, strings.Join(because, ", "), nil
}

// AsksSnapshots is how far back a set goes by figures of cohorts; zero where no rule asks.
func (s *Set) AsksSnapshots() time.Duration {
	if slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.When != nil && r.When.asks.cohorts }) {
		return s.SnapshotAge
	}
	return 0
}
