package tsa

import (
	"bytes"
	"testing"

	"github.com/digitorus/timestamp"
)

// What is read from JSON is a request that RFC 3161's own reader takes.
func FuzzRequestFromJSON(f *testing.F) {
	f.Add([]byte(`{"artifactHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","hashAlgorithm":"sha256","certificates":true,"nonce":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		der, err := RequestFromJSON(text)
		if err != nil {
			return
		}
		req, err := timestamp.ParseRequest(der)
		if err != nil {
			t.Fatalf("%s gives what is no request: %v", text, err)
		}
		if again, err := req.Marshal(); err != nil || !bytes.Equal(again, der) {
			t.Errorf("%s: %x prints as %x, %v", text, der, again, err)
		}
	})
}
