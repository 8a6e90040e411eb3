package attest

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// SLSAProvenance is the part of SLSA provenance v1 that links an artifact to its
// source (https://slsa.dev/spec/v1.0/provenance). It is read, not written.
type SLSAProvenance struct {
	BuildDefinition struct {
		BuildType            string         `json:"buildType"`
		InternalParameters   jsontext.Value `json:"internalParameters,omitzero"`
		ResolvedDependencies []slsaResource `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata jsontext.Value `json:"metadata,omitzero"`
	} `json:"runDetails"`
}

type slsaResource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// Type implements Predicate.
func (p *SLSAProvenance) Type() string { return TypeSLSAProvenance }

// Validate implements Predicate.
func (p *SLSAProvenance) Validate() error {
	if len(p.BuildDefinition.ResolvedDependencies) > MaxSubjects {
		return faultErr(TooLarge, "predicate.buildDefinition.resolvedDependencies", "has %d items; the limit is %d", len(p.BuildDefinition.ResolvedDependencies), MaxSubjects)
	}
	return first(
		checkName("predicate.buildDefinition.buildType", p.BuildDefinition.BuildType),
		checkName("predicate.runDetails.builder.id", p.RunDetails.Builder.ID),
	)
}

// Source returns the repository and commit of a git dependency
// ("git+https://host/path@ref" with a gitCommit digest). When there is not
// exactly one such commit, ok is false: an artifact has one source.
func (p *SLSAProvenance) Source() (repository, commit string, ok bool) {
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		c := d.Digest["gitCommit"]
		if c == "" {
			continue
		}
		rest, isGit := strings.CutPrefix(d.URI, "git+https://")
		rest, _, _ = strings.Cut(rest, "@")
		rest = strings.TrimSuffix(rest, ".git")
		if commit != "" && commit != c || !isGit || ParseRepository(rest) != nil || checkCommit("", c) != nil {
			return "", "", false
		}
		repository, commit = rest, c
	}
	return repository, commit, commit != ""
}

// agentCommitType is the build type of commits that agents make
// (https://refs.arewm.com/agent-commit), without its version.
const agentCommitType = "https://refs.arewm.com/agent-commit/v"

// AgentCommit returns the agent that made the subject, where the provenance is of the
// build type agent-commit. Parameters that cannot be read leave the agent unnamed.
func (p *SLSAProvenance) AgentCommit() (Agent, bool) {
	if !strings.HasPrefix(p.BuildDefinition.BuildType, agentCommitType) {
		return Agent{}, false
	}
	var internal struct {
		Agent struct {
			Model struct {
				ID string `json:"modelId"`
			} `json:"model"`
			Runtime struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"runtime"`
		} `json:"agent"`
	}
	if decodeLoose("predicate.buildDefinition.internalParameters", p.BuildDefinition.InternalParameters, &internal) != nil || internal.Agent.Runtime.Name == "" {
		return Agent{Tool: "agent"}, true
	}
	a := Agent{Tool: internal.Agent.Runtime.Name, Version: internal.Agent.Runtime.Version, Model: internal.Agent.Model.ID}
	var metadata struct {
		InvocationID string `json:"invocationId"`
	}
	if decodeLoose("predicate.runDetails.metadata", p.RunDetails.Metadata, &metadata) == nil {
		a.SessionID = metadata.InvocationID
	}
	return a, true
}

// VSA is a SLSA verification summary v1
// (https://slsa.dev/spec/v1.1/verification_summary). It repeats a verdict in
// terms that others read. By itself it opens nothing.
type VSA struct {
	Verifier           VSAVerifier   `json:"verifier"`
	TimeVerified       Time          `json:"timeVerified"`
	ResourceURI        string        `json:"resourceUri"`
	Policy             VSAResource   `json:"policy"`
	InputAttestations  []VSAResource `json:"inputAttestations,omitempty"`
	VerificationResult string        `json:"verificationResult"` // PASSED or FAILED
	VerifiedLevels     []string      `json:"verifiedLevels"`
	SLSAVersion        string        `json:"slsaVersion"`
}

// VSAVerifier names who verified.
type VSAVerifier struct {
	ID string `json:"id"`
}

// VSAResource names a document by digest.
type VSAResource struct {
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

// Type implements Predicate.
func (v *VSA) Type() string { return TypeVSA }

// Validate implements Predicate.
func (v *VSA) Validate() error {
	return first(
		checkName("predicate.verifier.id", v.Verifier.ID),
		checkName("predicate.resourceUri", v.ResourceURI),
		oneOf("predicate.verificationResult", v.VerificationResult, "PASSED", "FAILED"),
		checkTime("predicate.timeVerified", v.TimeVerified),
	)
}
