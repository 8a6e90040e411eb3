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
}

// withHub starts a server that has a forge. change edits the connection.
func withHub(t testing.TB, change func(*forge.Config)) *hub {
	t.Helper()
	h := &hub{t: t, dir: t.TempDir(), origin: filepath.Join(t.TempDir(), "origin.git"), work: filepath.Join(t.TempDir(), "work")}
	h.run("", "init", "-q", "--bare", "-b", "main", h.origin)
	h.run("", "init", "-q", "-b", "main", h.work)
	h.run(h.work, "remote", "add", "origin", h.origin)
	h.commit("one", "src/a.go")
	h.run(h.work, "push", "-q", "origin", "main")
	h.open(change)
	return h
}

func (h *hub) open(change func(*forge.Config)) {
	h.f = start(h.t, setup{api: func(c *api.Config) {
		config := forge.Config{
			ID: "hub", Kind: forge.GitHub, Host: "example.com", Secret: []byte(forgeSecret), Key: scenario.Key("hub"), Dir: h.dir,
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
func (h *hub) failed() {
	h.t.Helper()
	for range 600 {
		resp, err := http.Get(h.f.url + "/metrics")
		if err != nil {
			h.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && bytes.Contains(text, []byte(`countersign_forge_failures_total{end="repeated",forge="hub"}`)) {
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

func TestReviewsAndMergesOfAForge(t *testing.T) {
	h := withHub(t, nil)
	head := h.propose(7, "seven")
	if got := h.review(review{change: 7, id: 1, account: 2, state: "approved", head: head, minute: 1}); got != http.StatusAccepted {
		t.Fatal(got)
	}
	h.expect("7", "change by alice", "bob approved")
	merged := h.merge(7)
	h.merged(7, head, merged)
	h.expect("7", "change by alice", "bob approved", "admission identity")

	said := h.said("7")
	approval := said[1].Predicate.(*attest.Approval)
	if w := approval.WitnessedBy; w == nil || w.Forge != "example.com" || w.Account != "2" || w.Review != "101" || approval.ApprovedAt.Format(time.RFC3339) != at(1) ||
		said[1].Subjects[0].Digest["gitCommit"] != head {
		t.Errorf("%+v of %v", approval, said[1].Subjects)
	}
	admission := said[2].Predicate.(*attest.Admission)
	if admission.ReviewedHead != head || admission.Merged != merged || admission.MergedBy != "3" || !admission.ReplayClean {
		t.Errorf("%+v", admission)
	}
}

// Deliveries that come twice under other numbers, and in another order, say the same.
func TestDeliveriesOutOfOrder(t *testing.T) {
	h := withHub(t, nil)
	head := h.propose(7, "seven")
	merged := h.merge(7)
	h.merged(7, head, merged) // waits for reviews that are on their way
	approve := review{change: 7, id: 1, account: 2, state: "approved", head: head, minute: 1}
	h.review(approve)
	h.expect("7", "change by alice", "bob approved", "admission identity")

	set := func(change, id, minute int, state string) review {
		return review{change: change, id: id, account: 2, state: state, head: head, minute: minute}
	}
	head = h.propose(8, "eight")
	h.review(set(8, 2, 5, "changes_requested"))
	h.review(set(8, 1, 4, "approved")) // submitted before
	h.expect("8", "change by alice", "bob rejected")
	h.review(set(8, 3, 6, "approved"))
	h.expect("8", "change by alice", "bob rejected", "bob approved")
}

func TestDismissals(t *testing.T) {
	h := withHub(t, nil)
	for i, c := range []struct {
		name string
		told []review
		want []string
	}{
		{"an approval", []review{{state: "approved"}, {state: "dismissed", by: 1}}, []string{"bob approved", "bob withdrawn"}},
		{"a veto, by its reviewer", []review{{state: "changes_requested"}, {state: "dismissed", by: 2}}, []string{"bob rejected", "bob withdrawn"}},
		{"a veto, by the author", []review{{state: "changes_requested"}, {state: "dismissed", by: 1}}, []string{"bob rejected"}},
		{"before it came", []review{{state: "dismissed", by: 1}, {state: "approved"}}, []string{"bob withdrawn"}},
		{"twice", []review{{state: "approved"}, {state: "dismissed", by: 1}, {state: "dismissed", by: 3}}, []string{"bob approved", "bob withdrawn"}},
		{"a comment", []review{{state: "commented"}}, nil},
	} {
		change := 10 + i
		head := h.propose(change, c.name)
		for _, r := range c.told {
			r.change, r.id, r.account, r.head, r.minute = change, change, 2, head, 1
			if got := h.review(r); got != http.StatusAccepted {
				t.Fatal(got)
			}
			h.settle()
		}
		h.expect(strconv.Itoa(change), append([]string{"change by alice"}, c.want...)...)
	}
}

func TestWhoReviewsOnAForge(t *testing.T) {
	h := withHub(t, nil)
	head := h.propose(7, "seven")
	h.review(review{change: 7, id: 1, account: 77, state: "approved", head: head, minute: 1})             // nobody's
	h.review(review{change: 7, id: 2, account: 2, state: "approved", head: head, minute: 2, kind: "Bot"}) // the forge says so
	h.review(review{change: 7, id: 3, account: 9, state: "approved", head: head, minute: 3, kind: "Bot"}) // seen, and counts for nothing
	h.expect("7", "change by alice", "claude approved")
}

func TestForcePushedAfterTheReview(t *testing.T) {
	h := withHub(t, nil)
	first := h.propose(7, "seven")
	h.review(review{change: 7, id: 1, account: 2, state: "approved", head: first, minute: 1})
	h.settle()
	second := h.propose(7, "something else")
	merged := h.merge(7)
	h.review(review{change: 7, id: 2, account: 3, state: "approved", head: first, minute: 2}) // a tab that was not reloaded
	h.merged(7, second, merged)
	h.expect("7", "change by alice", "bob approved", "carol approved", "change by alice", "admission identity")
	for _, st := range h.said("7") {
		switch p := st.Predicate.(type) {
		case *attest.Approval:
			if st.Subjects[0].Digest["gitCommit"] != first {
				t.Errorf("%s approves %s, and saw %s", p.Reviewer, st.Subjects[0].Digest["gitCommit"], first)
			}
		case *attest.Admission:
			if p.ReviewedHead != second {
				t.Errorf("reviewed is %s", p.ReviewedHead)
			}
		}
	}
}

// What the forge says of a merge is looked at: that it is on the branch, and what it holds.
func TestAdmissionsAreReplayed(t *testing.T) {
	h := withHub(t, nil)
	head := h.propose(7, "seven")
	h.run(h.work, "switch", "-q", "main")
	h.run(h.work, "merge", "-q", "--squash", "change-7")
	more := h.commit("and more (#7)", "src/more.go")
	h.run(h.work, "push", "-q", "origin", "main")
	h.merged(7, head, more)
	h.expect("7", "change by alice", "admission residual")

	aside := h.propose(8, "eight") // never on the branch
	h.merged(8, aside, aside)
	h.failed()
	for _, w := range h.words("8") {
		if strings.HasPrefix(w, "admission") {
			t.Errorf("a commit that is not on the branch: %s", w)
		}
	}
}

// What is on disk is looked at after a restart.
func TestEventsWaitForARestart(t *testing.T) {
	h := withHub(t, nil)
	moved := h.origin + ".away"
	if err := os.Rename(h.origin, moved); err != nil { // the forge cannot be reached
		t.Fatal(err)
	}
	h.review(review{change: 7, id: 1, account: 2, state: "approved", head: strings.Repeat("a", 40), minute: 1})
	h.failed()
	h.f.stop()
	if err := os.Rename(moved, h.origin); err != nil {
		t.Fatal(err)
	}
	h.open(nil)
	h.expect("7") // nobody has that commit
	head := h.propose(8, "eight")
	h.review(review{change: 8, id: 1, account: 2, state: "approved", head: head, minute: 1})
	h.expect("8", "change by alice", "bob approved")
}

// A deployment is of artifacts; one that names none is of nothing.
func TestDeploymentsOfAForge(t *testing.T) {
	h := withHub(t, nil)
	deploy := func(payload any) {
		t.Helper()
		h.deliver("deployment_status", "deployment_status.created", func(b map[string]any) {
			set(b, "deployment.payload", payload)
			set(b, "deployment_status.created_at", at(1))
			set(b, "deployment_status.creator.id", 2)
			set(b, "deployment.environment", "production")
		})
		h.settle()
	}
	artifact := attest.DigestOf([]byte("app")).String()
	deploy(map[string]any{})
	deploy("a text")
	deploy(map[string]any{"artifacts": map[string]any{"app.tar": artifact}})
	found, err := h.f.ledger.Search(t.Context(), ledger.Query{Key: attest.SubjectKey("sha256", artifact), Limit: 10})
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	r, err := h.f.ledger.Record(t.Context(), found[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := attest.ParseBundle(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := st.Predicate.(*attest.Deployment); !ok || d.Environment != "production" || d.Actor != "bob" || st.Subjects[0].Name != "app.tar" {
		t.Errorf("%+v", st)
	}
}

// The commits of a merge queue are in the clone before they are the branch's; a group
// that is gone is no trouble.
func TestMergeQueues(t *testing.T) {
	h := withHub(t, nil)
	head := h.propose(7, "seven")
	h.run(h.work, "push", "-q", "origin", "HEAD:refs/heads/gh-readonly-queue/main/pr-7")
	for _, ref := range []string{"refs/heads/gh-readonly-queue/main/pr-7", "refs/heads/gh-readonly-queue/main/pr-8"} {
		h.deliver("merge_group", "merge_group.checks_requested", func(b map[string]any) {
			set(b, "merge_group.head_ref", ref)
			set(b, "merge_group.head_sha", head)
		})
	}
	h.settle()
	clones, err := filepath.Glob(filepath.Join(h.dir, "clones", "*.git"))
	if err != nil || len(clones) != 1 {
		t.Fatal(clones, err)
	}
	if got := h.run(clones[0], "rev-parse", "refs/forge/heads/gh-readonly-queue/main/pr-7"); got != head {
		t.Errorf("the clone has %s", got)
	}
}

func TestAnswersToForges(t *testing.T) {
	h := withHub(t, nil)
	body := []byte(`{"ref":"refs/heads/main","after":"` + strings.Repeat("a", 40) + `","repository":{"full_name":"` + strings.TrimPrefix(scenario.Repository, "example.com/") + `"}}`)
	for _, c := range []struct {
		id, event, secret string
		body              []byte
		want              int
	}{
		{"1", "push", "another secret, as long as it", body, http.StatusUnauthorized},
		{"1", "push", forgeSecret, body[:20], http.StatusBadRequest},
		{"1", "ping", forgeSecret, body, http.StatusOK},
		{"1", "push", forgeSecret, body, http.StatusAccepted},
		{"1", "push", forgeSecret, body, http.StatusOK},
		{"2", "push", forgeSecret, body, http.StatusConflict},
		{"3", "push", forgeSecret, bytes.Repeat([]byte(" "), attest.MaxRequest+1), http.StatusRequestEntityTooLarge},
	} {
		if got := h.send(c.id, c.event, c.body, c.secret); got != c.want {
			t.Errorf("%s of %d bytes: %d, want %d", c.event, len(c.body), got, c.want)
		}
	}
	resp, err := http.Post(h.f.url+"/forge/another", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a forge that is not there: %d", resp.StatusCode)
	}
}

// From a whole webhook to the answer: the event is on disk then.
func BenchmarkWebhook(b *testing.B) {
	h := withHub(b, nil)
	head := h.propose(7, "seven")
	for i := 0; b.Loop(); i++ {
		if got := h.review(review{change: 7, id: i, account: 2, state: "commented", head: head, minute: 1}); got != http.StatusAccepted {
			b.Fatal(got)
		}
	}
}
