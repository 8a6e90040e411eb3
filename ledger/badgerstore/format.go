package badgerstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// The journal is a folder of segments named NNNNNNNN.journal, eight decimal
// digits counting from 00000000. All integers are big-endian.
//
// A segment starts with a header:
//
//	 0   8  magic "CSGNJRNL"
//	 8   4  format version, 1
//	12   4  length of the header, with its CRC
//	16   8  number of the segment
//	24   8  size of the log before the segment, the index of its first entry
//	32  16  salt, random
//	48   2  n, length of the origin
//	50   n  origin of the log
//	50+n 4  CRC-32C of the 50+n bytes before
//
// Records follow, without gaps:
//
//	0   4  type, "ENTR" or "CMIT"
//	4   4  n, length of the payload
//	8   n  payload
//	8+n 4  CRC-32C, started from the header's CRC, of the record's offset in
//	       the segment (8 bytes) and the 8+n bytes before
//
// So a record is valid in its own place only. The salt keeps whoever submits an
// entry from writing bytes into it that would pass for a record.
//
// A batch is one or more entry records and one commit record; the first batch of
// a log has only the commit record, of size 0. A segment holds whole batches; the
// next one is begun when it is full.
const (
	journalMagic   = "CSGNJRNL"
	formatVersion  = 1
	headerFixed    = 50
	saltSize       = 16
	maxOrigin      = 1024
	recordOverhead = 12

	entryType  = "ENTR"
	commitType = "CMIT"

	// maxRecord bounds a payload: far above what the ledger lets through, and
	// small enough that a wrong length cannot make the reader allocate much.
	maxRecord = 64 << 20
	// maxCommit bounds a commit record. It keeps the search for one behind
	// damage (commitBehind) linear.
	maxCommit = 64 << 10
	// maxKey bounds the bytes of a search key.
	maxKey = 4096
	// maxSegment bounds the bytes of a segment, because a position has 32 bits
	// for the offset.
	maxSegment = math.MaxUint32
)

// emptyDigest is the digest of no rows.
var emptyDigest = tlog.Hash(sha256.Sum256(nil))

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A header is the beginning of a segment.
type header struct {
	segment uint64
	first   uint64 // size of the log before the segment
	salt    [saltSize]byte
	origin  string
}

// marshal returns the header's bytes, and the CRC that seeds its records' CRCs.
func (h header) marshal() ([]byte, uint32) {
	b := make([]byte, 0, headerFixed+len(h.origin)+4)
	b = append(b, journalMagic...)
	b = binary.BigEndian.AppendUint32(b, formatVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(headerFixed+len(h.origin)+4))
	b = binary.BigEndian.AppendUint64(b, h.segment)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = append(b, h.salt[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.origin)))
	b = append(b, h.origin...)
	seed := crc32.Checksum(b, castagnoli)
	return binary.BigEndian.AppendUint32(b, seed), seed
}

// parseHeader reads a header from the start of b, which may go on behind it. It
// returns the header, its length and the seed of the records' CRCs.
func parseHeader(b []byte) (header, int, uint32, error) {
	var h header
	if len(b) < headerFixed+4 || string(b[:8]) != journalMagic {
		return h, 0, 0, errors.New("this is no segment of a journal")
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != formatVersion {
		return h, 0, 0, fmt.Errorf("format version %d is not %d, the one this program knows", v, formatVersion)
	}
	n := int(binary.BigEndian.Uint16(b[48:]))
	length := headerFixed + n + 4
	if n > maxOrigin || len(b) < length || binary.BigEndian.Uint32(b[12:]) != uint32(length) {
		return h, 0, 0, errors.New("the header's length is wrong")
	}
	seed := crc32.Checksum(b[:length-4], castagnoli)
	if binary.BigEndian.Uint32(b[length-4:]) != seed {
		return h, 0, 0, errors.New("the header's CRC is wrong")
	}
	h.segment = binary.BigEndian.Uint64(b[16:])
	h.first = binary.BigEndian.Uint64(b[24:])
	copy(h.salt[:], b[32:])
	h.origin = string(b[headerFixed : headerFixed+n])
	return h, length, seed, nil
}

// appendRecord appends to b a record whose payload fill appends. The record will
// stand at offset in the segment that has this seed.
func appendRecord(b []byte, seed uint32, offset int64, kind string, fill func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, kind...)
	b = append(b, 0, 0, 0, 0)
	b = fill(b)
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(b)-start-8))
	return binary.BigEndian.AppendUint32(b, recordCRC(seed, offset, b[start:]))
}

func recordCRC(seed uint32, offset int64, record []byte) uint32 {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(offset))
	return crc32.Update(crc32.Update(seed, castagnoli, at[:]), castagnoli, record)
}

// recordSpan looks at the eight bytes with which a record starts and returns its
// type and whole length.
func recordSpan(b []byte) (kind string, length int, err error) {
	kind = string(b[:4])
	if kind != entryType && kind != commitType {
		return "", 0, errors.New("no record starts here")
	}
	n := binary.BigEndian.Uint32(b[4:])
	if n > maxRecord || kind == commitType && n > maxCommit-recordOverhead {
		return "", 0, fmt.Errorf("a record %s of %d bytes is longer than any", kind, n)
	}
	return kind, int(n) + recordOverhead, nil
}

// payload returns the payload of a whole record after checking its CRC.
func payload(record []byte, seed uint32, offset int64) ([]byte, error) {
	end := len(record) - 4
	if binary.BigEndian.Uint32(record[end:]) != recordCRC(seed, offset, record[:end]) {
		return nil, errors.New("the record's CRC is wrong")
	}
	return record[8:end], nil
}

// An entry record's payload:
//
//	 0   8  index
//	 8   8  time, milliseconds since 1970 UTC
//	16   2  length of what follows
//	18      for negative evidence, what it takes credit from
//	        leaf, body, stamp and token: for each its length (4 bytes) and bytes
//	        number of search keys (2 bytes), and for each its length (2) and bytes
//
// Search keys are sorted by their bytes, and distinct.

// appendEntry appends the payload for r, which checkRecord has passed.
func appendEntry(b []byte, r *ledger.Record) []byte {
	b = binary.BigEndian.AppendUint64(b, r.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixMilli()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Negative)))
	b = append(b, r.Negative...)
	for _, part := range [][]byte{r.Leaf, r.Body, r.Stamp, r.Token} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Keys)))
	for _, k := range r.Keys {
		b = binary.BigEndian.AppendUint16(b, uint16(len(k)))
		b = append(b, k...)
	}
	return b
}

// checkRecord says whether the format can hold r.
func checkRecord(r *ledger.Record) error {
	if len(r.Leaf)+len(r.Body)+len(r.Stamp)+len(r.Token) > maxRecord/2 {
		return fmt.Errorf("entry %d is larger than %d bytes", r.Index, maxRecord/2)
	}
	if len(r.Keys) > math.MaxUint16 || !ascending(r.Keys) {
		return fmt.Errorf("the search keys of entry %d are too many, or not sorted and distinct", r.Index)
	}
	for _, k := range r.Keys {
		if k == "" || len(k) > maxKey {
			return fmt.Errorf("entry %d has a search key of %d bytes; 1 to %d are possible", r.Index, len(k), maxKey)
		}
	}
	if len(r.Negative) > maxKey {
		return fmt.Errorf("entry %d names in %d bytes what it takes credit from; up to %d are possible", r.Index, len(r.Negative), maxKey)
	}
	if !r.Time.Equal(time.UnixMilli(r.Time.UnixMilli())) {
		return fmt.Errorf("the time of entry %d is not in whole milliseconds", r.Index)
	}
	return nil
}

func ascending(keys []string) bool {
	for i := 1; i < len(keys); i++ {
		if keys[i-1] >= keys[i] {
			return false
		}
	}
	return true
}

// parseEntry reads an entry's payload. What it takes prints the same. The
// record's slices share b.
func parseEntry(b []byte) (ledger.Record, error) {
	c := cursor{rest: b}
	var r ledger.Record
	r.Index = c.uint64()
	r.Time = time.UnixMilli(int64(c.uint64())).UTC()
	r.Negative = string(c.bytes(int(c.uint16())))
	r.Leaf, r.Body, r.Stamp, r.Token = c.block(), c.block(), c.block(), c.block()
	n := c.uint16()
	if !c.short && n > 0 {
		r.Keys = make([]string, 0, min(int(n), len(c.rest)/2))
		for range n {
			r.Keys = append(r.Keys, string(c.bytes(int(c.uint16()))))
		}
	}
	if c.short || len(c.rest) > 0 {
		return ledger.Record{}, errors.New("the entry's parts do not fill the record")
	}
	if err := checkRecord(&r); err != nil {
		return ledger.Record{}, err
	}
	return r, nil
}

// A commit is what a commit record says about the batch that it closes and, by
// the signed checkpoint, about everything before.
type commit struct {
	before   uint64 // size before the batch
	head     ledger.Head
	rows     uint64    // index rows that belong to the batch
	digest   tlog.Hash // of these rows: see rows.go
	negative uint64    // length of the chain of negative evidence, with this batch
	chain    tlog.Hash // and its head
}

// A commit record's payload:
//
//	  0   8  size of the log before the batch
//	  8   8  size of the log with it
//	 16  32  Merkle tree hash of that size
//	 48   8  time, milliseconds since 1970 UTC
//	 56   8  number of index rows that belong to the batch
//	 64  32  SHA-256 of these rows
//	 96   8  length of the chain of negative evidence up to here
//	104  32  its head
//	136      signed checkpoint and token: for each its length (4 bytes) and bytes

func (m *commit) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, m.before)
	b = binary.BigEndian.AppendUint64(b, m.head.Size)
	b = append(b, m.head.Root[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.head.Time.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, m.rows)
	b = append(b, m.digest[:]...)
	b = binary.BigEndian.AppendUint64(b, m.negative)
	b = append(b, m.chain[:]...)
	for _, part := range [][]byte{m.head.Note, m.head.Token} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// parseCommit reads a commit's payload; the origin comes from the header. What
// it takes prints the same. The result shares nothing with b.
func parseCommit(b []byte, origin string) (commit, error) {
	c := cursor{rest: b}
	var m commit
	m.before = c.uint64()
	m.head.Origin = origin
	m.head.Size = c.uint64()
	copy(m.head.Root[:], c.bytes(tlog.HashSize))
	m.head.Time = time.UnixMilli(int64(c.uint64())).UTC()
	m.rows = c.uint64()
	copy(m.digest[:], c.bytes(tlog.HashSize))
	m.negative = c.uint64()
	copy(m.chain[:], c.bytes(tlog.HashSize))
	m.head.Note = slices.Clone(c.block())
	m.head.Token = slices.Clone(c.block())
	if c.short || len(c.rest) > 0 || m.head.Size < m.before || m.negative > m.head.Size {
		return commit{}, errors.New("the commit's parts do not fit")
	}
	return m, nil
}

// A cursor takes fixed and counted parts off a payload. After the first part
// that is not there it is short, and gives zeros.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) bytes(n int) []byte {
	if c.short || n > len(c.rest) {
		c.short = true
		return zeros[:min(n, len(zeros))]
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

var zeros = bytes.Repeat([]byte{0}, 64)

func (c *cursor) uint64() uint64 { return binary.BigEndian.Uint64(c.bytes(8)) }
func (c *cursor) uint16() uint16 { return binary.BigEndian.Uint16(c.bytes(2)) }

// block takes a length of four bytes and that many bytes; nil when it is zero.
func (c *cursor) block() []byte {
	n := binary.BigEndian.Uint32(c.bytes(4))
	if n == 0 || c.short {
		return nil
	}
	if uint64(n) > uint64(len(c.rest)) {
		c.short = true
		return nil
	}
	return c.bytes(int(n))
}
