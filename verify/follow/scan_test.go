package follow

import (
	"bytes"
	"testing"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

func FuzzScan(f *testing.F) {
	good := []byte(statementsTitle)
	for i, r := range []record{{leaf: tlog.Hash{1}}, {leaf: tlog.Hash{2}, scope: tlog.Hash{3}, keys: []keyHash{{4}, {5}}}} {
		good = r.append(good, uint64(i))
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(statementsTitle))
	f.Fuzz(func(t *testing.T, file []byte) {
		again := []byte(statementsTitle)
		n, end := scan(bytes.NewReader(file), 1<<20, func(index uint64, r record) { again = r.append(again, index) })
		if end == 0 && n == 0 {
			return
		}
		if end > int64(len(file)) || !bytes.Equal(again, file[:end]) {
			t.Errorf("%x: %d records to byte %d print as %x", file, n, end, again)
		}
	})
}
