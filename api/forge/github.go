package forge

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What GitHub and Gitea say alike. Of Gitea only the fields of an account differ in
// meaning: it does not tell bots from people.
type (
	hubAccount struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
		Type  string `json:"type"`
	}
	hubBranch struct {
		Ref string `json:"ref"`
		SHA string `json:"sha"`
	}
	hubPull struct {
		Number    int64       `json:"number"`
		User      *hubAccount `json:"user"`
		Head      hubBranch   `json:"head"`
		Base      hubBranch   `json:"base"`
		Merged    bool        `json:"merged"`
		MergedAs  string      `json:"merge_commit_sha"`
		MergedBy  *hubAccount `json:"merged_by"`
		UpdatedAt time.Time   `json:"updated_at"`
	}
	hubReview struct {
		ID          int64          `json:"id"`
		User        *hubAccount    `json:"user"`
		State       string         `json:"state"`
		CommitID    string         `json:"commit_id"`
		SubmittedAt time.Time      `json:"submitted_at"`
		Dismissed   bool           `json:"dismissed"`                // Gitea
		Type        string         `json:"type"`                     // Gitea, in deliveries
		App         jsontext.Value `json:"performed_via_github_app"` // GitHub; not always there
	}
	hubDeployment struct {
		Environment string         `json:"environment"`
		SHA         string         `json:"sha"`
		Payload     jsontext.Value `json:"payload"`
	}
	hubStatus struct {
		State     string      `json:"state"`
		Creator   *hubAccount `json:"creator"`
		CreatedAt time.Time   `json:"created_at"`
	}
	hubDelivery struct {
		Action     string      `json:"action"`
		Ref        string      `json:"ref"`
		After      string      `json:"after"`
		Deleted    bool        `json:"deleted"`
		Pull       *hubPull    `json:"pull_request"`
		Review     *hubReview  `json:"review"`
		Sender     *hubAccount `json:"sender"`
		Repository *struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		MergeGroup *struct {
			HeadSHA string `json:"head_sha"`
			HeadRef string `json:"head_ref"`
		} `json:"merge_group"`
		Deployment *hubDeployment `json:"deployment"`
		Status     *hubStatus     `json:"deployment_status"`
		Comment    jsontext.Value `json:"comment"`
	}
)

func (a *hubAccount) account() Account {
	if a == nil {
		return Account{}
	}
	return Account{ID: number(a.ID), Login: a.Login, Bot: a.Type != "" && a.Type != "User"}
}

func (p *hubPull) pull() *Pull {
	x := &Pull{Number: number(p.Number), Head: p.Head.SHA, Target: "refs/heads/" + p.Base.Ref, Opener: p.User.account()}
	if p.Merged {
		x.Merge, x.MergedBy = p.MergedAs, p.MergedBy.account()
	}
	return x
}

func readGitHub(d *delivery) (*happening, error) {
	var b hubDelivery
	if err := parse(d.body, &b); err != nil {
		return nil, err
	}
	if b.Repository == nil { // of an organisation, or a ping
		return nil, nil
	}
	h := &happening{path: b.Repository.FullName}
	switch d.event {
	case "pull_request":
		return h.proposed(&b, "opened", "reopened", "synchronize", "edited", "ready_for_review")
	case "pull_request_review":
		return h.reviewedOnGitHub(&b)
	case "push":
		return h.pushed(&b)
	case "merge_group":
		if b.MergeGroup == nil {
			return nil, reject(Malformed, "merge_group without a group")
		}
		if b.Action != "checks_requested" {
			return nil, nil
		}
		h.Kind, h.Ref, h.Commit = Grouped, b.MergeGroup.HeadRef, b.MergeGroup.HeadSHA
		if name, ok := strings.CutPrefix(h.Ref, "refs/heads/"); !ok || !isRefName(name) || h.Commit == "" {
			return nil, reject(Malformed, "the group's head is no branch")
		}
		return h, nil
	case "deployment_status":
		return h.deployed(&b)
	}
	return nil, nil
}

// proposed reads a change that was opened, changed or closed. A body with a review or a
// comment is of another event, whatever the header says.
func (h *happening) proposed(b *hubDelivery, actions ...string) (*happening, error) {
	if b.Pull == nil || b.Review != nil || b.Comment != nil {
		return nil, reject(Malformed, "pull_request with the body of another event")
	}
	h.Pull = b.Pull.pull()
	if b.Action == "closed" {
		if h.Kind = Merged; h.Pull.Merge == "" {
			return nil, nil
		}
		return h, nil
	}
	for _, a := range actions {
		if a == b.Action {
			h.Kind = Proposed
			return h, nil
		}
	}
	return nil, nil
}

func (h *happening) reviewedOnGitHub(b *hubDelivery) (*happening, error) {
	if b.Pull == nil || b.Review == nil || b.Comment != nil {
		return nil, reject(Malformed, "pull_request_review with the body of another event")
	}
	switch b.Action {
	case "submitted", "edited", "dismissed":
	default:
		return nil, nil
	}
	v, err := b.Review.review()
	if err != nil {
		return nil, err
	}
	if (v.Verdict == Dismissed) != (b.Action == "dismissed") && b.Action != "edited" {
		return nil, reject(Malformed, "a review that is %s, and whose state is %.40q", b.Action, b.Review.State)
	}
	if b.Action == "dismissed" && b.Sender != nil {
		v.DismissedBy = number(b.Sender.ID)
	}
	h.Kind, h.Pull, h.Review = Reviewed, b.Pull.pull(), v
	return h, nil
}

// hubVerdicts are the states of reviews, in lower case.
var hubVerdicts = map[string]Verdict{
	"approved": Approves, "changes_requested": Objects, "commented": Comments, "dismissed": Dismissed, "pending": Comments,
	"request_changes": Objects, "comment": Comments, "request_review": Comments, // Gitea
}

func (r *hubReview) review() (*Review, error) {
	verdict, ok := hubVerdicts[strings.ToLower(r.State)]
	if !ok {
		return nil, reject(Malformed, "a review in the state %.40q", r.State)
	}
	v := &Review{ID: number(r.ID), By: r.User.account(), Verdict: verdict, Head: r.CommitID, At: r.SubmittedAt}
	if r.Dismissed && verdict != Dismissed {
		v.Was, v.Verdict = verdict, Dismissed
	}
	if app := string(r.App); app != "" && app != "null" {
		v.By.Bot = true // with somebody's account, and not by them
	}
	return v, nil
}

func (h *happening) pushed(b *hubDelivery) (*happening, error) {
	if b.Ref == "" || b.Pull != nil || b.Review != nil {
		return nil, reject(Malformed, "push with the body of another event")
	}
	if h.Kind, h.Ref, h.Commit = Pushed, b.Ref, b.After; b.Deleted || strings.Trim(b.After, "0") == "" {
		return nil, nil
	}
	return h, nil
}

// deployed reads a deployment that succeeded. A forge knows commits; which artifacts went
// out is in the deployment's payload, where whoever made it put them: {"artifacts":
// {NAME: SHA-256}}.
func (h *happening) deployed(b *hubDelivery) (*happening, error) {
	if b.Deployment == nil || b.Status == nil {
		return nil, reject(Malformed, "deployment_status with the body of another event")
	}
	if b.Status.State != "success" {
		return nil, nil
	}
	var payload struct {
		Artifacts map[string]string `json:"artifacts"`
	}
	if text := b.Deployment.Payload; len(text) > 0 && text.Kind() == '{' {
		if err := json.Unmarshal(text, &payload); err != nil {
			return nil, reject(Malformed, "the deployment's payload: %.300v", err)
		}
	}
	h.Kind = Deployed
	h.Deployment = &Deployment{Environment: b.Deployment.Environment, Creator: b.Status.Creator.account(), Artifacts: payload.Artifacts, At: b.Status.CreatedAt}
	return h, nil
}
