package attest

import "strings"

// SLSAProvenance is the part of SLSA provenance v1 that links an artifact to its
// source (https://slsa.dev/spec/v1.0/provenance). It is read, not written.
type SLSAProvenance struct {
	BuildDefinition struct {
		BuildType            string         `json:"buildType"`
		ResolvedDependencies []slsaResource `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
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
// exactly one such commit, ok is false: an artifact has one source (TRUST T13).
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
