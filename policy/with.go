package policy

import (
	"fmt"
	"strings"
)

// With is the set with one rule more, the last: an item of `rules`, in YAML. Its rules
// must be written one an item, as a list of lines. It is a candidate, of the same version,
// and nothing signs it.
func (s *Set) With(rule string) (*Set, error) {
	lines := strings.SplitAfter(s.files.Policy, "\n")
	at, indent := -1, ""
	for i, l := range lines {
		if strings.TrimRight(l, " \n") == "rules:" {
			at = i + 1
			continue
		}
		if at < 0 {
			continue
		}
		text := strings.TrimLeft(l, " ")
		switch {
		case strings.TrimSpace(text) == "" || text[0] == '#':
		case strings.HasPrefix(text, "- ") && indent == "":
			indent = l[:len(l)-len(text)]
			at = i + 1
		case len(l) == len(text) && !strings.HasPrefix(text, "- "): // the next key of the file
			return s.insert(lines, at, indent, rule)
		default:
			at = i + 1
		}
	}
	if at < 0 || at > len(lines) {
		return nil, fmt.Errorf("%w: its rules are no list of lines", ErrInvalid)
	}
	return s.insert(lines, at, indent, rule)
}

func (s *Set) insert(lines []string, at int, indent, rule string) (*Set, error) {
	f := s.files
	before := strings.Join(lines[:at], "")
	if !strings.HasSuffix(before, "\n") {
		before += "\n"
	}
	f.Policy = before + indent + strings.ReplaceAll(strings.TrimRight(rule, "\n"), "\n", "\n"+indent) + "\n" + strings.Join(lines[at:], "")
	with, err := ParseSet(f)
	if err == nil && len(with.Rules) != len(s.Rules)+1 {
		err = fmt.Errorf("%w: the rule is none, or more than one", ErrInvalid)
	}
	return with, err
}
