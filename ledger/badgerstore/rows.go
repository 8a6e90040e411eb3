package badgerstore

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Rows of the index. Integers are big-endian, so that rows of one kind are in
// order. Every row is written once.
//
//	l ‖ leaf hash                              → index
//	s ‖ SHA-256(search key)[:16] ‖ last index  → the other indexes, ascending
//	n ‖ number in the chain, from 0            → index ‖ leaf hash
//	t ‖ level (1 byte) ‖ index of a full tile  → 256 hashes
//	c ‖ size                                   → position of its commit record
//
// A batch has one s row for each of its search keys, with the indexes of all its
// entries that have the key. The last one is in the row's key, so that a search
// from an index starts at the row that has it.
//
// Search keys are hashed because their text (some 80 bytes, five or more an
// entry) would be most of the index. Whoever finds a second key with the same
// half hash adds an entry to a search; nobody can take one out of it.
//
// The digest of a batch's rows in its commit record is SHA-256 over the length
// of the key and of the value (4 bytes each), key and value of each row: for
// each entry its l row and n row, then the s rows in the order in which their
// keys come first in the batch, then the t rows, each after those below it. c rows are not in it, because the journal's layout is no part
// of the log.
const (
	rowCommit   = 'c'
	rowLeaf     = 'l'
	rowNegative = 'n'
	rowSearch   = 's'
	rowTile     = 't'
)

// A row is one key of the index and its value.
type row struct{ key, value []byte }

func leafKey(h tlog.Hash) []byte { return append([]byte{rowLeaf}, h[:]...) }

func searchPrefix(key string) []byte { return appendSearchPrefix(make([]byte, 0, 32), key) }

func appendSearchPrefix(b []byte, key string) []byte {
	h := sha256.Sum256([]byte(key))
	return append(append(b, rowSearch), h[:16]...)
}

func negativeKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{rowNegative}, n) }

func tileKey(level int, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{rowTile, byte(level)}, n)
}

func commitKey(size uint64) []byte { return binary.BigEndian.AppendUint64([]byte{rowCommit}, size) }

// link returns the link of the chain of negative evidence that follows links.
func link(links []ledger.Link, index uint64, leaf, scope tlog.Hash) ledger.Link {
	var previous tlog.Hash
	if n := len(links); n > 0 {
		previous = links[n-1].Chain
	}
	return tlog.NextLink(previous, index, leaf, scope)
}

// A tip is the end of a log, on which the next batch builds. It is used as a
// value: growing leaves the tip before as it was.
type tip struct {
	head     ledger.Head
	edge     tlog.Edge
	negative []ledger.Link
}

// chain returns the head of the chain of negative evidence.
func (t tip) chain() tlog.Hash {
	if len(t.negative) == 0 {
		return tlog.Hash{}
	}
	return t.negative[len(t.negative)-1].Chain
}

// A growth turns the records of batches into rows of the index. Its memory is
// used again after reset.
type growth struct {
	rows   []row
	count  uint64    // of the rows of the last batch
	digest tlog.Hash // of them
	arena  []byte
	leaves []tlog.Hash
	sum    hash.Hash

	group  map[string]int // search key of the batch → place in groups
	groups []group
}

// A group is the entries of a batch that have one search key.
type group struct {
	key     string
	indexes []uint64
}

// reset forgets the rows.
func (g *growth) reset() { g.rows, g.arena = g.rows[:0], g.arena[:0] }

// grow returns the tip with records appended, but with the old head, and adds
// the rows that belong to them to g.
func (g *growth) grow(t tip, records []ledger.Record) tip {
	if g.sum == nil {
		g.sum = sha256.New()
	}
	g.sum.Reset()
	g.leaves = g.leaves[:0]
	before := len(g.rows)
	for i := range records {
		r := &records[i]
		leaf := tlog.LeafHash(r.Leaf)
		g.leaves = append(g.leaves, leaf)
		g.add(func(b []byte) []byte { return append(append(b, rowLeaf), leaf[:]...) },
			func(b []byte) []byte { return binary.BigEndian.AppendUint64(b, r.Index) })
		if r.Negative != "" {
			l := link(t.negative, r.Index, leaf, tlog.ScopeOf(r.Negative))
			value := append(binary.BigEndian.AppendUint64(nil, r.Index), leaf[:]...)
			g.addRow(row{negativeKey(uint64(len(t.negative))), append(value, l.Scope[:]...)})
			t.negative = append(t.negative, l)
		}
	}
	g.addSearch(records)
	var full []tlog.FullTile
	t.edge, full = t.edge.Append(g.leaves)
	for _, f := range full {
		g.addRow(row{tileKey(f.Level, f.Index), f.Hashes()})
	}
	g.count = uint64(len(g.rows) - before)
	g.sum.Sum(g.digest[:0])
	return t
}

// addSearch adds the rows under which the entries of a batch are found.
func (g *growth) addSearch(records []ledger.Record) {
	if g.group == nil {
		g.group = make(map[string]int)
	}
	clear(g.group)
	n := 0
	for i := range records {
		for _, k := range records[i].Keys {
			at, seen := g.group[k]
			if !seen {
				at, n = n, n+1
				g.group[k] = at
				if at == len(g.groups) {
					g.groups = append(g.groups, group{})
				}
				g.groups[at].key, g.groups[at].indexes = k, g.groups[at].indexes[:0]
			}
			g.groups[at].indexes = append(g.groups[at].indexes, records[i].Index)
		}
	}
	for _, s := range g.groups[:n] {
		last := len(s.indexes) - 1
		g.add(func(b []byte) []byte {
			return binary.BigEndian.AppendUint64(appendSearchPrefix(b, s.key), s.indexes[last])
		}, func(b []byte) []byte {
			for _, index := range s.indexes[:last] {
				b = binary.BigEndian.AppendUint64(b, index)
			}
			return b
		})
	}
}

// committed adds the row by which the batch's commit record is found. It comes
// after the rows of the batch, and tells that they are there.
func (g *growth) committed(size uint64, p position) {
	g.rows = append(g.rows, commitRow(size, p))
}

func commitRow(size uint64, p position) row {
	return row{commitKey(size), binary.BigEndian.AppendUint64(nil, uint64(p))}
}

// add makes a row in the arena. A row keeps its memory when the arena moves.
func (g *growth) add(key, value func([]byte) []byte) {
	start := len(g.arena)
	g.arena = key(g.arena)
	mid := len(g.arena)
	g.arena = value(g.arena)
	end := len(g.arena)
	g.addRow(row{g.arena[start:mid:mid], g.arena[mid:end:end]})
}

func (g *growth) addRow(r row) {
	var lengths [8]byte
	binary.BigEndian.PutUint32(lengths[:], uint32(len(r.key)))
	binary.BigEndian.PutUint32(lengths[4:], uint32(len(r.value)))
	g.sum.Write(lengths[:])
	g.sum.Write(r.key)
	g.sum.Write(r.value)
	g.rows = append(g.rows, r)
}
