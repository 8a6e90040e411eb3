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

// Type implements Predicate.
func (r *Risk) Type() string { return TypeRisk }

// Validate implements Predicate.
func (r *Risk) Validate() error {
	err := first(
		checkRepository("predicate.repository", r.Repository),
		r.Change.validate(),
		checkID("predicate.tier", r.Tier),
		checkID("predicate.classifier.id", r.Classifier.ID),
		checkText("predicate.classifier.version", r.Classifier.Version, 256),
		checkTime("predicate.assessedAt", r.AssessedAt),
	)
	if r.Classifier.Digest != "" {
		err = first(err, checkHex("predicate.classifier.digest", r.Classifier.Digest, 64))
	}
	for _, d := range r.Domains {
		err = first(err, checkID("predicate.domains", d))
	}
	for _, rule := range r.Rules {
		err = first(err, checkText("predicate.rules.pattern", rule.Pattern, 4096), checkComment("predicate.rules.reason", rule.Reason))
	}
	return err
}

func (r *Risk) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	return checkCommit("statement.subject.digest.gitCommit", sub.Digest["gitCommit"])
}
