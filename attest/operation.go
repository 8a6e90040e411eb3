package attest

import (
	"cmp"
	"slices"
	"strings"
)

// An Operation says what applying a plan does to the world: which resources it
// creates, changes, deletes. Its only subject is the file that will be applied, by
// sha256, so that it speaks of exactly that plan. It holds no value of any
// attribute: verbs, addresses and kinds only.
//
// Reversible and Stateful are the signer's reading. A policy judges verbs and kinds
// itself, and these can only make it stricter.
type Operation struct {
	Repository  string          `json:"repository"` // whose configuration was planned
	Environment string          `json:"environment"`
	Source      OperationSource `json:"source"`
	Tool        OperationTool   `json:"tool"`
	// Derived is DerivedFromPlan when the signer's own tool read the plan file that
	// is the subject, and Claimed when the list came beside it.
	Derived    Derivation   `json:"derived"`
	Operations []Operations `json:"operations"`
	// Counts has the number of operations of each verb, those that were left out as
	// well. Verbs that do not occur are absent.
	Counts map[Verb]int `json:"counts"`
	// Omitted is how many operations did not fit. A policy takes them for the worst.
	Omitted int `json:"omitted,omitzero"`
	// Drift counts resources that were found changed outside the tool, and Deferred
	// what the tool put off to a later plan.
	Drift    int `json:"drift,omitzero"`
	Deferred int `json:"deferred,omitzero"`
	// PlannedBy is the roster id or address of who made the plan; it can only add
	// to its authors.
	PlannedBy string  `json:"plannedBy,omitempty"`
	Origin    Origin  `json:"origin"` // of the plan; "human" is believed of its maker's own key only
	Agents    []Agent `json:"agents,omitempty"`
	// DeclaredBy is the roster id of the signer.
	DeclaredBy string `json:"declaredBy"`
	DeclaredAt Time   `json:"declaredAt"`
}

// OperationTool is the program that made the plan, as it names itself.
type OperationTool struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// OperationSource says what kind of plan it is.
type OperationSource string

// The sources.
const (
	TerraformPlan  OperationSource = "terraform-plan"
	OpenTofuPlan   OperationSource = "opentofu-plan"
	KubernetesDiff OperationSource = "kubernetes-diff"
	ManifestSource OperationSource = "manifest"
)

// Derivation says how the list of operations was come by.
type Derivation string

// The derivations.
const (
	DerivedFromPlan Derivation = "plan"
	Claimed         Derivation = "claimed"
)

// Verb is what happens to one resource.
type Verb string

// The verbs. Replace is a deletion and a creation in either order; forget takes a
// resource out of the tool's keeping and leaves it there; invoke runs an action that
// a provider offers.
const (
	VerbCreate  Verb = "create"
	VerbUpdate  Verb = "update"
	VerbDelete  Verb = "delete"
	VerbReplace Verb = "replace"
	VerbForget  Verb = "forget"
	VerbImport  Verb = "import"
	VerbMove    Verb = "move"
	VerbRead    Verb = "read"
	VerbInvoke  Verb = "invoke"
)

// Verbs lists every verb, the most harmful first.
func Verbs() []Verb {
	return []Verb{VerbDelete, VerbReplace, VerbForget, VerbInvoke, VerbUpdate, VerbCreate, VerbImport, VerbMove, VerbRead}
}

// Operations are the resources to which the same happens.
type Operations struct {
	Verb       Verb   `json:"verb"`
	Kind       string `json:"kind"` // such as aws_db_instance, or apps/Deployment
	Module     string `json:"module,omitempty"`
	Reversible bool   `json:"reversible"`
	Stateful   bool   `json:"stateful"`
	// Resources are addresses, sorted and distinct.
	Resources []string `json:"resources"`
}

// MaxOperations bounds the resources of one statement, and maxOperationBytes their
// text, so that a statement with them fits into a payload.
const (
	MaxOperations     = 20_000
	maxOperationBytes = 768 << 10
)

// ResourceOperation is what happens to one resource.
type ResourceOperation struct {
	Verb                 Verb
	Address              string
	Kind, Module         string
	Reversible, Stateful bool
}

// SetOperations groups a list, in any order and with duplicates, into the one form
// that a statement has. What does not fit is counted in Omitted; what cannot be
// undone is kept before what can.
func (o *Operation) SetOperations(all []ResourceOperation) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b ResourceOperation) int {
		return cmp.Or(compareBools(a.Reversible, b.Reversible), compareGroups(a.group(), b.group()), strings.Compare(a.Address, b.Address))
	})
	all = slices.Compact(all)
	o.Operations, o.Counts, o.Omitted = []Operations{}, make(map[Verb]int), 0
	size, listed := 0, 0
	for _, r := range all {
		o.Counts[r.Verb]++
		more, last := len(r.Address)+4+strings.Count(r.Address, `"`)+strings.Count(r.Address, `\`), len(o.Operations)-1
		if last < 0 || compareGroups(o.Operations[last], r.group()) != 0 {
			more += len(r.Kind) + len(r.Module) + 128
		}
		if listed == MaxOperations || size+more > maxOperationBytes {
			o.Omitted++
			continue
		}
		if listed, size = listed+1, size+more; last < 0 || compareGroups(o.Operations[last], r.group()) != 0 {
			o.Operations = append(o.Operations, r.group())
			last = len(o.Operations) - 1
		}
		o.Operations[last].Resources = append(o.Operations[last].Resources, r.Address)
	}
	slices.SortFunc(o.Operations, compareGroups)
}

// Each returns the operations one by one, in the order of the statement.
func (o *Operation) Each() []ResourceOperation {
	var out []ResourceOperation
	for _, g := range o.Operations {
		for _, address := range g.Resources {
			out = append(out, ResourceOperation{g.Verb, address, g.Kind, g.Module, g.Reversible, g.Stateful})
		}
	}
	return out
}

// OperationsDigest is SHA-256 over a line for each distinct verb, kind, module and
// address, in their order, the four of them separated by NUL. It is how two readings
// of one plan are compared; who judged what to be reversible plays no part.
func OperationsDigest(all []ResourceOperation) Digest {
	lines := make([]string, len(all))
	for i, r := range all {
		lines[i] = string(r.Verb) + "\x00" + r.Kind + "\x00" + r.Module + "\x00" + r.Address + "\n"
	}
	slices.Sort(lines)
	return DigestOf([]byte(strings.Join(slices.Compact(lines), "")))
}

func (r *ResourceOperation) group() Operations {
	return Operations{Verb: r.Verb, Kind: r.Kind, Module: r.Module, Reversible: r.Reversible, Stateful: r.Stateful}
}

func compareGroups(a, b Operations) int {
	return cmp.Or(strings.Compare(string(a.Verb), string(b.Verb)), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Module, b.Module),
		compareBools(a.Reversible, b.Reversible), compareBools(a.Stateful, b.Stateful))
}

// compareBools puts false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Type implements Predicate.
func (o *Operation) Type() string { return TypeOperation }

// Validate implements Predicate.
func (o *Operation) Validate() error {
	err := first(
		checkRepository("predicate.repository", o.Repository),
		checkID("predicate.environment", o.Environment),
		oneOf("predicate.source", o.Source, TerraformPlan, OpenTofuPlan, KubernetesDiff, ManifestSource),
		checkID("predicate.tool.name", o.Tool.Name),
		checkText("predicate.tool.version", o.Tool.Version, 256),
		oneOf("predicate.derived", o.Derived, DerivedFromPlan, Claimed),
		checkText("predicate.plannedBy", o.PlannedBy, 320),
		oneOf("predicate.origin", o.Origin, OriginHuman, OriginAI, OriginMixed, OriginUnknown),
		checkID("predicate.declaredBy", o.DeclaredBy),
		checkTime("predicate.declaredAt", o.DeclaredAt),
	)
	for _, g := range o.Agents {
		err = first(err, g.validate())
	}
	if err == nil && (o.Omitted < 0 || o.Drift < 0 || o.Deferred < 0) {
		err = fieldErr("predicate", "omitted, drift and deferred are counts, and one is negative")
	}
	if err == nil && o.Derived == DerivedFromPlan && o.Source != TerraformPlan && o.Source != OpenTofuPlan {
		err = faultErr(Unsupported, "predicate.derived", "no tool reads a %s back from what will be applied, so it is claimed", o.Source)
	}
	return first(err, o.validateOperations())
}

// validateOperations wants the one order that SetOperations gives, and counts that
// agree with it.
func (o *Operation) validateOperations() error {
	const field = "predicate.operations"
	counts := make(map[Verb]int)
	listed := 0
	for i, g := range o.Operations {
		if err := g.validate(field); err != nil {
			return err
		}
		if i > 0 && compareGroups(o.Operations[i-1], g) >= 0 {
			return fieldErr(field, "item %d is out of order or twice", i)
		}
		counts[g.Verb] += len(g.Resources)
		if listed += len(g.Resources); listed > MaxOperations {
			return faultErr(TooLarge, field, "has more than %d resources", MaxOperations)
		}
	}
	total := 0
	for verb, n := range o.Counts {
		if err := oneOf("predicate.counts", verb, Verbs()...); err != nil {
			return err
		}
		if n < 1 || n > 1<<30 || n < counts[verb] {
			return fieldErr("predicate.counts."+string(verb), "is %d, and %d are listed", n, counts[verb])
		}
		total += n
		delete(counts, verb)
	}
	if len(counts) > 0 || total != listed+o.Omitted {
		return fieldErr("predicate.counts", "sum up to %d; %d are listed and %d omitted", total, listed, o.Omitted)
	}
	return nil
}

func (g *Operations) validate(field string) error {
	err := first(
		oneOf(field+".verb", g.Verb, Verbs()...),
		checkName(field+".kind", g.Kind), checkText(field+".kind", g.Kind, 256),
		checkText(field+".module", g.Module, 1024),
	)
	if err == nil && g.Verb == VerbDelete && g.Reversible {
		err = fieldErr(field+".reversible", "a deletion never is")
	}
	if err == nil && len(g.Resources) == 0 {
		err = fieldErr(field+".resources", "is empty")
	}
	for i, r := range g.Resources {
		err = first(err, checkName(field+".resources", r))
		if err == nil && i > 0 && g.Resources[i-1] >= r {
			err = fieldErr(field+".resources", "item %d (%.80q) is out of order or twice", i, r)
		}
	}
	return err
}

func (o *Operation) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	return checkHex("statement.subject.digest.sha256", sub.Digest["sha256"], 64)
}
