package policy

import (
	"math/rand/v2"
	"testing"
)

// most is the largest number of seats that can be filled, by trying everything.
func most(person, people, seats int, taken uint, fits func(int, int) bool) int {
	if person == people {
		return 0
	}
	best := most(person+1, people, seats, taken, fits)
	for s := range seats {
		if taken&(1<<s) == 0 && fits(person, s) {
			best = max(best, 1+most(person+1, people, seats, taken|1<<s, fits))
		}
	}
	return best
}

func TestMatchingFillsAsManySeatsAsCanBeFilled(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		people, seats := r.IntN(6), r.IntN(6)
		var edge [6][6]bool
		for p := range people {
			for s := range seats {
				edge[p][s] = r.IntN(3) == 0
			}
		}
		fits := func(p, s int) bool { return edge[p][s] }
		at := match(people, seats, fits)
		filled, sits := 0, map[int]bool{}
		for s, p := range at {
			if p < 0 {
				continue
			}
			if !edge[p][s] || sits[p] {
				t.Fatalf("person %d cannot sit in seat %d, or sits twice: %v", p, s, at)
			}
			sits[p] = true
			filled++
		}
		if want := most(0, people, seats, 0, fits); filled != want {
			t.Fatalf("filled %d seats of %d; %d can be: %v", filled, seats, want, edge)
		}
	}
}
