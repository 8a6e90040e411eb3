package gitfacts

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// ChangeStatement states what a reviewer of base..head sees. about has what git does not
// know: repository, change, target and who opened it. The statement has no time, so the
// same change gives the same bytes.
func (r *Repo) ChangeStatement(ctx context.Context, about attest.Change, base, head ID) (*attest.Statement, *Facts, error) {
	blob, facts, err := r.Change(ctx, base, head)
	if err != nil {
		return nil, nil, fmt.Errorf("read change %s: %w", about.Change.ID, err)
	}
	about.Base, about.Head, about.Objects, about.Paths = string(base), string(head), blob, facts.PathNames()
	return &attest.Statement{Subjects: subjectOf(about.Repository, head, facts.HeadTree), Predicate: &about}, facts, nil
}

// AdmissionStatement states how head, whose merge base with the branch is base, became
// the merged commit, after merging it again; an empty head was not reviewed. about has
// what git does not know: repository, change, target, who merged, and as AdmittedAt what
// time it is now. The statement's time is Told, so the same commit gives the same statement
// whenever it is made; what counts is when the log took it.
func (r *Repo) AdmissionStatement(ctx context.Context, about attest.Admission, merged Commit, base, head ID) (*attest.Statement, *Facts, error) {
	blob, facts, err := r.Admitted(ctx, merged.ID, base)
	if err != nil {
		return nil, nil, fmt.Errorf("read commit %s: %w", short(merged.ID), err)
	}
	bound := Outcome{Binding: attest.BindingUnverifiable, GitVersion: r.version}
	if head != "" {
		if bound, err = r.Bind(ctx, merged.ID, head); err != nil {
			return nil, nil, fmt.Errorf("bind %s to the head of change %s: %w", short(merged.ID), about.Change.ID, err)
		}
	}
	about.Merged, about.ReviewedHead, about.Objects, about.Paths = string(merged.ID), string(head), blob, facts.PathNames()
	about.Binding, about.ReplayClean, about.ResidualPaths = bound.Binding, bound.ReplayClean, bound.ResidualPaths
	about.Strategy, about.GitVersion = bound.Strategy, bound.GitVersion
	about.AdmittedAt = attest.At(Told(merged, about.AdmittedAt.Time))
	about.Parents = nil
	for _, parent := range merged.Parents {
		about.Parents = append(about.Parents, string(parent))
	}
	return &attest.Statement{Subjects: subjectOf(about.Repository, merged.ID, merged.Tree), Predicate: &about}, facts, nil
}

// Told is when a commit says that it was made. One that says a time to come says today
// instead: no log takes a statement of the future, and whoever can push could keep all
// releases waiting for one.
func Told(c Commit, now time.Time) time.Time {
	if c.Committer.When.After(now) {
		return now.UTC().Truncate(24 * time.Hour)
	}
	return c.Committer.When
}

func subjectOf(repository string, commit, tree ID) []attest.Subject {
	return []attest.Subject{{Name: repository, Digest: map[string]string{"gitCommit": string(commit), "gitTree": string(tree)}}}
}
