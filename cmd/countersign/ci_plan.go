package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/countersign-dev/countersign/attest/cifacts"
)

// plan turns the job into steps.
func (r *ciRun) plan() error {
	j, f := r.job, &r.flags
	if gate := len(r.artifacts) > 0 || f.environment != ""; gate && j.Kind != cifacts.Tag {
		return wrong("%s is no release, so nothing says whether it may go to %s\nLeave ARTIFACT and --environment out for such jobs, or name the release with --release", r.about(), onlyElse(j.Environment, "an environment"))
	}
	switch j.Kind {
	case cifacts.Change:
		r.planChange()
	case cifacts.Group:
		r.planRange(true)
	case cifacts.Push:
		if j.Before == "" {
			return wrong("the push to %s begins nowhere, as the first one of a branch does\nName the last commit that is not new: --from REV", j.Target)
		}
		if j.Kept {
			r.planRange(false)
		}
	case cifacts.Tag:
		return r.planRelease()
	default:
		if j.CI != cifacts.Shell && strings.HasPrefix(j.Why, "the push deleted") {
			return nil
		}
		return wrong("%s\nSay it with --change ID, --from REV or --release NAME", j.Why)
	}
	return nil
}

func (r *ciRun) planChange() {
	j := r.job
	r.needs = needs{commits: []string{j.Head}, target: j.Target, changes: []string{j.Change}}
	f := r.ranging()
	f.changesOnly = true
	r.add(&ciStep{
		what: "attest change " + j.Change + " at " + j.Head,
		args: []string{"attest", "change", j.Change, "--head", j.Head, "--target", r.tracking(j.Target), "--target-ref", j.Target},
		do: func(ctx context.Context, a *app) error {
			return a.attestReviewed(ctx, j.Change, j.Head, r.tracking(j.Target), f)
		},
	})
}

func (r *ciRun) planRange(changesOnly bool) {
	j := r.job
	r.needs = needs{commits: []string{j.Before, j.Head}, ranged: true}
	f := r.ranging()
	what, args := "attest the commits of ", []string{"attest", "range", j.Before + ".." + j.Head, "--heads", j.Heads, "--target-ref", j.Target}
	if f.changesOnly = changesOnly; changesOnly {
		what, args = "attest the changes of ", append(args, "--changes-only")
	}
	if j.InMessage {
		args = append(args, "--change-id-in", "message")
	}
	r.add(&ciStep{
		what: what + j.Before + ".." + j.Head,
		args: append(args, "--change-id", j.ChangeID),
		do: func(ctx context.Context, a *app) error {
			from, err := r.fork(ctx)
			if err != nil {
				return err
			}
			err = a.attestRange(ctx, from+".."+j.Head, f)
			if errors.Is(err, errNoCommit) { // commits were taken away, and none came
				if !a.json() {
					a.printf("no commit is new\n")
				}
				return nil
			}
			return err
		},
	})
}

func (r *ciRun) planRelease() error {
	j, f := r.job, &r.flags
	switch {
	case len(r.artifacts) == 0:
		return wrong("which files does release %s consist of? Name them: countersign ci ARTIFACT…", j.Tag)
	case f.noVerify:
	case j.Environment == "":
		return wrong("where is release %s to go? Name it with --environment; with --no-verify it is attested, and another job is the gate", j.Tag)
	}
	r.needs = needs{commits: []string{j.Head}}
	release := releasing{repo: f.repo, repository: j.Repository, name: j.Tag, to: j.Head, signing: signing{key: f.key}}
	r.add(&ciStep{
		what: "attest release " + j.Tag + " of " + j.Head,
		args: append([]string{"attest", "release", "--name", j.Tag, "--to", j.Head}, r.artifacts...),
		do: func(ctx context.Context, a *app) error {
			if err := r.checkedOut(ctx); err != nil {
				return err
			}
			return a.attestRelease(ctx, r.artifacts, release)
		},
	})
	for _, artifact := range r.artifacts {
		if f.noVerify {
			break
		}
		args := []string{"verify", artifact, "--environment", j.Environment}
		if f.trust != "" {
			args = append(args, "--trust", f.trust)
		}
		r.add(&ciStep{
			what: "verify " + filepath.Base(artifact) + " for " + j.Environment, gate: true, args: args,
			do: func(ctx context.Context, a *app) error {
				return a.verify(ctx, artifact, verifying{environment: j.Environment, repository: j.Repository, trust: f.trust})
			},
		})
	}
	return nil
}

// ranging is what attest range is told.
func (r *ciRun) ranging() ranging {
	j, f := r.job, &r.flags
	g := ranging{
		repository: j.Repository, targetRef: j.Target, key: f.key, as: f.as,
		missingHeads: f.missingHeads, noAuthorship: f.noAuthorship, searching: defaultSearching(),
	}
	g.repo, g.heads, g.changeID, g.inMessage = f.repo, j.Heads, j.ChangeID, j.InMessage
	return g
}

// tracking is where the clone has a branch of the forge.
func (r *ciRun) tracking(ref string) string {
	return "refs/remotes/" + r.flags.remote + "/" + strings.TrimPrefix(ref, "refs/heads/")
}

// about names the job for messages.
func (r *ciRun) about() string {
	j := r.job
	switch j.Kind {
	case cifacts.Change:
		return "change " + j.Change
	case cifacts.Group:
		return "a merge group for " + j.Target
	case cifacts.Push:
		return "a push to " + j.Target
	case cifacts.Tag:
		return "release " + j.Tag
	}
	return "this job (" + j.Why + ")"
}

func onlyElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
