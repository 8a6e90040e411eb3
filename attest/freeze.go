package attest

import "slices"

// A Freeze stops releases, and a Lift of it lets them go on. Whoever the roster calls an
// officer, or an owner of the policy, can freeze alone; it takes two of them to lift. Both
// are negative evidence: nobody can leave one out, and one that cannot be read denies.
//
// The subject of a freeze is the SHA-256 of "environment:" and the environment, and that
// of a lift the digest of the freeze's payload.
type Freeze struct {
	Action FreezeAction `json:"action"`
	By     string       `json:"by"` // roster id of the signer
	// Environment is what a freeze stops releases to: one. Repositories and Domains narrow
	// it; empty means all. A domain is one of the policy's domains.yaml.
	Environment  string   `json:"environment,omitempty"`
	Repositories []string `json:"repositories,omitempty"`
	Domains      []string `json:"domains,omitempty"`
	// Until ends a freeze by itself. Without it, only a lift does.
	Until *Time `json:"until,omitempty"`
	// Lifts is the payload digest of the freeze that a lift is about, sha256 hex.
	Lifts    string `json:"lifts,omitempty"`
	Reason   string `json:"reason"`
	FrozenAt Time   `json:"frozenAt"` // or lifted: a claim; the log's time counts
}

// FreezeAction says what a Freeze does. There is no default.
type FreezeAction string

// The actions.
const (
	Frozen FreezeAction = "freeze"
	Lifted FreezeAction = "lift"
)

const maxFreezeList = 100

// Type implements Predicate.
func (f *Freeze) Type() string { return TypeFreeze }

// Validate implements Predicate.
func (f *Freeze) Validate() error {
	err := first(
		oneOf("predicate.action", f.Action, Frozen, Lifted),
		checkID("predicate.by", f.By),
		checkComment("predicate.reason", f.Reason),
		checkTime("predicate.frozenAt", f.FrozenAt),
	)
	if err == nil && f.Reason == "" {
		err = fieldErr("predicate.reason", "is empty: why?")
	}
	if err == nil && len(f.Repositories)+len(f.Domains) > maxFreezeList {
		err = fieldErr("predicate.domains", "and repositories have %d items; the limit is %d", len(f.Repositories)+len(f.Domains), maxFreezeList)
	}
	for _, r := range f.Repositories {
		err = first(err, checkRepository("predicate.repositories", r))
	}
	for _, d := range f.Domains {
		err = first(err, checkID("predicate.domains", d))
	}
	switch {
	case err != nil:
		return err
	case f.Action == Frozen:
		if f.Until != nil && !f.Until.After(f.FrozenAt.Time) {
			return fieldErr("predicate.until", "is not after frozenAt")
		}
		if f.Lifts != "" {
			return fieldErr("predicate.lifts", "is set, and a freeze lifts nothing")
		}
		return checkID("predicate.environment", f.Environment)
	case f.Environment != "" || f.Until != nil || len(f.Repositories)+len(f.Domains) > 0:
		return fieldErr("predicate.lifts", "lifts all of a freeze: environment, repositories, domains and until are the freeze's")
	}
	return checkHex("predicate.lifts", f.Lifts, 64)
}

func (f *Freeze) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	if want := f.subject(); sub.Digest["sha256"] != want {
		return faultErr(SubjectMismatch, "statement.subject.digest.sha256", "is not %s, which the predicate is about", want)
	}
	return nil
}

func (f *Freeze) subject() string {
	if f.Action == Lifted {
		return f.Lifts
	}
	return DigestOf([]byte("environment:" + f.Environment)).String()
}

// NewFreeze is the statement of a freeze or a lift.
func NewFreeze(f *Freeze) *Statement {
	return &Statement{Subjects: []Subject{{Digest: map[string]string{"sha256": f.subject()}}}, Predicate: f}
}

// Covers reports whether a freeze is about releases of a repository to an environment.
func (f *Freeze) Covers(environment, repository string) bool {
	return f.Environment == environment && (len(f.Repositories) == 0 || slices.Contains(f.Repositories, repository))
}
