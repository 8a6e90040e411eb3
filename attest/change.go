package attest

// A Change is what a reviewer saw: everything between Base and Head of one
// repository. Its subject is the head commit (digests gitCommit and gitTree).
//
// Who wrote it, which paths it touches and what its trailers say are not told
// but derived from Objects; Paths is the signer's own reading, and one that
// differs from what the objects say is refused.
type Change struct {
	Repository string    `json:"repository"`
	Change     ChangeRef `json:"change"`
	TargetRef  string    `json:"targetRef"`
	// Base is the merge base of head and target, or, for a commit that went to
	// the target without review, its first parent. Empty for a root commit.
	Base string `json:"base,omitempty"`
	Head string `json:"head"`
	// Objects are the raw git objects that prove the facts: see package gitfacts.
	// Empty when they would exceed gitfacts.MaxObjects; then the facts are
	// claimed and the change has the highest tier.
	Objects []byte   `json:"objects,omitempty"`
	Paths   []string `json:"paths"`
	// OpenedBy is the roster id or git e-mail of whoever opened or pushed the
	// change; it can only add to the authors.
	OpenedBy string `json:"openedBy,omitempty"`
}

// ChangeRef names a change as people do: a number or key within a repository.
type ChangeRef struct {
	ID  string `json:"id"`
	URI string `json:"uri,omitempty"`
}

// Type implements Predicate.
func (c *Change) Type() string { return TypeChange }

// Validate implements Predicate. That Objects prove what is said is package
// verify's to check.
func (c *Change) Validate() error {
	err := first(
		checkRepository("predicate.repository", c.Repository),
		c.Change.validate(),
		checkName("predicate.targetRef", c.TargetRef),
		checkCommit("predicate.head", c.Head),
		checkPaths("predicate.paths", c.Paths),
		checkText("predicate.openedBy", c.OpenedBy, 320),
	)
	if err == nil && c.Base != "" {
		err = checkCommit("predicate.base", c.Base)
	}
	return err
}

func (c *Change) about(s []Subject) error { return aboutCommit(s, "predicate.head", c.Head) }

func (r ChangeRef) validate() error {
	if r.ID == "" && r.URI == "" {
		return fieldErr("predicate.change.id", "is missing")
	}
	return first(checkText("predicate.change.id", r.ID, 256), checkText("predicate.change.uri", r.URI, 4096))
}

// checkPaths wants sorted, distinct, sane paths, so that a list has one spelling.
func checkPaths(field string, paths []string) error {
	if len(paths) > maxItems {
		return faultErr(TooLarge, field, "has %d items; the limit is %d", len(paths), maxItems)
	}
	for i, p := range paths {
		if p == "" || len(p) > 4096 {
			return fieldErr(field, "item %d is empty or longer than 4,096 bytes", i)
		}
		if i > 0 && paths[i-1] >= p {
			return fieldErr(field, "item %d (%.80q) is out of order or twice", i, p)
		}
	}
	return nil
}
