package authorfacts

import (
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// A Signature says whose a bundle is, as far as the caller could find out.
type Signature struct {
	// Who is the roster's id of the signer. It is empty when the signature was not
	// checked, or is nobody's, and then the bundle is worth no more than a declaration.
	Who string
	// IsAgent: the signer is an agent; IsService: a service, such as the platform that
	// ran one.
	IsAgent, IsService bool
}

// Signed are what signed statements say of commits: an authorship/v1, or SLSA
// provenance with the build type agent-commit. Statements about other commits, and of
// other types, say nothing.
func Signed(st *attest.Statement, by Signature, where string, commits map[gitfacts.ID]bool) []Finding {
	var out []Finding
	for _, s := range st.Subjects {
		commit := gitfacts.ID(s.Digest["gitCommit"])
		if !commits[commit] {
			continue
		}
		switch p := st.Predicate.(type) {
		case *attest.Authorship:
			out = append(out, declared(p, by, commit, where)...)
		case *attest.SLSAProvenance:
			if agent, ok := p.AgentCommit(); ok {
				f := Finding{Grade: attest.GradeDeclaration, Origin: attest.OriginAI, Commit: commit, Where: where,
					Tool: strings.ToLower(name(agent.Tool)), Model: name(agent.Model), Version: name(agent.Version), Session: name(agent.SessionID)}
				if by.IsAgent || by.IsService {
					f.Grade = attest.GradeAgentSigned
				}
				f.Detail = signedBy(by, "agent-commit provenance")
				out = append(out, f)
			}
		}
	}
	return out
}

// declared reads an authorship. An agent that signs one was there, whatever it says;
// its evidence is found again where it lies, or is hearsay.
func declared(p *attest.Authorship, by Signature, commit gitfacts.ID, where string) []Finding {
	f := Finding{Grade: attest.GradeDeclaration, Origin: p.Origin, Commit: commit, Where: where, Person: name(p.HumanOperator), Detail: signedBy(by, "declared by "+p.DeclaredBy)}
	if len(p.Agents)+len(p.Evidence) > 0 && p.Origin != attest.OriginMixed {
		f.Origin = attest.OriginAI
	}
	if by.IsAgent {
		f.Grade, f.Origin, f.Tool = attest.GradeAgentSigned, attest.OriginAI, by.Who
	}
	out := []Finding{}
	for _, a := range p.Agents {
		of := f
		of.Tool, of.Model, of.Version, of.Session = strings.ToLower(name(a.Tool)), name(a.Model), name(a.Version), name(a.SessionID)
		out = append(out, of)
	}
	if len(out) == 0 {
		out = append(out, f)
	}
	return out
}

func signedBy(by Signature, what string) string {
	if by.Who == "" {
		return name(what) + "; its signature was not checked"
	}
	return name(what) + ", signed by " + name(by.Who)
}
