package ledger_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
)

// signing stamps with one P-256 signature, the main cost of a real timestamp.
type signing struct{ key *ecdsa.PrivateKey }

func (s signing) Stamp(message []byte, _ time.Time) ([]byte, error) {
	d := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, s.key, d[:])
}

// BenchmarkAppend measures the engine alone: no signature of a client, no disk,
// no network. Each entry gets a timestamp and a receipt that was checked.
func BenchmarkAppend(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ writers, each int }{{1, 1}, {16, 1}, {256, 1}, {16, 32}} {
		b.Run(fmt.Sprintf("%d writers, %d a call", c.writers, c.each), func(b *testing.B) {
			cfg := config(ledgertest.NewMemory(ledgertest.EmptyHead()))
			cfg.Stamper = signing{key}
			cfg.Now = func() time.Time { return ledgertest.Start }
			l := open(b, cfg)
			stop := run(b, l)
			b.ReportAllocs()
			b.ResetTimer()
			appendMany(b, l, c.writers, c.each)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			if err := stop(); err != nil {
				b.Error(err)
			}
		})
	}
}

// appendMany appends b.N entries.
func appendMany(b *testing.B, l *ledger.Ledger, writers, each int) {
	ctx := context.WithoutCancel(b.Context())
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				from := int(next.Add(int64(each))) - each
				if from >= b.N {
					return
				}
				if _, err := l.Append(ctx, ledgertest.Entries(from, min(from+each, b.N))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkAppendWitnessed is BenchmarkAppend with a quorum of two of three
// witnesses, each a real one over HTTP on loopback, with its memory synced.
func BenchmarkAppendWitnessed(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ writers, each int }{{1, 1}, {256, 1}, {16, 32}} {
		b.Run(fmt.Sprintf("%d writers, %d a call", c.writers, c.each), func(b *testing.B) {
			w := newTown(b, 3, twoOf)
			cfg := w.config(b, ledgertest.NewMemory(ledgertest.EmptyHead()))
			cfg.Stamper, cfg.Witnessing.Wait = signing{key}, time.Minute
			l := open(b, cfg)
			stop := run(b, l)
			b.ResetTimer()
			appendMany(b, l, c.writers, c.each)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			if err := stop(); err != nil {
				b.Error(err)
			}
		})
	}
}
