package forge

import (
	"strings"
	"time"
)

type (
	labUser struct {
		ID       int64  `json:"id"`
		Username string `json:"username"`
		Bot      bool   `json:"bot"` // of the API
	}
	labRequest struct {
		IID        int64   `json:"iid"`
		Action     string  `json:"action"`
		Target     string  `json:"target_branch"`
		AuthorID   int64   `json:"author_id"`
		MergedAs   string  `json:"merge_commit_sha"`
		UpdatedAt  labTime `json:"updated_at"`
		System     bool    `json:"system"`
		LastCommit struct {
			ID string `json:"id"`
		} `json:"last_commit"`
	}
	labDelivery struct {
		Kind       string      `json:"object_kind"`
		Ref        string      `json:"ref"`
		After      string      `json:"after"`
		User       *labUser    `json:"user"`
		Request    *labRequest `json:"object_attributes"`
		Repository *struct {
			Path string `json:"path_with_namespace"`
		} `json:"project"`
	}
)

// labTime is a time in one of the two ways in which GitLab writes it.
type labTime struct{ at time.Time }

// UnmarshalText reads it.
func (t *labTime) UnmarshalText(text []byte) (err error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"} {
		if t.at, err = time.Parse(layout, string(text)); err == nil {
			return nil
		}
	}
	return err
}

func (u *labUser) account() Account {
	if u == nil {
		return Account{}
	}
	return Account{ID: number(u.ID), Login: u.Username, Bot: u.Bot}
}

// labVerdicts are the actions that are somebody's word. "approved" and "approval" are one
// person's approval, with and without it being the last that GitLab asks for.
var labVerdicts = map[string]Verdict{"approval": Approves, "approved": Approves, "unapproval": Dismissed, "unapproved": Dismissed}

// readGitLab reads a delivery of GitLab. An approval names no commit: the head is the
// last one when it was delivered.
func readGitLab(d *delivery) (*happening, error) {
	var b labDelivery
	if err := parse(d.body, &b); err != nil {
		return nil, err
	}
	if b.Repository == nil {
		return nil, nil
	}
	h := &happening{path: b.Repository.Path}
	switch want := map[string]string{"Merge Request Hook": "merge_request", "Push Hook": "push"}[d.event]; {
	case want == "":
		return nil, nil
	case want != b.Kind:
		return nil, reject(Malformed, "%s with the body of %.80q", d.event, b.Kind)
	case b.Kind == "push":
		if h.Kind, h.Ref, h.Commit = Pushed, b.Ref, b.After; strings.Trim(b.After, "0") == "" {
			return nil, nil
		}
		return h, nil
	}
	return h.requested(&b)
}

func (h *happening) requested(b *labDelivery) (*happening, error) {
	r := b.Request
	if r == nil || b.User == nil {
		return nil, reject(Malformed, "merge_request without its attributes or user")
	}
	h.Pull = &Pull{Number: number(r.IID), Head: r.LastCommit.ID, Target: "refs/heads/" + r.Target, Opener: Account{ID: number(r.AuthorID)}}
	switch verdict, spoke := labVerdicts[r.Action]; {
	case spoke && r.System: // GitLab took approvals back after a push: they are for another head
		return nil, nil
	case spoke:
		h.Kind = Reviewed
		h.Review = &Review{By: b.User.account(), Verdict: verdict, Head: h.Pull.Head, At: r.UpdatedAt.at}
		if verdict == Dismissed { // only approvals can be taken back there, by who gave them
			h.Review.Was, h.Review.DismissedBy = Approves, h.Review.By.ID
		}
	case r.Action == "open" || r.Action == "reopen" || r.Action == "update":
		h.Kind = Proposed
	case r.Action == "merge":
		h.Kind, h.Pull.MergedBy = Merged, b.User.account()
		if h.Pull.Merge = r.MergedAs; h.Pull.Merge == "" { // fast-forward
			h.Pull.Merge = r.LastCommit.ID
		}
	default:
		return nil, nil
	}
	return h, nil
}
