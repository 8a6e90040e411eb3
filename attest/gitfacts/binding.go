package gitfacts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
)

// Outcome says how a reviewed head became a merged commit.
type Outcome struct {
	Binding       attest.Binding
	ReplayClean   bool
	ResidualPaths []string // what the merge holds beyond the replay
	Strategy      string
	GitVersion    string
}

// Bind merges head into the merged commit's first parent again and compares,
// strongest outcome first. Identity counts only where replay is clean as well: an
// old head's tree on top of the branch looks identical and reverts what came
// between.
func (r *Repo) Bind(ctx context.Context, merged, head ID) (Outcome, error) {
	o := Outcome{Binding: attest.BindingUnverifiable, Strategy: "ort", GitVersion: r.version}
	m, err := r.Commit(ctx, merged)
	if err != nil {
		return o, err
	}
	h, err := r.Commit(ctx, head)
	if err != nil {
		return o, err
	}
	if len(m.Parents) == 0 {
		return o, nil
	}
	base, err := r.MergeBase(ctx, m.Parents[0], head)
	if errors.Is(err, ErrNotFound) {
		return o, nil // two histories: nothing can be merged again
	}
	if err != nil {
		return o, err
	}
	replayed, err := r.mergeTree(ctx, m.Parents[0], head)
	if err != nil {
		return o, err
	}
	o.ReplayClean = replayed == m.Tree
	switch {
	case o.ReplayClean && h.Tree == m.Tree:
		o.Binding = attest.BindingIdentity
	case o.ReplayClean:
		o.Binding = attest.BindingReplay
	default:
		if err := r.bindLoosely(ctx, &o, m, base, head, replayed); err != nil {
			return o, err
		}
	}
	return o, nil
}

// bindLoosely is Bind for a merge that replay does not explain.
func (r *Repo) bindLoosely(ctx context.Context, o *Outcome, m Commit, base, head, replayed ID) error {
	want, err := r.patchID(ctx, base, head)
	if err != nil {
		return err
	}
	got, err := r.patchID(ctx, m.Parents[0], m.ID)
	if err != nil {
		return err
	}
	if want == got && want != "" {
		o.Binding = attest.BindingPatch
		return nil
	}
	o.Binding = attest.BindingResidual
	from := replayed
	if from == "" { // conflicts: compare with what was reviewed
		from = head
	}
	cmd, err := r.replayCommand(ctx, m.ID, "diff-tree", "-r", "-z", "--no-renames", "--name-only", string(from), string(m.Tree))
	if err != nil {
		return err
	}
	out, err := output(cmd)
	if err != nil {
		return fmt.Errorf("list what %s holds beyond the review: %w", short(m.ID), err)
	}
	o.ResidualPaths = strings.FieldsFunc(out, func(r rune) bool { return r == 0 })
	slices.Sort(o.ResidualPaths)
	return nil
}

// mergeTree returns the tree of merging head into onto, or "" on conflict. It
// runs in a bare repository of our own that borrows the objects, so neither the
// judged repository's configuration nor its merge drivers have a say.
func (r *Repo) mergeTree(ctx context.Context, onto, head ID) (ID, error) {
	cmd, err := r.replayCommand(ctx, onto, "merge-tree", "--write-tree", "--no-messages", string(onto), string(head))
	if err != nil {
		return "", err
	}
	out, err := output(cmd)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ID(out), nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return "", nil
	default:
		return "", fmt.Errorf("replay %s onto %s (git merge-tree --write-tree needs git 2.38, this is %s): %w", short(head), short(onto), r.version, err)
	}
}

// patchID returns the stable patch id of a diff; "" when it is empty.
func (r *Repo) patchID(ctx context.Context, a, b ID) (string, error) {
	diff, err := r.replayCommand(ctx, a, "diff-tree", "-p", "--no-ext-diff", "--no-textconv", "--full-index", "-M", string(a), string(b))
	if err != nil {
		return "", err
	}
	text, err := diff.Output()
	if err != nil {
		return "", fmt.Errorf("diff %s %s: %w", short(a), short(b), err)
	}
	id, err := r.replayCommand(ctx, a, "patch-id", "--stable")
	if err != nil {
		return "", err
	}
	id.Stdin = strings.NewReader(string(text))
	out, err := output(id)
	if err != nil {
		return "", fmt.Errorf("patch id of %s: %w", short(b), err)
	}
	first, _, _ := strings.Cut(out, " ")
	return first, nil
}

// replayCommand is a git process in our own bare repository.
func (r *Repo) replayCommand(ctx context.Context, like ID, args ...string) (*exec.Cmd, error) {
	if r.replay == "" {
		dir, err := r.makeReplay(ctx, len(like) == 64)
		if err != nil {
			return nil, fmt.Errorf("make a repository to replay in: %w", err)
		}
		r.replay = dir
	}
	fixed := []string{
		"--no-replace-objects", "-c", "core.commitGraph=false", "-c", "core.attributesFile=" + os.DevNull,
		"-c", "merge.renames=true", "-c", "merge.directoryRenames=conflict",
		"-c", "merge.conflictStyle=merge", "-c", "diff.renames=true", "-c", "diff.algorithm=myers", "-c", "diff.renameLimit=1000", "-c", "merge.renameLimit=7000",
		"--git-dir=" + r.replay,
	}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...)
	cmd.Env = environ()
	return cmd, nil
}

// makeReplay makes a bare repository that borrows the objects of the judged one.
// The loan is written to a file, for a path in the environment ends at a colon.
func (r *Repo) makeReplay(ctx context.Context, isSHA256 bool) (string, error) {
	if strings.Contains(r.objects, "\n") {
		return "", fmt.Errorf("%q has a line break in its path", r.objects)
	}
	dir, err := os.MkdirTemp("", "countersign-replay-")
	if err != nil {
		return "", err
	}
	format := "sha1"
	if isSHA256 {
		format = "sha256"
	}
	initialise := exec.CommandContext(ctx, "git", "init", "--quiet", "--bare", "--template=", "--object-format="+format, dir)
	initialise.Env = environ()
	_, err = output(initialise)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "objects", "info", "alternates"), []byte(r.objects+"\n"), 0o600)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}
