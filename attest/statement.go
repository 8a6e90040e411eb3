package attest

// StatementType is the in-toto Statement v1 type that we write.
const StatementType = "https://in-toto.io/Statement/v1"

// PayloadType is the DSSE payload type of in-toto statements.
const PayloadType = "application/vnd.in-toto+json"

// A Statement is an in-toto Statement v1: a predicate about some subjects.
type Statement struct {
	Subjects  []Subject
	Predicate Predicate
}

// A Subject names one thing by its digests.
type Subject struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}
