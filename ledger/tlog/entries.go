package tlog

import (
	"encoding/binary"
	"fmt"
)

const (
	// MaxEntry is the largest log entry, in bytes: its length stands in two.
	MaxEntry = 1<<16 - 1
	// MaxEntryBundle is the largest entry bundle, in bytes.
	MaxEntryBundle = TileWidth * (2 + MaxEntry)
)

// AppendEntry adds an entry to an entry bundle of C2SP tlog-tiles: its length as
// two big-endian bytes, then itself. An entry beyond MaxEntry is ErrTooLarge.
func AppendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) > MaxEntry {
		return nil, fmt.Errorf("entry of %d bytes; an entry bundle holds %d: %w", len(entry), MaxEntry, ErrTooLarge)
	}
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...), nil
}

// ParseEntries reads an entry bundle that holds exactly width entries, which
// share the bundle's memory. One that is cut off, or has bytes behind the last
// entry, is ErrBadTile. Whether they are the log's is for their leaf hashes to say.
func ParseEntries(bundle []byte, width int) ([][]byte, error) {
	if width < 1 || width > TileWidth {
		return nil, fmt.Errorf("entry bundle of %d entries: %w", width, ErrOutOfRange)
	}
	entries := make([][]byte, 0, width)
	rest := bundle
	for i := range width {
		if len(rest) < 2 {
			return nil, fmt.Errorf("entry bundle ends at byte %d, before entry %d of %d: %w", len(bundle), i, width, ErrBadTile)
		}
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n {
			return nil, fmt.Errorf("entry bundle ends at byte %d, within entry %d of %d: %w", len(bundle), i, width, ErrBadTile)
		}
		entries = append(entries, rest[2:2+n:2+n])
		rest = rest[2+n:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("entry bundle has %d bytes behind entry %d: %w", len(rest), width, ErrBadTile)
	}
	return entries, nil
}
