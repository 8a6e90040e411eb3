package api_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/forge"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy/scenario"
)

const forgeSecret = "the secret of a forge in these tests"

// A hub is a GitHub whose repository is real, and whose deliveries are GitHub's own
// examples with other names in them. Account 1 is alice's, 2 bob's, 3 carol's, 9 an
// agent's; the service hub of the story speaks for them.
type hub struct {
	t      testing.TB
	f      *fixture
	dir    string // what the connection keeps
	origin string
	work   string
	sent   int
	over   func(*ledger.Config)
}

// withHub starts a server that has a forge. change edits the connection.
func withHub(t testing.TB, change func(*forge.Config)) *hub { return hubOver(t, change, nil) }

// hubOver is withHub over a ledger of one's own.
func hubOver(t testing.TB, change func(*forge.Config), over func(*ledger.Config)) *hub {
	t.Helper()
	h := &hub{t: t, over: over, dir: t.TempDir(), origin: filepath.Join(t.TempDir(), "origin.git"), work: filepath.Join(t.TempDir(), "work")}
	h.run("", "init", "-q", "--bare", "-b", "main", h.origin)
	h.run("", "init", "-q", "-b", "main", h.work)
	h.run(h.work, "remote", "add", "origin", h.origin)
	h.commit("one", "src/a.go")
	h.run(h.work, "push", "-q", "origin", "main")
	h.open(change)
	return h
}

func (h *hub) open(change func(*forge.Config)) {
	h.f = start(h.t, setup{ledger: h.over, api: func(c *api.Config) {
		config := forge.Config{
			ID: "hub", Kind: forge.GitHub, Host: "example.com", Settle: time.Second, Secret: []byte(forgeSecret), Key: scenario.Key("hub"), Dir: h.dir,
			Environments: []string{"production", "staging"}, Repositories: []forge.Repository{{ID: scenario.Repository, Clone: "file://" + h.origin}},
		}
		if change != nil {
			change(&config)
		}
		desk, err := forge.Open([]forge.Config{config}, c.Now, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		c.Forges = desk
	}})
}

func (h *hub) run(dir string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=alice", "-c", "user.email=alice@example.com", "-c", "commit.gpgSign=false"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+h.t.TempDir(), "GIT_AUTHOR_DATE=2026-03-02T10:00:00Z", "GIT_COMMITTER_DATE=2026-03-02T10:00:00Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (h *hub) commit(text, path string) string {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(h.work, path)), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.work, path), []byte(text+"\n"), 0o644); err != nil {
		h.t.Fatal(err)
	}
	h.run(h.work, "add", ".")
	h.run(h.work, "commit", "-q", "-m", text)
	return h.run(h.work, "rev-parse", "HEAD")
}

// propose makes a change on top of main, whose head the forge keeps, also by force.
func (h *hub) propose(number int, text string) string {
	h.run(h.work, "switch", "-q", "-C", "change-"+strconv.Itoa(number), "main")
	head := h.commit(text, fmt.Sprintf("src/%d.go", number))
	h.run(h.work, "push", "-q", "-f", "origin", fmt.Sprintf("HEAD:refs/pull/%d/head", number))
	return head
}

// merge squashes a change into main.
func (h *hub) merge(number int) string {
	h.run(h.work, "switch", "-q", "main")
	h.run(h.work, "merge", "-q", "--squash", "change-"+strconv.Itoa(number))
	h.run(h.work, "commit", "-q", "-m", fmt.Sprintf("Change (#%d)", number))
	h.run(h.work, "push", "-q", "origin", "main")
	return h.run(h.work, "rev-parse", "HEAD")
}

// deliver sends one of GitHub's examples, edited, and returns the status.
func (h *hub) deliver(event, example string, edit func(map[string]any)) int {
	h.t.Helper()
	text, err := os.ReadFile("forge/testdata/github/" + example + ".json")
	if err != nil {
		h.t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		h.t.Fatal(err)
	}
	body["repository"].(map[string]any)["full_name"] = strings.TrimPrefix(scenario.Repository, "example.com/")
	edit(body)
	text, err = json.Marshal(body, json.Deterministic(true))
	if err != nil {
		h.t.Fatal(err)
	}
	h.sent++
	return h.send(strconv.Itoa(h.sent), event, text, forgeSecret)
}

func (h *hub) send(id, event string, body []byte, secret string) int {
	h.t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return h.post(http.Header{"X-Github-Delivery": {id}, "X-Github-Event": {event}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}}, body)
}

// post sends a delivery as it is.
func (h *hub) post(header http.Header, body []byte) int {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodPost, h.f.url+"/forge/hub", bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func set(in map[string]any, path string, value any) {
	keys := strings.Split(path, ".")
	for _, k := range keys[:len(keys)-1] {
		in = in[k].(map[string]any)
	}
	in[keys[len(keys)-1]] = value
}

// at is a time of the story, so many minutes after its start.
func at(minutes int) string {
	return scenario.Start.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339)
}

// review is a review of a change by an account.
type review struct {
	change, id, account int
	state, head         string
	minute              int
	by                  int    // who dismissed
	kind                string // of the account; User where empty
}

func (h *hub) review(r review) int {
	h.t.Helper()
	example, action := "pull_request_review.submitted", "submitted"
	if r.state == "dismissed" {
		example, action = "pull_request_review.dismissed", "dismissed"
	}
	return h.deliver("pull_request_review", example, func(b map[string]any) {
		kind := r.kind
		if kind == "" {
			kind = "User"
		}
		for path, value := range map[string]any{
			"action": action, "review.id": 100 + r.id, "review.state": r.state, "review.commit_id": r.head, "review.submitted_at": at(r.minute),
			"review.user.id": r.account, "review.user.type": kind, "sender.id": max(r.by, 1),
			"pull_request.number": r.change, "pull_request.base.ref": "main", "pull_request.head.sha": r.head, "pull_request.user.id": 1,
		} {
			set(b, path, value)
		}
	})
}

func (h *hub) merged(change int, head, commit string) int {
	h.t.Helper()
	return h.deliver("pull_request", "pull_request.closed", func(b map[string]any) {
		for path, value := range map[string]any{
			"number": change, "pull_request.number": change, "pull_request.base.ref": "main", "pull_request.head.sha": head, "pull_request.user.id": 1,
			"pull_request.merged": true, "pull_request.merge_commit_sha": commit, "pull_request.merged_by": map[string]any{"id": 3, "login": "ca", "type": "User"},
		} {
			set(b, path, value)
		}
	})
}

// said lists what the hub has logged about a change, in log order.
func (h *hub) said(change string) []attest.Statement {
	h.t.Helper()
	found, err := h.f.ledger.Search(context.Background(), ledger.Query{Key: attest.ChangeKey(scenario.Repository, change), Limit: 100})
	if err != nil {
		h.t.Fatal(err)
	}
	var out []attest.Statement
	for _, i := range found {
		r, err := h.f.ledger.Record(context.Background(), i)
		if err != nil {
			h.t.Fatal(err)
		}
		b, err := attest.ParseBundle(r.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		st, err := attest.ParseStatement(b.Payload)
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, *st)
	}
	return out
}

// words are what was said of a change, in short.
func (h *hub) words(change string) []string {
	var out []string
	for _, st := range h.said(change) {
		switch p := st.Predicate.(type) {
		case *attest.Change:
			out = append(out, "change by "+p.OpenedBy)
		case *attest.Approval:
			out = append(out, fmt.Sprintf("%s %s", p.Reviewer, p.Decision))
		case *attest.Admission:
			out = append(out, fmt.Sprintf("admission %s", p.Binding))
		}
	}
	return out
}

// expect waits until everything that was delivered is looked at, and compares.
func (h *hub) expect(change string, want ...string) {
	h.t.Helper()
	h.settle()
	if got := h.words(change); strings.Join(got, "; ") != strings.Join(want, "; ") {
		h.t.Errorf("change %s: %q, want %q", change, got, want)
	}
}

// failed waits until an event was tried, and will be again.
func (h *hub) failed() { h.fails(1) }

// fails waits until events were tried so often.
func (h *hub) fails(times int) {
	h.t.Helper()
	for range 600 {
		resp, err := http.Get(h.f.url + "/metrics")
		if err != nil {
			h.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		_, rest, found := bytes.Cut(text, []byte(`countersign_forge_failures_total{end="repeated",forge="hub"} `))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if n, numberErr := strconv.Atoi(string(line)); err == nil && found && numberErr == nil && n >= times {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	h.t.Fatal("no event failed")
}

// settle waits until nothing waits.
func (h *hub) settle() {
	h.t.Helper()
	for range 600 {
		waiting, err := os.ReadDir(filepath.Join(h.dir, "waiting"))
		if err != nil {
			h.t.Fatal(err)
		}
		if len(waiting) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	h.t.Fatal("events still wait")
}
