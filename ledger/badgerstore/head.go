package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// The head file is text: one line
//
//	countersign head v1 SIZE ROOT CRC
//
// and then the signed checkpoint as it is. SIZE is decimal, ROOT 64 hex digits,
// CRC eight hex digits: CRC-32C of SIZE, a space, ROOT, a newline and the
// checkpoint. It is replaced, never changed, and what it holds is in the journal.

const (
	headName  = "head"
	headTitle = "countersign head v1"
	maxHead   = 1 << 20
)

func headCRC(size uint64, root tlog.Hash, note []byte) uint32 {
	return crc32.Update(crc32.Checksum(fmt.Appendf(nil, "%d %s\n", size, root), castagnoli), castagnoli, note)
}

func marshalHead(h ledger.Head) []byte {
	b := fmt.Appendf(nil, "%s %d %s %08x\n", headTitle, h.Size, h.Root, headCRC(h.Size, h.Root, h.Note))
	return append(b, h.Note...)
}

// parseHead reads what marshalHead wrote; the origin, time and token are not in it.
func parseHead(b []byte) (ledger.Head, error) {
	line, note, _ := bytes.Cut(b, []byte("\n"))
	fields := strings.Fields(strings.TrimPrefix(string(line), headTitle))
	if len(fields) != 3 {
		return ledger.Head{}, errors.New("it is no head of a log")
	}
	var h ledger.Head
	var err error
	if h.Size, err = strconv.ParseUint(fields[0], 10, 64); err != nil {
		return ledger.Head{}, fmt.Errorf("its size: %w", err)
	}
	if h.Root, err = tlog.ParseHash(fields[1]); err != nil {
		return ledger.Head{}, fmt.Errorf("its root: %w", err)
	}
	h.Note = note
	if !bytes.Equal(marshalHead(h), b) {
		return ledger.Head{}, errors.New("its CRC is wrong")
	}
	return h, nil
}

// readHead reads the head file; os.ErrNotExist when there is none.
func readHead(d disk, path string) (ledger.Head, error) {
	f, err := d.Open(path, 0)
	if err != nil {
		return ledger.Head{}, err
	}
	defer f.Close()
	b := make([]byte, maxHead)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return ledger.Head{}, fmt.Errorf("read %s: %w", path, err)
	}
	h, err := parseHead(b[:n])
	if err != nil {
		return ledger.Head{}, fmt.Errorf("%w: %s: %w", ledger.ErrCorrupt, path, err)
	}
	return h, nil
}

// checkHead compares the head file with the log in the journal, which ends in
// now. rootAt returns the root of a checkpoint that the journal has.
func checkHead(path string, head ledger.Head, now ledger.Head, rootAt func(size uint64) (tlog.Hash, error)) error {
	if head.Size > now.Size {
		return fmt.Errorf("%w: the journal ends at size %d, and %s has signed size %d: entries are missing, or an old copy was restored",
			ledger.ErrRolledBack, now.Size, path, head.Size)
	}
	root := now.Root
	if head.Size < now.Size {
		var err error
		root, err = rootAt(head.Size)
		if errors.Is(err, ledger.ErrNotFound) {
			return fmt.Errorf("%w: %s has size %d, which the journal never had: it belongs to another log", ledger.ErrCorrupt, path, head.Size)
		}
		if err != nil {
			return err
		}
	}
	if root != head.Root {
		return fmt.Errorf("%w: at size %d the journal has root %s, and %s has root %s", ledger.ErrCorrupt, head.Size, root, path, head.Root)
	}
	return nil
}
