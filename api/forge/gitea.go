package forge

// readGitea reads a delivery of Gitea or Forgejo. One about a review has neither its
// number nor the commit that was looked at: it says what the head is now. With a token
// the reviews are read, and this is only the hint.
func readGitea(d *delivery) (*happening, error) {
	var b hubDelivery
	if err := parse(d.body, &b); err != nil {
		return nil, err
	}
	if b.Repository == nil {
		return nil, nil
	}
	h := &happening{path: b.Repository.FullName}
	switch d.event {
	case "pull_request", "pull_request_sync":
		return h.proposed(&b, "opened", "reopened", "synchronized", "edited")
	case "pull_request_approved", "pull_request_rejected", "pull_request_comment":
		return h.reviewedOnGitea(&b, d.event)
	case "push":
		return h.pushed(&b)
	}
	return nil, nil
}

func (h *happening) reviewedOnGitea(b *hubDelivery, event string) (*happening, error) {
	if b.Action != "reviewed" { // a comment that is no review
		return nil, nil
	}
	if b.Pull == nil || b.Review == nil || b.Sender == nil {
		return nil, reject(Malformed, "%s with the body of another event", event)
	}
	// The type is in the body; the header only repeats it.
	of := map[string]struct {
		event   string
		verdict Verdict
	}{
		"pull_request_review_approved": {"pull_request_approved", Approves},
		"pull_request_review_rejected": {"pull_request_rejected", Objects},
		"pull_request_review_comment":  {"pull_request_comment", Comments},
	}[b.Review.Type]
	if of.event != event {
		return nil, reject(Malformed, "%s with a review of type %.80q", event, b.Review.Type)
	}
	h.Kind, h.Pull = Reviewed, b.Pull.pull()
	h.Review = &Review{By: b.Sender.account(), Verdict: of.verdict, Head: h.Pull.Head, At: b.Pull.UpdatedAt}
	return h, nil
}
