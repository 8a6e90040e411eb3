package notes_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/notes"
	"github.com/countersign-dev/countersign/policy/scenario"
)

var enc = base64.StdEncoding.EncodeToString

// envelope is a bare DSSE envelope over a revocation, with one signature.
func envelope(t testing.TB, payloadType, sig string) string {
	t.Helper()
	payload, err := statement().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"payloadType": payloadType, "payload": enc(payload),
		"signatures": []any{map[string]any{"keyid": "SHA256:abc", "sig": sig, "extension": nil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func statement() *attest.Statement {
	digest := strings.Repeat("a", 64)
	return &attest.Statement{
		Subjects:  []attest.Subject{{Digest: map[string]string{"sha256": digest}}},
		Predicate: &attest.Revocation{Revokes: []attest.Revoked{{Kind: attest.RevokedStatement, Digest: digest}}, Reason: "mistake", By: "alice"},
	}
}

func TestRead(t *testing.T) {
	key := scenario.Key("alice")
	b, err := attest.Sign(statement(), key)
	if err != nil {
		t.Fatal(err)
	}
	ssh := scenario.NewSSHKey(false).Sign("git", b.PAE(), 0, 0)
	real, err := os.ReadFile("../../verify/testdata/sigstore-js-2.0.0.sigstore.json")
	if err != nil {
		t.Fatal(err)
	}
	good := envelope(t, attest.PayloadType, enc(b.Signature))
	for name, c := range map[string]struct {
		note string
		want []string // of each object: "bundle", "envelope", or a part of Why
	}{
		"a bundle":                       {string(real), []string{"bundle"}},
		"several, one behind the other":  {string(real) + good + "\n" + good, []string{"bundle", "envelope", "envelope"}},
		"signature without padding":      {strings.Replace(good, enc(b.Signature), base64.RawURLEncoding.EncodeToString(b.Signature), 1), []string{"envelope"}},
		"SSH signature, binary":          {envelope(t, attest.PayloadType, enc(ssh)), []string{"WRONG_SCOPE"}},
		"SSH signature, as text":         {envelope(t, attest.PayloadType, armored(ssh)), []string{"WRONG_SCOPE"}},
		"SSH signature, text in base64":  {envelope(t, attest.PayloadType, enc([]byte(armored(ssh)))), []string{"WRONG_SCOPE"}},
		"gittuf's own payload type":      {envelope(t, "application/vnd.gittuf+json", enc(b.Signature)), []string{"WRONG_TYPE"}},
		"something else, and then good":  {`{"schema":1}` + good, []string{"neither", "envelope"}},
		"a member twice":                 {`{"payload":"a","payload":"b"}`, nil},
		"a list":                         {`[1]`, []string{"no JSON object"}},
		"not base64":                     {`{"payload":"%","payloadType":"x","signatures":[]}`, []string{"payload"}},
		"no signature":                   {strings.Replace(good, `"signatures":[`, `"signatures":[],"other":[`, 1), []string{"0 signatures"}},
		"two signatures":                 {strings.Replace(good, `"signatures":[`, `"signatures":[{"keyid":"x","sig":"AAAA"},`, 1), []string{"several signatures"}},
		"text behind it":                 {good + "x", nil},
		"nothing":                        {" \n", nil},
		"more objects than are read":     {strings.Repeat("{}", 65), nil},
		"more bytes than are read":       {strings.Repeat(" ", notes.MaxNote+1), nil},
		"a bundle with another property": {strings.Replace(string(real), `"mediaType"`, `"more": 1, "mediaType"`, 1), []string{"no Sigstore bundle"}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := notes.Read([]byte(c.note))
			if (err != nil) != (c.want == nil) || len(found) != len(c.want) {
				t.Fatalf("%+v, %v", found, err)
			}
			for i, f := range found {
				got := f.Why
				switch {
				case f.Why == "" && f.Bundle != nil:
					got = "bundle"
				case f.Why == "" && f.Envelope != nil:
					got = "envelope"
				}
				if !strings.Contains(got, c.want[i]) {
					t.Errorf("object %d: %q, want %q", i, got, c.want[i])
				}
			}
		})
	}
	found, err := notes.Read([]byte(good))
	if err != nil || found[0].PredicateType != attest.TypeRevocation || len(found[0].Subjects) != 1 || key.Public().Verify(found[0].Envelope.PAE(), found[0].Envelope.Signature) != nil {
		t.Errorf("%+v, %v", found, err)
	}
}

func armored(blob []byte) string {
	return fmt.Sprintf("-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n", enc(blob))
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}{}`))
	f.Fuzz(func(t *testing.T, note []byte) {
		found, err := notes.Read(note)
		if err == nil && len(found) == 0 {
			t.Error("nothing, and no error")
		}
		for _, x := range found {
			if x.Why == "" && x.Bundle == nil && x.Envelope == nil {
				t.Error("nothing to try, and no reason")
			}
		}
	})
}
