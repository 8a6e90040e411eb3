package cohort

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest"
)

func TestPlotsAndTablesHoldWhatOthersWrote(t *testing.T) {
	l := office()
	l.ship(1, func(c *Change) { c.Origin, c.Agents = "ai", []string{`=cmd|'<script>alert(1)</script>`} })
	l.ship(2, func(c *Change) { c.Origin, c.Agents = "ai", []string{"\x01\xff\x02"} })
	l.breaks(1, attest.Sev1, attest.Confirmed)
	r := l.Report(Query{By: ByTool})
	var svg, table bytes.Buffer
	if err := r.WriteSVG(&svg); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(svg.Bytes())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, svg.String())
		}
	}
	if strings.Contains(svg.String(), "<script") {
		t.Error("the plot holds a script")
	}
	if err := r.WriteCSV(&table); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d lines, %v", len(rows), err)
	}
	for _, row := range rows {
		if strings.HasPrefix(row[0], "=") {
			t.Errorf("a spreadsheet would run %q", row[0])
		}
	}
	var again bytes.Buffer
	if err := l.Report(Query{By: ByTool}).WriteSVG(&again); err != nil || again.String() != svg.String() {
		t.Error("the same log gives another picture")
	}
}
