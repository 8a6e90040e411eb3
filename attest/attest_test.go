package attest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var when = At(time.Date(2026, 2, 23, 14, 52, 49, 0, time.UTC))

func hexOf(c string, n int) string { return strings.Repeat(c, n) }

func approval() *Statement {
	return &Statement{
		Subjects: []Subject{{Digest: map[string]string{"gitCommit": hexOf("a", 40), "gitTree": hexOf("b", 40)}}},
		Predicate: &Approval{
			Decision: Approved, Reviewer: "alice", Repository: "example.com/org/repo",
			Change: ChangeRef{ID: "7"}, TargetRef: "refs/heads/main",
			Scope: Scope{Environments: []string{"production"}}, ApprovedAt: when,
		},
	}
}

func newKey(t testing.TB) *PrivateKey {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestStatementSurvivesItsOwnBytes(t *testing.T) {
	payload, err := approval().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	st, err := ParseStatement(payload)
	if err != nil {
		t.Fatal(err)
	}
	again, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(payload), string(again)); diff != "" {
		t.Error(diff)
	}
}

func TestBundleAndLeafSurviveTheirOwnBytes(t *testing.T) {
	key := newKey(t)
	b, err := Sign(approval(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseBundle(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, back); diff != "" {
		t.Error(diff)
	}
	if err := key.Public().Verify(back.PAE(), back.Signature); err != nil {
		t.Error(err)
	}
	leaf := Leaf(b, key.Public())
	parts, err := ParseLeaf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if parts.Digest != DigestOf(b.PAE()) || string(parts.Signature) != string(b.Signature) || string(parts.SPKI) != string(key.Public().SPKI()) {
		t.Error("the leaf's parts differ from what it was made of")
	}
	for i := range leaf {
		bad := append([]byte(nil), leaf...)
		bad[i] ^= 1
		if p, err := ParseLeaf(bad); err == nil && string(p.Leaf()) != string(bad) {
			t.Fatalf("a leaf with byte %d flipped parses as another", i)
		}
	}
}

// The rows of parser confusion: each is refused with its kind, and its twin, the
// unchanged payload, is accepted by TestStatementSurvivesItsOwnBytes.
func TestConfusingPayloadsAreRefused(t *testing.T) {
	payload, err := approval().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	good := string(payload)
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("payload has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	deep := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	for name, c := range map[string]struct {
		payload string
		want    Fault
	}{
		"duplicate predicateType":    {replace(`"predicateType":`, `"predicateType":"https://countersign.dev/risk/v1","predicateType":`), Malformed},
		"other case":                 {replace(`"predicateType":`, `"PREDICATETYPE":`), Malformed},
		"second spelling beside":     {replace(`"_type":`, `"_TYPE":"x","_type":`), Malformed},
		"two subject lists":          {replace(`"subject":`, `"subject":[{"digest":{"sha512":"`+hexOf("c", 128)+`"}}],"subject":`), Malformed},
		"two digests":                {replace(`"digest":{`, `"digest":{"sha256":"`+hexOf("d", 64)+`"},"digest":{`), Malformed},
		"proto names":                {replace(`"_type":`, `"type":`), Malformed},
		"trailing document":          {good + "{}", Malformed},
		"trailing bytes":             {good + "x", Malformed},
		"control character":          {replace(`"alice"`, `"ali\u0000ce"`), Malformed},
		"null":                       {"null", Malformed},
		"list":                       {"[]", Malformed},
		"text":                       {`""`, Malformed},
		"true":                       {"true", Malformed},
		"nothing":                    {"", Malformed},
		"subject null":               {replace(`"subject":[`, `"subject":null,"x":[`), Malformed},
		"deep":                       {deep, TooLarge},
		"very deep":                  {strings.Repeat("[", 10_001), Malformed},
		"upper-case digest":          {replace(hexOf("a", 40), hexOf("A", 40)), Malformed},
		"prefixed digest":            {replace(hexOf("a", 40), "0x"+hexOf("a", 38)), Malformed},
		"odd digest":                 {replace(hexOf("a", 40), hexOf("a", 39)), Malformed},
		"statement v0.1":             {replace("/Statement/v1", "/Statement/v0.1"), Unsupported},
		"no type":                    {replace(`"_type":"https://in-toto.io/Statement/v1",`, ""), Unsupported},
		"decision with a space":      {replace(`"approved"`, `"approve "`), Unsupported},
		"decision in capitals":       {replace(`"approved"`, `"APPROVED"`), Unsupported},
		"no decision":                {replace(`"decision":"approved",`, ""), Unsupported},
		"unknown field":              {replace(`"reviewer":`, `"actorType":"human","reviewer":`), Malformed},
		"scope of nothing":           {replace(`["production"]`, `[]`), WrongScope},
		"time without zone":          {replace("14:52:49Z", "14:52:49"), Malformed},
		"time in another zone":       {replace("14:52:49Z", "14:52:49+14:00"), Malformed},
		"leap second":                {replace("14:52:49Z", "23:59:60Z"), Malformed},
		"repository with user":       {replace("example.com/org/repo", "me@example.com/org/repo"), WrongScope},
		"repository with dots":       {replace("example.com/org/repo", "example.com/org/../repo"), WrongScope},
		"repository with .git":       {replace("example.com/org/repo", "example.com/org/repo.git"), WrongScope},
		"repository with upper case": {replace("example.com/org/repo", "Example.com/org/repo"), WrongScope},
		"only weak digests":          {replace(`"gitCommit":"`+hexOf("a", 40)+`","gitTree":"`+hexOf("b", 40)+`"`, `"sha1":"`+hexOf("a", 40)+`"`), WeakDigest},
		"wrong type of digest":       {replace(`"gitCommit"`, `"gitTag"`), Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseStatement([]byte(c.payload))
			if err == nil {
				t.Fatal("accepted")
			}
			if got := FaultOf(err); got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

func TestConfusingBundlesAreRefused(t *testing.T) {
	b, err := Sign(approval(), newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := b.Marshal()
	good := string(text)
	for name, c := range map[string]struct {
		old, new string
		want     Fault
	}{
		"plain text type":     {`"payloadType":"application/vnd.in-toto+json"`, `"payloadType":"text/plain"`, WrongType},
		"type with charset":   {`"payloadType":"application/vnd.in-toto+json"`, `"payloadType":"application/vnd.in-toto+json; charset=utf-8"`, WrongType},
		"two signatures":      {`"signatures":[`, `"signatures":[{"sig":"AAAA","keyid":""},`, Malformed},
		"no signature":        {`"signatures":[`, `"signatures":[],"x":[`, Malformed},
		"empty payload":       {`"payload":"`, `"payload":"","y":"`, Malformed},
		"loose base64":        {`"sig":"`, `"sig":"QR==","z":"`, Malformed},
		"base64 with newline": {`"sig":"`, `"sig":"\n`, Malformed},
		"other media type":    {`v0.3+json`, `v0.9+json`, Unsupported},
		"certificate":         {`"publicKey":`, `"certificate":{"rawBytes":"AAAA"},"publicKey":`, Unsupported},
		"message signature":   {`"dsseEnvelope":`, `"messageSignature":{},"dsseEnvelope":`, WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("bundle has no %q", c.old)
			}
			_, err := ParseBundle([]byte(strings.Replace(good, c.old, c.new, 1)))
			if err == nil {
				t.Fatal("accepted")
			}
			if got := FaultOf(err); got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

func TestKeyFilesKeepTheirSecret(t *testing.T) {
	k := newKey(t)
	text, err := k.MarshalPEM([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	pass := func(s string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(s), nil } }
	back, err := ParsePrivateKeyPEM(text, pass("correct horse"))
	if err != nil || back.Public().ID() != k.Public().ID() {
		t.Fatalf("encrypted key does not come back: %v", err)
	}
	if _, err := ParsePrivateKeyPEM(text, pass("wrong")); err != ErrPassphrase {
		t.Errorf("wrong passphrase: %v", err)
	}
}

func FuzzParseStatement(f *testing.F) {
	payload, _ := approval().Marshal()
	f.Add(payload)
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := ParseStatement(b)
		if err != nil {
			return
		}
		if _, err := st.Marshal(); err != nil {
			t.Errorf("parses and does not print: %v", err)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	b, _ := Sign(approval(), newKey(f))
	text, _ := b.Marshal()
	f.Add(text)
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := ParseBundle(in)
		if err != nil {
			return
		}
		if b.Receipt != nil {
			b.Receipt = nil
		}
		out, err := b.Marshal()
		if err != nil {
			t.Fatalf("parses and does not print: %v", err)
		}
		if again, err := ParseBundle(out); err != nil || string(again.Payload) != string(b.Payload) {
			t.Errorf("what was printed does not parse: %v", err)
		}
	})
}

func BenchmarkParseBundleAndLeaf(b *testing.B) {
	key := newKey(b)
	bundle, _ := Sign(approval(), key)
	text, _ := bundle.Marshal()
	b.ReportAllocs()
	for b.Loop() {
		p, err := ParseBundle(text)
		if err != nil {
			b.Fatal(err)
		}
		st, err := ParseStatement(p.Payload)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Log(p, st, key.Public()); err != nil {
			b.Fatal(err)
		}
	}
}
