package attest

import "strings"

// ParseRepository checks that s is the one spelling of a repository's id: a
// lower-case host, a slash and a path; no scheme, user, port-less tricks,
// escapes, empty or dotted segments, trailing slash or ".git". Exactly equal ids
// are the same repository, and nothing else is.
func ParseRepository(s string) error { return checkRepository("repository", s) }

func checkRepository(field, s string) error {
	if err := checkName(field, s); err != nil {
		return err
	}
	host, path, ok := strings.Cut(s, "/")
	if !ok || host == "" || path == "" {
		return faultErr(WrongScope, field, "%.80q is not host/path", s)
	}
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:") != "" || strings.HasPrefix(host, ".") {
		return faultErr(WrongScope, field, "%.80q: the host must be lower case, without scheme or user", s)
	}
	for _, seg := range strings.Split(path, "/") {
		if seg == "" || seg == "." || seg == ".." || strings.HasSuffix(seg, ".git") || strings.ContainsAny(seg, "%\\?#@: ") {
			return faultErr(WrongScope, field, "%.80q is not canonical at %.40q", s, seg)
		}
	}
	return nil
}
