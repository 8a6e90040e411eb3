package badgerstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A feed makes batches of entries of about 2 KB with five search keys, as the
// server does, and quickly.
type feed struct {
	edge   tlog.Edge
	body   []byte
	stamp  []byte
	token  []byte
	signed bool // sign the checkpoints
	signer *tlog.Signer
}

func newFeed(edge tlog.Edge) *feed {
	return &feed{edge: edge, body: bytes.Repeat([]byte("0123456789abcdef"), 64), stamp: make([]byte, 72),
		token: make([]byte, 300), signer: ledgertest.Signer()}
}

func (f *feed) batch(n int) ledger.Batch {
	b := ledger.Batch{Records: make([]ledger.Record, n), Token: f.token}
	leaves := make([]tlog.Hash, n)
	for i := range b.Records {
		index := f.edge.Size() + uint64(i)
		r := &b.Records[i]
		id := sha256.Sum256(binary.BigEndian.AppendUint64(nil, index))
		text := hex.EncodeToString(id[:])
		r.Index, r.Time, r.Token, r.Stamp, r.Body = index, ledgertest.Start.Add(time.Duration(index)*time.Millisecond), f.token, f.stamp, f.body
		r.Leaf = append([]byte(text), f.body[:500]...)
		r.Negative = index%50 == 0
		r.Keys = []string{
			"change:github.com/benbjohnson/litestream#" + strconv.FormatUint(index/4, 10),
			"signer:" + text[:2],
			"statement:" + text,
			"subject:gitCommit:" + hex.EncodeToString(id[12:]),
			"type:https://countersign.dev/approval/v1",
		}
		leaves[i] = tlog.LeafHash(r.Leaf)
		b.Time = r.Time
	}
	f.edge, _ = f.edge.Append(leaves)
	b.Checkpoint = tlog.Checkpoint{Origin: ledgertest.Origin, Size: f.edge.Size(), Root: f.edge.Root()}
	b.Note = f.token
	if f.signed {
		b.Note, _ = f.signer.Sign(b.Checkpoint)
	}
	return b
}

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

var _ = context.Canceled
var _ = os.Args
