package api_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
)

// BenchmarkSubmit measures from submission to receipt over Connect on loopback,
// client and server on the same cores: parsed, the signature verified, the roster
// asked, synced to disk, in the tree, timestamp and checkpoint signed. Statements
// are approvals of about 2 KB, signed before the time runs.
//
// verify/s is how many P-256 signatures all cores verify in the same run, and
// ratio is entries/s to that.
func BenchmarkSubmit(b *testing.B) {
	for _, c := range []struct{ writers, bundles int }{{1, 1}, {16, 1}, {256, 1}, {16, 32}} {
		b.Run(fmt.Sprintf("writers=%d/bundles=%d", c.writers, c.bundles), func(b *testing.B) {
			f := start(b, setup{})
			defer f.stop()
			verified := verifyRate(b)
			calls := make([][][]byte, b.N)
			for i := range calls {
				for k := range c.bundles {
					calls[i] = append(calls[i], f.padded(fmt.Sprintf("%d-%d", i, k)))
				}
			}
			client := f.client(c.writers)
			took := make([]time.Duration, b.N)
			var next atomic.Int64
			var writers sync.WaitGroup
			b.ResetTimer()
			for range c.writers {
				writers.Go(func() {
					for {
						i := int(next.Add(1)) - 1
						if i >= b.N {
							return
						}
						start := time.Now()
						resp, err := client.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: calls[i]}))
						if err != nil || len(resp.Msg.Results) != c.bundles {
							b.Errorf("append: %v", err)
							return
						}
						took[i] = time.Since(start)
					}
				})
			}
			writers.Wait()
			b.StopTimer()
			rate := float64(b.N*c.bundles) / b.Elapsed().Seconds()
			slices.Sort(took)
			b.ReportMetric(rate, "entries/s")
			b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "ms-median")
			b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "ms-p99")
			b.ReportMetric(verified, "verify/s")
			b.ReportMetric(rate/verified, "ratio")
		})
	}
}

// client keeps a connection for each writer, and asks for no compression: on
// loopback it costs more than it saves.
func (f *fixture) client(writers int) countersignv1connect.LedgerServiceClient {
	transport := &http.Transport{MaxIdleConnsPerHost: writers, DisableCompression: true}
	f.t.Cleanup(transport.CloseIdleConnections)
	return countersignv1connect.NewLedgerServiceClient(&http.Client{Transport: transport}, f.url, connect.WithAcceptCompression("gzip", nil, nil))
}

// padded is an approval whose statement has about 2 KB.
func (f *fixture) padded(nonce string) []byte {
	st := f.approves("bob", nonce)
	st.Predicate.(*attest.Approval).Comment = strings.Repeat("I have read every line of it. ", 45)
	return f.sign("bob", st)
}

// verifyRate is how many P-256 signatures a second all cores verify together.
func verifyRate(b *testing.B) float64 {
	key := scenario.Key("bob")
	message := make([]byte, 2048)
	signature, err := key.Sign(message)
	if err != nil {
		b.Fatal(err)
	}
	var done atomic.Int64
	var cores sync.WaitGroup
	start := time.Now()
	for range runtime.GOMAXPROCS(0) {
		cores.Go(func() {
			for time.Since(start) < 500*time.Millisecond {
				for range 100 {
					if err := key.Public().Verify(message, signature); err != nil {
						b.Error(err)
					}
				}
				done.Add(100)
			}
		})
	}
	cores.Wait()
	return float64(done.Load()) / time.Since(start).Seconds()
}

// BenchmarkInclusion asks for proofs over the API.
func BenchmarkInclusion(b *testing.B) {
	f := start(b, setup{})
	defer f.stop()
	for i := range 50 {
		var bundles [][]byte
		for k := range 100 {
			bundles = append(bundles, f.approval("bob", fmt.Sprintf("%d-%d", i, k)))
		}
		f.append(bundles...)
	}
	size := f.ledger.Head().Size
	client := f.client(16)
	var next atomic.Uint64
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			index := next.Add(7919) % size
			if _, err := client.Inclusion(context.Background(), connect.NewRequest(&countersignv1.InclusionRequest{Index: index, TreeSize: size})); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proofs/s")
}

// BenchmarkGate asks for verdicts over the API: a remembered one, and one that is
// made, signed and logged each time because it has a nonce.
func BenchmarkGate(b *testing.B) {
	for _, c := range []struct {
		name  string
		nonce bool
	}{{"remembered", false}, {"logged", true}} {
		b.Run(c.name, func(b *testing.B) {
			f := start(b, setup{})
			defer f.stop()
			f.tell()
			for i := 0; b.Loop(); i++ {
				nonce := ""
				if c.nonce {
					nonce = fmt.Sprint(i)
				}
				if v := f.verify(gateToken, nonce); v.Verdict != countersignv1.Verdict_VERDICT_ALLOW {
					b.Fatalf("%s", v.Decision)
				}
			}
		})
	}
}
