package attest

// A Release says which commit an artifact was built from. Its subjects are the
// artifacts, by sha256. From and To bound the range that the signer means to
// release; the verifier walks from To to the last allowed release or a baseline
// itself, whatever From says (TRUST T2).
type Release struct {
	Repository string `json:"repository"`
	Name       string `json:"name"` // such as a tag
	From       string `json:"from,omitempty"`
	To         string `json:"to"`
	ReleasedAt Time   `json:"releasedAt"`
}

// A Deployment says that a release went to an environment, and under which
// decision. Its subjects are the artifacts.
type Deployment struct {
	Environment  string `json:"environment"`
	Target       string `json:"target,omitempty"`
	Actor        string `json:"actor"`
	DeployedAt   Time   `json:"deployedAt"`
	UndeployedAt *Time  `json:"undeployedAt,omitempty"`
	// Decision is the payload digest of the decision/v1 statement, sha256 hex;
	// empty when there was none.
	Decision string `json:"decision,omitempty"`
}
