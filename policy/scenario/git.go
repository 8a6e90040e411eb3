package scenario

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// commit is one commit of a story's repository.
type commit struct {
	label, author, committer string
	parents                  []string // labels
	message                  string
	files                    []file
	head                     string // of a squash or merge: the label of what was reviewed
}

type file struct{ path, mode, content string }

// history is a story's real git repository.
type history struct {
	commits []*commit
	byLabel map[string]*commit
	ids     map[string]gitfacts.ID
	repo    *gitfacts.Repo
	// What git was asked already, by question.
	captured map[string]capture
	outcomes map[string]gitfacts.Outcome
	bases    map[string]gitfacts.ID
}

type capture struct {
	blob  []byte
	paths []string
}

// ask answers a question once.
func ask[T any](answers map[string]T, question string, find func() (T, error)) (T, error) {
	if a, ok := answers[question]; ok {
		return a, nil
	}
	a, err := find()
	if err == nil {
		answers[question] = a
	}
	return a, err
}

func (h *history) change(base, head gitfacts.ID) (capture, error) {
	return ask(h.captured, fmt.Sprint("change ", base, head), func() (capture, error) {
		return captured(h.repo.Change(context.Background(), base, head))
	})
}

func (h *history) admitted(merged, reach gitfacts.ID) (capture, error) {
	return ask(h.captured, fmt.Sprint("admitted ", merged, reach), func() (capture, error) {
		return captured(h.repo.Admitted(context.Background(), merged, reach))
	})
}

func captured(blob []byte, facts *gitfacts.Facts, err error) (capture, error) {
	if err != nil {
		return capture{}, err
	}
	return capture{blob, facts.PathNames()}, nil
}

func (h *history) bind(merged, head gitfacts.ID) (gitfacts.Outcome, error) {
	return ask(h.outcomes, fmt.Sprint(merged, head), func() (gitfacts.Outcome, error) { return h.repo.Bind(context.Background(), merged, head) })
}

func (h *history) mergeBase(a, b gitfacts.ID) (gitfacts.ID, error) {
	return ask(h.bases, fmt.Sprint(a, b), func() (gitfacts.ID, error) { return h.repo.MergeBase(context.Background(), a, b) })
}

// repositories remembers those that several stories share: most differ only in
// what is said about the same commits. A gitfacts.Repo is for one goroutine.
var repositories struct {
	mu   sync.Mutex // guards the rest, and every repo in it
	byID map[string]*history
	dir  string
}

// address writes a person as git does: a name of the cast, or an address.
func address(who string) string {
	if i := strings.IndexByte(who, '@'); i > 0 {
		return who[:i] + " <" + who + ">"
	}
	switch who {
	case "claude", "robin", "rover":
		return who + " <" + who + "@agents.example.com>"
	}
	return who + " <" + who + "@example.com>"
}

// stream is the repository as git fast-import reads it.
func stream(commits []*commit) string {
	var b strings.Builder
	marks := make(map[string]int)
	for i, c := range commits {
		marks[c.label] = i + 1
		when := Start.Add(-24*time.Hour + time.Duration(i)*time.Minute).Unix()
		fmt.Fprintf(&b, "commit refs/heads/%s\nmark :%d\nauthor %s %d +0000\ncommitter %s %d +0000\ndata %d\n%s\n",
			c.label, i+1, address(c.author), when, address(c.committer), when, len(c.message), c.message)
		for k, p := range c.parents {
			fmt.Fprintf(&b, "%s :%d\n", map[bool]string{true: "from", false: "merge"}[k == 0], marks[p])
		}
		for _, f := range c.files {
			switch f.mode {
			case "delete":
				fmt.Fprintf(&b, "D %s\n", f.path)
			default:
				fmt.Fprintf(&b, "M %s inline %s\ndata %d\n%s\n", f.mode, f.path, len(f.content), f.content)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// openHistory makes the repository of some commits, or finds it made already.
func openHistory(commits []*commit) (*history, error) {
	text := stream(commits)
	if h := repositories.byID[text]; h != nil {
		return h, nil
	}
	if repositories.byID == nil {
		dir, err := os.MkdirTemp("", "countersign-scenario-")
		if err != nil {
			return nil, err
		}
		repositories.dir, repositories.byID = dir, make(map[string]*history)
	}
	h := &history{
		commits: commits, byLabel: make(map[string]*commit), ids: make(map[string]gitfacts.ID),
		captured: make(map[string]capture), outcomes: make(map[string]gitfacts.Outcome), bases: make(map[string]gitfacts.ID),
	}
	dir := filepath.Join(repositories.dir, fmt.Sprint(len(repositories.byID)))
	if err := git("", "", "init", "--quiet", "--bare", "--template=", dir); err != nil {
		return nil, err
	}
	if err := git(dir, text, "fast-import", "--quiet"); err != nil {
		return nil, err
	}
	var err error
	if h.repo, err = gitfacts.Open(context.Background(), dir); err != nil {
		return nil, err
	}
	for _, c := range commits {
		h.byLabel[c.label] = c
		if h.ids[c.label], err = h.repo.Resolve(context.Background(), "refs/heads/"+c.label); err != nil {
			return nil, err
		}
	}
	repositories.byID[text] = h
	return h, nil
}

// Clean removes the repositories. A TestMain calls it last.
func Clean() error {
	repositories.mu.Lock()
	defer repositories.mu.Unlock()
	for _, h := range repositories.byID {
		_ = h.repo.Close()
	}
	repositories.byID = nil
	if repositories.dir == "" {
		return nil
	}
	return os.RemoveAll(repositories.dir)
}

func git(dir, input string, args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}
