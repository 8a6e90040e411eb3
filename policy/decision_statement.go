package policy

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
)

// CoreBytes is Core in its one encoding: what two verifiers compare, and what is
// signed. Lists that are empty are [], never null.
func (d *Decision) CoreBytes() ([]byte, error) { return encode(&d.Core) }

// AnnexBytes is Annex in the same encoding.
func (d *Decision) AnnexBytes() ([]byte, error) { return encode(&d.Annex) }

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(false))
	if err != nil {
		return nil, fmt.Errorf("encode decision: %w", err)
	}
	return b, nil
}

// Statement is the decision as it is signed and logged. Its subjects are the
// commit and, when one was judged, the artifact. A decision that did not get as
// far as a commit cannot be logged, and is an error here.
func (d *Decision) Statement() (*attest.Statement, error) {
	core, err := d.CoreBytes()
	if err != nil {
		return nil, err
	}
	annex, err := d.AnnexBytes()
	if err != nil {
		return nil, err
	}
	c := &d.Core
	st := &attest.Statement{
		Subjects: d.subjects(),
		Predicate: &attest.Decision{
			Repository: c.Repository, Environment: c.Environment, Verdict: string(c.Verdict), To: c.To, Nonce: c.Nonce,
			DecidedAt: c.DecidedAt, ExpiresAt: c.ExpiresAt, Core: jsontext.Value(core), Annex: jsontext.Value(annex),
		},
	}
	if err := st.Validate(); err != nil {
		return nil, fmt.Errorf("decision of %s for %s: %w", c.Repository, c.Environment, err)
	}
	return st, nil
}

func (d *Decision) subjects() []attest.Subject {
	out := []attest.Subject{{Digest: map[string]string{"gitCommit": d.Core.To}}}
	if d.Core.Artifact != "" {
		out = append(out, attest.Subject{Name: d.Core.Release, Digest: map[string]string{"sha256": d.Core.Artifact}})
	}
	return out
}

// The levels of a summary (SLSA source track, and ours).
const (
	levelTwoParty = "SLSA_SOURCE_TWO_PARTY_REVIEWED"
	levelAllowed  = "ORG_SOURCE_COUNTERSIGN_ALLOWED"
)

// Summary is the decision as a SLSA verification summary: a repetition for
// others' tools, which names the logged decision by digest and opens nothing by
// itself. What audit mode would have denied is FAILED (TRUST T15).
func (d *Decision) Summary(verifier string, logged attest.Digest) (*attest.Statement, error) {
	c := &d.Core
	v := &attest.VSA{
		Verifier: attest.VSAVerifier{ID: verifier}, TimeVerified: c.DecidedAt,
		ResourceURI:        "git+https://" + c.Repository + "@" + c.To,
		Policy:             attest.VSAResource{URI: c.Policy.Name, Digest: map[string]string{"sha256": c.Policy.Digest}},
		InputAttestations:  []attest.VSAResource{{URI: attest.TypeDecision, Digest: map[string]string{"sha256": logged.String()}}},
		VerificationResult: "FAILED", VerifiedLevels: []string{}, SLSAVersion: "1.1",
	}
	if d.Passed() {
		v.VerificationResult, v.VerifiedLevels = "PASSED", []string{levelAllowed}
		if d.twoParty() {
			v.VerifiedLevels = append(v.VerifiedLevels, levelTwoParty)
		}
	}
	st := &attest.Statement{Subjects: d.subjects(), Predicate: v}
	if err := st.Validate(); err != nil {
		return nil, fmt.Errorf("summary of %s: %w", c.Repository, err)
	}
	return st, nil
}

// twoParty reports whether every change was approved by somebody who did not
// write it, on the revision that was merged.
func (d *Decision) twoParty() bool {
	for i := range d.Core.Changes {
		if len(d.Core.Changes[i].Approved) == 0 {
			return false
		}
	}
	return true
}
