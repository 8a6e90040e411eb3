package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func testSigner(origin, seed string) *Signer {
	s := sha256.Sum256([]byte(seed))
	return NewSigner(origin, ed25519.NewKeyFromSeed(s[:]))
}

var testCheckpoint = Checkpoint{Origin: "log.example", Size: 1234, Root: Hash{31: 0xfb}}

func mustSign(t testing.TB, s *Signer, c Checkpoint) string {
	t.Helper()
	b, err := s.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// signText signs any text as a note, which a Signer refuses to do.
func signText(t testing.TB, s *Signer, text string) string {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: text}, noteSigner{s})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCheckpointHasTheBytesOfItsSpecification(t *testing.T) {
	s := testSigner("log.example", "a")
	got := mustSign(t, s, testCheckpoint)
	text := "log.example\n1234\n" + base64.StdEncoding.EncodeToString(testCheckpoint.Root[:]) + "\n"
	id := sha256.Sum256(append([]byte("log.example\n\x01"), s.Verifier().PublicKey()...))
	if Hash(id) != s.Verifier().LogID() {
		t.Errorf("log id is %s, want %x", s.Verifier().LogID(), id)
	}
	sig := append(id[:4:4], ed25519.Sign(s.key, []byte(text))...)
	want := text + "\n— log.example " + base64.StdEncoding.EncodeToString(sig) + "\n"
	if got != want {
		t.Errorf("note is\n%s\nwant\n%s", got, want)
	}
	cp, err := s.Verifier().Open([]byte(got))
	if err != nil || cp != testCheckpoint {
		t.Errorf("it opens as %+v, %v", cp, err)
	}
}

func TestVerifierKeyIsThatOfPackageNote(t *testing.T) {
	s := testSigner("log.example", "a")
	want, err := note.NewEd25519VerifierKey("log.example", s.Verifier().PublicKey())
	if err != nil || s.Verifier().VKey() != want {
		t.Errorf("vkey is %s, want %s, %v", s.Verifier().VKey(), want, err)
	}
	v, err := NewVerifier(want)
	if err != nil || v.LogID() != s.Verifier().LogID() || v.Origin() != "log.example" || v.VKey() != want {
		t.Errorf("parsed: %+v, %v", v, err)
	}
}

func TestVerifierKeyHasOneSpelling(t *testing.T) {
	good := testSigner("log.example", "a").Verifier().VKey()
	name, rest, _ := strings.Cut(good, "+")
	hash, key, _ := strings.Cut(rest, "+")
	other := testSigner("log.example", "b").Verifier().VKey()
	for what, vkey := range map[string]string{
		"empty":               "",
		"no key":              name + "+" + hash,
		"upper-case hash":     name + "+" + strings.ToUpper(hash) + "+" + key,
		"another name":        "logs.example+" + hash + "+" + key,
		"another key":         name + "+" + hash + "+" + other[strings.LastIndex(other, "+")+1:],
		"a port":              "log.example:443" + "+" + hash + "+" + key,
		"a newline in base64": name + "+" + hash + "+" + key[:10] + "\n" + key[10:],
		"a newline after it":  good + "\n",
		"padding bits":        name + "+" + hash + "+" + key[:len(key)-1] + "R",
		"cut":                 good[:len(good)-4],
		"another algorithm":   anotherAlgorithm("log.example"),
	} {
		if _, err := NewVerifier(vkey); err == nil {
			t.Errorf("%s: %q is taken", what, vkey)
		}
	}
}

// anotherAlgorithm returns a well-formed key of the type 2, ECDSA.
func anotherAlgorithm(name string) string {
	key := append([]byte{2}, make([]byte, ed25519.PublicKeySize)...)
	hash := sha256.Sum256(append([]byte(name+"\n"), key...))
	return fmt.Sprintf("%s+%x+%s", name, hash[:4], base64.StdEncoding.EncodeToString(key))
}

func TestOriginIsABareHostName(t *testing.T) {
	for _, ok := range []string{"localhost", "127.0.0.1", "log.example", "xn--bcher-kva.example", "a-b.c9"} {
		if err := CheckOrigin(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", " ", "a b", "a+b", "a\r", "a\n", "Log.example", "log.example:443", "log.example/a", "https://log.example",
		".a", "a.", "a..b", "-a", "a-.b", "bücher.example", "a_b", "[::1]", strings.Repeat("a.", 126) + "bb",
	} {
		if CheckOrigin(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
		s := testSigner(bad, "a")
		if b, err := s.Sign(Checkpoint{Origin: bad, Root: EmptyRoot()}); err == nil {
			t.Errorf("%q is signed: %s", bad, b)
		}
	}
}

func TestSignerRefusesWhatNobodyWouldOpen(t *testing.T) {
	s := testSigner("log.example", "a")
	for what, c := range map[string]Checkpoint{
		"another log":      {Origin: "other.example", Size: 1},
		"too large":        {Origin: "log.example", Size: MaxSize + 1},
		"no empty root":    {Origin: "log.example"},
		"the zero of it":   {},
		"largest of uint ": {Origin: "log.example", Size: 1<<64 - 1},
	} {
		if _, err := s.Sign(c); err == nil {
			t.Errorf("%s: it is signed", what)
		}
	}
}

// Everything here is signed with the log's key, and still no checkpoint: rows
// H09 and H10 of the attacks.
func TestSignedTextThatIsNoCheckpoint(t *testing.T) {
	s := testSigner("log.example", "a")
	root := base64.StdEncoding.EncodeToString(testCheckpoint.Root[:])
	short := base64.StdEncoding.EncodeToString(testCheckpoint.Root[:3])
	long := base64.StdEncoding.EncodeToString(append(testCheckpoint.Root[:], 1))
	for what, text := range map[string]string{
		"root of 3 bytes":    "log.example\n1234\n" + short + "\n",
		"root of 33 bytes":   "log.example\n1234\n" + long + "\n",
		"no root":            "log.example\n1234\n\n",
		"padding bits":       "log.example\n1234\n" + root[:len(root)-2] + "x=\n",
		"no padding":         "log.example\n1234\n" + strings.TrimRight(root, "=") + "\n",
		"URL alphabet":       "log.example\n1234\n" + strings.Repeat("_", 43) + "=\n",
		"an extension":       "log.example\n1234\n" + root + "\nextension\n",
		"an empty extension": "log.example\n1234\n" + root + "\n\n",
		"leading zero":       "log.example\n01234\n" + root + "\n",
		"plus sign":          "log.example\n+1234\n" + root + "\n",
		"minus sign":         "log.example\n-1\n" + root + "\n",
		"underscore":         "log.example\n1_234\n" + root + "\n",
		"hexadecimal":        "log.example\n0x12\n" + root + "\n",
		"float":              "log.example\n1e3\n" + root + "\n",
		"no size":            "log.example\n\n" + root + "\n",
		"2^63":               "log.example\n9223372036854775808\n" + root + "\n",
		"2^64":               "log.example\n18446744073709551616\n" + root + "\n",
		"space after size":   "log.example\n1234 \n" + root + "\n",
		"another origin":     "other.example\n1234\n" + root + "\n",
		"upper-case origin":  "LOG.example\n1234\n" + root + "\n",
		"origin with space":  "log.example \n1234\n" + root + "\n",
		"origin with plus":   "log.example+\n1234\n" + root + "\n",
		"no origin":          "\n1234\n" + root + "\n",
		"a line before":      "\nlog.example\n1234\n" + root + "\n",
		"empty with a root":  "log.example\n0\n" + root + "\n",
		"one line":           "log.example\n",
	} {
		if c, err := s.Verifier().Open([]byte(signText(t, s, text))); !errors.Is(err, ErrBadCheckpoint) {
			t.Errorf("%s: opens as %+v, %v", what, c, err)
		}
	}
}

func TestLargestSizeOpens(t *testing.T) {
	s := testSigner("log.example", "a")
	want := Checkpoint{Origin: "log.example", Size: MaxSize, Root: Hash{1}}
	if got, err := s.Verifier().Open([]byte(mustSign(t, s, want))); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// Rows H09, H12 and H15 of the attacks: what is around a good text.
func TestNoteThatIsNotTheLogs(t *testing.T) {
	s, other := testSigner("log.example", "a"), testSigner("log.example", "b")
	good := mustSign(t, s, testCheckpoint)
	text, line, _ := strings.Cut(good, "\n\n")
	text += "\n\n"
	_, foreign, _ := strings.Cut(mustSign(t, other, testCheckpoint), "\n\n")
	wrong := "— log.example " + base64.StdEncoding.EncodeToString(append(s.id[:4:4], make([]byte, 64)...)) + "\n"
	// A base64 text without padding has other spellings where its last bits are free.
	last := strings.TrimSuffix(line, "=\n")
	if last == line {
		t.Fatal("the signature line has no padding to play with")
	}
	for what, msg := range map[string]string{
		"empty":                          "",
		"no signature":                   strings.TrimSuffix(text, "\n"),
		"no signature but a blank line":  text,
		"no newline at the end":          strings.TrimSuffix(good, "\n"),
		"a newline more at the end":      good + "\n",
		"CR at line ends":                strings.ReplaceAll(good, "\n", "\r\n"),
		"CR after the origin":            strings.Replace(good, "example\n", "example\r\n", 1),
		"another key":                    text + foreign,
		"wrong signature":                text + wrong,
		"wrong beside a stranger's good": text + foreign + wrong,
		"wrong before the good":          text + wrong + line,
		"wrong after the good":           text + line + wrong,
		"twice the same":                 text + line + line,
		"text of another":                strings.Replace(good, "1234", "1235", 1),
		"padding bits of the signature":  text + last[:len(last)-1] + flipLast(last) + "=\n",
		"no padding":                     text + last + "\n",
		"a stranger's bad base64":        text + line + "— w.example AAAAAA=\n",
		"a stranger's short signature":   text + line + "— w.example AAAA\n",
		"a stranger's padding bits":      text + line + "— w.example AAAAAAR=\n",
		"a stranger with a plus":         text + line + "— w+x AAAAAAAA\n",
		"a hyphen for the dash":          text + strings.Replace(line, "—", "-", 1),
		"two spaces":                     text + strings.Replace(line, "example ", "example  ", 1),
		"invalid UTF-8":                  "\xff" + good,
		"two notes":                      good + "\n" + good,
	} {
		if c, err := s.Verifier().Open([]byte(msg)); !errors.Is(err, ErrBadCheckpoint) {
			t.Errorf("%s: opens as %+v, %v", what, c, err)
		}
	}
	for what, msg := range map[string]string{
		"alone":                     good,
		"beside a stranger's":       text + line + "— w.example AAAAAAAA\n",
		"behind a stranger's":       text + foreign + line,
		"beside a stranger's twice": text + foreign + foreign + line,
	} {
		if c, err := s.Verifier().Open([]byte(msg)); err != nil || c != testCheckpoint {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
	}
}

// flipLast returns another last character of unpadded base64 that decodes to the
// same bytes, where the decoder is lax.
func flipLast(b64 string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return string(alphabet[strings.IndexByte(alphabet, b64[len(b64)-1])^1])
}

func TestNoteHasLimits(t *testing.T) {
	s := testSigner("log.example", "a")
	good := mustSign(t, s, testCheckpoint)
	strangers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "— w%d.example AAAAAAAA\n", i)
		}
		return b.String()
	}
	if _, err := s.Verifier().Open([]byte(good + strangers(99))); err != nil {
		t.Errorf("100 lines: %v", err)
	}
	for what, msg := range map[string]string{
		"101 lines":   good + strangers(100),
		"10,000":      good + strangers(2000),
		"a long line": good + "— w.example " + strings.Repeat("A", maxNote) + "\n",
	} {
		_, err := s.Verifier().Open([]byte(msg))
		if !errors.Is(err, ErrBadCheckpoint) || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", what, err)
		}
	}
}

// A verifier remembers notes, and must not take one for another.
func TestVerifierRemembersOnlyWhatItAccepted(t *testing.T) {
	s := testSigner("log.example", "a")
	v := s.Verifier()
	var notes [][]byte
	for size := range uint64(9) {
		notes = append(notes, []byte(mustSign(t, s, Checkpoint{Origin: "log.example", Size: size + 1, Root: Hash{byte(size)}})))
	}
	for range 3 {
		for i, n := range notes {
			for range 2 {
				if c, err := v.Open(n); err != nil || c.Size != uint64(i)+1 {
					t.Fatalf("note %d opens as %+v, %v", i, c, err)
				}
			}
			bad := bytes.Clone(n)
			bad[len(bad)-10] ^= 1
			if _, err := v.Open(bad); err == nil {
				t.Fatalf("note %d opens when it was changed", i)
			}
			if _, err := v.Open(nil); err == nil {
				t.Fatal("nothing opens")
			}
		}
	}
	n := notes[0]
	v.Open(n)
	n[0] ^= 1 // the caller's bytes are the caller's
	if _, err := v.Open(n); err == nil {
		t.Error("a note that was changed after it was opened opens")
	}
}

func FuzzOpen(f *testing.F) {
	s := testSigner("log.example", "a")
	v := s.Verifier()
	f.Add(mustSign(f, s, testCheckpoint))
	f.Add(mustSign(f, s, testCheckpoint) + "— w.example AAAAAAAA\n")
	f.Add(mustSign(f, s, Checkpoint{Origin: "log.example", Root: EmptyRoot()}))
	f.Fuzz(func(t *testing.T, msg string) {
		c, err := v.Open([]byte(msg))
		if err != nil {
			if !errors.Is(err, ErrBadCheckpoint) {
				t.Fatalf("%v is no ErrBadCheckpoint", err)
			}
			return
		}
		if !strings.HasPrefix(msg, c.text()+"\n") || c.Origin != "log.example" {
			t.Fatalf("%q opens as %q", msg, c.text())
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(testCheckpoint.text())
	f.Add("log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCheckpoint(text)
		if err == nil && c.text() != text {
			t.Fatalf("%q prints as %q", text, c.text())
		}
	})
}

func FuzzNewVerifier(f *testing.F) {
	f.Add(testSigner("log.example", "a").Verifier().VKey())
	f.Fuzz(func(t *testing.T, vkey string) {
		v, err := NewVerifier(vkey)
		if err == nil && v.VKey() != vkey {
			t.Fatalf("%q prints as %q", vkey, v.VKey())
		}
	})
}
