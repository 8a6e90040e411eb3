package published

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
)

const incidentsPage = "../../../docs/incidents.md"

var update = flag.Bool("update", false, "write docs/incidents.md anew")

func TestMain(m *testing.M) {
	code := m.Run()
	if err := scenario.Clean(); err != nil {
		code = 1
	}
	os.Exit(code)
}

// Without the blueprint everything goes; with it, exactly what is listed does.
func TestTheBlueprintStopsWhatWasReported(t *testing.T) {
	goes := map[string][]bool{"outage": {false}, "four-in-a-week": {true, false, false, false, true}, "recreated": {false}, "unattended": {false}, "two-person": {false}}
	page, err := os.ReadFile(incidentsPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Cases() {
		without, with, err := c.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range without.Gated {
			if !g.Went {
				t.Errorf("%s: %s does not go without the blueprint", c.Name, g.What)
			}
		}
		if len(with.Gated) != len(goes[c.Name]) {
			t.Fatalf("%s: asked %d times", c.Name, len(with.Gated))
		}
		for i, g := range with.Gated {
			if g.Went != goes[c.Name][i] || (g.Decision.Core.Verdict == policy.Allow) != g.Went {
				t.Errorf("%s: %s: %s (%s)", c.Name, g.What, g.Decision.Core.Verdict, g.Decision.Core.Why)
			}
		}
		var out bytes.Buffer
		if err := c.Print(&out, without, with); err != nil {
			t.Fatal(err)
		}
		before, rest, _ := strings.Cut(string(page), "```text\n"+c.Name+": ")
		_, after, found := strings.Cut(rest, "```\n")
		shown := before + "```text\n" + out.String() + "```\n" + after
		if !found || shown != string(page) && !*update {
			t.Errorf("docs/incidents.md does not show what countersign policy cases %s prints (go test ./policy/scenario/published -update):\n%s", c.Name, &out)
		}
		page = []byte(shown)
	}
	if *update {
		if err := os.WriteFile(incidentsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The report shows in each case what the world without the blueprint brought.
func TestTheReportAfterwards(t *testing.T) {
	want := map[string]struct {
		sev1, failed int
		bypass       string
		unattended   int
	}{
		"outage":         {sev1: 1, failed: 1},
		"four-in-a-week": {sev1: 4, failed: 4},
		"recreated":      {sev1: 1, failed: 1, bypass: "no-decision"},
		"unattended":     {bypass: "no-decision", unattended: 1},
		"two-person":     {bypass: "audit-denial"},
	}
	for _, c := range Cases() {
		without, _, err := c.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w, sev1, failed, bypass := want[c.Name], 0, 0, ""
		for _, row := range without.Report.Cohorts {
			sev1, failed = sev1+row.Incidents.Sev1, failed+row.Failed
		}
		if len(without.Bypass) == 1 {
			bypass = string(without.Bypass[0].Kind)
		}
		if sev1 != w.sev1 || failed != w.failed || bypass != w.bypass || len(without.Signals.Unattended) != w.unattended {
			t.Errorf("%s: sev1 %d, failed %d, bypass %q, unattended %d", c.Name, sev1, failed, bypass, len(without.Signals.Unattended))
		}
	}
}
