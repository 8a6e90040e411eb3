package cohort

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within {
		t.Errorf("%s: %.7g, published is %.7g", what, got, want)
	}
}

// The intervals of Newcombe, "Two-sided confidence intervals for the single
// proportion", Statistics in Medicine 17 (1998), table I: methods 3 and 5.
func TestIntervalsAreThePublishedOnes(t *testing.T) {
	for _, c := range []struct {
		x, n                int
		wLow, wHigh, cl, ch float64
	}{
		{81, 263, 0.2553, 0.3662, 0.2527, 0.3676},
		{15, 148, 0.0624, 0.1605, 0.0578, 0.1617},
		{0, 20, 0, 0.1611, 0, 0.1684},
		{1, 29, 0.0061, 0.1718, 0.0009, 0.1776},
	} {
		w := wilson(c.x, c.n, 0.95)
		near(t, "Wilson, low", w.Low, c.wLow, 6e-5)
		near(t, "Wilson, high", w.High, c.wHigh, 6e-5)
		low, high := clopperPearson(c.x, c.n, 0.95)
		near(t, "Clopper-Pearson, low", low, c.cl, 6e-5)
		near(t, "Clopper-Pearson, high", high, c.ch, 6e-5)
	}
	if wilson(0, 0, 0.95) != nil {
		t.Error("a share of nothing has an interval")
	}
}

// The example of R's poisson.test(c(11, 6+8+7), c(800, 1083+1050+878)).
func TestRateRatioIsThePublishedOne(t *testing.T) {
	r := rateRatio(11, 800, 21, 3011, 0.95)
	near(t, "ratio", *r.Value, 1.971488, 1e-6)
	near(t, "low", r.Low, 0.8584264, 1e-6)
	near(t, "high", *r.High, 4.2772659, 1e-6)
}

func TestRateRatioAtItsEdges(t *testing.T) {
	if r := rateRatio(0, 10, 0, 10, 0.95); r != nil {
		t.Error("no failures give a ratio")
	}
	if r := rateRatio(1, 0, 3, 10, 0.95); r != nil {
		t.Error("no deployments give a ratio")
	}
	if r := rateRatio(3, 10, 0, 10, 0.95); r.Value != nil || r.High != nil || r.Low <= 0 {
		t.Errorf("nothing in the second: %+v", r)
	}
	if r := rateRatio(0, 10, 3, 10, 0.95); r.Low != 0 || *r.Value != 0 || *r.High <= 0 {
		t.Errorf("nothing in the first: %+v", r)
	}
	// Which of the two is called first makes no difference.
	a, b := rateRatio(7, 50, 3, 90, 0.95), rateRatio(3, 90, 7, 50, 0.95)
	near(t, "turned round, low", 1/(*b.High), a.Low, 1e-9)
	near(t, "turned round, high", 1/b.Low, *a.High, 1e-9)
}
