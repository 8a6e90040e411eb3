package api_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/verify"
)

// What is remembered must never differ from what is stored, whoever asks while
// the log grows, and whatever size the question is about.
func TestRememberedAnswersAreTheStores(t *testing.T) {
	store := ledgertest.NewMemory(ledgertest.EmptyHead())
	remembering := api.Remember(store)
	var maker ledgertest.Maker
	done := make(chan struct{})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				q := ledger.Query{Key: fmt.Sprint("key:", rand.IntN(8)), Until: store.Head().Size}
				if q.Until == 0 {
					continue
				}
				q.Until -= rand.Uint64N(min(q.Until, 3))
				q.Limit = verify.FindLimit(q.Key)
				got, err := remembering.Search(t.Context(), q)
				want, wantErr := store.Search(t.Context(), q)
				if err != nil || wantErr != nil || !slices.Equal(got, want) {
					t.Errorf("%+v: %v, %v; the store has %v, %v", q, got, err, want, wantErr)
					return
				}
			}
		})
	}
	for n := range 200 {
		e := ledgertest.Entry(n)
		e.Keys = []string{fmt.Sprint("key:", rand.IntN(8))}
		if err := remembering.Commit(t.Context(), maker.Batch(e)); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wait.Wait()
}
