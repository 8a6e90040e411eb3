package gitfacts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Repo reads a git repository with the git command, in a way that the
// repository and the user's configuration cannot bend: no replace
// refs, grafts, alternates or shallow history, no configuration but ours.
// It is for one goroutine at a time; Close ends its process.
type Repo struct {
	dir     string // as the user named it
	gitDir  string
	objects string // the object folder
	version string // of git
	cat     *catFile
	replay  string // a bare repository of ours, made when first needed
	// lastBase is the newest answer of MergeBase: a change is asked about twice in a row.
	lastBase struct{ a, b, base ID }
}

// ErrNotFound says that a revision or object is not in the repository.
var ErrNotFound = errors.New("not in the repository")

// ErrLimit says that an object or a diff is larger than what is read of it.
var ErrLimit = errors.New("larger than is read")

// Open checks that dir is a repository that can be trusted to show one face.
func Open(ctx context.Context, dir string) (*Repo, error) {
	r := &Repo{dir: dir}
	version, err := r.git(ctx, "version")
	if err != nil {
		return nil, fmt.Errorf("run git: %w", err)
	}
	r.version = strings.TrimPrefix(version, "git version ")
	if r.gitDir, err = r.git(ctx, "rev-parse", "--absolute-git-dir"); err != nil {
		return nil, fmt.Errorf("%s is not a git repository: %w", dir, err)
	}
	common, err := r.git(ctx, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return nil, fmt.Errorf("find the object folder of %s: %w", dir, err)
	}
	r.objects = filepath.Join(common, "objects")
	for _, f := range []struct{ path, why string }{
		{filepath.Join(common, "info", "grafts"), "grafts can show another history; remove them"},
		{filepath.Join(common, "objects", "info", "alternates"), "it borrows objects from elsewhere; make a full clone"},
		{filepath.Join(common, "shallow"), "its history is cut; run: git fetch --unshallow"},
	} {
		if st, err := os.Stat(f.path); err == nil && st.Size() > 0 {
			return nil, fmt.Errorf("%s: %s exists: %s", dir, f.path, f.why)
		}
	}
	if packs, err := filepath.Glob(filepath.Join(globQuote(r.objects), "pack", "*.promisor")); err != nil {
		return nil, fmt.Errorf("look for borrowed packs of %s: %w", dir, err)
	} else if len(packs) > 0 {
		return nil, fmt.Errorf("%s: %s exists: it is a partial clone; make a full one", dir, packs[0])
	}
	return r, nil
}

// globQuote takes the meaning from the characters that patterns give one.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// Version is git's version, which admissions record.
func (r *Repo) Version() string { return r.version }

// Close ends the git process and removes what replay needed.
func (r *Repo) Close() error {
	var errs []error
	if r.cat != nil {
		errs = append(errs, r.cat.close())
	}
	if r.replay != "" {
		errs = append(errs, os.RemoveAll(r.replay))
	}
	return errors.Join(errs...)
}

// environ is the whole environment of every git process.
func environ(extra ...string) []string {
	env := []string{
		"LC_ALL=C", "TZ=UTC", "HOME=" + os.DevNull, "PATH=" + os.Getenv("PATH"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_GRAFT_FILE=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none",
	}
	return append(env, extra...)
}

// command is one git process in the repository.
func (r *Repo) command(ctx context.Context, args ...string) *exec.Cmd {
	fixed := []string{
		"--no-replace-objects", "-c", "safe.directory=*", "-c", "core.attributesFile=" + os.DevNull,
		"-c", "core.commitGraph=false", // a file beside the objects, which can show other parents
		"-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "log.showSignature=false",
		"-C", r.dir,
	}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...)
	cmd.Env = environ()
	return cmd
}

// git runs a command and returns its output without the last line break.
func (r *Repo) git(ctx context.Context, args ...string) (string, error) {
	return output(r.command(ctx, args...))
}

func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if msg := strings.TrimSpace(stderr.String()); msg != "" {
			first, _, _ := strings.Cut(msg, "\n")
			return "", fmt.Errorf("%s: %w", first, err)
		}
		return "", err
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Resolve returns the commit that a revision names.
func (r *Repo) Resolve(ctx context.Context, rev string) (ID, error) {
	if rev == "" || strings.HasPrefix(rev, "-") {
		return "", fmt.Errorf("revision %.80q: %w", rev, ErrNotFound)
	}
	if strings.HasPrefix(rev, "refs/") && !strings.ContainsFunc(rev, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		if id, err := r.resolveRef(ctx, rev); err == nil || !errors.Is(err, ErrNotFound) {
			return id, err
		}
	}
	out, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("revision %.80q: %w (%s); fetch it, or check the name", rev, ErrNotFound, r.dir)
		}
		return "", err
	}
	return ID(out), nil
}

// resolveRef asks the process that is running anyway. A ref that is made while it runs
// may be unknown to it.
func (r *Repo) resolveRef(ctx context.Context, ref string) (ID, error) {
	if err := r.startCatFile(ctx); err != nil {
		return "", err
	}
	return r.cat.resolve(ref + "^{commit}")
}

// Range lists the first-parent commits from (exclusive) to `to`, oldest first.
func (r *Repo) Range(ctx context.Context, from, to ID) ([]ID, error) {
	if from != "" {
		if _, err := r.git(ctx, "merge-base", "--is-ancestor", string(from), string(to)); err != nil {
			return nil, fmt.Errorf("%s is no ancestor of %s", short(from), short(to))
		}
	}
	args := []string{"rev-list", "--first-parent", "--reverse", string(to)}
	if from != "" {
		args = append(args, "^"+string(from))
	}
	out, err := r.git(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("list %s..%s: %w", short(from), short(to), err)
	}
	return ids(out), nil
}

func ids(out string) []ID {
	var list []ID
	for line := range strings.FieldsSeq(out) {
		list = append(list, ID(line))
	}
	return list
}

// MergeBase returns the best common ancestor of two commits. The error is
// ErrNotFound when they share no history.
func (r *Repo) MergeBase(ctx context.Context, a, b ID) (ID, error) {
	if r.lastBase.a == a && r.lastBase.b == b && a != "" {
		return r.lastBase.base, nil
	}
	if base, err := r.fork(ctx, a, b); err != nil || base != "" {
		r.lastBase.a, r.lastBase.b, r.lastBase.base = a, b, base
		return base, err
	}
	out, err := r.git(ctx, "merge-base", string(a), string(b))
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", fmt.Errorf("a commit that %s and %s both come from: %w", short(a), short(b), ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("find the merge base of %s and %s: %w", short(a), short(b), err)
	}
	r.lastBase.a, r.lastBase.b, r.lastBase.base = a, b, ID(out)
	return ID(out), nil
}
