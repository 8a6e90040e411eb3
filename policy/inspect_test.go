package policy

import (
	"errors"
	"strings"
	"testing"
)

// Row I13: what could fail, loop, cost too much, read a clock or ask for what there is
// not is refused when the set is loaded, and the message says which rule and where.
func TestExpressionsAreRefusedWhenLoaded(t *testing.T) {
	good := demoFiles(t)
	good.Policy = strings.Replace(good.Policy, "rules:\n", "budgets:\n  - {domain: replication, window: 28d, allowed: 40m}\nrules:\n", 1)
	for name, c := range map[string]struct{ when, want, twin string }{
		"divides by zero":          {`change.tier / 0 > 1`, "line 1, column 13: divides by what could be zero", `change.tier / 2 > 1`},
		"divides by what may be 0": {`release.changes / release.aiChanges > 2`, "divides by what could be zero", `release.changes > 2 * release.aiChanges`},
		"remainder of what may be": {`7 % release.aiChanges == 1`, "divides by what could be zero", `release.aiChanges % 7 == 1`},
		"divides a fraction":       {`1.0 / 0.0 > 1.0`, "divides by what could be zero", `1.0 / 4.0 < 1.0`},
		"loops in a loop":          {`change.paths.exists(p, change.paths.exists(q, p == q))`, "loops inside of a loop", `change.paths.exists(p, p == "a")`},
		"three loops":              {`change.paths.all(p, change.domains.all(d, change.domains.all(e, p.contains(d + e))))`, "loops inside of a loop", `change.paths.all(p, p.contains("db") || p.endsWith(".sql"))`},
		"long":                     {strings.Repeat("change.claimed || ", 300) + "true", "limit is 4096", strings.Repeat("change.claimed || ", 100) + "true"},
		"reads a clock":            {`now() > timestamp("2026-01-01T00:00:00Z")`, "line 1, column 4: undeclared reference to 'now'", `environment == "production"`},
		"a time":                   {`timestamp("2026-01-01T00:00:00Z").getHours() > 3`, "undeclared reference to 'timestamp'", `change.claimed`},
		"unknown name":             {`chaneg.tier > 1`, "line 1, column 1: undeclared reference to 'chaneg'", `change.tier > 1`},
		"unknown function":         {`change.title.matchesRegex("x")`, "undeclared reference to 'matchesRegex'", `change.title.startsWith("x")`},
		"on its second line":       {"change.claimed\n      || chaneg.claimed", "line 2, column 4: undeclared reference", "change.claimed\n      || change.claimed"},
		"no such domain":           {`incidents.sev1("replicaton", "7d") > 0`, `line 1, column 15: domain "replicaton" is unknown; did you mean "replication"?`, `incidents.sev1("replication", "7d") > 0`},
		"no window":                {`incidents.sev1("replication", "a week") > 0`, "the window must be written out", `incidents.sev1("replication", "168h") > 0`},
		"a window that is made up": {`incidents.sev1("7" + "d") > 0`, "the window must be written out", `incidents.sev1("7d") > 0`},
		"a window without an end":  {`incidents.any("9999d") > 0`, "the window must be written out", `incidents.any("400d") > 0`},
		"no such budget":           {`budget.remaining("docs") < 0.5`, `domain "docs" is unknown`, `budget.remaining("replication") < 0.5`},
		"no such cohort":           {`cohort.failureRate("robots", "30d") > 0.1`, `cohort "robots" is unknown`, `cohort.failureRate("ai", "30d") > 0.1`},
		"no such domain's cohort":  {`cohort.failureRate("domain:core", "30d") > 0.1`, `domain "core" is unknown`, `cohort.failureRate("domain:replication", "90d") > 0.1`},
		"no such tier's cohort":    {`cohort.failureRate("tier:hgih", "30d") > 0.1`, `did you mean "high"?`, `cohort.failureRate("tier:high", "7d") > 0.1`},
		"another window":           {`cohort.failureRate("ai", "14d") > 0.1`, "snapshots have windows of 7d, 30d, 90d", `cohort.deployments("ai", "7d") > 100`},
		"a cohort that is made up": {`cohort.failureRate("a" + "i", "30d") > 0.1`, "must be written out", `cohort.failureRate("tool:claude", "30d") > 0.1`},
		"no truth":                 {`incidents.sev1("7d")`, "gives int", `incidents.sev1("7d") == 0`},
	} {
		t.Run(name, func(t *testing.T) {
			load := func(when string) error {
				f := good
				f.Policy += "  - id: odd\n    title: Odd\n    when: |\n      " + when + "\n    forbid: true\n"
				_, err := ParseSet(f)
				return err
			}
			err := load(c.when)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "rule odd: when: ") || !strings.Contains(err.Error(), "policy.yaml:") {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err := load(c.twin); err != nil {
				t.Errorf("twin: %v", err)
			}
		})
	}
}
