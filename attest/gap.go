package attest

// A Gap says that the commits between two of a repository were not attested, because tooling
// failed, and that owners of the policy let the record begin again after them. As many owners
// sign the same payload as a new policy set takes. It is kept in the chain of negative
// evidence: nobody can leave one out of a report.
//
// The subjects are To and From, as gitCommit. From is where the record ended: a baseline, or
// a commit that was allowed. What lies between was seen by nobody, and a verdict says so.
type Gap struct {
	Repository   string   `json:"repository"`
	Environments []string `json:"environments"` // sorted, 1 to 32
	From         string   `json:"from"`         // commit, not itself in the gap
	To           string   `json:"to"`           // the last commit in the gap
	// Commits is how many there are from From to To by first parents, where somebody
	// counted them: a claim. Zero: not counted.
	Commits int    `json:"commits,omitempty"`
	Reason  string `json:"reason"`
	Ticket  string `json:"ticket,omitempty"`
	SaidAt  Time   `json:"saidAt"` // the first owner's claim; the log's time counts
}

// Type implements Predicate.
func (g *Gap) Type() string { return TypeGap }

// Validate implements Predicate.
func (g *Gap) Validate() error {
	err := first(
		checkRepository("predicate.repository", g.Repository),
		checkSorted("predicate.environments", g.Environments, 32, checkID),
		checkCommit("predicate.from", g.From),
		checkCommit("predicate.to", g.To),
		checkComment("predicate.reason", g.Reason),
		checkText("predicate.ticket", g.Ticket, 1024),
		checkTime("predicate.saidAt", g.SaidAt),
	)
	switch {
	case err != nil:
		return err
	case len(g.Environments) == 0:
		return fieldErr("predicate.environments", "is empty: where does the record begin again?")
	case g.From == g.To:
		return fieldErr("predicate.to", "is from: there is no gap between")
	case g.Reason == "":
		return fieldErr("predicate.reason", "is empty: what failed?")
	case g.Commits < 0 || g.Commits > 1_000_000:
		return fieldErr("predicate.commits", "is %d", g.Commits)
	}
	return nil
}

func (g *Gap) about(subjects []Subject) error {
	if len(subjects) != 2 || subjects[0].Digest["gitCommit"] != g.To || subjects[1].Digest["gitCommit"] != g.From {
		return faultErr(SubjectMismatch, "statement.subject", "is not the commits to and from, in this order")
	}
	return nil
}

// NewGap is the statement of a gap.
func NewGap(g *Gap) *Statement {
	return &Statement{Subjects: []Subject{{Digest: map[string]string{"gitCommit": g.To}}, {Digest: map[string]string{"gitCommit": g.From}}}, Predicate: g}
}
