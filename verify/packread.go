package verify

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// OpenPack reads an evidence pack against a verifier's own trust. It believes the
// checkpoint by its signature and timestamp; it wants every entry's receipt to be
// of that checkpoint; and it derives every entry's search keys again, so that the
// pack's own table can neither hide an entry that the pack holds nor invent one.
//
// Entries themselves are checked when they are opened. Only where the digest at
// the pack's end shows damage are all of them checked here, to name the one.
// Errors about the pack's content are *CorruptError, *LimitError or *Refusal.
func OpenPack(r io.Reader, t *Trust) (*Pack, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	p := &packReader{
		lines: bufio.NewReaderSize(io.LimitReader(r, MaxPack+1), 64<<10), trust: t, sum: sha256.New(),
		pack: &Pack{entries: make(map[uint64]Sealed), answers: make(map[string][]uint64)},
		keys: make(map[uint64][]string), negative: make(map[uint64]string), concern: concerned{},
	}
	if err := p.read(); err != nil {
		var io *readError
		if errors.As(err, &io) {
			return nil, fmt.Errorf("read evidence pack: %w", io.err)
		}
		return nil, fmt.Errorf("evidence pack, line %d: %w", p.n, err)
	}
	if err := p.crossCheck(); err != nil {
		return nil, fmt.Errorf("evidence pack: %w", err)
	}
	return p.pack, nil
}

type packReader struct {
	lines *bufio.Reader
	trust *Trust
	sum   hash.Hash
	n     int // lines read
	bytes int
	pack  *Pack
	order []uint64 // of the entries
	// keys are derived from each entry; an entry whose statement does not parse
	// has none, and is refused when it is opened.
	keys     map[uint64][]string
	negative map[uint64]string
	concern  concerned // by the keys that the pack answers
	ended    bool
	lastKey  string
}

// A readError is the reader's own.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func malformed(format string, args ...any) error {
	return &CorruptError{Malformed, -1, "pack", fmt.Sprintf(format, args...)}
}

// next returns a line without its end; io.EOF at the end of the file.
func (p *packReader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := p.lines.ReadSlice('\n')
		line = append(line, part...)
		p.bytes += len(part)
		switch {
		case p.bytes > MaxPack:
			return nil, &LimitError{"the pack has more bytes", MaxPack}
		case len(line) > maxPackLine:
			return nil, &LimitError{"a line has more bytes", maxPackLine}
		case err == nil:
			p.n++
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			p.n++
			return nil, malformed("the line has no end: the pack was cut off")
		default:
			return nil, &readError{err}
		}
	}
}

func (p *packReader) read() error {
	for {
		line, err := p.next()
		if errors.Is(err, io.EOF) {
			if !p.ended {
				return malformed("the pack was cut off: its last line is missing")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if p.ended {
			return malformed("something follows the pack's end")
		}
		if err := p.line(line); err != nil {
			return err
		}
		p.sum.Write(line)
		p.sum.Write([]byte{'\n'})
	}
}

// line tells lines apart by how they begin; each kind has its turn.
func (p *packReader) line(line []byte) error {
	begins := func(s string) bool { return bytes.HasPrefix(line, []byte(s)) }
	switch {
	case p.n == 1:
		return p.head(line)
	case begins(`{"mediaType":`):
		return p.bundle(line)
	case begins(`{"raw":`):
		return p.raw(line)
	case begins(`{"key":`):
		return p.key(line)
	case begins(`{"link":`):
		return p.link(line)
	case begins(`{"end":`):
		return p.end(line)
	}
	return malformed("%.40q begins no line of a pack", line)
}

// parseLine reads one of our own lines, which has exactly one spelling.
func parseLine(line []byte, into any) error {
	if err := json.Unmarshal(line, into, json.RejectUnknownMembers(true)); err != nil {
		return malformed("%.200s", err)
	}
	if again, err := marshalLine(into); err != nil || !bytes.Equal(again, line) {
		return malformed("the line is not in canonical form")
	}
	return nil
}

func (p *packReader) head(line []byte) error {
	var h packHead
	if err := parseLine(line, &h); err != nil {
		return err
	}
	if h.Version != packVersion {
		return &CorruptError{Unsupported, -1, "pack", fmt.Sprintf("version %d of the format; %d is read", h.Version, packVersion)}
	}
	view, err := p.trust.OpenView([]byte(h.Checkpoint), h.Token)
	if err != nil {
		return err
	}
	if view.Chain, err = tlog.ParseHash(h.Negative.Head); err != nil {
		return malformed("negative.head: %v", err)
	}
	view.ChainLength = h.Negative.Length
	if p.pack.request, err = h.Request.request(); err != nil {
		return malformed("request: %v", err)
	}
	p.pack.view = view
	return nil
}

func (p *packReader) bundle(line []byte) error {
	b, err := attest.ParseBundle(line)
	if err != nil {
		return &CorruptError{Kind(attest.FaultOf(err)), -1, "format", err.Error()}
	}
	if again, err := b.Marshal(); err != nil || !bytes.Equal(again, line) {
		return malformed("the bundle is not in canonical form")
	}
	r := b.Receipt
	if r == nil {
		return malformed("the bundle has no receipt")
	}
	if r.LogID != p.trust.Log.LogID() {
		return corruptAt(r.Index, BadCheckpoint, "inclusion", "the receipt is of the log %s, and not of %s", r.LogID, p.trust.Log.Origin())
	}
	if !bytes.Equal(r.Checkpoint, p.pack.view.Note) {
		return corruptAt(r.Index, BadProof, "inclusion", "the receipt is for another checkpoint than the pack's")
	}
	s := Sealed{Index: r.Index, Leaf: b.Leaf, Token: r.Token, Proof: r.Proof}
	b.Receipt, b.Leaf = nil, nil
	if s.Body, err = b.Marshal(); err != nil {
		return malformed("%v", err)
	}
	return p.entry(s, b)
}

func (p *packReader) raw(line []byte) error {
	var w packRaw
	if err := parseLine(line, &w); err != nil {
		return err
	}
	s := Sealed{Index: w.Raw.Index, Leaf: w.Raw.Leaf, Body: w.Raw.Body, Token: w.Raw.Token}
	for _, h := range w.Raw.Proof {
		if len(h) != tlog.HashSize || len(s.Proof) > 64 {
			return malformed("raw.proof holds %d bytes, or more than 64 hashes", len(h))
		}
		s.Proof = append(s.Proof, tlog.Hash(h))
	}
	if b, err := attest.ParseBundle(s.Body); err == nil {
		return p.entry(s, b)
	}
	return p.entry(s, nil)
}

// entry takes an entry in, and derives its search keys where it can.
func (p *packReader) entry(s Sealed, b *attest.Bundle) error {
	if n := len(p.order); n > 0 && p.order[n-1] >= s.Index || len(p.pack.answers) > 0 || len(p.pack.links) > 0 {
		return malformed("entry %d is out of order", s.Index)
	}
	if s.Index >= p.pack.view.Size {
		return corruptAt(s.Index, BadProof, "inclusion", "the log has %d entries", p.pack.view.Size)
	}
	if p.order = append(p.order, s.Index); len(p.order) > MaxPackItems {
		return &LimitError{"the pack holds more entries", MaxPackItems}
	}
	p.pack.entries[s.Index] = s
	logged, ok := derive(s, b)
	if ok {
		p.keys[s.Index], p.negative[s.Index] = logged.Keys, logged.Negative
	}
	return nil
}

func (p *packReader) key(line []byte) error {
	var k packKey
	if err := parseLine(line, &k); err != nil {
		return err
	}
	if len(p.pack.links) > 0 || k.Key <= p.lastKey {
		return malformed("key %.200q is out of order", k.Key)
	}
	for i, index := range k.Indexes {
		if _, ok := p.pack.entries[index]; !ok || i > 0 && k.Indexes[i-1] >= index {
			return corruptAt(index, BadProof, "search", "key %.200q is answered with an entry that the pack does not hold, or out of order", k.Key)
		}
	}
	if len(p.pack.answers) >= MaxPackItems {
		return &LimitError{"the pack answers more keys", MaxPackItems}
	}
	p.pack.answers[k.Key], p.lastKey = k.Indexes, k.Key
	p.concern.add(k.Key)
	return nil
}

func (p *packReader) link(line []byte) error {
	var l packLink
	if err := parseLine(line, &l); err != nil {
		return err
	}
	leaf, err := tlog.ParseHash(l.Leaf)
	if err != nil {
		return malformed("leaf: %v", err)
	}
	scope, err := tlog.ParseHash(l.Scope)
	if err != nil {
		return malformed("scope: %v", err)
	}
	var previous tlog.Hash
	if n := len(p.pack.links); n > 0 {
		previous = p.pack.links[n-1].Chain
	}
	link := tlog.NextLink(previous, l.Link, leaf, scope)
	if _, ok := p.pack.entries[l.Link]; !ok && p.concern.by(link) {
		return corruptAt(l.Link, BadProof, "negative", "the entry concerns this, and is in the chain and not in the pack")
	}
	if p.pack.links = append(p.pack.links, link); len(p.pack.links) > MaxLinks {
		return &LimitError{"the chain of negative evidence is longer", MaxLinks}
	}
	return nil
}

func (p *packReader) end(line []byte) error {
	var e packEnd
	if err := parseLine(line, &e); err != nil {
		return err
	}
	p.ended = true
	if e.Lines == p.n-1 && e.SHA256 == fmt.Sprintf("%x", p.sum.Sum(nil)) {
		return nil
	}
	if err := p.findDamage(); err != nil {
		return err
	}
	return &CorruptError{Malformed, -1, "pack", "the lines before this one are not those that it was written for"}
}
