package credential

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Listed is one line of an authorized_keys or an allowed-signers file (sshd(8),
// ssh-keygen(1)): a key, or why it is none for a roster.
type Listed struct {
	Line    int
	Key     *SSHKey
	Comment string
	// Principals are whom an allowed-signers file has the key for.
	Principals []string
	// NoTouch: the file asks for no touch of a security key.
	NoTouch     bool
	From, Until time.Time // as an allowed-signers file limits it; zero where it does not
	// Skip is why the line gives no key.
	Skip string
}

// maxLines bounds the lines of such a file.
const maxLines = 10_000

// ParseSSHFile reads either kind of file. Times without a Z are in the local zone, as for
// OpenSSH. namespace is what the keys will sign: a line that allows others alone is
// skipped.
func ParseSSHFile(text []byte, namespace string, local *time.Location) ([]Listed, error) {
	var out []Listed
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if n > maxLines {
			return nil, fmt.Errorf("line %d: more than %d lines", n, maxLines)
		}
		l := Listed{Line: n}
		if err := l.parse(line, namespace, local); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// authorizedOptions are those that stand before a key in authorized_keys.
var authorizedOptions = []string{
	"agent-forwarding", "cert-authority", "command", "environment", "expiry-time", "from", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc",
	"no-X11-forwarding", "permitlisten", "permitopen", "port-forwarding", "principals", "pty", "no-touch-required", "verify-required", "restrict", "tunnel", "user-rc", "X11-forwarding",
}

func (l *Listed) parse(line, namespace string, local *time.Location) error {
	first, rest := field(line)
	if name, _, _ := strings.Cut(strings.Split(first, ",")[0], "="); !keyType(first) && !slices.Contains(authorizedOptions, name) {
		l.Principals, line = strings.Split(strings.Trim(first, `"`), ","), rest
	}
	key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return fmt.Errorf("is neither a line of authorized_keys nor of allowed signers: %w", err)
	}
	l.Comment = comment
	if l.Key, err = ParseSSHKey(key.Marshal()); err != nil {
		l.Skip = err.Error()
	}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		if err := l.option(name, strings.Trim(value, `"`), namespace, local); err != nil {
			return err
		}
	}
	return nil
}

func (l *Listed) option(name, value, namespace string, local *time.Location) (err error) {
	switch strings.ToLower(name) {
	case "cert-authority":
		l.Skip = "is a certificate authority's, and a roster has people's own"
	case "no-touch-required":
		l.NoTouch = true
	case "namespaces":
		if !slices.Contains(strings.Split(value, ","), namespace) {
			l.Skip = fmt.Sprintf("may sign in namespaces %.80q only, and approvals are in %q", value, namespace)
		}
	case "valid-after":
		l.From, err = sshTime(value, local)
	case "valid-before", "expiry-time":
		l.Until, err = sshTime(value, local)
	}
	return err
}

// sshTime reads YYYYMMDD[Z] and YYYYMMDDHHMM[SS][Z].
func sshTime(s string, local *time.Location) (time.Time, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	if utc {
		local = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) == len(layout) {
			return time.ParseInLocation(layout, digits, local)
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time such as 20260301 or 202603011200Z", s)
}

func keyType(s string) bool {
	return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-") || strings.HasPrefix(s, "sk-")
}

// field cuts the first field off, in which quotes hold blanks together.
func field(line string) (first, rest string) {
	quoted := false
	for i, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
		case (r == ' ' || r == '\t') && !quoted:
			return line[:i], strings.TrimSpace(line[i:])
		}
	}
	return line, ""
}
