package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// An index is Badger with the rows of rows.go. It is never synced while it is
// open: what it holds can be made from the journal again.
type index struct {
	db *badger.DB
}

// indexOptions were measured with the shape of our rows (docs/performance.md).
// Own memory stays near 130 MiB: two memtables and the caches.
func indexOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(false).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithCompression(options.None).
		WithMemTableSize(32 << 20).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithBlockCacheSize(32 << 20).
		WithIndexCacheSize(16 << 20).
		WithValueLogFileSize(128 << 20).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithLogger(badgerLog{log})
}

// openIndex opens the index in a folder, and makes an empty one where none is.
func openIndex(dir string, log *slog.Logger) (*index, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := badger.Open(indexOptions(dir, log))
	if err != nil {
		return nil, err
	}
	return &index{db}, nil
}

// apply writes the rows of whole batches. A crash keeps a prefix of them, so a
// batch's commit row, which comes last, proves the others.
func (x *index) apply(rows []row) error {
	w := x.db.NewWriteBatch()
	defer w.Cancel()
	for _, r := range rows {
		if err := w.Set(r.key, r.value); err != nil {
			return err
		}
	}
	return w.Flush()
}

// value calls use with the value under key; false when there is none.
func (x *index) value(key []byte, use func([]byte) error) (bool, error) {
	found := true
	err := x.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			found = false
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(use)
	})
	return found && err == nil, err
}

// number returns a value of eight bytes; false when there is none.
func (x *index) number(key []byte) (n uint64, found bool, err error) {
	found, err = x.value(key, func(v []byte) error {
		if len(v) != 8 {
			return errors.New("a row has the wrong size")
		}
		n = binary.BigEndian.Uint64(v)
		return nil
	})
	return n, found, err
}

// tile calls use with a full tile.
func (x *index) tile(level int, n uint64, use func([]byte) error) error {
	found, err := x.value(tileKey(level, n), use)
	if err == nil && !found {
		err = errors.New("it is not in the index")
	}
	if err != nil {
		return fmt.Errorf("read tile %d/%d: %w", level, n, err)
	}
	return nil
}

// search returns the indexes under a search key that are in from..until-1.
func (x *index) search(q ledger.Query) ([]uint64, error) {
	prefix := searchPrefix(q.Key)
	var found []uint64
	err := x.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		more := true
		for it.Seek(binary.BigEndian.AppendUint64(prefix, q.From)); more && it.Valid(); it.Next() {
			item := it.Item()
			err := item.Value(func(v []byte) error {
				if len(v)%8 != 0 || len(item.Key()) != len(prefix)+8 {
					return errors.New("a search row has the wrong size")
				}
				for ; len(v) > 0 && more; v = v[8:] {
					found, more = take(q, found, binary.BigEndian.Uint64(v))
				}
				if more {
					found, more = take(q, found, binary.BigEndian.Uint64(item.Key()[len(prefix):]))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// take adds an index to found when q asks for it, and says whether there can be
// more.
func take(q ledger.Query, found []uint64, index uint64) ([]uint64, bool) {
	if index >= q.Until {
		return found, false
	}
	if index >= q.From {
		found = append(found, index)
	}
	return found, len(found) < q.Limit
}

// last returns the size of the last batch that was applied and where its commit
// record is; false when none was.
func (x *index) last() (size uint64, at position, found bool, err error) {
	err = x.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Reverse: true, PrefetchValues: true, PrefetchSize: 1})
		defer it.Close()
		it.Seek([]byte{rowCommit + 1})
		if !it.ValidForPrefix([]byte{rowCommit}) {
			return nil
		}
		return it.Item().Value(func(v []byte) error {
			key := it.Item().Key()
			if len(key) != 9 || len(v) != 8 {
				return errors.New("a commit row has the wrong size")
			}
			size, at, found = binary.BigEndian.Uint64(key[1:]), position(binary.BigEndian.Uint64(v)), true
			return nil
		})
	})
	return size, at, found, err
}

// negative returns the first n links of the chain of negative evidence, with
// the chain computed anew.
func (x *index) negative(n uint64) ([]ledger.Link, error) {
	var links []ledger.Link
	err := x.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{rowNegative}, PrefetchValues: true, PrefetchSize: 100})
		defer it.Close()
		for it.Rewind(); it.Valid() && uint64(len(links)) < n; it.Next() {
			err := it.Item().Value(func(v []byte) error {
				if len(v) != 8+2*tlog.HashSize {
					return errors.New("a negative row has the wrong size")
				}
				links = append(links, link(links, binary.BigEndian.Uint64(v), tlog.Hash(v[8:40]), tlog.Hash(v[40:])))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return links, err
}

// each calls visit with every row, in the order of their keys.
func (x *index) each(visit func(key, value []byte) error) error {
	return x.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: false})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if err := item.Value(func(v []byte) error { return visit(item.Key(), v) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// close closes the index and syncs its files, so that it survives a stop of the
// machine. It returns what tells the files from others.
func (x *index) close(d disk, dir string) (fingerprint string, err error) {
	if err := x.db.Close(); err != nil {
		return "", err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, n := range names {
		if err := syncFile(filepath.Join(dir, n.Name())); err != nil {
			return "", err
		}
	}
	if err := d.SyncDir(dir); err != nil {
		return "", err
	}
	return fingerprintOf(dir)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// badgerLog passes Badger's complaints on, and drops its chatter.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(format string, args ...any)   { l.log.Error(say(format, args)) }
func (l badgerLog) Warningf(format string, args ...any) { l.log.Warn(say(format, args)) }
func (badgerLog) Infof(string, ...any)                  {}
func (badgerLog) Debugf(string, ...any)                 {}

func say(format string, args []any) string {
	return "index: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}
