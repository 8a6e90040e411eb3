package badgerstore

import (
	"errors"
	"fmt"
	"os"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Create makes a store for a new log in Dir, which must be empty or missing, and
// its head in HeadDir, which must exist and have none. first is the log's
// checkpoint of size 0, signed; its origin is the log's for ever. The store is
// left closed. Whatever a crash leaves of it, Open refuses.
func Create(o Options, first ledger.Head) (err error) {
	if o, err = o.withDefaults(); err != nil {
		return fmt.Errorf("create a store: %w", err)
	}
	if err := create(o, first); err != nil {
		return fmt.Errorf("create a store in %s: %w", o.Dir, err)
	}
	return nil
}

func create(o Options, first ledger.Head) error {
	if first.Size != 0 || first.Root != tlog.EmptyRoot() || first.Origin == "" || len(first.Origin) > maxOrigin {
		return errors.New("the first checkpoint is not that of an empty log with a name")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	if err := mustBeEmpty(o); err != nil {
		return err
	}
	l := o.layout()
	lock, err := l.takeLock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := os.Mkdir(l.journal(), 0o700); err != nil {
		return err
	}
	j := &journal{disk: o.disk, dir: l.journal(), origin: first.Origin, limit: o.SegmentSize}
	defer j.close()
	if err := j.newSegment(0); err != nil {
		return err
	}
	m := commit{head: first, digest: emptyDigest}
	if err := j.write(appendRecord(nil, j.last().seed, j.end, commitType, m.append)); err != nil {
		return err
	}
	if err := o.disk.SyncDir(o.Dir); err != nil {
		return err
	}
	return replace(o.disk, l.head(), marshalHead(first))
}

// mustBeEmpty refuses a folder in which there is anything: two logs with one
// name and key would be a fork.
func mustBeEmpty(o Options) error {
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return fmt.Errorf("the folder is not empty: there is %s", e.Name())
		}
	}
	head := o.layout().head()
	if _, err := os.Lstat(head); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is there already: it is the head of another log", head)
	}
	return nil
}
