package cohort

import (
	"fmt"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// A snapshot has the figures of a report with the same question.
func TestASnapshotSaysWhatAReportDoes(t *testing.T) {
	l := office()
	for n := 1; n <= 30; n++ {
		edit := human
		if n%2 == 0 {
			edit = ai
		}
		l.ship(n, edit)
	}
	for n := 1; n <= 4; n++ {
		l.breaks(2*n, attest.Sev3, attest.Likely)
	}
	l.breaks(1, attest.Sev1, attest.Possible)
	l.Time = epoch.Add(24 * time.Hour)
	s := l.Snapshot(hexOf("a"))
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, r := range s.Rows {
		got[fmt.Sprintf("%s %s %d", r.Environment, r.Cohort, r.Days)] = fmt.Sprintf("%d of %d", r.Failed, r.Deployments)
	}
	for cohort, want := range map[string]string{"all": "4 of 30", "ai": "4 of 15", "human": "0 of 15", "unknown": ""} {
		if is := got["production "+cohort+" 30"]; is != want {
			t.Errorf("%s: %q, want %q", cohort, is, want)
		}
	}
	for _, by := range []Dimension{ByDomain, ByTier, ByTool, ByTeam} {
		for _, row := range l.Report(Query{By: by, Environment: "production", Since: l.Time.Add(-30 * 24 * time.Hour)}).Cohorts {
			if row.Cohort == None || row.Cohort == Unknown {
				continue
			}
			if is := got[fmt.Sprintf("production %s:%s 30", by, row.Cohort)]; is != fmt.Sprintf("%d of %d", row.Failed, row.Deployments) {
				t.Errorf("%s:%s: %q, and the report says %d of %d", by, row.Cohort, is, row.Failed, row.Deployments)
			}
		}
	}
	// What the log took before the window is in none.
	l.Time = epoch.Add(8 * 24 * time.Hour)
	for _, r := range l.Snapshot(hexOf("a")).Rows {
		if r.Days == 7 {
			t.Errorf("%+v", r)
		}
	}
}
