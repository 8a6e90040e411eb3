package attest

// An Admission says how a reviewed head became a commit of the target branch.
// Its subject is the merged commit (digests gitCommit and gitTree).
//
// Objects prove the merged commit, its first parent, the trees that differ
// between them, and the first-parent chain from there down to the base of the
// reviewed head. Replay and PatchEqual are claims of the signer, who is named in
// every verdict that rests on them; anybody with a clone can recompute them.
type Admission struct {
	Repository   string    `json:"repository"`
	Change       ChangeRef `json:"change"`
	TargetRef    string    `json:"targetRef"`
	Merged       string    `json:"merged"`
	ReviewedHead string    `json:"reviewedHead,omitempty"` // empty: nothing was reviewed
	Parents      []string  `json:"parents"`
	Objects      []byte    `json:"objects,omitempty"`
	Paths        []string  `json:"paths"`
	// Binding is the strongest of the outcomes that the signer found.
	Binding Binding `json:"binding"`
	// ReplayClean: git merge-tree of first parent and reviewed head gave the merged tree.
	ReplayClean bool `json:"replayClean"`
	// ResidualPaths are what a residual merge changed beyond the review.
	ResidualPaths []string `json:"residualPaths,omitempty"`
	Strategy      string   `json:"strategy,omitempty"` // of the replay, such as "ort"
	GitVersion    string   `json:"gitVersion"`
	MergedBy      string   `json:"mergedBy,omitempty"` // forge account; merging approves nothing
	AdmittedAt    Time     `json:"admittedAt"`
}

// Binding says how an approved head and a merged commit are known to be the same change.
type Binding string

// The bindings, strongest first.
const (
	BindingIdentity     Binding = "identity"     // same tree, and replay is clean too
	BindingReplay       Binding = "replay"       // merging the head again gives the merged tree
	BindingPatch        Binding = "patch"        // same stable patch id
	BindingResidual     Binding = "residual"     // the merge holds more than the review
	BindingUnverifiable Binding = "unverifiable" // nothing can be said
)

// Type implements Predicate.
func (a *Admission) Type() string { return TypeAdmission }

// Validate implements Predicate.
func (a *Admission) Validate() error {
	err := first(
		checkRepository("predicate.repository", a.Repository),
		a.Change.validate(),
		checkName("predicate.targetRef", a.TargetRef),
		checkCommit("predicate.merged", a.Merged),
		checkPaths("predicate.paths", a.Paths),
		checkPaths("predicate.residualPaths", a.ResidualPaths),
		oneOf("predicate.binding", a.Binding, BindingIdentity, BindingReplay, BindingPatch, BindingResidual, BindingUnverifiable),
		checkText("predicate.strategy", a.Strategy, 128),
		checkName("predicate.gitVersion", a.GitVersion),
		checkText("predicate.mergedBy", a.MergedBy, 320),
		checkTime("predicate.admittedAt", a.AdmittedAt),
	)
	for _, p := range a.Parents {
		err = first(err, checkCommit("predicate.parents", p))
	}
	if len(a.Parents) > 64 {
		err = first(err, faultErr(TooLarge, "predicate.parents", "has %d items; the limit is 64", len(a.Parents)))
	}
	if err != nil {
		return err
	}
	if a.ReviewedHead == "" {
		if a.Binding != BindingUnverifiable || a.ReplayClean {
			return fieldErr("predicate.binding", "is %s, and no head was reviewed", a.Binding)
		}
		return nil
	}
	if (a.Binding == BindingIdentity || a.Binding == BindingReplay) && !a.ReplayClean {
		return fieldErr("predicate.replayClean", "is false, and binding %s needs it", a.Binding)
	}
	return checkCommit("predicate.reviewedHead", a.ReviewedHead)
}

func (a *Admission) about(s []Subject) error { return aboutCommit(s, "predicate.merged", a.Merged) }
