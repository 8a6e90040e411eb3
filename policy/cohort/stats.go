package cohort

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Level is the confidence of every interval of a report.
const Level = 0.95

// An Interval is a figure with the bounds of its confidence interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// wilson is the share x of n with Wilson's score interval (1927), which stays within 0
// and 1 and holds up for small n; nil where n is zero.
func wilson(x, n int, level float64) *Interval {
	if n <= 0 {
		return nil
	}
	z := math.Sqrt2 * math.Erfinv(level)
	p, m := float64(x)/float64(n), float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	scale := 1 + z*z/m
	return &Interval{p, math.Max(0, (mid-half)/scale), math.Min(1, (mid+half)/scale)}
}

// clopperPearson bounds the share behind x of n exactly (1934): by quantiles of the beta
// distribution.
func clopperPearson(x, n int, level float64) (low, high float64) {
	tail := (1 - level) / 2
	high = 1
	if x > 0 {
		low = mathext.InvRegIncBeta(float64(x), float64(n-x+1), tail)
	}
	if x < n {
		high = mathext.InvRegIncBeta(float64(x+1), float64(n-x), 1-tail)
	}
	return low, high
}

// A RateRatio is how many times as often one cohort fails as another. Value and High are
// absent where they are infinite, Value also where neither fails.
type RateRatio struct {
	Value *float64 `json:"value,omitempty"`
	Low   float64  `json:"low"`
	High  *float64 `json:"high,omitempty"`
}

// rateRatio compares x1 failures of n1 with x2 of n2. Given how many there are in all,
// those of the first are binomial, so the interval is exact: that of the share, by
// Clopper and Pearson, turned into a ratio. It treats failures as rare (Poisson), and is
// a little wide where they are not. nil where it says nothing: no deployments, or no
// failures at all.
func rateRatio(x1, n1, x2, n2 int, level float64) *RateRatio {
	if n1 <= 0 || n2 <= 0 || x1+x2 == 0 {
		return nil
	}
	low, high := clopperPearson(x1, x1+x2, level)
	odds := func(p float64) float64 { return p / (1 - p) * float64(n2) / float64(n1) }
	r := &RateRatio{Low: odds(low)}
	if high < 1 {
		h := odds(high)
		r.High = &h
	}
	if x2 > 0 {
		v := float64(x1) / float64(n1) / (float64(x2) / float64(n2))
		r.Value = &v
	}
	return r
}

// decides reports whether the interval leaves no doubt on which side of 1 the ratio is.
func (r *RateRatio) decides() bool {
	return r != nil && (r.Low > 1 || r.High != nil && *r.High < 1)
}

// Fewer than these are too few for a comparison to rest on.
const (
	fewDeployments = 20 // of one cohort
	fewFailures    = 5  // of both together
)
