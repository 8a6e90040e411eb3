package policy

import (
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// source is what one release statement says of an artifact.
type source struct {
	item
	repository, commit, name string
}

// findSource finds the one commit that the artifact was built from.
//
// All statements of authorised builders must agree on the commit, those taken
// back as well: whoever can add a statement or a revocation must not be able to
// choose between two sources.
func (j *judge) findSource() {
	want := j.in.Request.Commit
	if j.in.Request.Artifact == nil {
		if want == "" {
			j.deny(NoRelease, "neither an artifact nor a commit was asked about")
		}
		j.to, j.d.Core.To = want, clean(string(want))
		return
	}
	sources := j.sources(j.in.Request.Artifact.String())
	commits := map[string]bool{}
	for _, s := range sources {
		commits[s.commit] = true
	}
	if len(commits) > 1 && j.on(checkOneSource) || commits[""] {
		j.deny(AmbiguousSource, "builders name more than one source commit for this artifact: it has exactly one")
		return
	}
	var found *source
	for i := range sources {
		s := &sources[i]
		switch {
		case s.repository != j.in.Request.Repository && j.on(checkRepository):
			j.ignore(s.item, verify.WrongScope, "", "says that the artifact comes from repository %s", s.repository)
		case j.revoked(s.item):
			j.ignore(s.item, Revoked, "", "was taken back")
		default:
			if found == nil {
				found = s
			}
			j.builder = append(j.builder, s.by)
			j.cite(s.item, "release")
		}
	}
	if found == nil {
		j.deny(NoRelease, "no builder of the roster says which commit of %s this artifact was built from", j.in.Request.Repository)
		return
	}
	if want != "" && want != gitfacts.ID(found.commit) {
		j.deny(verify.SubjectMismatch, "the artifact was built from %s, not from %s", short(gitfacts.ID(found.commit)), short(want))
		return
	}
	j.to, j.d.Core.To, j.d.Core.Release = gitfacts.ID(found.commit), found.commit, clean(found.name)
}

// sources lists what builders say about an artifact. An empty commit stands for a
// statement that names several.
func (j *judge) sources(artifact string) []source {
	var out []source
	for _, it := range j.releases {
		if !slices.ContainsFunc(it.Statement().Subjects, func(s attest.Subject) bool { return s.Digest["sha256"] == artifact }) {
			continue
		}
		switch p := it.Statement().Predicate.(type) {
		case *attest.Release:
			out = append(out, source{it, p.Repository, p.To, p.Name})
		case *attest.SLSAProvenance:
			repository, commit, ok := p.Source()
			if !ok && !namesCommit(p) {
				j.ignore(it, verify.SubjectMismatch, "", "names no source commit")
				continue
			}
			out = append(out, source{it, repository, commit, ""})
		}
	}
	return out
}

func namesCommit(p *attest.SLSAProvenance) bool {
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		if d.Digest["gitCommit"] != "" {
			return true
		}
	}
	return false
}

// checkBuilder denies when who built also admitted: one party would vouch for both
// ends. People are compared, not keys.
func (j *judge) checkBuilder(admitters []item) {
	for _, a := range admitters {
		if j.on(checkRoles) && slices.ContainsFunc(j.builder, func(b *roster.Principal) bool { return b.ID == a.by.ID }) {
			j.deny(RoleConflict, "%s both built the artifact and admitted commit %s; the two must be apart", a.by.ID, short(gitfacts.ID(a.Statement().Predicate.(*attest.Admission).Merged)))
			return
		}
	}
}
