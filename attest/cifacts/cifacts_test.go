package cifacts

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// source is an environment, and one file.
func source(env map[string]string, text string) Source {
	return Source{
		Env: func(name string) string { return env[name] },
		File: func(string) ([]byte, error) {
			if text == "" {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		},
	}
}

// github is what every job of GitHub's has, and more.
func github(more ...string) map[string]string {
	env := map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "octo-org/octo-repo",
		"GITHUB_EVENT_PATH": "event.json", "GITHUB_SHA": "ec26c3e57ca3a959ca5aad62de7213c562f8c821",
	}
	for _, kv := range more {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return env
}

func gitlab(more ...string) map[string]string {
	env := map[string]string{
		"GITLAB_CI": "true", "CI_SERVER_FQDN": "gitlab.example.com:8443", "CI_PROJECT_PATH": "group/sub/app", "CI_DEFAULT_BRANCH": "main",
		"CI_COMMIT_SHA": "ec26c3e57ca3a959ca5aad62de7213c562f8c821", "CI_COMMIT_BEFORE_SHA": strings.Repeat("0", 40),
		"CI_JOB_TOKEN": "secret", "CI_REPOSITORY_URL": "https://gitlab-ci-token:secret@gitlab.example.com/group/sub/app.git",
	}
	for _, kv := range more {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return env
}

const (
	pull  = `{"action":"synchronize","number":2,"pull_request":{"number":2,"head":{"ref":"changes","sha":"f95f852bd8fca8fcc58a9a2d6c842781e32a215e","repo":null},"base":{"ref":"master","sha":"380387fbc80638b734a49e1be1c4dfec1c01b33c"},"user":{"login":"Codertocat","type":"User"}},"repository":{"default_branch":"master"}}`
	group = `{"action":"checks_requested","merge_group":{"head_sha":"2ffea6db159f6b6c47a24e778fb9ef40cf6b1c7d","head_ref":"refs/heads/gh-readonly-queue/main/pr-104-929f8209d40f77f4abc622a499c93a83babdbe64","base_sha":"380387fbc80638b734a49e1be1c4dfec1c01b33c","base_ref":"refs/heads/main"}}`
	push  = `{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"ec26c3e57ca3a959ca5aad62de7213c562f8c821","created":false,"deleted":false,"forced":true,"base_ref":null,"repository":{"default_branch":"main"}}`
)

func TestWhatEachCISays(t *testing.T) {
	for name, c := range map[string]struct {
		env   map[string]string
		event string
		want  Job
	}{
		"pull request": {github("GITHUB_EVENT_NAME=pull_request", "GITHUB_REF=refs/pull/2/merge"), pull,
			Job{CI: GitHub, Event: "pull_request", Kind: Change, Repository: "github.com/octo-org/octo-repo", Change: "2", Head: "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", Target: "refs/heads/master"}},
		"pull request of a fork, with the base's rights": {github("GITHUB_EVENT_NAME=pull_request_target", "GITHUB_REF=refs/heads/master"), pull,
			Job{CI: GitHub, Event: "pull_request_target", Kind: Change, Repository: "github.com/octo-org/octo-repo", Change: "2", Head: "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", Target: "refs/heads/master"}},
		"merge group": {github("GITHUB_EVENT_NAME=merge_group"), group,
			Job{CI: GitHub, Event: "merge_group", Kind: Group, Repository: "github.com/octo-org/octo-repo", Before: "380387fbc80638b734a49e1be1c4dfec1c01b33c", Head: "2ffea6db159f6b6c47a24e778fb9ef40cf6b1c7d", Target: "refs/heads/main"}},
		"push": {github("GITHUB_EVENT_NAME=push", "GITHUB_REF=refs/heads/main"), push,
			Job{CI: GitHub, Event: "push", Kind: Push, Repository: "github.com/octo-org/octo-repo", Before: "6113728f27ae82c7b1a177c8d03f9e96e0adf246", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821", Target: "refs/heads/main", Kept: true, Forced: true}},
		"push to a protected branch": {github("GITHUB_EVENT_NAME=push", "GITHUB_REF=refs/heads/v1", "GITHUB_REF_PROTECTED=true"), push,
			Job{CI: GitHub, Event: "push", Kind: Push, Repository: "github.com/octo-org/octo-repo", Before: "6113728f27ae82c7b1a177c8d03f9e96e0adf246", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821", Target: "refs/heads/v1", Kept: true, Forced: true}},
		"push to a topic": {github("GITHUB_EVENT_NAME=push", "GITHUB_REF=refs/heads/topic", "GITHUB_REF_PROTECTED=false"), push,
			Job{CI: GitHub, Event: "push", Kind: Push, Repository: "github.com/octo-org/octo-repo", Before: "6113728f27ae82c7b1a177c8d03f9e96e0adf246", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821", Target: "refs/heads/topic", Forced: true}},
		"tag": {github("GITHUB_EVENT_NAME=push", "GITHUB_REF=refs/tags/v1.2"), `{"ref":"refs/tags/v1.2","before":"0000000000000000000000000000000000000000","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}`,
			Job{CI: GitHub, Event: "push", Kind: Tag, Repository: "github.com/octo-org/octo-repo", Tag: "v1.2", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821"}},
		"release": {github("GITHUB_EVENT_NAME=release", "GITHUB_REF=refs/tags/v1.2"), `{"action":"published"}`,
			Job{CI: GitHub, Event: "release", Kind: Tag, Repository: "github.com/octo-org/octo-repo", Tag: "v1.2", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821"}},
		"tag deleted": {github("GITHUB_EVENT_NAME=push", "GITHUB_REF=refs/tags/v1.2"), `{"ref":"refs/tags/v1.2","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"0000000000000000000000000000000000000000","deleted":true}`,
			Job{CI: GitHub, Event: "push", Kind: Nothing, Why: "the push deleted refs/tags/v1.2", Repository: "github.com/octo-org/octo-repo"}},
		"forgejo": {github("GITHUB_EVENT_NAME=pull_request", "FORGEJO_ACTIONS=true", "GITEA_ACTIONS=true", "GITHUB_SERVER_URL=https://Codeberg.org"), pull,
			Job{CI: Forgejo, Event: "pull_request", Kind: Change, Repository: "codeberg.org/octo-org/octo-repo", Change: "2", Head: "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", Target: "refs/heads/master"}},
		"gitea": {github("GITHUB_EVENT_NAME=pull_request", "GITEA_ACTIONS=true", "GITHUB_SERVER_URL=https://git.example.com:3000"), pull,
			Job{CI: Gitea, Event: "pull_request", Kind: Change, Repository: "git.example.com:3000/octo-org/octo-repo", Change: "2", Head: "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", Target: "refs/heads/master"}},
		"merge request from a fork, in the fork": {gitlab("CI_PIPELINE_SOURCE=merge_request_event", "CI_MERGE_REQUEST_IID=7", "CI_MERGE_REQUEST_EVENT_TYPE=detached",
			"CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main", "CI_MERGE_REQUEST_PROJECT_PATH=upstream/app", "CI_COMMIT_REF_PROTECTED=true"), "",
			Job{CI: GitLab, Event: "merge_request_event, detached", Kind: Change, Repository: "gitlab.example.com:8443/upstream/app", Change: "7", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821", Target: "refs/heads/main"}},
		"merge train": {gitlab("CI_PIPELINE_SOURCE=merge_request_event", "CI_MERGE_REQUEST_IID=7", "CI_MERGE_REQUEST_EVENT_TYPE=merge_train",
			"CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA=f95f852bd8fca8fcc58a9a2d6c842781e32a215e"), "",
			Job{CI: GitLab, Event: "merge_request_event, merge_train", Kind: Change, Repository: "gitlab.example.com:8443/group/sub/app", Change: "7", Head: "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", Target: "refs/heads/main"}},
		"first push of a branch": {gitlab("CI_PIPELINE_SOURCE=push", "CI_COMMIT_BRANCH=main"), "",
			Job{CI: GitLab, Event: "push", Kind: Push, Repository: "gitlab.example.com:8443/group/sub/app", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821", Target: "refs/heads/main", Kept: true}},
		"tag pipeline": {gitlab("CI_PIPELINE_SOURCE=push", "CI_COMMIT_TAG=v1.2", "CI_ENVIRONMENT_NAME=production"), "",
			Job{CI: GitLab, Event: "push", Kind: Tag, Repository: "gitlab.example.com:8443/group/sub/app", Tag: "v1.2", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821", Environment: "production"}},
		"pipeline by hand": {gitlab("CI_PIPELINE_SOURCE=web", "CI_COMMIT_BRANCH=main"), "",
			Job{CI: GitLab, Event: "web", Kind: Nothing, Why: `a pipeline of source "web" does not say what changed`, Repository: "gitlab.example.com:8443/group/sub/app", Head: "ec26c3e57ca3a959ca5aad62de7213c562f8c821", Target: "refs/heads/main"}},
		"no CI": {nil, "", Job{CI: Shell, Kind: Nothing, Why: "there is no CI that says what happened"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(source(c.env, c.event))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got, cmpopts.IgnoreFields(Job{}, "Found", "Heads", "ChangeID", "InMessage")); diff != "" {
				t.Error(diff)
			}
			for _, f := range got.Found {
				if strings.Contains(f.Value, "secret") {
					t.Errorf("says a secret: %+v", f)
				}
				if f.From == "" {
					t.Errorf("nobody said %+v", f)
				}
			}
		})
	}
}

func TestEventsThatCannotBeReadAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		event, text, want string
	}{
		"no file":          {"push", "", "GITHUB_EVENT_PATH"},
		"no JSON":          {"push", "<html>", "is no event"},
		"two heads":        {"pull_request", `{"pull_request":{"number":1,"head":{"sha":"a","sha":"b"}}}`, "is no event"},
		"no pull request":  {"pull_request", `{}`, "no pull_request"},
		"number zero":      {"pull_request", `{"pull_request":{"number":0,"head":{"sha":"a"}}}`, "no pull_request"},
		"no head":          {"pull_request", `{"pull_request":{"number":1}}`, "no pull_request"},
		"another letter":   {"pull_request", `{"Pull_Request":{"number":1,"head":{"sha":"a"}}}`, "no pull_request"},
		"no merge group":   {"merge_group", `{}`, "head_sha"},
		"push of nothing":  {"push", `{}`, "before and after"},
		"a list":           {"push", `[]`, "is no event"},
		"a number as text": {"pull_request", `{"pull_request":{"number":"1","head":{"sha":"a"}}}`, "is no event"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(source(github("GITHUB_EVENT_NAME="+c.event, "GITHUB_REF=refs/heads/main"), c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want something about %q", err, c.want)
			}
			if c.text == "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%v is not that the file is missing", err)
			}
		})
	}
}

func TestRemotesNameRepositories(t *testing.T) {
	for remote, want := range map[string]string{
		"https://github.com/org/repo.git":                "github.com/org/repo",
		"https://github.com/org/repo/":                   "github.com/org/repo",
		"https://x-access-token:hunter2@GitHub.com/a/b":  "github.com/a/b",
		"https://git.example.com:3000/a/b.git":           "git.example.com:3000/a/b",
		"git@github.com:org/repo.git":                    "github.com/org/repo",
		"ssh://git@git.example.com:2222/group/sub/a.git": "git.example.com/group/sub/a",
		"github.com:org/repo":                            "github.com/org/repo",
		"/srv/git/app.git":                               "",
		"../app":                                         "",
		"file:///srv/git/app.git":                        "",
		"https://github.com/":                            "",
		"":                                               "",
		"./a:b":                                          "",
	} {
		if got := RepositoryOf(remote); got != want {
			t.Errorf("%q is %q, want %q", remote, got, want)
		}
	}
}

func TestForgesWriteTheIdOfAChange(t *testing.T) {
	title, reference := regexp.MustCompile(TitleID), regexp.MustCompile(referenceID)
	for _, c := range []struct {
		pattern    *regexp.Regexp
		text, want string
	}{
		{title, "Add a thing (#7)", "7"},
		{title, "Revert \"Add a thing (#7)\" (#9)", "9"},
		{title, "Merge pull request #7 from org/topic", "7"},
		{title, "Merge pull request 'Mend (#3) it' (#7) from topic into main", "7"},
		{title, "Merge pull request 'Add a thing' (#7) from a/topic into main", "7"},
		{title, "Closes #7", ""},
		{title, "Add (#7) a thing", ""},
		{reference, "Merge branch 'topic' into 'main'\n\nAdd a thing\n\nSee merge request group/app!7\n", "7"},
		{reference, "Merge branch 'topic' into 'main'\n\nSee merge request !7", "7"},
		{reference, "Add a thing\n\nlike merge request group/app!7 did", ""},
	} {
		got := ""
		if m := c.pattern.FindStringSubmatch(c.text); m != nil {
			got = m[1]
		}
		if got != c.want {
			t.Errorf("%q names %q, want %q", c.text, got, c.want)
		}
	}
}
