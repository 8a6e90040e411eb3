package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/scenario"
)

// Keys are put behind those that are there, however the file is laid out, and nothing else
// of it changes.
func TestEnrolKeepsTheRestOfTheFile(t *testing.T) {
	base := tell(t, scenario.Story{Text: approvedPlan, Rules: planRules(t)}, scenario.Attack).Set.Files()
	key := func() []roster.Key {
		return []roster.Key{{Name: "new", SSH: scenario.NewSSHKey(false).Public, Assurance: roster.ByKey}}
	}
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for name, edit := range map[string]func(string) string{
		"as it is": func(s string) string { return s },
		"with remarks": func(s string) string {
			return strings.Replace(s, "  - id: bob\n", "# he\n  - id: bob # of accounts\n\n", 1)
		},
		"quoted":     func(s string) string { return strings.Replace(s, "  - id: bob\n", "  - id: \"bob\"\n", 1) },
		"at the end": func(s string) string { return strings.TrimRight(s, "\n") },
	} {
		files := base
		files.People = edit(files.People)
		for _, who := range []string{"bob", "erin", "alice", "carol"} {
			out, set, err := policy.Enrol(files, who, key(), from)
			if err != nil {
				t.Errorf("%s, %s: %v", name, who, err)
				continue
			}
			p, _ := set.Roster.Principal(who)
			found := false
			for _, k := range p.Keys {
				found = found || k.Name == "new" && k.From.Equal(from)
			}
			if !found {
				t.Errorf("%s: %s has no new key", name, who)
			}
			rest := out.People
			for line := range strings.Lines(files.People) {
				at := strings.Index(rest, line)
				if at < 0 {
					t.Fatalf("%s, %s: %q is gone, or elsewhere", name, who, line)
				}
				rest = rest[at+len(line):]
			}
		}
	}
	if _, _, err := policy.Enrol(base, "mallory", key(), from); err == nil {
		t.Error("a stranger was enrolled")
	}
	flow := base
	flow.People = strings.Replace(flow.People, "  - id: frank\n", "  -\n    id: frank\n", 1)
	if _, _, err := policy.Enrol(flow, "frank", key(), from); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("an entry that is laid out in another way: %v", err)
	}
	same := key()
	once, _, err := policy.Enrol(base, "bob", same, from)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := policy.Enrol(once, "alice", same, from); err == nil || !strings.Contains(err.Error(), "already belongs to") {
		t.Errorf("a key of two people: %v", err)
	}
}
