package tlog

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
)

const (
	proofTitle = "c2sp.org/tlog-proof@v1\n"
	// MaxExtra is how many bytes of extra data a TextProof may carry. The
	// specification has no limit.
	MaxExtra = 128 << 10
	// MaxTextProof is more than the longest TextProof, in bytes.
	MaxTextProof = maxNote + (MaxExtra/3+1)*4 + maxProof*45 + 128
)

// A TextProof is a proof of C2SP tlog-proof: that a log holds some entry at an
// index. The entry is not in it; whoever checks the proof has it, or learns from
// Extra how to make it.
type TextProof struct {
	// Extra is the application's, and nobody signed it. nil is no extra line;
	// empty and not nil is an extra line without data.
	Extra      []byte
	Index      uint64 // of the entry; zero-based
	Path       []Hash // inclusion, from leaf to root (RFC 6962 2.1.1)
	Checkpoint []byte // the signed note, as the log wrote it
}

// Marshal writes the proof as C2SP tlog-proof has it. It refuses what
// ParseTextProof would, with the same errors.
func (p TextProof) Marshal() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("write tlog-proof: %w", err)
	}
	return p.text(), nil
}

func (p TextProof) text() []byte {
	out := append(make([]byte, 0, 256+len(p.Extra)*4/3+len(p.Path)*45+len(p.Checkpoint)), proofTitle...)
	if p.Extra != nil {
		out = append(base64.StdEncoding.AppendEncode(append(out, "extra "...), p.Extra), '\n')
	}
	out = append(strconv.AppendUint(append(out, "index "...), p.Index, 10), '\n')
	for _, h := range p.Path {
		out = append(base64.StdEncoding.AppendEncode(out, h[:]), '\n')
	}
	return append(append(out, '\n'), p.Checkpoint...)
}

func (p TextProof) check() error {
	switch {
	case p.Index >= MaxSize:
		return fmt.Errorf("index %d: %w", p.Index, ErrBadProof)
	case len(p.Extra) > MaxExtra:
		return fmt.Errorf("extra: %d bytes; the limit is %d: %w: %w", len(p.Extra), MaxExtra, ErrBadProof, ErrTooLarge)
	case len(p.Path) >= maxProof:
		return fmt.Errorf("%d hashes; no tree has that many levels: %w: %w", len(p.Path), ErrBadProof, ErrTooLarge)
	case len(p.Checkpoint) > maxNote:
		return fmt.Errorf("checkpoint: %d bytes; the limit is %d: %w: %w", len(p.Checkpoint), maxNote, ErrBadProof, ErrTooLarge)
	case !bytes.Contains(p.Checkpoint, []byte("\n\n")):
		return fmt.Errorf("checkpoint: is no signed note: %w", ErrBadProof)
	}
	return nil
}

// IsTextProof tells by the first line whether a text is meant to be a TextProof.
func IsTextProof(text []byte) bool { return bytes.HasPrefix(text, []byte(proofTitle)) }

// ParseTextProof reads a proof of C2SP tlog-proof; what parses prints the same
// bytes. Nothing in it is checked yet: see VerifyTextProof. The error is
// ErrBadProof, and ErrTooLarge as well where a limit was passed.
func ParseTextProof(text []byte) (TextProof, error) {
	p, err := parseTextProof(text)
	if err == nil {
		err = p.check()
	}
	if err == nil && !bytes.Equal(p.text(), text) {
		err = fmt.Errorf("a line has another spelling than its own: %w", ErrBadProof)
	}
	if err != nil {
		return TextProof{}, fmt.Errorf("tlog-proof: %w", err)
	}
	return p, nil
}

func parseTextProof(text []byte) (TextProof, error) {
	var p TextProof
	if len(text) > MaxTextProof {
		return p, fmt.Errorf("%d bytes: %w: %w", len(text), ErrBadProof, ErrTooLarge)
	}
	rest, ok := bytes.CutPrefix(text, []byte(proofTitle))
	if !ok {
		return p, fmt.Errorf("first line is not %q: %w", proofTitle[:len(proofTitle)-1], ErrBadProof)
	}
	line, rest, ok := bytes.Cut(rest, []byte("\n"))
	if extra, is := bytes.CutPrefix(line, []byte("extra ")); ok && is {
		p.Extra = make([]byte, base64.StdEncoding.DecodedLen(len(extra)))
		n, err := base64.StdEncoding.Strict().Decode(p.Extra, extra)
		if err != nil {
			return p, fmt.Errorf("extra: %w: %w", ErrBadProof, err)
		}
		p.Extra = p.Extra[:n]
		line, rest, ok = bytes.Cut(rest, []byte("\n"))
	}
	number, is := bytes.CutPrefix(line, []byte("index "))
	index, err := strconv.ParseUint(string(number), 10, 63)
	if !ok || !is || err != nil {
		return p, fmt.Errorf("index line %.80q: %w", line, ErrBadProof)
	}
	p.Index = index
	for {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return p, fmt.Errorf("ends before the checkpoint: %w", ErrBadProof)
		}
		if len(line) == 0 {
			p.Checkpoint = bytes.Clone(rest)
			return p, nil
		}
		h, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(h) != HashSize || len(p.Path) >= maxProof {
			return p, fmt.Errorf("hash %d %.80q is not the base64 of 32 bytes, or one too many: %w", len(p.Path), line, ErrBadProof)
		}
		p.Path = append(p.Path, Hash(h))
	}
}

// VerifyTextProof checks a proof against the log's key and the leaf hash of an
// entry, and returns the checkpoint that it was made for. Extra is not looked at.
// The error is ErrBadCheckpoint or ErrBadProof.
func VerifyTextProof(v *Verifier, leaf Hash, p TextProof) (Checkpoint, error) {
	cp, err := v.Open(p.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := VerifyInclusion(leaf, p.Index, p.Path, cp); err != nil {
		return Checkpoint{}, err
	}
	return cp, nil
}
