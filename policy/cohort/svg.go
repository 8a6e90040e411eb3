package cohort

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
)

// Measures of a plot, in pixels.
const (
	plotWidth  = 920
	plotLeft   = 250 // where the axis begins
	plotRight  = 640 // and ends
	plotTop    = 64
	plotLine   = 26
	plotBottom = 92
)

// WriteSVG draws the failure rate of every cohort with its interval. The picture is
// complete in itself: no script, no font, no link.
func (r *Report) WriteSVG(w io.Writer) error {
	var b bytes.Buffer
	height := plotTop + plotLine*max(len(r.Cohorts), 1) + plotBottom
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img">`+"\n", plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, "<title>Change failure rate by %s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", escape(string(r.By)))
	text(&b, 16, 26, "start", 16, "Change failure rate by "+string(r.By))
	text(&b, 16, 46, "start", 12, fmt.Sprintf("%s, %d entries, %d deployments; failures: %s and worse, at least %s; bars: %.0f%% interval (Wilson)",
		r.Origin, r.Size, r.Deployments, r.Severity, r.Confidence, r.Level*100))
	high := r.axis()
	x := func(v float64) float64 { return plotLeft + (plotRight-plotLeft)*math.Min(v/high, 1) }
	bottom := plotTop + plotLine*max(len(r.Cohorts), 1)
	for i := 0; i <= 4; i++ {
		v := high * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", x(v), plotTop, x(v), bottom)
		text(&b, x(v), bottom+18, "middle", 11, fmt.Sprintf("%.3g%%", v*100))
	}
	for i := range r.Cohorts {
		c := &r.Cohorts[i]
		y := plotTop + plotLine*i + plotLine/2
		text(&b, plotLeft-10, y+4, "end", 13, cut(c.Cohort, 34))
		label := fmt.Sprintf("%d of %d", c.Failed, c.Deployments)
		if f := c.FailureRate; f != nil {
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#456" stroke-width="2"/>`+"\n", x(f.Low), y, x(f.High), y)
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="4" fill="#135"/>`+"\n", x(f.Value), y)
		}
		if c.Warning != "" {
			label += "  (too few to tell)"
		}
		text(&b, plotRight+14, y+4, "start", 12, label)
	}
	text(&b, 16, bottom+44, "start", 12, "Unknown is a cohort of its own. Cohorts differ in more than "+string(r.By)+"; a difference is no cause.")
	text(&b, 16, bottom+64, "start", 12, fmt.Sprintf("In no cohort: %s without a known cause, %d with less confidence.", count(len(r.Unplaced), "incident"), len(r.Uncertain)))
	b.WriteString("</svg>\n")
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write SVG: %w", err)
	}
	return nil
}

// axis is the end of the axis: a round share above every interval.
func (r *Report) axis() float64 {
	most := 0.01
	for i := range r.Cohorts {
		if f := r.Cohorts[i].FailureRate; f != nil {
			most = math.Max(most, f.High)
		}
	}
	for _, end := range []float64{0.02, 0.04, 0.08, 0.2, 0.4, 0.6, 0.8} {
		if most <= end {
			return end
		}
	}
	return 1
}

func text(b *bytes.Buffer, x float64, y int, anchor string, size int, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, size, escape(s))
}

// escape makes text of others safe in XML; what XML cannot hold becomes a mark.
func escape(s string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "?" // a buffer takes everything
	}
	return b.String()
}

func cut(s string, letters int) string {
	if r := []rune(s); len(r) > letters {
		return string(r[:letters-1]) + "…"
	}
	return s
}
