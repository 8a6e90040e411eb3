package gitfacts

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// A blob of many frames, each a run of one byte and of a size that it does not tell, is no
// more than one may be.
func TestManyFramesAreOneBlob(t *testing.T) {
	// magic, descriptor (no content size, window follows), window 128 KiB, then RLE blocks of 128 KiB.
	frame, err := hex.DecodeString("28b52ffd" + "00" + "38")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		h := uint32(128<<10)<<3 | 1<<1
		if i == 3 {
			h |= 1
		}
		frame = append(frame, byte(h), byte(h>>8), byte(h>>16), 0)
	}
	var buffer []byte
	if raw, err := decompress(frame, &buffer); err != nil || len(raw) != MaxObjects {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	for _, n := range []int{2, 2000} {
		if raw, err := decompress(bytes.Repeat(frame, n), &buffer); err == nil {
			t.Errorf("%d frames of %d bytes are %d bytes", n, len(frame), len(raw))
		}
	}
}
