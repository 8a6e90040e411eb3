package cohort

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/countersign-dev/countersign/attest"
)

// large is a log of 100,000 deployments and 2,000 incidents.
func large() *Log {
	l := office()
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 100_000; n++ {
		l.ship(n, func(c *Change) {
			switch r.IntN(4) {
			case 0:
				ai(c)
			case 1:
				nobody(c)
			}
			if r.IntN(2) == 0 {
				c.Tier, c.Domains = "high", []string{fmt.Sprintf("domain-%d", r.IntN(20)), "docs"}
			}
		})
	}
	for _, n := range r.Perm(100_000)[:2_000] {
		l.breaks(n+1, attest.Severities()[r.IntN(4)], attest.Confidences()[r.IntN(3)])
	}
	return l
}

// BenchmarkReport must stay under 5 s an operation.
func BenchmarkReport(b *testing.B) {
	l := large()
	if n := len(l.Incidents()); n != 2_000 {
		b.Fatal(n)
	}
	for _, by := range Dimensions() {
		b.Run(string(by), func(b *testing.B) {
			for b.Loop() {
				if r := l.Report(Query{By: by}); r.Deployments != 100_000 {
					b.Fatal(r.Deployments)
				}
			}
		})
	}
	b.Run("bypasses", func(b *testing.B) {
		for b.Loop() {
			l.Bypasses(Query{})
		}
	})
	b.Run("suggest", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Suggest(Query{}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("inventory", func(b *testing.B) {
		for b.Loop() {
			l.Inventory()
		}
	})
	b.Run("signals", func(b *testing.B) {
		for b.Loop() {
			l.Signals(Query{})
		}
	})
}
