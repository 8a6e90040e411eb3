package forge

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// errGone says that the forge has no such commit any more, or never had.
var errGone = errors.New("the forge does not have this commit")

// fetching bounds one fetch. The first of a repository is a clone.
const fetching = 10 * time.Minute

// A clone is a bare repository of the connection's own, which is never cut: what was
// reviewed is kept under refs of ours, also when the forge forgets it.
type clone struct {
	dir, url string
	token    string
}

// clone makes the folder of a repository's clone, and returns it.
func (c *connection) clone(ctx context.Context, r *Repository) (*clone, error) {
	digest := attest.DigestOf([]byte(r.ID)).String()
	k := &clone{dir: filepath.Join(c.Dir, "clones", digest[:32]+".git"), url: r.Clone, token: c.Token}
	if _, err := os.Stat(filepath.Join(k.dir, "HEAD")); err == nil {
		return k, nil
	}
	_, err := k.git(ctx, "init", "--quiet", "--bare", "--template=", k.dir)
	return k, err
}

// git runs a command with no configuration but ours. The token goes through the
// environment, where other users do not see it.
func (k *clone) git(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetching)
	defer cancel()
	fixed := []string{"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "http.followRedirects=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "protocol.version=2"}
	if args[0] != "init" {
		fixed = append(fixed, "--git-dir="+k.dir)
	}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...)
	scheme, _, _ := strings.Cut(k.url, ":")
	cmd.Env = []string{
		"LC_ALL=C", "TZ=UTC", "HOME=" + os.DevNull, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=" + scheme, "GIT_NO_REPLACE_OBJECTS=1",
	}
	if k.token != "" && scheme != "file" {
		header := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+k.token))
		cmd.Env = append(cmd.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0="+header)
	}
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("git %s: %w: %.300s", args[0], err, first)
	}
	return strings.TrimSpace(string(out)), nil
}

// fetch brings a branch up to date, and the head of a change or group; either may be
// empty. Branches follow the forge, also back.
func (k *clone) fetch(ctx context.Context, branch, headRef string) error {
	fetch := []string{"fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", k.url}
	all := slices.Clone(fetch)
	if branch != "" {
		all = append(all, "+"+branch+":"+branch)
	}
	if headRef != "" {
		all = append(all, "+"+headRef+":"+kept(headRef))
	}
	_, err := k.git(ctx, all...)
	if err != nil && refused(err) && branch != "" && headRef != "" { // the forge has forgotten the head
		_, err = k.git(ctx, append(fetch, "+"+branch+":"+branch)...)
	}
	return err
}

// kept is where a clone has a head of the forge's.
func kept(headRef string) string { return "refs/forge/" + strings.TrimPrefix(headRef, "refs/") }

// need has a commit in the clone, for good: what was force-pushed away is asked for by
// its id, and kept.
func (k *clone) need(ctx context.Context, commit string) error {
	ref := "refs/countersign/seen/" + commit
	if _, err := k.git(ctx, "update-ref", ref, commit); err == nil {
		return nil
	}
	_, err := k.git(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", k.url, commit+":"+ref)
	if err != nil && refused(err) {
		return fmt.Errorf("%w: %.12s", errGone, commit)
	}
	return err
}

// refused reports whether the other side answered that it does not give a commit out; a
// forge that does not answer may do so later.
func refused(err error) bool {
	text := err.Error()
	for _, said := range []string{"not our ref", "remote error: upload-pack", "couldn't find remote ref", "unadvertised object"} {
		if strings.Contains(text, said) {
			return true
		}
	}
	return false
}

// open reads the clone as it is now.
func (k *clone) open(ctx context.Context) (*gitfacts.Repo, error) { return gitfacts.Open(ctx, k.dir) }

// headRef is where a forge keeps the head of a change.
func (c *connection) headRef(number string) string {
	if c.Kind == GitLab {
		return "refs/merge-requests/" + number + "/head"
	}
	return "refs/pull/" + number + "/head"
}

// apiOf is the usual URL of a forge's API.
func apiOf(c *Config) (*url.URL, error) {
	text := c.API
	switch {
	case text != "":
	case c.Kind == GitHub && c.Host == "github.com":
		text = "https://api.github.com"
	case c.Kind == GitHub:
		text = "https://" + c.Host + "/api/v3"
	case c.Kind == GitLab:
		text = "https://" + c.Host + "/api/v4"
	default:
		text = "https://" + c.Host + "/api/v1"
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("api %.200q is no http or https URL", text)
	}
	return u, nil
}
