// Package cifacts reads what a CI says of the job that it runs: which repository, which
// change or which range of commits, which branch or tag. It knows the names of variables
// and of the members of event files, remembers which of them said what, and reads no
// secret. Nothing here is believed by a verifier: it says what to look at in the clone,
// and what is attested is derived from there.
package cifacts

import (
	"net/url"
	"strings"
)

// A Kind is what a job is about.
type Kind string

// The kinds of jobs.
const (
	Nothing Kind = "nothing" // Why says why not
	Change  Kind = "change"  // a change under review, at one head
	Group   Kind = "group"   // changes that a queue is about to merge, together
	Push    Kind = "push"    // commits that have come to a branch
	Tag     Kind = "tag"     // a commit that got a name
)

// The CIs.
const (
	GitHub  = "GitHub Actions"
	Gitea   = "Gitea Actions"
	Forgejo = "Forgejo Actions"
	GitLab  = "GitLab CI"
	Shell   = "no CI"
)

// A Job is what a CI says of what it runs. Members that it does not say are empty.
type Job struct {
	CI    string
	Event string // in the CI's own word
	Kind  Kind
	Why   string // for Nothing

	Repository string // host/path
	Change     string // id of the change
	Head       string // commit: of the change, of the group, after the push, of the tag
	Before     string // commit before the push, or below the group; empty where there was none
	Target     string // branch that the change goes to, or that was pushed to: refs/heads/…
	Tag        string // its name
	// Kept reports whether Target is the default branch, or protected.
	Kept        bool
	Forced      bool   // the push took commits away
	Environment string // where the job deploys to

	// Heads is where the CI's forge keeps reviewed heads, such as refs/pull/{id}/head,
	// ChangeID the expression that finds the id of a change in a merged commit, and
	// InMessage whether it is to be looked for in the whole message, not the first line.
	Heads, ChangeID string
	InMessage       bool

	Found []Found
}

// Found is one fact, and which variable or member of the event said so.
type Found struct {
	Fact  string `json:"fact"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// Note records a fact that was found elsewhere. A later one about the same takes its place.
func (j *Job) Note(fact, value, from string) {
	for i := range j.Found {
		if j.Found[i].Fact == fact {
			j.Found[i].Value, j.Found[i].From = value, from
			return
		}
	}
	j.Found = append(j.Found, Found{fact, value, from})
}

// take sets a member, unless there is nothing to set, and records it.
func (j *Job) take(member *string, fact, value, from string) {
	if value == "" {
		return
	}
	*member = value
	j.Note(fact, value, from)
}

func (j *Job) nothing(why string) { j.Kind, j.Why = Nothing, why }

// A Source is where a CI leaves word: its environment, and files that it names there.
type Source struct {
	Env  func(name string) string
	File func(path string) ([]byte, error)
}

// Read finds out which CI this is, and what it says. Where there is none the job is
// Nothing, of Shell. The error says which variable or file cannot be read.
func Read(s Source) (*Job, error) {
	switch {
	case s.Env("GITHUB_ACTIONS") == "true":
		return readGitHub(s)
	case s.Env("GITLAB_CI") == "true":
		return readGitLab(s.Env), nil
	}
	j := &Job{CI: Shell, Heads: pullHeads, ChangeID: TitleID}
	j.nothing("there is no CI that says what happened")
	return j, nil
}

// zero reports whether a commit is the one that forges write for none.
func zero(commit string) bool { return strings.Trim(commit, "0") == "" }

// RepositoryOf is the id of a repository by its URL, as git has it for a remote:
// https://host/path.git, ssh://git@host/path or git@host:path. User and password are
// left out. It is empty for anything else.
func RepositoryOf(remote string) string {
	if scheme, _, ok := strings.Cut(remote, "://"); ok {
		u, err := url.Parse(remote)
		if err != nil || u.Host == "" || scheme == "file" {
			return ""
		}
		host := u.Host
		if scheme == "ssh" { // its port is not the forge's
			host = u.Hostname()
		}
		return join(host, u.Path)
	}
	host, path, ok := strings.Cut(remote, ":")
	if _, after, user := strings.Cut(host, "@"); user {
		host = after
	}
	if !ok || host == "" || strings.Contains(host, "/") {
		return ""
	}
	return join(host, path)
}

func join(host, path string) string {
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if path == "" {
		return ""
	}
	return strings.ToLower(host) + "/" + path
}
