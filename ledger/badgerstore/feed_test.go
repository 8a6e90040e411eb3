package badgerstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
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
		if index%50 == 0 {
			r.Negative = "everything"
		}
		r.Keys = []string{
			"change:github.com/benbjohnson/litestream#" + strconv.FormatUint(index/4, 10),
			"signer:" + text[:1],
			"statement:" + text,
			"subject:gitCommit:" + hex.EncodeToString(id[12:]),
			"type:https://countersign.dev/approval/v1",
		}
		leaves[i] = tlog.LeafHash(r.Leaf)
		b.Time = r.Time
	}
	f.edge, _ = f.edge.Append(leaves)
	b.Checkpoint = tlog.Checkpoint{Origin: ledgertest.Origin, Size: f.edge.Size(), Root: f.edge.Root()}
	b.Note, _ = f.signer.Sign(b.Checkpoint)
	return b
}
