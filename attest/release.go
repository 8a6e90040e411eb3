package attest

// A Release says which commit an artifact was built from. Its subjects are the
// artifacts, by sha256. From and To bound the range that the signer means to
// release; the verifier walks from To to the last allowed release or a baseline
// itself, whatever From says.
type Release struct {
	Repository string `json:"repository"`
	Name       string `json:"name"` // such as a tag
	From       string `json:"from,omitempty"`
	To         string `json:"to"`
	ReleasedAt Time   `json:"releasedAt"`
}

// Type implements Predicate.
func (r *Release) Type() string { return TypeRelease }

// Validate implements Predicate.
func (r *Release) Validate() error {
	err := first(
		checkRepository("predicate.repository", r.Repository),
		checkName("predicate.name", r.Name),
		checkCommit("predicate.to", r.To),
		checkTime("predicate.releasedAt", r.ReleasedAt),
	)
	if r.From != "" {
		err = first(err, checkCommit("predicate.from", r.From))
	}
	return err
}

func (r *Release) about(s []Subject) error { return aboutArtifacts(s) }

// aboutArtifacts requires every subject to have a sha256 digest.
func aboutArtifacts(subjects []Subject) error {
	for _, s := range subjects {
		if err := checkHex("statement.subject.digest.sha256", s.Digest["sha256"], 64); err != nil {
			return err
		}
	}
	return nil
}
