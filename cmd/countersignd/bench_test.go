package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// BenchmarkMemoryUnderLoad loads a real server with 256 writers, and reports the
// most memory of its own that it held (RssAnon). Run it with -benchtime 20000x or more.
func BenchmarkMemoryUnderLoad(b *testing.B) {
	s := serve(b, newLedger(b))
	defer s.end(syscall.SIGTERM)
	const writers = 256
	bundles := make([][]byte, b.N)
	for i := range bundles {
		bundles[i] = approval(b, fmt.Sprint(i))
	}
	stop, most := make(chan struct{}), make(chan float64)
	go func() {
		peak := 0.0
		for {
			select {
			case <-stop:
				most <- peak
				return
			case <-time.After(100 * time.Millisecond):
				peak = max(peak, s.rssAnon(b))
			}
		}
	}()
	b.ResetTimer()
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := w; i < b.N; i += writers {
				if _, err := s.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: bundles[i : i+1]})); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	close(stop)
	b.ReportMetric(<-most/(1<<20), "MiB-RssAnon")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// rssAnon asks the server's own metrics.
func (s *server) rssAnon(b *testing.B) float64 {
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		b.Error(err)
		return 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Error(err)
	}
	_, rest, _ := strings.Cut(string(text), "\ncountersign_rss_anon_bytes ")
	line, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(line, 64)
	if err != nil {
		b.Error(err)
	}
	return v
}
