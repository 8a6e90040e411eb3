package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/countersign-dev/countersign/attest/cifacts"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// needs is what the clone must have.
type needs struct {
	commits []string
	target  string   // branch, by the forge's name
	changes []string // whose heads are needed
	ranged  bool     // and those of the commits between the two
}

// lack is what the clone does not have.
type lack struct {
	shallow bool
	refs    []string // refspecs, or commits
}

func (l lack) none() bool { return !l.shallow && len(l.refs) == 0 }

// fetch is the command that gets it.
func (l lack) fetch(repo, remote string) []string {
	args := []string{"git", "-C", repo, "fetch", "--no-tags"}
	if l.shallow {
		args = append(args, "--unshallow")
	}
	return append(append(args, remote), l.refs...)
}

// complete looks for what is needed, and fetches what is not there where that was asked
// for. What the forge does not have either stays missing, and the step says so.
func (r *ciRun) complete(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		l, err := r.lacks(ctx)
		if err != nil || l.none() {
			return err
		}
		if !r.flags.fetch || attempt == 3 {
			if attempt > 0 && !l.shallow && r.flags.missingHeads {
				return nil
			}
			return wrong("%s", r.fetchAdvice(l))
		}
		if err := r.get(ctx, l); err != nil {
			return err
		}
	}
}

// lacks finds what is missing. Of a history that is cut nothing else can be said.
func (r *ciRun) lacks(ctx context.Context) (lack, error) {
	var l lack
	shallow, err := r.git(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return l, wrong("--repo: %s is no git repository: %v", r.flags.repo, err)
	}
	if shallow == "true" {
		l.shallow = true
		if r.needs.ranged {
			all := strings.ReplaceAll(r.job.Heads, "{id}", "*")
			l.refs = []string{"+" + all + ":" + all}
		}
		return l, nil
	}
	repo, err := gitfacts.Open(ctx, r.flags.repo)
	if err != nil {
		return l, wrong("--repo: %v", err)
	}
	defer repo.Close()
	missing := func(rev string) bool {
		_, err := repo.Resolve(ctx, rev)
		return err != nil
	}
	for _, id := range r.needs.changes {
		if ref := gitfacts.HeadRef(r.job.Heads, id); missing(r.job.Head) {
			l.refs = append(l.refs, "+"+ref+":"+ref)
		}
	}
	if ref := r.tracking(r.needs.target); r.needs.target != "" && missing(ref) {
		l.refs = append(l.refs, "+"+r.needs.target+":"+ref)
	}
	for _, c := range r.needs.commits {
		if len(r.needs.changes) == 0 && missing(c) {
			l.refs = append(l.refs, c)
		}
	}
	if r.needs.ranged && len(l.refs) == 0 {
		l.refs, err = r.missingHeads(ctx, repo)
	}
	return l, err
}

// missingHeads are the reviewed heads that commits of the range name and the clone lacks.
func (r *ciRun) missingHeads(ctx context.Context, repo *gitfacts.Repo) ([]string, error) {
	from, err := r.fork(ctx)
	if err != nil {
		return nil, err
	}
	commits, err := revisions(ctx, repo, from+".."+r.job.Head)
	if errors.Is(err, errNoCommit) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pattern, err := changeIDPattern(r.job.ChangeID)
	if err != nil {
		return nil, err
	}
	var refs []string
	for _, id := range commits {
		merged, err := repo.Commit(ctx, id)
		if err != nil {
			return nil, err
		}
		change := changeIn(pattern, merged, r.job.InMessage)
		if change == "" {
			continue
		}
		ref := gitfacts.HeadRef(r.job.Heads, change)
		if _, err := repo.Resolve(ctx, ref); err != nil {
			refs = append(refs, "+"+ref+":"+ref)
		}
	}
	return refs, nil
}

// fork is where the range begins: the commit before, or, where a push took commits away,
// the last that both have.
func (r *ciRun) fork(ctx context.Context) (string, error) {
	repo, err := gitfacts.Open(ctx, r.flags.repo)
	if err != nil {
		return "", wrong("--repo: %v", err)
	}
	defer repo.Close()
	var ends [2]gitfacts.ID
	for i, rev := range []string{r.job.Before, r.job.Head} {
		if ends[i], err = repo.Resolve(ctx, rev); err != nil {
			return "", wrong("%v", err)
		}
	}
	base, err := repo.MergeBase(ctx, ends[0], ends[1])
	if err != nil {
		return "", wrong("%v", err)
	}
	if base != ends[0] {
		r.job.Note("before", string(base), "the push took commits away; the last that stayed")
	}
	return string(base), nil
}

// checkedOut refuses to release from a checkout of another commit.
func (r *ciRun) checkedOut(ctx context.Context) error {
	here, err := r.git(ctx, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return wrong("--repo: %v", err)
	}
	there, err := r.git(ctx, "rev-parse", "--verify", "--end-of-options", r.job.Head+"^{commit}")
	if err != nil {
		return wrong("--repo: %v", err)
	}
	if here != there {
		return wrong("%s is at %.12s, and release %s is of %.12s: what was the artifact built from?\nWhere it was built elsewhere, say so with: countersign attest release", r.flags.repo, here, r.job.Tag, there)
	}
	return nil
}

// fetchAdvice says how the clone gets what it lacks.
func (r *ciRun) fetchAdvice(l lack) string {
	var b strings.Builder
	if l.shallow {
		fmt.Fprintf(&b, "%s is a shallow clone: its history is cut, and nothing can be proven from it\n", r.flags.repo)
		switch r.job.CI {
		case cifacts.GitLab:
			b.WriteString("In the job: variables: {GIT_DEPTH: 0}\n")
		case cifacts.Shell:
		default:
			b.WriteString("With actions/checkout: fetch-depth: 0\n")
		}
	} else {
		var refs []string
		for _, spec := range l.refs {
			theirs, _, _ := strings.Cut(strings.TrimPrefix(spec, "+"), ":")
			refs = append(refs, theirs)
		}
		fmt.Fprintf(&b, "The clone in %s lacks %s\n", r.flags.repo, strings.Join(refs, ", "))
	}
	b.WriteString("Fetch it, or let --fetch do it: " + shellWords(l.fetch(r.flags.repo, r.flags.remote)))
	if !l.shallow && r.needs.ranged {
		b.WriteString("\nHeads that the forge does not have either are admitted as unreviewed with --missing-heads")
	}
	return b.String()
}

// get runs git fetch; where that fails, once for each ref, because a title may name
// a change that there never was.
func (r *ciRun) get(ctx context.Context, l lack) error {
	args := l.fetch(r.flags.repo, r.flags.remote)
	r.notef("%s\n", shellWords(args))
	err := r.exec(ctx, args)
	if err == nil {
		return nil
	}
	if len(l.refs) < 2 || l.shallow {
		if r.flags.missingHeads && r.needs.ranged && !l.shallow {
			return nil
		}
		return wrong("%s: %v", shellWords(args), err)
	}
	for _, ref := range l.refs {
		if err := r.exec(ctx, lack{refs: []string{ref}}.fetch(r.flags.repo, r.flags.remote)); err != nil && !r.flags.missingHeads {
			return wrong("%s: %v", shellWords(args), err)
		}
	}
	return nil
}

// exec runs a command that may talk to the forge. It gets nothing of ours.
func (r *ciRun) exec(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "COUNTERSIGN_") && !strings.HasPrefix(v, "ACTIONS_ID_TOKEN") && !strings.HasPrefix(v, tokenItself+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		last := strings.TrimSpace(string(out))
		return fmt.Errorf("%s (%w)", printable(last[strings.LastIndexByte(last, '\n')+1:], 200), err)
	}
	return nil
}

// git asks the clone something.
func (r *ciRun) git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", r.flags.repo}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}

// fromClone adds what the clone says where no CI does. What it does not say is not there.
func (r *ciRun) fromClone(ctx context.Context) {
	j := r.job
	if j.Repository == "" {
		if remote, err := r.git(ctx, "config", "--get", "remote."+r.flags.remote+".url"); err == nil && cifacts.RepositoryOf(remote) != "" {
			j.Repository = cifacts.RepositoryOf(remote)
			j.Note("repository", j.Repository, "git: remote "+r.flags.remote)
		}
	}
	if j.Head == "" {
		if head, err := r.git(ctx, "rev-parse", "--verify", "HEAD^{commit}"); err == nil {
			j.Head = head
			j.Note("head", head, "git: HEAD")
		}
	}
	if j.Target == "" && r.flags.targetRef == "" && j.Kind != cifacts.Tag && r.flags.release == "" {
		if head, err := r.git(ctx, "symbolic-ref", "refs/remotes/"+r.flags.remote+"/HEAD"); err == nil {
			j.Target = "refs/heads/" + strings.TrimPrefix(head, "refs/remotes/"+r.flags.remote+"/")
			j.Note("branch", j.Target, "git: HEAD of "+r.flags.remote)
		} else if branch, err := r.git(ctx, "symbolic-ref", "HEAD"); err == nil {
			j.Target = branch
			j.Note("branch", branch, "git: HEAD")
		}
	}
}
