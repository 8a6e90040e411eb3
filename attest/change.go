package attest

// A Change is what a reviewer saw: everything between Base and Head of one
// repository. Its subject is the head commit (digests gitCommit and gitTree).
//
// Who wrote it, which paths it touches and what its trailers say are not told
// but derived from Objects; Paths is the signer's own reading, and one that
// differs from what the objects say is refused (TRUST T1).
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
