package policy

import (
	"errors"
	"strings"
	"testing"
)

// A rule more comes last among the rules, wherever they stand in the file.
func TestASetWithOneRuleMore(t *testing.T) {
	const rule = "- id: odd\n  title: Odd\n  when: 'change.claimed'\n  forbid: true\n"
	good := demoFiles(t)
	for name, edit := range map[string]func(string) string{
		"as it is":             func(s string) string { return s },
		"rules are not last":   func(s string) string { return s + "budgets:\n  - {domain: replication, window: 28d, allowed: 40m}\n" },
		"no indentation":       func(s string) string { return outdented(s) },
		"a comment at the end": func(s string) string { return s + "# the end\n" },
		"no end of line":       func(s string) string { return strings.TrimRight(s, "\n") },
	} {
		f := good
		f.Policy = edit(f.Policy)
		s, err := ParseSet(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		with, err := s.With(rule)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := len(with.Rules); n != len(s.Rules)+1 || with.Rules[n-1].ID != "odd" || with.Rules[0].ID != s.Rules[0].ID || len(with.Budgets) != len(s.Budgets) {
			t.Errorf("%s: %+v", name, with.Rules)
		}
		if _, err := s.With(rule + "- id: even\n  title: Even\n  forbid: true\n"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: two rules: %v", name, err)
		}
	}
}

// outdented is the same policy with its rules at the margin.
func outdented(s string) string {
	before, rules, _ := strings.Cut(s, "\nrules:\n")
	var b strings.Builder
	for line := range strings.Lines(rules) {
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	return before + "\nrules:\n" + b.String()
}
