package follow

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// The statements file holds what a follower has derived from the statement of every
// entry, in log order: a title line, then a record for each entry,
//
//	leaf   32 bytes  leaf hash
//	scope  32 bytes  SHA-256 of what it takes credit from; zeros for no negative evidence
//	n       2 bytes  big-endian: how many search keys it has
//	keys   16 bytes each: the first half of the SHA-256 of a key
//	crc     4 bytes  big-endian CRC-32C of the entry's index, 8 bytes big-endian, and the above
//
// It only grows. What is torn or damaged ends it: the statements from there on are
// read again.
const (
	statementsFile  = "statements"
	statementsTitle = "countersign statements v1\n"
)

type keyHash [16]byte

func hashKey(key string) keyHash {
	sum := sha256.Sum256([]byte(key))
	return keyHash(sum[:16])
}

type record struct {
	leaf, scope tlog.Hash
	keys        []keyHash
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *record) append(b []byte, index uint64) []byte {
	start := len(b)
	b = append(append(b, r.leaf[:]...), r.scope[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.keys)))
	for _, k := range r.keys {
		b = append(b, k[:]...)
	}
	return binary.BigEndian.AppendUint32(b, recordCRC(index, b[start:]))
}

func recordCRC(index uint64, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(binary.BigEndian.AppendUint64(nil, index), castagnoli), castagnoli, b)
}

// readRecord returns the next record and how many bytes it takes; false where no
// whole one follows.
func readRecord(r *bufio.Reader, index uint64) (record, int64, bool) {
	var head [2*tlog.HashSize + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return record{}, 0, false
	}
	n := int(binary.BigEndian.Uint16(head[2*tlog.HashSize:]))
	rest := make([]byte, n*len(keyHash{})+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return record{}, 0, false
	}
	end := len(rest) - 4
	crc := crc32.Update(recordCRC(index, head[:]), castagnoli, rest[:end])
	if crc != binary.BigEndian.Uint32(rest[end:]) {
		return record{}, 0, false
	}
	rec := record{leaf: tlog.Hash(head[:tlog.HashSize]), scope: tlog.Hash(head[tlog.HashSize:])}
	for b := rest[:end]; len(b) > 0; b = b[len(keyHash{}):] {
		rec.keys = append(rec.keys, keyHash(b))
	}
	return rec, int64(len(head) + len(rest)), true
}

// scan passes the records to each, which may be nil, up to a size, and returns how
// many there are and where they end in the file.
func scan(f io.Reader, size uint64, each func(index uint64, r record)) (n uint64, end int64) {
	r := bufio.NewReaderSize(f, 1<<20)
	title := make([]byte, len(statementsTitle))
	if _, err := io.ReadFull(r, title); err != nil || string(title) != statementsTitle {
		return 0, 0
	}
	end = int64(len(title))
	for n < size {
		rec, length, ok := readRecord(r, n)
		if !ok {
			break
		}
		if each != nil {
			each(n, rec)
		}
		n, end = n+1, end+length
	}
	return n, end
}

// ErrNotShown says that the log does not show the statement of an entry, or another
// one: nobody can tell what the entry says.
var ErrNotShown = errors.New("the statement is not shown")

// Statements reads the statement of every entry up to the remembered checkpoint that
// was not read before, and keeps what Confirm needs of each. get returns the
// Sigstore bundle with the log entry that a ledger gives for an index; it is held
// against the leaf in the tree. The first that is not shown, or cannot be read,
// ends it with ErrNotShown; those before it are kept. It returns how many
// statements are known.
func (f *Follower) Statements(ctx context.Context, get func(ctx context.Context, index uint64) ([]byte, error)) (uint64, error) {
	cp, err := f.State.Remembered()
	if err != nil {
		return 0, err
	}
	file, err := os.OpenFile(filepath.Join(f.State.dir, statementsFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, fmt.Errorf("open statements: %w", err)
	}
	t := &tiles{dir: f.State.dir, source: f.Source}
	known, err := readOn(ctx, file, cp, t, get)
	if errors.Is(err, tlog.ErrBadTile) && t.used {
		// As in advance: the log's own tiles decide, and mend the folder.
		t.fresh = true
		if known, err = readOn(ctx, file, cp, t, get); err == nil {
			err = t.settle()
		}
	}
	return known, errors.Join(err, file.Sync(), file.Close(), syncFolder(f.State.dir))
}

func readOn(ctx context.Context, file *os.File, cp tlog.Checkpoint, t *tiles, get func(context.Context, uint64) ([]byte, error)) (uint64, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read statements: %w", err)
	}
	known, end := scan(file, cp.Size, nil)
	tree, err := tlog.OpenTree(ctx, cp, treeTiles, t.at(cp.Size))
	if err != nil {
		return known, err
	}
	if err := file.Truncate(end); err != nil {
		return 0, fmt.Errorf("write statements: %w", err)
	}
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return 0, fmt.Errorf("write statements: %w", err)
	}
	w := bufio.NewWriter(file)
	if end == 0 {
		_, _ = w.WriteString(statementsTitle) // Flush has its error
	}
	var b []byte
	var failed error
	for ; known < cp.Size; known++ {
		rec, err := derive(ctx, tree, known, get)
		if err != nil {
			failed = fmt.Errorf("entry %d: %w", known, err)
			break
		}
		b = rec.append(b[:0], known)
		if _, err := w.Write(b); err != nil {
			return 0, fmt.Errorf("write statements: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return 0, fmt.Errorf("write statements: %w", err)
	}
	return known, failed
}

// derive reads one statement, and what the log's search and chain must say of it.
func derive(ctx context.Context, tree *tlog.Tree, index uint64, get func(context.Context, uint64) ([]byte, error)) (record, error) {
	want, err := tree.Leaf(ctx, index)
	if err != nil {
		return record{}, err
	}
	text, err := get(ctx, index)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrNotShown, err)
	}
	b, err := attest.ParseBundle(text)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrNotShown, err)
	}
	if tlog.LeafHash(b.Leaf) != want {
		return record{}, fmt.Errorf("%w: it is another entry's", ErrNotShown)
	}
	key, err := verify.LoggedKey(b)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrNotShown, err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrNotShown, err)
	}
	logged, err := attest.Log(b, st, key)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrNotShown, err)
	}
	if len(logged.Keys) > 1<<16-1 {
		return record{}, fmt.Errorf("%w: it has %d search keys", ErrNotShown, len(logged.Keys))
	}
	rec := record{leaf: want}
	if logged.Negative != "" {
		rec.scope = tlog.ScopeOf(logged.Negative)
	}
	for _, k := range logged.Keys {
		rec.keys = append(rec.keys, hashKey(k))
	}
	return rec, nil
}
