package gitfacts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pjbgf/sha1cd"
)

// An Error says what the raw objects do not prove, or contradict.
type Error struct {
	Object ID     // the object that it is about; may be empty
	Path   string // the path, when it is about a file
	Why    string
}

func (e *Error) Error() string {
	var where []string
	if e.Path != "" {
		where = append(where, fmt.Sprintf("path %.200q", e.Path))
	}
	if e.Object != "" {
		where = append(where, "object "+short(e.Object))
	}
	if len(where) == 0 {
		return e.Why
	}
	return strings.Join(where, ", ") + ": " + e.Why
}

func short(id ID) string { return string(id[:min(len(id), 12)]) }

// ErrTooLarge says that raw objects would exceed MaxObjects.
var ErrTooLarge = errors.New("raw objects exceed the limit; the facts can only be claimed")

// An Object is a raw git object: its type and content, without compression.
type Object struct {
	Type string // commit or tree
	Body []byte
}

// loose is the form whose hash is the object's id.
func (o Object) appendLoose(out []byte) []byte {
	out = append(append(out, o.Type...), ' ')
	out = strconv.AppendInt(out, int64(len(o.Body)), 10)
	return append(append(out, 0), o.Body...)
}

// Encode packs objects into the form that statements carry: each object in loose
// form, one behind the other, compressed with Zstandard.
func Encode(objects []Object) ([]byte, error) {
	var raw []byte
	for _, o := range objects {
		if raw = o.appendLoose(raw); len(raw) > MaxObjects {
			return nil, ErrTooLarge
		}
	}
	enc, ok := encoders.Get().(*zstd.Encoder)
	if !ok {
		return nil, errors.New("open encoder")
	}
	defer encoders.Put(enc)
	return enc.EncodeAll(raw, nil), nil
}

// encoders are kept, because each begins with megabytes of tables. What one encodes
// does not depend on what it encoded before.
var encoders = sync.Pool{New: func() any {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return err
	}
	return enc
}}

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*MaxObjects), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	return d
}}

// buffers hold decompressed objects while facts are derived from them. What the
// facts keep of them is copied, so they can be used again.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// decompress reads a blob into the buffer, which grows as needed.
func decompress(blob []byte, buffer *[]byte) ([]byte, error) {
	d, ok := decoders.Get().(*zstd.Decoder)
	if !ok {
		return nil, &Error{Why: "no decoder"}
	}
	defer decoders.Put(d)
	raw, err := d.DecodeAll(blob, (*buffer)[:0])
	if err != nil {
		return nil, &Error{Why: "objects are not readable: " + err.Error()}
	}
	*buffer = raw
	if len(raw) > MaxObjects {
		return nil, &Error{Why: fmt.Sprintf("objects have %d bytes; the limit is %d", len(raw), MaxObjects)}
	}
	return raw, nil
}

// objectSet holds the objects of one statement by the id that their bytes have.
type objectSet struct {
	byID map[ID]*held
}

type held struct {
	Object
	used bool
}

// decode takes objects out of their form and computes each one's id. idSize is
// 40 or 64 hex digits, and selects the hash. The objects share the buffer's bytes.
func decode(blob []byte, idSize int, buffer *[]byte) (*objectSet, error) {
	raw, err := decompress(blob, buffer)
	if err != nil {
		return nil, err
	}
	set := &objectSet{byID: make(map[ID]*held)}
	for len(raw) > 0 {
		header, _, ok := bytes.Cut(raw[:min(len(raw), 40)], []byte{0})
		if !ok {
			return nil, &Error{Why: "objects hold a header without end"}
		}
		typ, size, ok := strings.Cut(string(header), " ")
		n, err := strconv.Atoi(size)
		if !ok || err != nil || n < 0 || strconv.Itoa(n) != size || (typ != "commit" && typ != "tree") {
			return nil, &Error{Why: fmt.Sprintf("objects hold the header %.40q", header)}
		}
		end := len(header) + 1 + n
		if end > len(raw) {
			return nil, &Error{Why: fmt.Sprintf("objects end inside a %s", typ)}
		}
		id, err := hashObject(raw[:end], idSize == 64)
		if err != nil {
			return nil, err
		}
		if set.byID[id] != nil {
			return nil, &Error{Object: id, Why: "is there twice"}
		}
		set.byID[id] = &held{Object: Object{Type: typ, Body: raw[len(header)+1 : end]}}
		raw = raw[end:]
	}
	return set, nil
}

// hashObject hashes an object in loose form, with collision detection where the
// hash is SHA-1.
func hashObject(loose []byte, isSHA256 bool) (ID, error) {
	if isSHA256 {
		sum := sha256.Sum256(loose)
		return ID(hex.EncodeToString(sum[:])), nil
	}
	sum, collision := sha1cd.Sum(loose)
	if collision {
		return "", &Error{Object: ID(hex.EncodeToString(sum[:])), Why: "was made to collide under SHA-1"}
	}
	return ID(hex.EncodeToString(sum[:])), nil
}

// take returns an object of this type and marks it as used.
func (s *objectSet) take(id ID, typ string) ([]byte, bool) {
	h := s.byID[id]
	if h == nil || h.Type != typ {
		return nil, false
	}
	h.used = true
	return h.Body, true
}

// unused returns an object that nothing has taken.
func (s *objectSet) unused() (ID, bool) {
	least := ID("")
	for id, h := range s.byID {
		if !h.used && (least == "" || id < least) {
			least = id
		}
	}
	return least, least != ""
}

func validID(id ID) bool {
	return (len(id) == 40 || len(id) == 64) && strings.Trim(string(id), "0123456789abcdef") == ""
}
