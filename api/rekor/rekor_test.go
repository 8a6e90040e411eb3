package rekor

import (
	"errors"
	"testing"

	"github.com/countersign-dev/countersign/attest"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"hashedRekordRequestV002":{"digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","signature":{"content":"AA==","verifier":{"publicKey":{"rawBytes":"AA=="},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}`))
	f.Add([]byte(`{"dsseRequestV002":{"envelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA==","keyid":""}]},"verifiers":[{"x509Certificate":{"rawBytes":"AA=="},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Parse(body)
		var field *attest.FieldError
		switch {
		case err != nil && !errors.As(err, &field):
			t.Fatalf("%T: %v", err, err)
		case err == nil && (r.Hash == nil) == (r.Envelope == nil):
			t.Fatalf("%+v", r)
		case err == nil && r.Envelope != nil:
			// What is taken is what is logged: one bundle, the same when it is read again.
			text, err := r.Envelope.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			again, err := attest.ParseBundle(text)
			if err == nil && (again.PAEDigest() != r.Envelope.PAEDigest() || string(again.Signature) != string(r.Envelope.Signature)) {
				t.Fatalf("%s reads as another bundle", text)
			}
		}
	})
}
