// Package witness speaks C2SP tlog-witness, both sides: a Feed asks witnesses to
// cosign a log's checkpoints, and a Server cosigns the checkpoints of other logs.
package witness

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Limits of add-checkpoint.
const (
	MaxRequest = 96 << 10 // bytes: a note of 64 KiB, and the proof
	maxProof   = 63       // lines, as C2SP tlog-witness has it
	maxAnswer  = 16 << 10 // bytes
)

// A Request is the body of add-checkpoint (C2SP tlog-witness): "old N", the proof
// that the log of N entries is the beginning of the checkpoint's, one hash in
// base64 a line, an empty line, and the checkpoint.
type Request struct {
	Old   uint64
	Proof []tlog.Hash
	Note  []byte
}

// Marshal writes the request.
func (r *Request) Marshal() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.Old)
	for _, h := range r.Proof {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	return append(append(b, '\n'), r.Note...)
}

// ParseRequest reads what Marshal writes, and nothing else. The note is not
// looked at.
func ParseRequest(b []byte) (*Request, error) {
	if len(b) > MaxRequest {
		return nil, fmt.Errorf("%d bytes; at most %d", len(b), MaxRequest)
	}
	head, note, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return nil, fmt.Errorf("no empty line before the checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	r := &Request{Note: note}
	old, ok := strings.CutPrefix(lines[0], "old ")
	var err error
	if r.Old, err = strconv.ParseUint(old, 10, 63); !ok || err != nil {
		return nil, fmt.Errorf("%.80q is not the old size", lines[0])
	}
	if len(lines)-1 > maxProof {
		return nil, fmt.Errorf("a proof of %d lines; at most %d", len(lines)-1, maxProof)
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != tlog.HashSize {
			return nil, fmt.Errorf("%.80q is not the base64 of 32 bytes", line)
		}
		r.Proof = append(r.Proof, tlog.Hash(h))
	}
	if !bytes.Equal(r.Marshal(), b) {
		return nil, fmt.Errorf("a number or hash has another spelling than its own")
	}
	return r, nil
}

// parseSize reads the body of a 409: a decimal number and a newline.
func parseSize(b []byte) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSuffix(string(b), "\n"), 10, 63)
	if err != nil || fmt.Sprintf("%d\n", n) != string(b) {
		return 0, fmt.Errorf("%.80q is not a size", b)
	}
	return n, nil
}
