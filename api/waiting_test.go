package api_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

func (f *fixture) inbox(q *countersignv1.InboxRequest) (items []string) {
	f.t.Helper()
	resp, err := f.verifier.Inbox(context.Background(), connect.NewRequest(q))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, i := range resp.Msg.Items {
		what := i.Change
		switch i.Kind {
		case "plan":
			what = i.PlanSha256[:8]
		case "release":
			what = strings.Join(i.Changes, "+")
		}
		items = append(items, i.Kind+" "+what+" "+i.Environment+" "+i.Tier)
	}
	return items
}

func planRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../testdata/corpus/T13_plan-claimed_deny/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What waits is listed once it is told of, the highest tier first, for those who could
// help, and no longer than that.
func TestInboxListsWhatApprovalsCanHelp(t *testing.T) {
	s := withPages(`
		commit h1 alice src/a.go
		squash m1 of=h1
		commit h2 alice src/core/b.go
		squash m2 of=h2
		commit h3 alice docs/c.md
		change h1
		authorship alice h1 human
		change h2
		authorship alice h2 human
		operation frank p1 delete:aws_db_instance.main origin=human
		operation gate p1 delete:aws_db_instance.main derived=plan
		reject bob h2
		change h3
	`)
	s.rules = planRules(t)
	f := start(t, s)
	if got := f.inbox(&countersignv1.InboxRequest{}); len(got) > 0 {
		t.Errorf("before anything is told: %q", got)
	}
	f.tell()
	for _, c := range []struct {
		q    *countersignv1.InboxRequest
		want []string // kinds and changes, in order
	}{
		{&countersignv1.InboxRequest{Person: "bob", Environment: "production"}, []string{"plan", "change 1 production medium", "change 3 production low"}},
		{&countersignv1.InboxRequest{Person: "frank", Environment: "production"}, []string{"change 1 production medium", "change 3 production low"}}, // it is his plan
		{&countersignv1.InboxRequest{Person: "alice", Environment: "production"}, []string{"plan"}},
		{&countersignv1.InboxRequest{Environment: "staging"}, []string{"change 1 staging medium", "change 3 staging low"}},
		{&countersignv1.InboxRequest{Repository: "example.com/org/other"}, nil},
		{&countersignv1.InboxRequest{Since: timestamppb.New(f.clock.now().Add(time.Hour))}, nil},
	} {
		got := f.inbox(c.q)
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%v: %q, want %q", c.q, got, c.want)
		}
	}
	for _, q := range []*countersignv1.InboxRequest{{Person: "mallory"}, {Environment: "moon"}} {
		if _, err := f.verifier.Inbox(t.Context(), connect.NewRequest(q)); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%v: %v", q, err)
		}
	}
	if status, answer := f.browser().carol(nil); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if got := f.inbox(&countersignv1.InboxRequest{Environment: "production"}); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "change 1 ") }) {
		t.Errorf("after it was approved: %q", got)
	}
}

// A plan is approved on its page like a change; another file has another page.
func TestAPlanIsApprovedInABrowser(t *testing.T) {
	s := withPages("operation gate p1 delete:aws_db_instance.main derived=plan\noperation frank p1 delete:aws_db_instance.main origin=human\n")
	s.rules = planRules(t)
	f := start(t, s)
	f.tell()
	b := f.browser()
	resp, err := f.verifier.Inbox(t.Context(), connect.NewRequest(&countersignv1.InboxRequest{Person: "carol"}))
	if err != nil || len(resp.Msg.Items) != 1 {
		t.Fatalf("%v %v", resp, err)
	}
	digest := resp.Msg.Items[0].PlanSha256
	if resp.Msg.Console != scenario.Party.Origins[0]+"/console/" {
		t.Errorf("the pages are at %q", resp.Msg.Console)
	}
	q := url.Values{"repository": {scenario.Repository}, "digest": {digest}, "as": {"carol"}}
	status, _, page := b.do(http.MethodGet, "/console/plan?"+q.Encode(), nil)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	for _, want := range []string{"delete aws_db_instance.main", "Cannot be undone", "waits for you", "frank", "data-plan=\"" + digest} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if status, answer := b.carol(map[string]any{"plan": digest, "change": "", "head": ""}); status != http.StatusOK || answer["assurance"] != "verified" {
		t.Fatalf("%d %v", status, answer)
	}
	if _, _, page = b.do(http.MethodGet, "/console/plan?"+q.Encode(), nil); !strings.Contains(page, "Your approval is on record") || !strings.Contains(page, "1 more approval") {
		t.Error("the page does not show the approval, or what is still missing")
	}
	q.Set("digest", strings.Repeat("0", 64))
	if status, _, _ := b.do(http.MethodGet, "/console/plan?"+q.Encode(), nil); status != http.StatusNotFound {
		t.Errorf("another plan: %d", status)
	}
}

// A release that was denied is a page of its changes, and waits while approvals can help.
func TestAReleaseWaitsForItsChanges(t *testing.T) {
	f := start(t, withPages("commit h1 alice src/a.go\nsquash m1 of=h1\nchange h1\nauthorship alice h1 human\nadmit m1\nrelease m1\n"))
	f.tell()
	artifact := ""
	resp, err := f.Search(t.Context(), connect.NewRequest(&countersignv1.SearchRequest{PredicateType: "release"}))
	if err != nil || len(resp.Msg.Entries) != 1 {
		t.Fatalf("%v %v", resp, err)
	}
	for _, s := range resp.Msg.Entries[0].Subjects {
		if rest, ok := strings.CutPrefix(s, "sha256:"); ok {
			artifact = rest
		}
	}
	for _, env := range []string{"production", "staging"} { // only production has a gate, whose denies are logged
		req := connect.NewRequest(&countersignv1.VerifyRequest{Subject: &countersignv1.VerifyRequest_ArtifactSha256{ArtifactSha256: artifact}, Repository: scenario.Repository, Environment: env})
		req.Header().Set("Authorization", "Bearer "+gateToken)
		if v, err := f.verifier.Verify(t.Context(), req); err != nil || v.Msg.Verdict != countersignv1.Verdict_VERDICT_DENY {
			t.Fatalf("%v %v", v, err)
		}
	}
	if got := f.inbox(&countersignv1.InboxRequest{Person: "carol"}); len(got) > 0 {
		t.Errorf("it was merged, and production wants approvals before: %q", got)
	}
	b := f.browser()
	q := url.Values{"repository": {scenario.Repository}, "environment": {"staging"}, "artifact": {artifact}, "as": {"carol"}}
	status, _, page := b.do(http.MethodGet, "/console/release?"+q.Encode(), nil)
	if status != http.StatusOK || !strings.Contains(page, "would be denied") || !strings.Contains(page, "waits for you") {
		t.Errorf("%d %s", status, page)
	}
	if status, answer := b.carol(map[string]any{"environments": []string{"staging"}}); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if _, _, page = b.do(http.MethodGet, "/console/release?"+q.Encode(), nil); !strings.Contains(page, "would be allowed") {
		t.Error("the release still waits")
	}
	q.Set("artifact", strings.Repeat("0", 64))
	if status, _, page = b.do(http.MethodGet, "/console/release?"+q.Encode(), nil); status != http.StatusOK || !strings.Contains(page, "NO_SOURCE") && !strings.Contains(page, "would be denied") {
		t.Errorf("an artifact that nobody released: %d", status)
	}
}
