package api_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

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

	mine, err := h.f.Search(t.Context(), connect.NewRequest(&countersignv1.SearchRequest{Person: "bob", PredicateType: attest.TypeApproval}))
	if err != nil || len(mine.Msg.Entries) != 1 {
		t.Errorf("bob does not find what was said in his name: %v %v", mine, err)
	}
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

// While witnesses are missing an entry is kept and not shown: trying again is the same
// entry, not one more.
func TestForgesWaitForWitnesses(t *testing.T) {
	var away atomic.Bool
	var policy *tlog.Policy
	h := hubOver(t, nil, quorum(t, &away, &policy))
	head := h.propose(7, "seven")
	away.Store(true)
	h.review(review{change: 7, id: 1, account: 2, state: "approved", head: head, minute: 1})
	h.fails(2)
	if n := h.f.ledger.Unpublished(); n != 1 {
		t.Errorf("%d entries are kept back, for one statement", n)
	}
	away.Store(false)
	h.expect("7", "change by alice", "bob approved")
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
