package badgerstore

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/countersign-dev/countersign/ledger"
)

// positions is a file of eight bytes an entry: the position of its record in
// the journal, big-endian. It is derived and unsynced, like the index, and a file
// of its own because one small write a batch is a tenth of what Badger takes for
// a row an entry.
type positions struct {
	file    file
	scratch []byte // the writer's alone
}

func openPositions(d disk, path string) (*positions, error) {
	f, err := d.Open(path, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return &positions{file: f}, nil
}

// put notes where the records of a batch are: from index first on, in a segment,
// at these offsets.
func (p *positions) put(first uint64, s *segment, offsets []int64) error {
	if len(offsets) == 0 {
		return nil
	}
	b := p.scratch[:0]
	for _, offset := range offsets {
		b = binary.BigEndian.AppendUint64(b, uint64(at(s, offset)))
	}
	p.scratch = b
	if _, err := p.file.WriteAt(b, int64(first)*8); err != nil {
		return fmt.Errorf("write positions: %w", err)
	}
	return nil
}

// of returns the position of an entry's record.
func (p *positions) of(index uint64) (position, error) {
	var b [8]byte
	if _, err := p.file.ReadAt(b[:], int64(index)*8); err == io.EOF {
		return 0, fmt.Errorf("%w: positions ends before entry %d", ledger.ErrCorrupt, index)
	} else if err != nil {
		return 0, fmt.Errorf("read positions: %w", err)
	}
	return position(binary.BigEndian.Uint64(b[:])), nil
}

// close syncs and closes the file.
func (p *positions) close() error {
	if err := p.file.Sync(); err != nil {
		p.file.Close()
		return fmt.Errorf("sync positions: %w", err)
	}
	return p.file.Close()
}
