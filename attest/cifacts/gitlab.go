package cifacts

import (
	"fmt"
	"strings"
)

const (
	mergeRequestHeads = "refs/merge-requests/{id}/head"
	// referenceID finds the line that GitLab writes below the title of a merge.
	referenceID = `(?m)^See merge request \S*!(\d+)\s*$`
)

func readGitLab(env func(string) string) *Job {
	j := &Job{CI: GitLab, Heads: mergeRequestHeads, ChangeID: referenceID, InMessage: true}
	j.take(&j.Event, "event", env("CI_PIPELINE_SOURCE"), "CI_PIPELINE_SOURCE")
	host, from := env("CI_SERVER_FQDN"), "CI_SERVER_FQDN" // with its port
	if host == "" {
		host, from = env("CI_SERVER_HOST"), "CI_SERVER_HOST"
	}
	// In a merge request from a fork the pipeline may be the fork's.
	path, said := env("CI_MERGE_REQUEST_PROJECT_PATH"), "CI_MERGE_REQUEST_PROJECT_PATH"
	if path == "" {
		path, said = env("CI_PROJECT_PATH"), "CI_PROJECT_PATH"
	}
	if host != "" && path != "" {
		j.take(&j.Repository, "repository", join(host, path), from+", "+said)
	}
	j.take(&j.Environment, "environment", env("CI_ENVIRONMENT_NAME"), "CI_ENVIRONMENT_NAME")
	switch {
	case env("CI_MERGE_REQUEST_IID") != "":
		j.mergeRequest(env)
	case env("CI_COMMIT_TAG") != "":
		j.Kind = Tag
		j.take(&j.Tag, "tag", env("CI_COMMIT_TAG"), "CI_COMMIT_TAG")
		j.take(&j.Head, "head", env("CI_COMMIT_SHA"), "CI_COMMIT_SHA")
	default:
		j.gitlabBranch(env)
	}
	return j
}

// mergeRequest reads a pipeline of a merge request: of its branch alone (detached), of
// the branch merged (merged_result), or of the branch merged behind others (merge_train).
// In the last two CI_COMMIT_SHA is a merge that nobody keeps.
func (j *Job) mergeRequest(env func(string) string) {
	j.Kind = Change
	if kind := env("CI_MERGE_REQUEST_EVENT_TYPE"); kind != "" {
		j.Event += ", " + kind
		j.Note("event", j.Event, "CI_PIPELINE_SOURCE, CI_MERGE_REQUEST_EVENT_TYPE")
	}
	j.take(&j.Change, "change", env("CI_MERGE_REQUEST_IID"), "CI_MERGE_REQUEST_IID")
	j.take(&j.Head, "head", env("CI_COMMIT_SHA"), "CI_COMMIT_SHA")
	j.take(&j.Head, "head", env("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"), "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
	if branch := env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"); branch != "" {
		j.branch("refs/heads/"+branch, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
	}
}

func (j *Job) gitlabBranch(env func(string) string) {
	branch := env("CI_COMMIT_BRANCH")
	if branch != "" {
		j.branch("refs/heads/"+branch, "CI_COMMIT_BRANCH")
	}
	j.take(&j.Head, "head", env("CI_COMMIT_SHA"), "CI_COMMIT_SHA")
	source, _, _ := strings.Cut(j.Event, ",")
	if source != "push" {
		j.nothing(fmt.Sprintf("a pipeline of source %q does not say what changed", source))
		return
	}
	j.Kind = Push
	if before := env("CI_COMMIT_BEFORE_SHA"); !zero(before) {
		j.take(&j.Before, "before", before, "CI_COMMIT_BEFORE_SHA")
	}
	switch {
	case env("CI_COMMIT_REF_PROTECTED") == "true":
		j.kept("protected", "CI_COMMIT_REF_PROTECTED")
	case branch != "" && branch == env("CI_DEFAULT_BRANCH"):
		j.kept("default", "CI_DEFAULT_BRANCH")
	}
}
