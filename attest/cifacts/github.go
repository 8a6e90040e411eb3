package cifacts

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// MaxEvent is the size of an event file, in bytes: that of the largest that GitHub sends.
const MaxEvent = 25 << 20

const (
	pullHeads = "refs/pull/{id}/head"
	// TitleID finds an id where GitHub and Gitea write it: behind the title of what was
	// squashed or rebased, or in "Merge pull request #7 from …", or, as Gitea has it,
	// "Merge pull request 'Title' (#7) from … into …".
	TitleID = `(?:^Merge pull request (?:'.*' \()?#|\(#)(\d+)(?: from |\) from .* into \S*$|\)$)`
)

// event is what we read of the file that GITHUB_EVENT_PATH names; Gitea and Forgejo
// write the same members.
type event struct {
	Ref        string `json:"ref"`
	Before     string `json:"before"`
	After      string `json:"after"`
	Forced     bool   `json:"forced"`
	Deleted    bool   `json:"deleted"`
	Repository struct {
		DefaultBranch string `json:"default_branch"`
	} `json:"repository"`
	PullRequest *struct {
		Number int `json:"number"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
		Base struct {
			Ref string `json:"ref"`
		} `json:"base"`
	} `json:"pull_request"`
	MergeGroup *struct {
		HeadSHA string `json:"head_sha"`
		BaseSHA string `json:"base_sha"`
		BaseRef string `json:"base_ref"`
	} `json:"merge_group"`
}

func readGitHub(s Source) (*Job, error) {
	j := &Job{CI: GitHub, Heads: pullHeads, ChangeID: TitleID}
	switch {
	case s.Env("FORGEJO_ACTIONS") == "true":
		j.CI = Forgejo
	case s.Env("GITEA_ACTIONS") == "true":
		j.CI = Gitea
	}
	j.take(&j.Event, "event", s.Env("GITHUB_EVENT_NAME"), "GITHUB_EVENT_NAME")
	if repository := s.Env("GITHUB_REPOSITORY"); repository != "" {
		j.take(&j.Repository, "repository", RepositoryOf(s.Env("GITHUB_SERVER_URL")+"/"+repository), "GITHUB_SERVER_URL, GITHUB_REPOSITORY")
	}
	var e event
	if path := s.Env("GITHUB_EVENT_PATH"); path != "" {
		text, err := s.File(path)
		if err != nil {
			return nil, fmt.Errorf("GITHUB_EVENT_PATH: %w", err)
		}
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, fmt.Errorf("GITHUB_EVENT_PATH: %s is no event: %w", path, err)
		}
	}
	ref := s.Env("GITHUB_REF")
	tag, tagged := strings.CutPrefix(ref, "refs/tags/")
	switch {
	case strings.HasPrefix(j.Event, "pull_request"):
		return j, j.pullRequest(&e)
	case j.Event == "merge_group":
		return j, j.mergeGroup(&e)
	case e.Deleted:
		j.nothing("the push deleted " + e.Ref)
	case tagged:
		j.Kind = Tag
		j.take(&j.Tag, "tag", tag, "GITHUB_REF")
		j.take(&j.Head, "head", s.Env("GITHUB_SHA"), "GITHUB_SHA")
	case j.Event == "push":
		return j, j.push(&e, ref, s.Env)
	default:
		j.take(&j.Head, "head", s.Env("GITHUB_SHA"), "GITHUB_SHA")
		j.branch(ref, "GITHUB_REF")
		j.nothing(fmt.Sprintf("the event %q does not say what changed", j.Event))
	}
	return j, nil
}

func (j *Job) pullRequest(e *event) error {
	p := e.PullRequest
	if p == nil || p.Number <= 0 || p.Head.SHA == "" {
		return fmt.Errorf("GITHUB_EVENT_PATH: the event %s has no pull_request with a number and a head", j.Event)
	}
	j.Kind = Change
	j.take(&j.Change, "change", strconv.Itoa(p.Number), "event: pull_request.number")
	j.take(&j.Head, "head", p.Head.SHA, "event: pull_request.head.sha")
	if p.Base.Ref != "" {
		j.branch("refs/heads/"+p.Base.Ref, "event: pull_request.base.ref")
	}
	return nil
}

func (j *Job) mergeGroup(e *event) error {
	g := e.MergeGroup
	if g == nil || g.HeadSHA == "" || g.BaseSHA == "" {
		return fmt.Errorf("GITHUB_EVENT_PATH: the event merge_group has no head_sha and base_sha")
	}
	j.Kind = Group
	j.take(&j.Before, "before", g.BaseSHA, "event: merge_group.base_sha")
	j.take(&j.Head, "head", g.HeadSHA, "event: merge_group.head_sha")
	j.branch(g.BaseRef, "event: merge_group.base_ref")
	return nil
}

func (j *Job) push(e *event, ref string, env func(string) string) error {
	if e.After == "" {
		return fmt.Errorf("GITHUB_EVENT_PATH: the event push does not say before and after")
	}
	j.Kind = Push
	if !zero(e.Before) {
		j.take(&j.Before, "before", e.Before, "event: before")
	}
	j.take(&j.Head, "head", e.After, "event: after")
	j.branch(ref, "GITHUB_REF")
	j.Forced = e.Forced
	switch {
	case env("GITHUB_REF_PROTECTED") == "true":
		j.kept("protected", "GITHUB_REF_PROTECTED")
	case e.Repository.DefaultBranch != "" && ref == "refs/heads/"+e.Repository.DefaultBranch:
		j.kept("default", "event: repository.default_branch")
	}
	return nil
}

func (j *Job) branch(ref, from string) { j.take(&j.Target, "branch", ref, from) }

func (j *Job) kept(how, from string) {
	j.Kept = true
	j.Note("branch is", how, from)
}
