package forge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reader asks a forge how things are, since deliveries only say that something is
// different. Paths are of repositories, without the host.
type reader interface {
	pull(ctx context.Context, path, number string) (*Pull, error)
	reviews(ctx context.Context, path, number string) ([]Review, error)
	// pullsOf lists the numbers of the changes that became a commit.
	pullsOf(ctx context.Context, path, commit string) ([]string, error)
}

func newReader(c *Config) (reader, error) {
	base, err := apiOf(c)
	if err != nil || c.Token == "" {
		return nil, err
	}
	api := &apiClient{base: base, http: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	switch c.Kind {
	case GitLab:
		api.header = http.Header{"Private-Token": {c.Token}}
		return labReader{api}, nil
	case Gitea:
		api.header = http.Header{"Authorization": {"token " + c.Token}}
	default:
		api.header = http.Header{"Authorization": {"Bearer " + c.Token}, "Accept": {"application/vnd.github+json"}}
	}
	return hubReader{api, c.Kind}, nil
}

// Limits of what is read from a forge.
const (
	maxAnswer = 8 << 20
	perPage   = 50 // Gitea's largest
	maxPages  = 40
)

// apiClient asks one forge, and follows it nowhere.
type apiClient struct {
	base   *url.URL
	header http.Header
	http   *http.Client
}

// errNotThere is an answer of 404.
var errNotThere = errors.New("the forge has no such thing, or does not show it to this token")

func (a *apiClient) get(ctx context.Context, into any, query url.Values, segments ...string) error {
	u := a.base.JoinPath(segments...)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header = a.header.Clone()
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("GET %s: %w", u.Path, errNotThere)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s", u.Path, resp.Status)
	case len(body) > maxAnswer:
		return fmt.Errorf("GET %s: the answer has more than %d bytes", u.Path, maxAnswer)
	}
	return parse(body, into)
}

// pages reads a list to its end.
func pages[T any](ctx context.Context, a *apiClient, size string, segments ...string) ([]T, error) {
	var all []T
	for page := 1; page <= maxPages; page++ {
		var some []T
		query := url.Values{size: {strconv.Itoa(perPage)}, "page": {strconv.Itoa(page)}}
		if err := a.get(ctx, &some, query, segments...); err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < perPage {
			return all, nil
		}
	}
	return nil, fmt.Errorf("%s has more than %d items", strings.Join(segments, "/"), maxPages*perPage)
}

// hubReader reads GitHub and Gitea.
type hubReader struct {
	api  *apiClient
	kind Kind
}

func (r hubReader) size() string {
	if r.kind == Gitea {
		return "limit"
	}
	return "per_page"
}

func (r hubReader) pull(ctx context.Context, path, number string) (*Pull, error) {
	var p hubPull
	if err := r.api.get(ctx, &p, nil, "repos", path, "pulls", number); err != nil {
		return nil, err
	}
	return p.pull(), nil
}

func (r hubReader) reviews(ctx context.Context, path, number string) ([]Review, error) {
	list, err := pages[hubReview](ctx, r.api, r.size(), "repos", path, "pulls", number, "reviews")
	if err != nil {
		return nil, err
	}
	var out []Review
	for i := range list {
		v, err := list[i].review()
		if err != nil {
			return nil, err
		}
		if v.Verdict != Comments {
			out = append(out, *v)
		}
	}
	return out, nil
}

func (r hubReader) pullsOf(ctx context.Context, path, commit string) ([]string, error) {
	if r.kind == Gitea { // which knows one at most
		var p hubPull
		err := r.api.get(ctx, &p, nil, "repos", path, "commits", commit, "pull")
		if errors.Is(err, errNotThere) || err == nil && !p.Merged {
			return nil, nil
		}
		return []string{number(p.Number)}, err
	}
	list, err := pages[hubPull](ctx, r.api, r.size(), "repos", path, "commits", commit, "pulls")
	if errors.Is(err, errNotThere) {
		return nil, nil
	}
	var out []string
	for _, p := range list {
		out = append(out, number(p.Number))
	}
	return out, err
}

// labReader reads GitLab.
type labReader struct{ api *apiClient }

type labMerge struct {
	IID      int64    `json:"iid"`
	State    string   `json:"state"`
	SHA      string   `json:"sha"`
	Target   string   `json:"target_branch"`
	Author   *labUser `json:"author"`
	MergedAs string   `json:"merge_commit_sha"`
	Squashed string   `json:"squash_commit_sha"`
	MergedBy *labUser `json:"merge_user"`
}

func (m *labMerge) pull() *Pull {
	p := &Pull{Number: number(m.IID), Head: m.SHA, Target: "refs/heads/" + m.Target, Opener: m.Author.account()}
	if m.State == "merged" {
		p.MergedBy = m.MergedBy.account()
		for _, id := range []string{m.MergedAs, m.Squashed, m.SHA} { // the last: fast-forward
			if id != "" {
				p.Merge = id
				break
			}
		}
	}
	return p
}

// path is how GitLab wants a project named in URLs.
func (r labReader) segments(path string, more ...string) []string {
	return append([]string{"projects", url.PathEscape(path)}, more...)
}

func (r labReader) pull(ctx context.Context, path, number string) (*Pull, error) {
	var m labMerge
	if err := r.api.get(ctx, &m, nil, r.segments(path, "merge_requests", number)...); err != nil {
		return nil, err
	}
	return m.pull(), nil
}

// reviews puts together what GitLab keeps apart: who approves now and since when, and
// which head there was then. Of an approval whose time it does not tell the head is not
// known, and both are missing.
func (r labReader) reviews(ctx context.Context, path, number string) ([]Review, error) {
	var approvals struct {
		By []struct {
			User *labUser  `json:"user"`
			At   time.Time `json:"approved_at"`
		} `json:"approved_by"`
	}
	if err := r.api.get(ctx, &approvals, nil, r.segments(path, "merge_requests", number, "approvals")...); err != nil {
		return nil, err
	}
	type version struct {
		Head string    `json:"head_commit_sha"`
		At   time.Time `json:"created_at"`
	}
	versions, err := pages[version](ctx, r.api, "per_page", r.segments(path, "merge_requests", number, "versions")...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(versions, func(a, b version) int { return a.At.Compare(b.At) })
	var out []Review
	for _, a := range approvals.By {
		v := Review{By: a.User.account(), Verdict: Approves, At: a.At}
		for _, s := range versions {
			if !s.At.After(a.At) {
				v.Head = s.Head
			}
		}
		out = append(out, v)
	}
	return out, nil
}

func (r labReader) pullsOf(ctx context.Context, path, commit string) ([]string, error) {
	list, err := pages[labMerge](ctx, r.api, "per_page", r.segments(path, "repository", "commits", commit, "merge_requests")...)
	if errors.Is(err, errNotThere) {
		return nil, nil
	}
	var out []string
	for _, m := range list {
		if m.State == "merged" {
			out = append(out, number(m.IID))
		}
	}
	return out, err
}
