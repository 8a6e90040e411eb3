package forge

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const secret = "a secret of these tests"

// connect opens one connection without a token, for the repository that the examples of
// GitHub speak of, and for acme/app.
func connect(t testing.TB, kind Kind, change func(*Config)) (*Desk, *connection) {
	t.Helper()
	c := config(t, t.TempDir())
	c.Kind = kind
	if change != nil {
		change(&c)
	}
	d, err := Open([]Config{c}, func() time.Time { return noon }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, d.connections[c.ID]
}

func example(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func mac(body []byte) string { return hex.EncodeToString(sum([]byte(secret), body)) }

func fromGitHub(id, event string, body []byte) http.Header {
	return header("X-GitHub-Delivery", id, "X-GitHub-Event", event, "X-Hub-Signature-256", "sha256="+mac(body))
}

func reasonOf(err error) Reason {
	var r *Rejection
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestDeliveriesOfGitHub(t *testing.T) {
	for name, want := range map[string]struct {
		event  string
		status string
		kind   EventKind
	}{
		"github/pull_request.opened":                 {"pull_request", Queued, Proposed},
		"github/pull_request.synchronize":            {"pull_request", Queued, Proposed},
		"github/pull_request.closed":                 {"pull_request", Ignored, ""}, // and not merged
		"github/pull_request_review.submitted":       {"pull_request_review", Queued, Reviewed},
		"github/pull_request_review.dismissed":       {"pull_request_review", Queued, Reviewed},
		"github/pull_request_review_comment.created": {"pull_request_review_comment", Ignored, ""},
		"github/push":                         {"push", Queued, Pushed},
		"github/push.deleted":                 {"push", Ignored, ""},
		"github/merge_group.checks_requested": {"merge_group", Queued, Grouped},
		"github/deployment_status.created":    {"deployment_status", Queued, Deployed},
		"github/ping":                         {"ping", Ignored, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, c := connect(t, GitHub, func(c *Config) {
				c.Repositories[1] = Repository{ID: "git.example.com/octo-org/octo-repo", Branches: []string{"refs/heads/main", "refs/heads/master"}}
				c.Repositories = append(c.Repositories, Repository{ID: "git.example.com/testorg/test", Branches: []string{"refs/heads/main", "refs/heads/master"}})
			})
			body := example(t, name)
			got, err := d.Receive("hub", fromGitHub("1", want.event, body), body)
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != want.status {
				t.Fatalf("%s, want %s", got.Status, want.status)
			}
			if want.kind == "" {
				return
			}
			if j, _ := c.queue.take(noon); j == nil || j.Event.Kind != want.kind {
				t.Errorf("%+v waits", j)
			}
		})
	}
}

func TestWhatAReviewSays(t *testing.T) {
	_, c := connect(t, GitHub, nil)
	body := example(t, "github/pull_request_review.dismissed")
	got, err := c.read(&delivery{event: "pull_request_review", body: body})
	if err != nil {
		t.Fatal(err)
	}
	account := Account{ID: "21031067", Login: "Codertocat"}
	want := &Event{
		Kind: Reviewed, Repository: "git.example.com/codertocat/hello-world",
		Pull: &Pull{Number: "2", Head: got.Pull.Head, Target: "refs/heads/master", Opener: account},
		Review: &Review{
			ID: "237895671", By: account, Verdict: Dismissed, Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821",
			At: time.Date(2019, 5, 15, 15, 20, 38, 0, time.UTC), DismissedBy: "21031067",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Each is refused for one thing; the twin is the same delivery without it.
func TestForgedDeliveries(t *testing.T) {
	body := example(t, "github/pull_request_review.submitted")
	twin := fromGitHub("1", "pull_request_review", body)
	spoil := func(name, value string) http.Header {
		h := twin.Clone()
		h.Set(name, value)
		return h
	}
	for name, c := range map[string]struct {
		h    http.Header
		body []byte
		want Reason
	}{
		"as it came":               {twin, body, ""},
		"one byte more":            {twin, append([]byte(" "), body...), Unauthenticated},
		"truncated":                {twin, body[:len(body)-1], Unauthenticated},
		"truncated and signed":     {fromGitHub("1", "pull_request_review", body[:len(body)-1]), body[:len(body)-1], Malformed},
		"without a signature":      {spoil("X-Hub-Signature-256", ""), body, Unauthenticated},
		"signature cut short":      {spoil("X-Hub-Signature-256", "sha256="+mac(body)[:62]), body, Unauthenticated},
		"signature of no hex":      {spoil("X-Hub-Signature-256", "sha256=zz"), body, Unauthenticated},
		"signed with sha1 only":    {header("X-GitHub-Delivery", "1", "X-GitHub-Event", "pull_request_review", "X-Hub-Signature", "sha1="+mac(body)[:40]), body, Unauthenticated},
		"signed for Gitea":         {header("X-Gitea-Delivery", "1", "X-Gitea-Event", "pull_request_review", "X-Gitea-Signature", mac(body)), body, Unauthenticated},
		"without an id":            {spoil("X-GitHub-Delivery", ""), body, Malformed},
		"an id without end":        {spoil("X-GitHub-Delivery", strings.Repeat("1", maxName+1)), body, Malformed},
		"too large":                {twin, make([]byte, MaxDelivery+1), TooLarge},
		"under another event":      {spoil("X-GitHub-Event", "pull_request"), body, Malformed},
		"a review called a push":   {spoil("X-GitHub-Event", "push"), body, Malformed},
		"a review called a merge":  {spoil("X-GitHub-Event", "merge_group"), body, Malformed},
		"a review called deployed": {spoil("X-GitHub-Event", "deployment_status"), body, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			d, k := connect(t, GitHub, nil)
			r, err := d.Receive("hub", c.h, c.body)
			if got := reasonOf(err); got != c.want || (err == nil) != (c.want == "") {
				t.Fatalf("%v (%v), want %q", err, r, c.want)
			}
			if waits := k.queue.length() == 1; waits != (c.want == "") {
				t.Errorf("%v waits", k.queue.length())
			}
		})
	}
	d, _ := connect(t, GitHub, nil)
	if _, err := d.Receive("nobody", twin, body); reasonOf(err) != Unknown {
		t.Errorf("a delivery for nobody: %v", err)
	}
}

func TestForgedBodies(t *testing.T) {
	edit := func(body []byte, old, new string) []byte {
		t.Helper()
		if !strings.Contains(string(body), old) {
			t.Fatalf("no %s", old)
		}
		return []byte(strings.Replace(string(body), old, new, 1))
	}
	review := example(t, "github/pull_request_review.submitted")
	for name, c := range map[string]struct {
		event string
		body  []byte
		want  Reason
	}{
		"a state that nobody knows":      {"pull_request_review", edit(review, `"state": "commented"`, `"state": "approved "`), Malformed},
		"a state of another case":        {"pull_request_review", edit(review, `"state": "commented"`, `"STATE": "approved"`), Malformed},
		"no state":                       {"pull_request_review", edit(review, `"state": "commented",`, ``), Malformed},
		"two states":                     {"pull_request_review", edit(review, `"state": "commented"`, `"state": "commented", "state": "approved"`), Malformed},
		"dismissed, and still there":     {"pull_request_review", edit(review, `"action": "submitted"`, `"action": "dismissed"`), Malformed},
		"of another repository":          {"pull_request_review", edit(review, `"full_name": "Codertocat/Hello-World",`+"\n  \"private\"", `"full_name": "Codertocat/Hello-World-2",`+"\n  \"private\""), Foreign},
		"a head that is an option":       {"pull_request_review", edit(review, `"commit_id": "ec26c3e57ca3a959ca5aad62de7213c562f8c821"`, `"commit_id": "--upload-pack=x"`), Malformed},
		"an abbreviated head":            {"pull_request_review", edit(review, `"commit_id": "ec26c3e57ca3a959ca5aad62de7213c562f8c821"`, `"commit_id": "ec26c3e57c"`), Malformed},
		"no author":                      {"pull_request_review", edit(review, `"id": 21031067`, `"id": 0`), Malformed},
		"an id that is a text":           {"pull_request_review", edit(review, `"id": 21031067`, `"id": "21031067"`), Malformed},
		"an id that is no whole number":  {"pull_request_review", edit(review, `"id": 21031067`, `"id": 21031067.5`), Malformed},
		"bytes behind it":                {"pull_request_review", append(append([]byte{}, review...), '{', '}'), Malformed},
		"nothing":                        {"pull_request_review", []byte(`null`), ""},
		"a list":                         {"pull_request_review", []byte(`[]`), Malformed},
		"a push to a ref that is option": {"merge_group", []byte(`{"action":"checks_requested","repository":{"full_name":"acme/app"},"merge_group":{"head_ref":"refs/heads/--x y","head_sha":"` + strings.Repeat("a", 40) + `"}}`), Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			d, k := connect(t, GitHub, nil)
			_, err := d.Receive("hub", fromGitHub("1", c.event, c.body), c.body)
			if reasonOf(err) != c.want {
				t.Errorf("%v, want %q", err, c.want)
			}
			if k.queue.length() != 0 {
				t.Error("it waits")
			}
		})
	}
}

func TestReplayedDeliveries(t *testing.T) {
	d, k := connect(t, GitHub, nil)
	body, other := example(t, "github/pull_request_review.submitted"), example(t, "github/push")
	receive := func(id, event string, body []byte) (string, Reason) {
		r, err := d.Receive("hub", fromGitHub(id, event, body), body)
		return r.Status, reasonOf(err)
	}
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			id, event string
			body      []byte
			status    string
			reason    Reason
		}{
			{"1", "pull_request_review", body, Seen, ""},     // delivered again by the forge
			{"2", "pull_request_review", body, "", Replayed}, // the id is not signed
			{"1", "push", other, "", Replayed},               // an id is of one body
			{"1", "merge_group", body, "", Replayed},         // nor is the event
			{"9" + when, "ping", []byte(`{}`), Ignored, ""},  // nothing is kept of what is ignored
			{"9" + when, "ping", []byte(`{} `), Ignored, ""},
		} {
			if status, reason := receive(c.id, c.event, c.body); status != c.status || reason != c.reason {
				t.Errorf("%s: delivery %s, %s: %q %q, want %q %q", when, c.id, c.event, status, reason, c.status, c.reason)
			}
		}
	}
	if status, _ := receive("1", "pull_request_review", body); status != Queued {
		t.Fatal(status)
	}
	check("waiting")
	j, _ := k.queue.take(noon)
	if err := k.queue.finish(j, false); err != nil {
		t.Fatal(err)
	}
	check("done")
	dir := k.Dir
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, _ = connect(t, GitHub, func(c *Config) { c.Dir = dir })
	check("after a restart")
}

func TestDeliveriesOfGitLabAreSignedOrHaveTheToken(t *testing.T) {
	body := []byte(labBody("approval", ""))
	key := []byte("a key of thirty-two bytes or so.")
	signed := func(id, at string, body []byte) http.Header {
		s := base64.StdEncoding.EncodeToString(sum(key, []byte(id+"."+at+"."), body))
		return header("X-Gitlab-Event", "Merge Request Hook", "webhook-id", id, "webhook-timestamp", at, "webhook-signature", "v1,AAAA v1,"+s)
	}
	at := func(d time.Duration) string { return strconv.FormatInt(noon.Add(d).Unix(), 10) }
	for name, c := range map[string]struct {
		secret string
		h      http.Header
		want   Reason
	}{
		"token":                     {secret, header("X-Gitlab-Event", "Merge Request Hook", "X-Gitlab-Event-UUID", "1", "X-Gitlab-Token", secret), ""},
		"another token":             {secret, header("X-Gitlab-Event", "Merge Request Hook", "X-Gitlab-Event-UUID", "1", "X-Gitlab-Token", secret+"s"), Unauthenticated},
		"no token":                  {secret, header("X-Gitlab-Event", "Merge Request Hook", "X-Gitlab-Event-UUID", "1"), Unauthenticated},
		"signed":                    {signing + base64.StdEncoding.EncodeToString(key), signed("1", at(0), body), ""},
		"signed four minutes ago":   {signing + base64.StdEncoding.EncodeToString(key), signed("1", at(-4*time.Minute), body), ""},
		"signed six minutes ago":    {signing + base64.StdEncoding.EncodeToString(key), signed("1", at(-6*time.Minute), body), Unauthenticated},
		"signed in six minutes":     {signing + base64.StdEncoding.EncodeToString(key), signed("1", at(6*time.Minute), body), Unauthenticated},
		"signed over another body":  {signing + base64.StdEncoding.EncodeToString(key), signed("1", at(0), body[1:]), Unauthenticated},
		"the token where it signs":  {signing + base64.StdEncoding.EncodeToString(key), header("X-Gitlab-Event", "Merge Request Hook", "X-Gitlab-Event-UUID", "1", "X-Gitlab-Token", signing+base64.StdEncoding.EncodeToString(key)), Unauthenticated},
		"a push by its header only": {secret, header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Event-UUID", "1", "X-Gitlab-Token", secret), Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := connect(t, GitLab, func(k *Config) { k.Secret = []byte(c.secret) })
			if _, err := d.Receive("hub", c.h, body); reasonOf(err) != c.want || (err == nil) != (c.want == "") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	id := signed("1", at(0), body)
	id.Set("webhook-id", "2")
	d, _ := connect(t, GitLab, func(k *Config) { k.Secret = []byte(signing + base64.StdEncoding.EncodeToString(key)) })
	if _, err := d.Receive("hub", id, body); reasonOf(err) != Unauthenticated {
		t.Errorf("the signature covers the id: %v", err)
	}
}

// labBody is what GitLab sends of a merge request.
func labBody(action, more string) string {
	return `{"object_kind":"merge_request","event_type":"merge_request","user":{"id":2,"name":"Bob","username":"bob"},
"project":{"id":5,"path_with_namespace":"acme/app","default_branch":"main"},
"object_attributes":{"iid":7,"action":"` + action + `","state":"opened","target_branch":"main","source_branch":"feature","author_id":1,
"updated_at":"2026-03-02 11:59:00 UTC",` + more + `"last_commit":{"id":"` + strings.Repeat("a", 40) + `"}}}`
}

func TestWhatGitLabSays(t *testing.T) {
	bob, head := Account{ID: "2", Login: "bob"}, strings.Repeat("a", 40)
	pull := func(change func(*Pull)) *Pull {
		p := &Pull{Number: "7", Head: head, Target: "refs/heads/main", Opener: Account{ID: "1"}}
		if change != nil {
			change(p)
		}
		return p
	}
	at := time.Date(2026, 3, 2, 11, 59, 0, 0, time.UTC)
	approved := &Review{By: bob, Verdict: Approves, Head: head, At: at}
	for name, c := range map[string]struct {
		body string
		want *Event
	}{
		"approval":        {labBody("approval", ""), &Event{Kind: Reviewed, Pull: pull(nil), Review: approved}},
		"approved":        {labBody("approved", ""), &Event{Kind: Reviewed, Pull: pull(nil), Review: approved}},
		"unapproval":      {labBody("unapproval", ""), &Event{Kind: Reviewed, Pull: pull(nil), Review: &Review{By: bob, Verdict: Dismissed, Was: Approves, DismissedBy: "2", Head: head, At: at}}},
		"reset by a push": {labBody("unapproved", `"system":true,"system_action":"approvals_reset_on_push",`), nil},
		"update":          {labBody("update", ""), &Event{Kind: Proposed, Pull: pull(nil)}},
		"close":           {labBody("close", ""), nil},
		"merge": {labBody("merge", `"merge_commit_sha":"`+strings.Repeat("b", 40)+`",`), &Event{Kind: Merged, Pull: pull(func(p *Pull) {
			p.Merge, p.MergedBy = strings.Repeat("b", 40), bob
		})}},
		"merge, fast-forward": {labBody("merge", `"merge_commit_sha":null,`), &Event{Kind: Merged, Pull: pull(func(p *Pull) { p.Merge, p.MergedBy = head, bob })}},
	} {
		t.Run(name, func(t *testing.T) {
			_, k := connect(t, GitLab, nil)
			got, err := k.read(&delivery{event: "Merge Request Hook", body: []byte(c.body)})
			if err != nil {
				t.Fatal(err)
			}
			if c.want != nil {
				c.want.Repository = "git.example.com/acme/app"
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever parses is an event that is safe to keep, and to use in commands and URLs.
func FuzzDelivery(f *testing.F) {
	for _, name := range []string{"github/pull_request_review.submitted", "github/push", "github/merge_group.checks_requested", "gitea/pull_request_approved", "gitea/pull_request.merged"} {
		f.Add(example(f, name))
	}
	f.Add([]byte(labBody("approval", "")))
	connections := make(map[Kind]*connection)
	for _, kind := range []Kind{GitHub, Gitea, GitLab} {
		_, connections[kind] = connect(f, kind, nil)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events := map[Kind][]string{
			GitHub: {"pull_request", "pull_request_review", "push", "merge_group", "deployment_status"},
			Gitea:  {"pull_request", "pull_request_approved", "pull_request_rejected", "push"},
			GitLab: {"Merge Request Hook", "Push Hook"},
		}
		for kind, names := range events {
			for _, event := range names {
				e, err := connections[kind].read(&delivery{event: event, body: body})
				if err != nil {
					if reasonOf(err) == "" {
						t.Fatalf("%s: %v is no rejection", event, err)
					}
					continue
				}
				if e == nil {
					continue
				}
				if p := e.Pull; p != nil && (!isCommit(p.Head) || strings.Trim(p.Number, "0123456789") != "" || p.Target != "refs/heads/master" && p.Target != "refs/heads/main") {
					t.Errorf("%s: %+v", event, p)
				}
				if e.Ref != "" && (!strings.HasPrefix(e.Ref, "refs/heads/") || !isRefName(strings.TrimPrefix(e.Ref, "refs/heads/"))) {
					t.Errorf("%s: ref %q", event, e.Ref)
				}
				kept, err := json.Marshal(job{Delivery: "1", Event: *e})
				var again job
				if err == nil {
					err = json.Unmarshal(kept, &again)
				}
				if err != nil || !cmp.Equal(again.Event, *e, cmpopts.EquateEmpty()) {
					t.Errorf("%s: it cannot be kept: %v %s", event, err, kept)
				}
			}
		}
	})
}
