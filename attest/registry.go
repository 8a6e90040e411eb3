package attest

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// parsePredicate reads a predicate by its type: ours strictly, SLSA's for the
// fields that we use, others as they are.
func parsePredicate(typ string, raw jsontext.Value) (Predicate, error) {
	if len(raw) == 0 || raw.Kind() != '{' {
		return nil, fieldErr("predicate", "is not a JSON object")
	}
	switch typ {
	case TypeChange:
		return parseOwn(raw, &Change{})
	case TypeAuthorship:
		return parseOwn(raw, &Authorship{})
	case TypeRisk:
		return parseOwn(raw, &Risk{})
	case TypeApproval:
		return parseOwn(raw, &Approval{})
	case TypeAdmission:
		return parseOwn(raw, &Admission{})
	case TypeRelease:
		return parseOwn(raw, &Release{})
	case TypeDeployment:
		return parseOwn(raw, &Deployment{})
	case TypeOperation:
		return parseOwn(raw, &Operation{})
	case TypeAgentPermissions:
		return parseOwn(raw, &AgentPermissions{})
	case TypeIncident:
		return parseOwn(raw, &Incident{})
	case TypeDeepDive:
		return parseOwn(raw, &DeepDive{})
	case TypeCohortSnapshot:
		return parseOwn(raw, &CohortSnapshot{})
	case TypeRevocation:
		return parseOwn(raw, &Revocation{})
	case TypeFreeze:
		return parseOwn(raw, &Freeze{})
	case TypeBreakGlass:
		return parseOwn(raw, &BreakGlass{})
	case TypeGap:
		return parseOwn(raw, &Gap{})
	case TypePolicy:
		return parseOwn(raw, &Policy{})
	case TypeDecision:
		return parseOwn(raw, &Decision{})
	case TypeAttachment:
		return parseOwn(raw, &Attachment{})
	case TypeImport:
		return parseOwn(raw, &Import{})
	case TypeSLSAProvenance:
		return parseForeign(raw, &SLSAProvenance{})
	case TypeLink:
		return parseForeign(raw, &Link{})
	case TypeVSA:
		return parseForeign(raw, &VSA{})
	}
	return &Foreign{PredicateType: typ, Raw: raw.Clone()}, nil
}

func parseOwn(raw jsontext.Value, p Predicate) (Predicate, error) {
	return p, decode("predicate", raw, p)
}

func parseForeign(raw jsontext.Value, p Predicate) (Predicate, error) {
	return p, decodeLoose("predicate", raw, p)
}

func marshalPredicate(p Predicate) (jsontext.Value, error) {
	if f, ok := p.(*Foreign); ok {
		return f.Raw, nil
	}
	raw, err := json.Marshal(p, json.Deterministic(true), json.FormatNilSliceAsNull(false))
	if err != nil {
		return nil, fieldErr("predicate", "%v", err)
	}
	return raw, nil
}

// ShortTypes maps the short names of our predicates, as rosters and commands
// use them, to their types.
var ShortTypes = map[string]string{
	"change": TypeChange, "authorship": TypeAuthorship, "risk": TypeRisk,
	"approval": TypeApproval, "admission": TypeAdmission, "release": TypeRelease,
	"deployment": TypeDeployment, "operation": TypeOperation, "agent-permissions": TypeAgentPermissions,
	"incident": TypeIncident, "deep-dive": TypeDeepDive, "cohort-snapshot": TypeCohortSnapshot, "revocation": TypeRevocation, "freeze": TypeFreeze, "break-glass": TypeBreakGlass, "gap": TypeGap, "policy": TypePolicy,
	"decision": TypeDecision, "attachment": TypeAttachment, "import": TypeImport,
	"slsa-provenance": TypeSLSAProvenance, "link": TypeLink, "vsa": TypeVSA,
}

// Foreign is a predicate of a type that we know nothing about. It is kept and
// found, and counts for nothing.
type Foreign struct {
	PredicateType string
	Raw           jsontext.Value
}

// Type implements Predicate.
func (f *Foreign) Type() string { return f.PredicateType }

// Validate implements Predicate: nothing can be said of a foreign predicate.
func (f *Foreign) Validate() error { return nil }
