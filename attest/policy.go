package attest

// Policy publishes a policy set with its content. Its subject is the set's
// digest (sha256). The first in a log is the genesis, signed by its owners, one
// bundle each over the same payload.
type Policy struct {
	Name    string `json:"name"`
	Version int    `json:"version"` // 1 for genesis
	// Files are the set's files by name, byte for byte.
	Files      PolicyFiles `json:"files"`
	Supersedes string      `json:"supersedes,omitempty"` // digest of the set before, sha256 hex
	// PublishedAt is the same in every owner's copy, so the payloads are equal.
	PublishedAt Time `json:"publishedAt"`
}

// PolicyFiles are the three files of a policy set.
type PolicyFiles struct {
	Policy  string `json:"policy.yaml"`
	People  string `json:"people.yaml"`
	Domains string `json:"domains.yaml"`
}
