package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

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

// Marshal writes the whole decision in the same encoding.
func (d *Decision) Marshal() ([]byte, error) { return encode(d) }

// ParseDecision reads what Marshal wrote, strictly: unknown or repeated fields are
// refused, and so is anything that would not be written back as the same bytes.
func ParseDecision(b []byte) (*Decision, error) {
	var d Decision
	if err := json.Unmarshal(b, &d, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read decision: %w", err)
	}
	if again, err := d.Marshal(); err != nil || string(again) != string(b) {
		return nil, errors.New("read decision: not in its canonical encoding")
	}
	return &d, nil
}

// Recorded reads the core and annex of a logged decision in the same way.
func Recorded(p *attest.Decision) (*Decision, error) {
	var d Decision
	for _, part := range []struct {
		raw  jsontext.Value
		into any
	}{{p.Core, &d.Core}, {p.Annex, &d.Annex}} {
		if err := json.Unmarshal(part.raw, part.into, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("read recorded decision: %w", err)
		}
	}
	if c := &d.Core; string(c.Verdict) != p.Verdict || c.Repository != p.Repository || c.Environment != p.Environment || c.To != p.To || c.Plan != p.Plan || c.Nonce != p.Nonce || c.glassCase() != p.BreakGlass ||
		!c.DecidedAt.Equal(p.DecidedAt.Time) || !c.ExpiresAt.Equal(p.ExpiresAt.Time) {
		return nil, errors.New("read recorded decision: its core contradicts its predicate")
	}
	return &d, nil
}

// Differences names the parts of two cores that differ, in the order in which
// they are written; none means that they agree to the byte. Whoever checks a
// recorded decision decides again, as of the log view, time and nonce that it
// names, and believes only what comes out: a recorded allow that evidence does not
// support is worth nothing.
func Differences(recorded, computed *Core) ([]string, error) {
	var parts [2][]member
	for i, c := range []*Core{recorded, computed} {
		b, err := encode(c)
		if err != nil {
			return nil, err
		}
		if parts[i], err = members(b); err != nil {
			return nil, err
		}
	}
	var out []string
	find := func(list []member, name string) (jsontext.Value, bool) {
		for _, m := range list {
			if m.name == name {
				return m.value, true
			}
		}
		return nil, false
	}
	for i, list := range parts {
		for _, m := range list {
			other, ok := find(parts[1-i], m.name)
			if (!ok || string(other) != string(m.value)) && !slices.Contains(out, m.name) {
				out = append(out, m.name)
			}
		}
	}
	return out, nil
}

type member struct {
	name  string
	value jsontext.Value
}

// members reads the members of one JSON object, in order.
func members(b []byte) ([]member, error) {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	if _, err := d.ReadToken(); err != nil {
		return nil, fmt.Errorf("read core: %w", err)
	}
	var out []member
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("read core: %w", err)
		}
		m := member{name: name.String()}
		if m.value, err = d.ReadValue(); err != nil {
			return nil, fmt.Errorf("read core: %w", err)
		}
		m.value = m.value.Clone()
		out = append(out, m)
	}
	return out, nil
}

// Statement is the decision as it is signed and logged. Its subjects are the
// commit and, when one was judged, the artifact; or the plan. A decision that did not get as
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
			Repository: c.Repository, Environment: c.Environment, Verdict: string(c.Verdict), To: c.To, Plan: c.Plan, Nonce: c.Nonce, BreakGlass: c.glassCase(),
			DecidedAt: c.DecidedAt, ExpiresAt: c.ExpiresAt, Core: jsontext.Value(core), Annex: jsontext.Value(annex),
		},
	}
	if err := st.Validate(); err != nil {
		return nil, fmt.Errorf("decision of %s for %s: %w", c.Repository, c.Environment, err)
	}
	return st, nil
}

// glassCase is the break-glass case that the decision uses, or empty.
func (c *Core) glassCase() string {
	if c.BreakGlass == nil {
		return ""
	}
	return c.BreakGlass.Case
}

func (d *Decision) subjects() []attest.Subject {
	if d.Core.Plan != "" {
		return []attest.Subject{{Digest: map[string]string{"sha256": d.Core.Plan}}}
	}
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
	levelPlan     = "ORG_COUNTERSIGN_PLAN_ALLOWED"
	levelGlass    = "ORG_COUNTERSIGN_BREAK_GLASS"
)

// Summary is the decision as a SLSA verification summary: a repetition for
// others' tools, which names the logged decision by digest and opens nothing by
// itself. What audit mode would have denied is FAILED, and so is what went
// because somebody broke the glass: rules failed. Its one level says so.
func (d *Decision) Summary(verifier string, logged attest.Digest) (*attest.Statement, error) {
	c := &d.Core
	v := &attest.VSA{
		Verifier: attest.VSAVerifier{ID: verifier}, TimeVerified: c.DecidedAt,
		ResourceURI:        "git+https://" + c.Repository + "@" + c.To,
		Policy:             attest.VSAResource{URI: c.Policy.Name, Digest: map[string]string{"sha256": c.Policy.Digest}},
		InputAttestations:  []attest.VSAResource{{URI: attest.TypeDecision, Digest: map[string]string{"sha256": logged.String()}}},
		VerificationResult: "FAILED", VerifiedLevels: []string{}, SLSAVersion: "1.1",
	}
	if c.Plan != "" {
		v.ResourceURI = "plan+https://" + c.Repository + "@sha256:" + c.Plan
	}
	switch {
	case c.Verdict == AllowBreakGlass:
		v.VerifiedLevels = []string{levelGlass}
	case !d.Passed():
	case c.Plan != "":
		v.VerificationResult, v.VerifiedLevels = "PASSED", []string{levelPlan}
	default:
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
