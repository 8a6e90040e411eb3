package attest

// Risk is a signed opinion of a change's blast radius. Its subject is the head
// or merged commit. The verifier computes a tier itself; a Risk can raise it,
// never lower it.
type Risk struct {
	Repository string     `json:"repository"`
	Change     ChangeRef  `json:"change"`
	Tier       string     `json:"tier"`
	Domains    []string   `json:"domains,omitempty"`
	Reversible *bool      `json:"reversible,omitempty"`
	Rules      []RiskRule `json:"rules,omitempty"`
	Classifier Classifier `json:"classifier"`
	AssessedAt Time       `json:"assessedAt"`
}

// RiskRule is one reason for a tier.
type RiskRule struct {
	Pattern string `json:"pattern"`
	Reason  string `json:"reason"`
}

// Classifier names what assessed a change.
type Classifier struct {
	ID      string `json:"id"`
	Version string `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"` // sha256, hex
}
