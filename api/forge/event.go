package forge

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
)

// An EventKind is what happened.
type EventKind string

// The kinds of events.
const (
	Proposed EventKind = "proposed" // a change was opened, or has another head or target
	Reviewed EventKind = "reviewed"
	Merged   EventKind = "merged"
	Pushed   EventKind = "pushed"  // to a branch of the connection
	Grouped  EventKind = "grouped" // a merge queue made a group
	Deployed EventKind = "deployed"
)

// An Event is what a delivery says, in words that all forges share. It is what is kept of
// a delivery.
type Event struct {
	Kind       EventKind   `json:"kind"`
	Repository string      `json:"repository"` // as the connection has it
	Pull       *Pull       `json:"pull,omitempty"`
	Review     *Review     `json:"review,omitempty"`
	Ref        string      `json:"ref,omitempty"` // pushed to, or of the group
	Commit     string      `json:"commit,omitempty"`
	Deployment *Deployment `json:"deployment,omitempty"`
}

// A Pull is a change under review.
type Pull struct {
	Number string  `json:"number"`
	Head   string  `json:"head"`   // commit
	Target string  `json:"target"` // refs/heads/NAME
	Opener Account `json:"opener"`
	// Merge is the commit that it became on the branch; empty when it was not merged.
	Merge    string  `json:"merge,omitempty"`
	MergedBy Account `json:"mergedBy,omitzero"`
}

// An Account is one on the forge.
type Account struct {
	ID    string `json:"id"`
	Login string `json:"login,omitempty"`
	Bot   bool   `json:"bot,omitempty"` // the forge says that it is no person's
}

// A Verdict is the state of a review.
type Verdict string

// The verdicts. There is no default.
const (
	Approves  Verdict = "approves"
	Objects   Verdict = "objects"
	Comments  Verdict = "comments" // or is not submitted yet: says nothing
	Dismissed Verdict = "dismissed"
)

// A Review is one person's.
type Review struct {
	ID      string    `json:"id,omitempty"` // empty where deliveries have none
	By      Account   `json:"by"`
	Verdict Verdict   `json:"verdict"`
	Head    string    `json:"head"` // the commit that was looked at
	At      time.Time `json:"at"`   // submitted
	// Was is the verdict before the dismissal, and DismissedBy an account's id; empty
	// where it is not known.
	Was         Verdict `json:"was,omitempty"`
	DismissedBy string  `json:"dismissedBy,omitempty"`
}

// A Deployment succeeded.
type Deployment struct {
	Environment string            `json:"environment"`
	Creator     Account           `json:"creator"`
	Artifacts   map[string]string `json:"artifacts"` // SHA-256, hex, by name
	At          time.Time         `json:"at"`
}

// read finds out what a delivery says; nil for what nothing is to be said of.
func (c *connection) read(d *delivery) (*Event, error) {
	read := map[Kind]func(*delivery) (*happening, error){GitHub: readGitHub, Gitea: readGitea, GitLab: readGitLab}[c.Kind]
	h, err := read(d)
	if err != nil || h == nil {
		return nil, err
	}
	for _, r := range c.Repositories {
		if strings.EqualFold(r.ID, c.Host+"/"+h.path) {
			h.Repository = r.ID
			return h.settle(&r)
		}
	}
	return nil, reject(Foreign, "repository %.200q is none of forge %s", h.path, c.ID)
}

// A happening is an event on its way.
type happening struct {
	Event
	path string // of the repository on its forge
}

// settle checks what goes into commands and URLs, and leaves out what happened elsewhere.
func (h *happening) settle(r *Repository) (*Event, error) {
	commits := []string{h.Commit}
	if p := h.Pull; p != nil {
		if n, err := strconv.ParseUint(p.Number, 10, 63); err != nil || n == 0 || strconv.FormatUint(n, 10) != p.Number {
			return nil, reject(Malformed, "change %.40q has no number", p.Number)
		}
		if p.Head == "" || p.Opener.ID == "" {
			return nil, reject(Malformed, "change %s has no head, or nobody opened it", p.Number)
		}
		commits = append(commits, p.Head, p.Merge)
		if !slices.Contains(r.Branches, p.Target) {
			return nil, nil
		}
	}
	if v := h.Review; v != nil {
		if h.Pull == nil || v.Head == "" || v.By.ID == "" || v.At.IsZero() {
			return nil, reject(Malformed, "the review has no change, head, author or time")
		}
		commits = append(commits, v.Head)
	}
	for _, id := range commits {
		if id != "" && !isCommit(id) {
			return nil, reject(Malformed, "%.80q is no commit", id)
		}
	}
	if h.Kind == Pushed && !slices.Contains(r.Branches, h.Ref) {
		return nil, nil
	}
	return &h.Event, nil
}

// isCommit reports whether text is a full commit id that is not all zeros.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}

// isRefName reports whether git takes a name for a ref, and no more than that: it goes
// into commands.
func isRefName(s string) bool {
	return s != "" && len(s) < 250 && s[0] != '-' && s[0] != '/' && !strings.ContainsAny(s, " ~^:?*[\\\x7f") &&
		!strings.Contains(s, "..") && !strings.Contains(s, "@{") && !strings.HasSuffix(s, "/") && !strings.HasSuffix(s, ".") &&
		!strings.HasSuffix(s, ".lock") && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' })
}

// parse reads a body. Unknown members are the forge's own; two of one name are nobody's.
func parse(body []byte, into any) error {
	if err := json.Unmarshal(body, into, jsontext.AllowInvalidUTF8(false)); err != nil {
		return reject(Malformed, "the body is not what the event promises: %.300v", err)
	}
	return nil
}

// number is an id, as text.
func number(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// claimed is a time as statements have it.
func claimed(t time.Time) attest.Time { return attest.At(t) }
