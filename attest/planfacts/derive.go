package planfacts

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// A Tool is an installed Terraform or OpenTofu.
type Tool struct {
	Path   string
	Source attest.OperationSource
	// Dir is the folder of the configuration, initialised with the providers whose
	// schemas the plan needs. The tool starts those providers to read the plan.
	Dir string
}

// ErrNoTool says that neither Terraform nor OpenTofu is installed.
var ErrNoTool = errors.New("neither terraform nor tofu is installed")

// FindTool looks for a tool: by name or path, or any when name is empty.
func FindTool(name, dir string) (*Tool, error) {
	names := []string{name}
	if name == "" {
		names = []string{"terraform", "tofu"}
	}
	for _, n := range names {
		path, err := exec.LookPath(n)
		if err != nil {
			continue
		}
		// The tool runs in another folder.
		if path, err = filepath.Abs(path); err != nil {
			return nil, fmt.Errorf("find %s: %w", n, err)
		}
		t := &Tool{Path: path, Source: attest.TerraformPlan, Dir: dir}
		if strings.Contains(filepath.Base(path), "tofu") {
			t.Source = attest.OpenTofuPlan
		}
		return t, nil
	}
	if name != "" {
		return nil, fmt.Errorf("%w: %s", ErrNoTool, name)
	}
	return nil, ErrNoTool
}

// Derive lets the tool read a plan file, and returns what the plan does with the
// digest of exactly the bytes that the tool was given: a copy, which nobody else can
// change meanwhile.
func (t *Tool) Derive(ctx context.Context, plan string) (*Facts, attest.Digest, error) {
	var digest attest.Digest
	dir, err := os.MkdirTemp("", "countersign-plan-")
	if err != nil {
		return nil, digest, fmt.Errorf("copy plan: %w", err)
	}
	defer os.RemoveAll(dir)
	held := filepath.Join(dir, "plan")
	if digest, err = copyPlan(plan, held); err != nil {
		return nil, digest, err
	}
	facts, err := t.show(ctx, held)
	return facts, digest, err
}

// copyPlan copies a plan file that only this user can read, and hashes the copy.
func copyPlan(from, to string) (attest.Digest, error) {
	in, err := os.Open(from)
	if err != nil {
		return attest.Digest{}, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return attest.Digest{}, fmt.Errorf("copy plan: %w", err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), &bounded{in, MaxPlanFile})
	if errors.Is(err, errTooLong) {
		err = bad("plan file", "has more than %d MiB", MaxPlanFile>>20)
	}
	return attest.Digest(h.Sum(nil)), errors.Join(err, out.Close())
}

// show runs `TOOL show -json` without anything from the environment that changes
// what it prints.
func (t *Tool) show(ctx context.Context, plan string) (*Facts, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := exec.CommandContext(ctx, t.Path, "show", "-json", "-no-color", plan)
	c.Dir, c.WaitDelay = t.Dir, 5*time.Second
	c.Env = append(cleanEnvironment(os.Environ()), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	var said tail
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", t.Path, err)
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", t.Path, err)
	}
	facts, readErr := ReadPlan(out, t.Source)
	if readErr != nil { // it may have more to say than is read, and so may what it started
		stop()
		out.Close()
	}
	if err := c.Wait(); err != nil && said.Len() > 0 {
		return nil, bad(filepath.Base(t.Path)+" show -json", "%s", said.String())
	} else if err != nil && readErr == nil {
		return nil, bad(filepath.Base(t.Path)+" show -json", "%v", err)
	}
	if readErr != nil {
		return nil, readErr
	}
	return facts, nil
}

// cleanEnvironment drops what adds arguments, logs, or swaps providers, and what is ours:
// the tool and its providers are those of the folder under review.
func cleanEnvironment(env []string) []string {
	var out []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "TF_CLI_ARGS") || strings.HasPrefix(name, "TF_LOG") || name == "TF_REATTACH_PROVIDERS" || name == "TF_WORKSPACE" || strings.HasPrefix(name, "COUNTERSIGN_") {
			continue
		}
		out = append(out, e)
	}
	return out
}

// tail keeps the first bytes of what a tool complains.
type tail struct{ strings.Builder }

const maxComplaint = 2000

func (t *tail) Write(p []byte) (int, error) {
	if room := maxComplaint - t.Len(); room > 0 {
		t.Builder.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// IsPlanFile reports whether a file looks like a saved plan: an archive that holds
// an entry named tfplan first. It says nothing of what is in it.
func IsPlanFile(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [36]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return false
	}
	return string(head[:4]) == "PK\x03\x04" && string(head[30:36]) == "tfplan"
}
