//go:build linux

package badgerstore

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			o := Options{Dir: b.TempDir() + "/log"}
			s := newStore(b, o, ledgertest.EmptyHead())
			f := newFeed(tlog.Edge{})
			var wall, cpu time.Duration
			done := 0
			for b.Loop() {
				batch := f.batch(size)
				start, used := time.Now(), cpuTime()
				if err := s.Commit(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				wall, cpu = wall+time.Since(start), cpu+cpuTime()-used
				done += size
			}
			b.ReportMetric(wall.Seconds()*1e6/float64(done), "µs/entry")
			b.ReportMetric(cpu.Seconds()*1e6/float64(done), "cpu-µs/entry")
			b.ReportMetric(float64(done)/wall.Seconds(), "entries/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMillion makes a log of a million entries, which takes a minute, and
// opens, checks and reads it.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("it makes a log of 3 GB")
	}
	o := Options{Dir: b.TempDir() + "/log"}
	size := makeLog(b, o, 1_000_000)

	b.Run("open/closed", func(b *testing.B) {
		for b.Loop() {
			openAndClose(b, o)
		}
	})
	b.Run("open/killed", func(b *testing.B) { benchmarkOpenKilled(b, o) })
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if r, err := Check(b.Context(), o, nil); err != nil || r.Head.Size < size || r.Index != "" {
				b.Fatal(r, err)
			}
		}
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/op")
	})
	b.Run("rebuild", func(b *testing.B) {
		for b.Loop() {
			if err := Rebuild(b.Context(), o, nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/op")
	})
	s := reopen(b, o)
	b.Run("record", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Record(b.Context(), rand.Uint64N(size)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("lookup", func(b *testing.B) {
		r, err := s.Record(b.Context(), 777_777)
		if err != nil {
			b.Fatal(err)
		}
		leaf := tlog.LeafHash(r.Leaf)
		for b.Loop() {
			if _, found, err := s.Lookup(b.Context(), leaf); err != nil || !found {
				b.Fatal(err)
			}
			leaf[31]++ // mostly absent
			if _, _, err := s.Lookup(b.Context(), leaf); err != nil {
				b.Fatal(err)
			}
			leaf[31]--
		}
	})
	b.Run("search", func(b *testing.B) {
		for b.Loop() {
			key := "change:github.com/benbjohnson/litestream#" + strconv.FormatUint(rand.Uint64N(size)/4, 10)
			if found, err := s.Search(b.Context(), ledger.Query{Key: key, Limit: 100}); err != nil || len(found) == 0 {
				b.Fatal(found, err)
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			q := ledger.Query{Key: "type:https://countersign.dev/approval/v1", From: rand.Uint64N(size / 2), Limit: 1000}
			if found, err := s.Search(b.Context(), q); err != nil || len(found) != 1000 {
				b.Fatal(len(found), err)
			}
		}
	})
}

func makeLog(b *testing.B, o Options, size int) uint64 {
	if err := Create(o, ledgertest.EmptyHead()); err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	f := newFeed(tlog.Edge{})
	start := time.Now()
	for s.Head().Size < uint64(size) {
		if err := s.Commit(b.Context(), f.batch(64)); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d entries made in %v; %s", s.Head().Size, time.Since(start).Round(time.Second), ownMemory())
	start = time.Now()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("closed in %v", time.Since(start))
	return uint64(size)
}

func openAndClose(b *testing.B, o Options) {
	start := time.Now()
	s, err := Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(start).Seconds()*1e3, "open-ms")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// benchmarkOpenKilled opens a log after the kill of a process that appended.
func benchmarkOpenKilled(b *testing.B, o Options) {
	for b.Loop() {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killedDir+"="+o.Dir, killedFeed+"=1")
		out, err := child.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := child.Start(); err != nil {
			b.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1000 {
			lines.Scan()
		}
		child.Process.Kill()
		child.Wait()
		openAndClose(b, o)
	}
}
