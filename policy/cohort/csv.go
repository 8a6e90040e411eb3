package cohort

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteCSV writes a line for every cohort, with the entries behind each figure. Cells
// that a spreadsheet would take for a formula begin with an apostrophe.
func (r *Report) WriteCSV(w io.Writer) error {
	rows := [][]string{{r.columnName(), "deployments", "failed", "failure_rate", "low", "high", "sev1", "sev2", "sev3", "sev4",
		"restore_median_s", "restore_p90_s", "lead_median_s", "lead_p90_s", "waiting_median_s", "waiting_p90_s",
		"ratio", "ratio_low", "ratio_high", "against", "warning", "deployment_entries", "failed_entries", "incident_entries"}}
	for i := range r.Cohorts {
		rows = append(rows, r.csvRow(&r.Cohorts[i]))
	}
	return writeCSV(w, rows)
}

func (r *Report) columnName() string { return string(r.By) }

func (r *Report) csvRow(c *Row) []string {
	out := []string{c.Cohort, strconv.Itoa(c.Deployments), strconv.Itoa(c.Failed)}
	if f := c.FailureRate; f != nil {
		out = append(out, number(f.Value), number(f.Low), number(f.High))
	} else {
		out = append(out, "", "", "")
	}
	for _, n := range []int{c.Incidents.Sev1, c.Incidents.Sev2, c.Incidents.Sev3, c.Incidents.Sev4} {
		out = append(out, strconv.Itoa(n))
	}
	for _, s := range []Span{c.Restore, c.Lead, c.Waiting} {
		out = append(out, s.csv(s.Median), s.csv(s.P90))
	}
	ratio := Ratio{Against: "", Warning: c.Warning}
	for _, one := range r.Ratios {
		if one.Cohort == c.Cohort {
			ratio = one
			ratio.Warning = strings.TrimPrefix(join(c.Warning, one.Warning), "; ")
		}
	}
	cells := [3]string{}
	if q := ratio.Ratio; q != nil {
		cells = [3]string{pointer(q.Value), number(q.Low), pointer(q.High)}
	}
	var incidents []uint64
	for _, i := range c.IncidentEntries {
		incidents = append(incidents, i.Entries...)
	}
	return append(out, cells[0], cells[1], cells[2], ratio.Against, ratio.Warning, indexes(c.Entries), indexes(c.FailedEntries), indexes(incidents))
}

// WriteCSV writes a line for every bypass, and one for every place of which nothing is
// known.
func (r *Register) WriteCSV(w io.Writer) error {
	rows := [][]string{{"kind", "environment", "repository", "artifact", "actor", "attested_by", "deployed_at", "deployment_entry", "decision_entries", "why"}}
	for _, b := range r.Bypasses {
		rows = append(rows, []string{string(b.Kind), b.Environment, b.Repository, b.Artifact, b.Actor, b.AttestedBy, stamp(b.DeployedAt),
			strconv.FormatUint(b.Deployment, 10), indexes(b.Decisions), b.Why})
	}
	for _, c := range r.Coverage {
		if !c.Known {
			rows = append(rows, []string{"coverage-unknown", c.Environment, c.Repository, "", "", strings.Join(c.AttestedBy, " "), "", "", "", c.Why})
		}
	}
	return writeCSV(w, rows)
}

func writeCSV(w io.Writer, rows [][]string) error {
	out := csv.NewWriter(w)
	for _, row := range rows {
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func (s Span) csv(d Seconds) string {
	if s.Known == 0 {
		return ""
	}
	return strconv.FormatInt(int64(d.Duration()/time.Second), 10)
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }

func pointer(f *float64) string {
	if f == nil {
		return ""
	}
	return number(*f)
}

// indexes lists entries, separated by spaces.
func indexes(list []uint64) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(out, " ")
}
