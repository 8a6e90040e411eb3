package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

func testCosigner(name, seed string) *Cosigner {
	s := sha256.Sum256([]byte(seed))
	c, err := NewCosigner(name, ed25519.NewKeyFromSeed(s[:]))
	if err != nil {
		panic(err)
	}
	return c
}

func mustCosign(t testing.TB, c *Cosigner, cp Checkpoint, at time.Time) string {
	t.Helper()
	line, err := c.Cosign(cp, at)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

var (
	testTime = time.Unix(1_700_000_000, 0).UTC()
	w1, w2   = testCosigner("witness.example/w1", "w1"), testCosigner("witness.example/w2", "w2")
	w3       = testCosigner("w3.example", "w3")
	testLog  = testSigner("log.example", "a")
)

// policyText is a policy of the three witnesses with a quorum of two.
func policyText(quorum string) string {
	return fmt.Sprintf("log %s\nwitness one %s\nwitness two %s https://two.example/w\nwitness three %s\n%s",
		testLog.Verifier().VKey(), w1.Witness().VKey(), w2.Witness().VKey(), w3.Witness().VKey(), quorum)
}

const twoOfThree = "group ours 2 one two three\nquorum ours\n"

func mustPolicy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCosignatureHasTheBytesOfItsSpecification(t *testing.T) {
	line := mustCosign(t, w1, testCheckpoint, testTime)
	key := w1.key.Public().(ed25519.PublicKey)
	id := sha256.Sum256(append([]byte("witness.example/w1\n\x04"), key...))
	signed := "cosignature/v1\ntime 1700000000\nlog.example\n1234\n" + base64.StdEncoding.EncodeToString(testCheckpoint.Root[:]) + "\n"
	sig := binary.BigEndian.AppendUint64(id[:4:4], 1_700_000_000)
	sig = append(sig, ed25519.Sign(w1.key, []byte(signed))...)
	if want := "— witness.example/w1 " + base64.StdEncoding.EncodeToString(sig) + "\n"; line != want {
		t.Errorf("line is %q, want %q", line, want)
	}
	vkey := fmt.Sprintf("witness.example/w1+%x+%s", id[:4], base64.StdEncoding.EncodeToString(append([]byte{4}, key...)))
	if got := w1.Witness().VKey(); got != vkey {
		t.Errorf("vkey is %s, want %s", got, vkey)
	}
	w, err := NewWitness(vkey)
	if err != nil || w.VKey() != vkey || w.Name() != "witness.example/w1" {
		t.Fatalf("parsed: %v, %v", w, err)
	}
	if at, err := w.Verify(testCheckpoint, []byte(line)); err != nil || !at.Equal(testTime) {
		t.Errorf("verified: %v, %v", at, err)
	}
}

func TestCosignatureIsRefusedWhenAnythingElseWasSigned(t *testing.T) {
	good := mustCosign(t, w1, testCheckpoint, testTime)
	other := testCheckpoint
	other.Size++
	spoil := func(i int) string {
		name, b64, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(good, "— "), "\n"), " ")
		sig, _ := base64.StdEncoding.DecodeString(b64)
		sig[i] ^= 1
		return "— " + name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
	}
	for what, line := range map[string]string{
		"another checkpoint": mustCosign(t, w1, other, testTime),
		"another time":       spoil(11),
		"another key id":     spoil(0),
		"another signature":  spoil(70),
		"another witness":    mustCosign(t, w2, testCheckpoint, testTime),
		"another name":       strings.Replace(good, "/w1", "/w2", 1),
		"no newline":         strings.TrimSuffix(good, "\n"),
		"two lines":          good + good,
		"too short":          "— witness.example/w1 " + base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, w1.witness.id)) + "AAAA\n",
		"empty":              "",
	} {
		if _, err := w1.Witness().Verify(testCheckpoint, []byte(line)); !errors.Is(err, ErrBadCosignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0)} {
		if line, err := w1.Cosign(testCheckpoint, at); err == nil {
			t.Errorf("it signs the time %v: %s", at, line)
		}
	}
}

func TestWitnessKeyHasOneSpelling(t *testing.T) {
	good := w3.Witness().VKey()
	name, rest, _ := strings.Cut(good, "+")
	hash, key, _ := strings.Cut(rest, "+")
	for what, vkey := range map[string]string{
		"empty": "", "upper-case hash": name + "+" + strings.ToUpper(hash) + "+" + key, "a newline": good + "\n",
		"another name": "w4.example+" + hash + "+" + key, "a space in the name": "w 3+" + hash + "+" + key,
		"a log's key": testLog.Verifier().VKey(), "cut": good[:len(good)-4],
	} {
		if _, err := NewWitness(vkey); err == nil {
			t.Errorf("%s: %q is taken", what, vkey)
		}
	}
}

func TestPolicyPrintsWhatItRead(t *testing.T) {
	if text := "log " + testLog.Verifier().VKey() + " https://log.example/\nquorum none\n"; mustPolicy(t, text).String() != text {
		t.Error("the log's URL is lost")
	}
	p := mustPolicy(t, "# who watches\n\n\t"+policyText("  group ours \t2 one two three \nquorum ours\n# end\n"))
	if want := policyText(twoOfThree); p.String() != want {
		t.Errorf("it prints\n%s\nwant\n%s", p, want)
	}
	if ws := p.Witnesses(); len(ws) != 3 || ws[1].URL != "https://two.example/w" || ws[1].Alias != "two" || !p.Required() || p.Need() != "2 of one, two, three" {
		t.Errorf("witnesses: %+v, need %q", ws, p.Need())
	}
	if !p.Names(testLog.Verifier()) || p.Names(testSigner("log.example", "b").Verifier()) {
		t.Error("the logs that it names are others")
	}
}

// Attacks H13, H22 and H25: what a policy may not say.
func TestPolicyIsRefused(t *testing.T) {
	vkey := func(c *Cosigner) string { return c.Witness().VKey() }
	logLine := "log " + testLog.Verifier().VKey() + "\n"
	two := logLine + "witness one " + vkey(w1) + "\nwitness two " + vkey(w2) + "\n"
	a, b := collidingWitnesses()
	sameKey := testCosigner("elsewhere.example", "w1")
	for what, c := range map[string]struct {
		text  string
		fault PolicyFault
	}{
		"H25: 0 of 2":                    {two + "group g 0 one two\nquorum g\n", PolicyQuorum},
		"H25: 3 of 2":                    {two + "group g 3 one two\nquorum g\n", PolicyQuorum},
		"H25: -1":                        {two + "group g -1 one two\nquorum g\n", PolicyQuorum},
		"a number of two spellings":      {two + "group g 01 one two\nquorum g\n", PolicySyntax},
		"H22: a witness twice in one":    {two + "group g 2 one one\nquorum g\n", PolicyTwice},
		"a witness in two groups":        {two + "group g any one\ngroup h any one two\nquorum h\n", PolicyTwice},
		"H22: one key, two witnesses":    {two + "witness three " + vkey(sameKey) + "\nquorum three\n", PolicyTwice},
		"H22: the log's key":             {logLine + "witness one " + vkey(testCosigner("w.example", "a")) + "\nquorum one\n", PolicyLogKey},
		"H22: the log's key, log after":  {"witness one " + vkey(testCosigner("w.example", "a")) + "\n" + logLine + "quorum one\n", PolicyLogKey},
		"H13: two keys with one id":      {logLine + "witness a " + a + "\nwitness b " + b + "\nquorum a\n", PolicyCollision},
		"a name twice":                   {two + "witness one " + vkey(w3) + "\nquorum one\n", PolicyTwice},
		"a group with a witness's name":  {two + "group one any two\nquorum one\n", PolicyTwice},
		"an undefined member":            {two + "group g any three\nquorum g\n", PolicyUndefined},
		"an undefined quorum":            {two + "quorum three\n", PolicyUndefined},
		"a quorum before its definition": {logLine + "quorum one\nwitness one " + vkey(w1) + "\n", PolicyUndefined},
		"a nested group":                 {two + "group g any one\ngroup h all g two\nquorum h\n", PolicyNested},
		"an unknown keyword":             {two + "require one\nquorum one\n", PolicyKeyword},
		"a keyword in upper case":        {two + "Quorum one\n", PolicyKeyword},
		"two quorums":                    {two + "quorum one\nquorum two\n", PolicyTwice},
		"no quorum":                      {two, PolicyQuorum},
		"no log":                         {"witness one " + vkey(w1) + "\nquorum one\n", PolicySyntax},
		"the log twice":                  {logLine + two + "quorum one\n", PolicyTwice},
		"empty":                          {"", PolicyQuorum},
		"a log's key as witness":         {logLine + "witness one " + testLog.Verifier().VKey() + "\nquorum one\n", PolicyKey},
		"a witness's key as log":         {"log " + vkey(w1) + "\nquorum none\n", PolicyKey},
		"a member called none":           {two + "group g any none\nquorum g\n", PolicyUndefined},
		"a witness called none":          {logLine + "witness none " + vkey(w1) + "\nquorum none\n", PolicySyntax},
		"an empty group":                 {two + "group g any\nquorum g\n", PolicySyntax},
		"no newline at the end":          {two + "quorum one", PolicySyntax},
		"a carriage return":              {two + "quorum one\r\n", PolicySyntax},
		"letters of another script":      {two + "group ours any оne two\nquorum ours\n", PolicySyntax},
		"a URL with a query":             {logLine + "witness one " + vkey(w1) + " https://w.example/?a\nquorum one\n", PolicySyntax},
		"a URL of a file":                {logLine + "witness one " + vkey(w1) + " file:///etc\nquorum one\n", PolicySyntax},
		"too large":                      {strings.Repeat("#\n", MaxPolicy), PolicyTooLarge},
	} {
		_, err := ParsePolicy([]byte(c.text))
		var bad *PolicyError
		if !errors.As(err, &bad) || bad.Fault != c.fault || !errors.Is(err, ErrBadPolicy) {
			t.Errorf("%s: %v, want %s", what, err, c.fault)
		}
	}
	for what, text := range map[string]string{ // their twins
		"1 of 2": two + "group g 1 one two\nquorum g\n", "all": two + "group g all one two\nquorum g\n",
		"one witness": two + "quorum one\n", "none": logLine + "quorum none\n", "an unused witness": two + "quorum two\n",
		"another key of the name": logLine + "witness a " + a + "\nwitness b " + vkey(testCosigner("w.example", "else")) + "\nquorum a\n",
	} {
		if _, err := ParsePolicy([]byte(text)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// collidingWitnesses returns two keys with one name whose ids are the same: four
// bytes are soon found twice.
func collidingWitnesses() (a, b string) {
	seen := map[uint32]ed25519.PublicKey{}
	for i := uint64(0); ; i++ {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		w := newWitness("w.example", h[:])
		if other, ok := seen[w.id]; ok {
			return newWitness("w.example", other).VKey(), w.VKey()
		}
		seen[w.id] = w.key
	}
}

func TestQuorum(t *testing.T) {
	sign := func(by ...*Cosigner) []byte {
		s := mustSign(t, testLog, testCheckpoint)
		for _, c := range by {
			s += mustCosign(t, c, testCheckpoint, testTime)
		}
		return []byte(s)
	}
	stranger := testCosigner("stranger.example", "s")
	for _, c := range []struct {
		quorum string
		by     []*Cosigner
		names  []string
		holds  bool
	}{
		{twoOfThree, nil, nil, false},
		{twoOfThree, []*Cosigner{w1}, []string{"one"}, false},
		{twoOfThree, []*Cosigner{w3, stranger, w1}, []string{"one", "three"}, true},
		{twoOfThree, []*Cosigner{stranger, w2}, []string{"two"}, false},
		{"quorum two\n", []*Cosigner{w1, w3}, []string{"one", "three"}, false},
		{"quorum two\n", []*Cosigner{w2}, []string{"two"}, true},
		{"quorum none\n", nil, nil, true},
		{"quorum none\n", []*Cosigner{w2}, []string{"two"}, true},
	} {
		p := mustPolicy(t, policyText(c.quorum))
		for range 2 { // the second answer is a remembered one
			cp, got, err := p.Check(sign(c.by...))
			if err != nil || cp != testCheckpoint {
				t.Fatal(err)
			}
			var names []string
			for _, x := range got {
				names = append(names, x.Witness)
			}
			if !slices.Equal(names, c.names) || p.Holds(got) != c.holds {
				t.Errorf("%q: %v cosigned, holds %t; want %v, %t", c.quorum, names, p.Holds(got), c.names, c.holds)
			}
		}
	}
}

// Attacks H12 and H15: a line that claims to be a known witness's must be right.
func TestNoteWithABadCosignatureIsMalformed(t *testing.T) {
	base := mustSign(t, testLog, testCheckpoint)
	one, two := mustCosign(t, w1, testCheckpoint, testTime), mustCosign(t, w2, testCheckpoint, testTime)
	other := testCheckpoint
	other.Size--
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(mustCosign(t, testCosigner(fmt.Sprintf("s%d.example", i), "s"), testCheckpoint, testTime))
		}
		return b.String()
	}
	p := mustPolicy(t, policyText(twoOfThree))
	for what, c := range map[string]struct {
		note string
		err  error
	}{
		"H12: a wrong one beside two good":  {base + one + two + mustCosign(t, w3, other, testTime), ErrBadCheckpoint},
		"H12: of another kind":              {base + one + two + shortLine(w3), ErrBadCheckpoint},
		"one witness twice":                 {base + one + two + mustCosign(t, w1, testCheckpoint, testTime.Add(1e9)), ErrBadCheckpoint},
		"H15: 65 lines besides the log's":   {base + lines(65), ErrTooLarge},
		"H15: 101 lines":                    {base + lines(100), ErrTooLarge},
		"another log":                       {mustSign(t, testSigner("other.example", "a"), Checkpoint{Origin: "other.example", Size: 1}) + one, ErrBadCheckpoint},
		"no signature of the log":           {strings.SplitAfter(base, "\n\n")[0] + one + two, ErrBadCheckpoint},
		"a log that claims the same origin": {mustSign(t, testSigner("log.example", "b"), testCheckpoint) + one + two, ErrBadCheckpoint},
	} {
		if _, _, err := p.Check([]byte(c.note)); !errors.Is(err, c.err) || !errors.Is(err, ErrBadCheckpoint) {
			t.Errorf("%s: %v, want %v", what, err, c.err)
		}
	}
	for what, n := range map[string]string{ // twins
		"two good": base + one + two, "64 lines": base + lines(62) + one + two,
		"a wrong one of a stranger": base + one + two + mustCosign(t, testCosigner("x.example", "x"), other, testTime),
		"a known name, another key": base + one + two + mustCosign(t, testCosigner("w3.example", "x"), other, testTime),
	} {
		if _, got, err := p.Check([]byte(n)); err != nil || !p.Holds(got) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	// Without a policy, other lines are not looked at.
	if _, err := testLog.Verifier().Open([]byte(base + mustCosign(t, w1, other, testTime))); err != nil {
		t.Errorf("the log's verifier alone: %v", err)
	}
}

// shortLine has a witness's name and key id, and a signature without a time.
func shortLine(c *Cosigner) string {
	sig := append(binary.BigEndian.AppendUint32(nil, c.witness.id), make([]byte, ed25519.SignatureSize)...)
	return "— " + c.witness.name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// Attack H24: cosignatures that are too old, or of the future, can be left out.
func TestWithin(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	all := []Cosignature{{"a", at(99)}, {"b", at(100)}, {"c", at(200)}, {"d", at(201)}}
	if got := Within(all, at(100), at(200)); len(got) != 2 || got[0].Witness != "b" || got[1].Witness != "c" {
		t.Errorf("got %v", got)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(policyText(twoOfThree)))
	f.Add([]byte(policyText("quorum none\n")))
	f.Add([]byte("# c\n\t log  " + testLog.Verifier().VKey() + " https://log.example\nquorum none\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			if !errors.Is(err, ErrBadPolicy) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParsePolicy([]byte(p.String()))
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q prints\n%s\nwhich reads as %v, %v", text, p, again, err)
		}
	})
}

func FuzzCosignature(f *testing.F) {
	f.Add([]byte(mustCosign(f, w1, testCheckpoint, testTime)), w1.Witness().VKey())
	f.Fuzz(func(t *testing.T, line []byte, vkey string) {
		if w, err := NewWitness(vkey); err == nil && w.VKey() != vkey {
			t.Fatalf("%q prints %q", vkey, w.VKey())
		}
		at, err := w1.Witness().Verify(testCheckpoint, line)
		if err != nil {
			return
		}
		if again := mustCosign(t, w1, testCheckpoint, at); again != string(line) {
			t.Fatalf("%q verifies, and is not %q", line, again)
		}
	})
}

func FuzzPolicyCheck(f *testing.F) {
	good := mustSign(f, testLog, testCheckpoint) + mustCosign(f, w1, testCheckpoint, testTime) + mustCosign(f, w2, testCheckpoint, testTime)
	f.Add([]byte(good))
	f.Add([]byte(good + shortLine(w3)))
	p := mustPolicy(f, policyText(twoOfThree))
	f.Fuzz(func(t *testing.T, msg []byte) {
		cp, got, err := p.Check(msg)
		if err != nil {
			return
		}
		if cp != testCheckpoint || !bytes.HasPrefix(msg, []byte(cp.text())) {
			t.Fatalf("%q opens as %+v", msg, cp)
		}
		if _, err := note.Open(msg, note.VerifierList(noteVerifier{testLog.Verifier()})); err != nil {
			t.Fatalf("%q: package note says %v", msg, err)
		}
		if len(got) > 3 {
			t.Fatalf("%v cosigned", got)
		}
	})
}
