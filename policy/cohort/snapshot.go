package cohort

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// Snapshot is the figures that rules may ask for, as of the state of the log that was
// read: for each environment of the policy, over 7, 30 and 90 days before Time by when
// the log took a deployment. root is that state's, sha256 hex.
func (l *Log) Snapshot(root string) *attest.CohortSnapshot {
	j := l.join()
	counts := make(map[attest.CohortFigures]*attest.CohortFigures)
	for _, environment := range l.Environments {
		for _, days := range attest.SnapshotDays() {
			q := Query{Environment: environment, Since: l.Time.Add(-time.Duration(days) * 24 * time.Hour)}
			q.fill()
			held, _ := j.once(&q)
			for _, d := range held {
				failed := slices.ContainsFunc(d.Caused, q.fails)
				for _, name := range j.snapshotCohorts(d) {
					key := attest.CohortFigures{Environment: environment, Cohort: name, Days: days}
					if counts[key] == nil {
						row := key
						counts[key] = &row
					}
					counts[key].Deployments++
					if failed {
						counts[key].Failed++
					}
				}
			}
		}
	}
	s := &attest.CohortSnapshot{Size: l.Size, Root: root, AsOf: attest.At(l.Time), Rows: []attest.CohortFigures{}}
	for _, row := range counts {
		s.Rows = append(s.Rows, *row)
	}
	slices.SortFunc(s.Rows, attest.CompareFigures)
	return s
}

// snapshotCohorts are those of a deployment, as a snapshot names them.
func (j *joined) snapshotCohorts(d *Deployed) []string {
	out := []string{"all", map[string]string{"all": "ai", "some": "ai", None: "human", Unknown: "unknown"}[j.cohorts(d, ByOrigin)[0]]}
	for _, by := range []Dimension{ByDomain, ByTier, ByTool, ByTeam} {
		for _, name := range j.cohorts(d, by) {
			if name != Unknown && name != None && len(name) < 200 && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
				out = append(out, string(by)+":"+name)
			}
		}
	}
	return out
}
