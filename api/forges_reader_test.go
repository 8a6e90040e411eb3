package api_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/api/forge"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/scenario"
)

// A shown is what a forge's API answers, path by path; what is not there is 404.
type shown struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]any
	broken  bool
	asked   int
}

func show(t testing.TB, token string) *shown {
	s := &shown{answers: make(map[string]any)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		answer, ok := s.answers[r.URL.EscapedPath()]
		switch {
		case !strings.Contains(r.Header.Get("Authorization")+r.Header.Get("Private-Token"), token):
			w.WriteHeader(http.StatusUnauthorized)
		case s.broken:
			w.WriteHeader(http.StatusBadGateway)
		case !ok || r.Method != http.MethodGet:
			w.WriteHeader(http.StatusNotFound)
		default:
			text, err := json.Marshal(answer)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(text)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shown) set(path string, answer any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = answer
}

func (s *shown) breaks(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

func (s *shown) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

type object = map[string]any

const pulls = "/repos/org/repo/pulls/"

// pull shows a change as GitHub's API has it.
func (s *shown) pull(number int, head, merged string) {
	s.set(pulls+strconv.Itoa(number), object{
		"number": number, "head": object{"sha": head}, "base": object{"ref": "main"}, "user": object{"id": 1, "login": "al", "type": "User"},
		"merged": merged != "", "merge_commit_sha": merged, "merged_by": object{"id": 3, "login": "ca"},
	})
	if merged != "" {
		s.set("/repos/org/repo/commits/"+merged+"/pulls", []object{{"number": number}})
	}
}

func (s *shown) reviews(number int, list ...review) {
	out := make([]object, len(list))
	for i, r := range list {
		out[i] = object{"id": 100 + r.id, "user": object{"id": r.account, "type": "User"}, "state": strings.ToUpper(r.state), "commit_id": r.head, "submitted_at": at(r.minute)}
	}
	s.set(pulls+strconv.Itoa(number)+"/reviews", out)
}

func withToken(t testing.TB) (*hub, *shown) {
	if !strings.HasSuffix(scenario.Repository, "org/repo") {
		t.Fatal("the story is about another repository: ", scenario.Repository)
	}
	s := show(t, "token-of-these-tests")
	return withHub(t, func(c *forge.Config) { c.Token, c.API, c.Settle = "token-of-these-tests", s.URL, time.Millisecond }), s
}

// Of three reviews none was delivered: the merge is, and they are read before it is said.
func TestLostReviewsAreReadBeforeTheAdmission(t *testing.T) {
	h, s := withToken(t)
	head := h.propose(7, "seven")
	merged := h.merge(7)
	s.pull(7, head, merged)
	s.reviews(7,
		review{id: 2, account: 3, state: "changes_requested", head: head, minute: 2},
		review{id: 1, account: 2, state: "approved", head: head, minute: 1},
		review{id: 3, account: 2, state: "commented", head: head, minute: 3},
		review{id: 4, account: 2, state: "dismissed", head: head, minute: 0}, // never said, so not taken back
	)
	h.merged(7, head, merged)
	h.expect("7", "change by alice", "bob approved", "carol rejected", "admission identity")
}

// The API of a forge may show a head that is newer than the merge. The ref stays, and a
// merge is said once.
func TestHeadsThatMoveAfterTheMerge(t *testing.T) {
	h, s := withToken(t)
	head := h.propose(7, "seven")
	merged := h.merge(7)
	h.run(h.work, "switch", "-q", "change-7")
	later := h.commit("later", "src/later.go")
	s.pull(7, later, merged)
	s.reviews(7, review{id: 1, account: 2, state: "approved", head: head, minute: 1})
	h.merged(7, later, merged)
	h.expect("7", "change by alice", "bob approved", "admission identity")
	if a := h.said("7")[2].Predicate.(*attest.Admission); a.ReviewedHead != head {
		t.Errorf("reviewed is %.12s, and was %.12s", a.ReviewedHead, head)
	}
	h.run(h.work, "push", "-q", "-f", "origin", later+":refs/pull/7/head")
	h.review(review{change: 7, id: 2, account: 2, state: "commented", head: later, minute: 3})
	h.expect("7", "change by alice", "bob approved", "admission identity", "change by alice")
}

// With a token a delivery is a hint: what it says is not believed.
func TestDeliveriesAreHints(t *testing.T) {
	h, s := withToken(t)
	head := h.propose(7, "seven")
	s.pull(7, head, "")
	s.reviews(7)
	h.review(review{change: 7, id: 1, account: 2, state: "approved", head: head, minute: 1})
	h.review(review{change: 99, id: 1, account: 2, state: "approved", head: head, minute: 1}) // the forge knows no such change
	h.expect("7", "change by alice")
	h.expect("99")
	h.merged(7, head, head)
	h.failed() // the forge is asked again
	if got := h.words("7"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// A review that was dismissed without a delivery is found before the admission.
func TestDismissedUnheard(t *testing.T) {
	h, s := withToken(t)
	head := h.propose(7, "seven")
	approved := review{change: 7, id: 1, account: 2, state: "approved", head: head, minute: 1}
	vetoed := review{change: 7, id: 2, account: 3, state: "changes_requested", head: head, minute: 2}
	s.pull(7, head, "")
	s.reviews(7, approved, vetoed)
	h.review(approved)
	h.expect("7", "change by alice", "bob approved", "carol rejected")
	approved.state, vetoed.state = "dismissed", "dismissed"
	merged := h.merge(7)
	s.pull(7, head, merged)
	s.reviews(7, approved, vetoed)
	h.merged(7, head, merged)
	h.expect("7", "change by alice", "bob approved", "carol rejected", "bob withdrawn", "admission identity") // nobody knows who dismissed the veto
}

// What no delivery said is found with the next push: a merge as that, and a commit that
// no change became as unreviewed, whatever its message says.
func TestPushesAreLookedThrough(t *testing.T) {
	h, s := withToken(t)
	push := func() {
		t.Helper()
		tip := h.run(h.work, "rev-parse", "main")
		h.deliver("push", "push", func(b map[string]any) { b["ref"], b["after"] = "refs/heads/main", tip })
		h.settle()
	}
	push() // from here on
	head := h.propose(7, "seven")
	merged := h.merge(7)
	s.pull(7, head, merged)
	s.reviews(7, review{id: 1, account: 2, state: "approved", head: head, minute: 1})
	direct := h.commit("pushed (#7)", "src/direct.go")
	h.run(h.work, "push", "-q", "origin", "main")
	s.breaks(true)
	tip := h.run(h.work, "rev-parse", "main")
	h.deliver("push", "push", func(b map[string]any) { b["ref"], b["after"] = "refs/heads/main", tip })
	h.failed() // the forge cannot be asked
	s.breaks(false)
	h.expect("7", "change by alice", "bob approved", "admission identity")
	h.expect(direct, "admission unverifiable")
	if a := h.said(direct)[0].Predicate.(*attest.Admission); a.ReviewedHead != "" || a.Merged != direct {
		t.Errorf("%+v", a)
	}
	before := s.count()
	push() // nothing new
	if after := s.count(); after != before {
		t.Errorf("the forge was asked %d times about nothing", after-before)
	}
}

// A push is looked at up to its own commit: the forge may not know yet what became of a
// change that was merged after it, and what was called unreviewed once stays so.
func TestWhatCameAfterAPushWaitsForItsOwn(t *testing.T) {
	h, s := withToken(t)
	push := func(tip string) {
		t.Helper()
		h.deliver("push", "push", func(b map[string]any) { b["ref"], b["after"] = "refs/heads/main", tip })
		h.settle()
	}
	push(h.run(h.work, "rev-parse", "main")) // from here on
	direct := h.commit("pushed", "src/direct.go")
	h.run(h.work, "push", "-q", "origin", "main")
	head := h.propose(7, "seven")
	merged := h.merge(7)
	push(direct)
	h.expect(direct, "admission unverifiable")
	h.expect(merged)
	s.pull(7, head, merged)
	s.reviews(7, review{id: 1, account: 2, state: "approved", head: head, minute: 1})
	push(merged)
	push(direct) // late, and looked at already
	h.expect("7", "change by alice", "bob approved", "admission identity")
	h.expect(merged)
}

// GitLab tells who approves and since when, and which heads there were: an approval is
// for the head of its time.
func TestApprovalsOfGitLabAreForTheHeadOfTheirTime(t *testing.T) {
	s := show(t, "token-of-these-tests")
	h := withHub(t, func(c *forge.Config) {
		c.Kind, c.Token, c.API = forge.GitLab, "token-of-these-tests", s.URL
	})
	first := h.propose(7, "seven")
	second := h.propose(7, "seven, again")
	h.run(h.work, "push", "-q", "origin", "HEAD:refs/merge-requests/7/head", first+":refs/keep-around/first")
	merged := h.merge(7)
	const project = "/projects/org%2Frepo/merge_requests/7"
	s.set(project, object{
		"iid": 7, "state": "merged", "sha": second, "target_branch": "main", "author": object{"id": 1, "username": "al"},
		"merge_commit_sha": nil, "squash_commit_sha": merged, "merge_user": object{"id": 3, "username": "ca"},
	})
	s.set(project+"/approvals", object{"approved_by": []object{
		{"user": object{"id": 2, "username": "bo"}, "approved_at": at(2)}, {"user": object{"id": 3, "username": "ca"}, "approved_at": at(6)},
	}})
	s.set(project+"/versions", []object{{"head_commit_sha": second, "created_at": at(5)}, {"head_commit_sha": first, "created_at": at(1)}})
	body := `{"object_kind":"merge_request","user":{"id":3,"username":"ca"},"project":{"path_with_namespace":"org/repo"},"object_attributes":{"iid":7,"action":"merge",` +
		`"target_branch":"main","author_id":1,"updated_at":"` + at(7) + `","merge_commit_sha":null,"last_commit":{"id":"` + second + `"}}}`
	if got := h.post(http.Header{"X-Gitlab-Event": {"Merge Request Hook"}, "X-Gitlab-Token": {forgeSecret}, "X-Gitlab-Event-Uuid": {"1"}}, []byte(body)); got != http.StatusAccepted {
		t.Fatal(got)
	}
	h.expect("7", "change by alice", "bob approved", "carol approved", "admission identity")
	for i, head := range []string{first, second} {
		if got := h.said("7")[1+i].Subjects[0].Digest["gitCommit"]; got != head {
			t.Errorf("approval %d is for %.12s, and was for %.12s", i, got, head)
		}
	}
}
