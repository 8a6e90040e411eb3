package tlog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// textProof is a good proof of one entry of a small tree.
func textProof(t testing.TB, extra []byte) (TextProof, *Signer) {
	t.Helper()
	tree, _ := openTestTree(t, 7)
	s := testSigner("log.example.com", "text proof")
	root, err := tree.Root(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	path, err := tree.Inclusion(t.Context(), 5, 7)
	if err != nil {
		t.Fatal(err)
	}
	note := mustSign(t, s, Checkpoint{Origin: s.Origin(), Size: 7, Root: root})
	return TextProof{Extra: extra, Index: 5, Path: path, Checkpoint: []byte(note)}, s
}

func TestTextProofHasTheBytesOfItsSpecification(t *testing.T) {
	p, s := textProof(t, nil)
	var hashes strings.Builder
	for _, h := range p.Path {
		hashes.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	end := "index 5\n" + hashes.String() + "\n" + string(p.Checkpoint)
	for name, c := range map[string]struct {
		extra []byte
		want  string
	}{
		"no extra":       {nil, "c2sp.org/tlog-proof@v1\n" + end},
		"an empty extra": {[]byte{}, "c2sp.org/tlog-proof@v1\nextra \n" + end},
		"an extra":       {[]byte("an entry"), "c2sp.org/tlog-proof@v1\nextra YW4gZW50cnk=\n" + end},
	} {
		p.Extra = c.extra
		text, err := p.Marshal()
		if err != nil || string(text) != c.want {
			t.Errorf("%s: %q, %v; want %q", name, text, err, c.want)
			continue
		}
		got, err := ParseTextProof(text)
		if err != nil || !bytes.Equal(got.Extra, c.extra) || (got.Extra == nil) != (c.extra == nil) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if cp, err := VerifyTextProof(s.Verifier(), testLeaf(5), got); err != nil || cp.Size != 7 {
			t.Errorf("%s: %+v, %v", name, cp, err)
		}
	}
}

func TestTextProofIsForOneLeafIndexAndLog(t *testing.T) {
	p, s := textProof(t, nil)
	if _, err := VerifyTextProof(s.Verifier(), testLeaf(5), p); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyTextProof(s.Verifier(), testLeaf(4), p); !errors.Is(err, ErrBadProof) {
		t.Errorf("another leaf: %v", err)
	}
	other := p
	other.Index = 4
	if _, err := VerifyTextProof(s.Verifier(), testLeaf(5), other); !errors.Is(err, ErrBadProof) {
		t.Errorf("another index: %v", err)
	}
	if _, err := VerifyTextProof(testSigner("log.example.com", "another key").Verifier(), testLeaf(5), p); !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("another log's key: %v", err)
	}
}

func TestTextProofHasOneSpelling(t *testing.T) {
	p, _ := textProof(t, []byte("x"))
	good, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseTextProof(good); err != nil {
		t.Fatal(err)
	}
	first := base64.StdEncoding.EncodeToString(p.Path[0][:]) + "\n"
	for name, c := range map[string]struct{ old, new string }{
		"another version":         {"@v1\n", "@v2\n"},
		"an empty line first":     {"c2sp.org", "\nc2sp.org"},
		"CR LF":                   {"index 5\n", "index 5\r\n"},
		"leading zero":            {"index 5", "index 05"},
		"a sign":                  {"index 5", "index +5"},
		"negative":                {"index 5", "index -5"},
		"beyond 2^63":             {"index 5", "index 9223372036854775808"},
		"2^63-1 has no entry":     {"index 5", "index 9223372036854775807"},
		"two spaces":              {"index 5", "index  5"},
		"no index":                {"index 5\n", ""},
		"two indexes":             {"index 5\n", "index 5\nindex 5\n"},
		"two extras":              {"extra eA==\n", "extra eA==\nextra eA==\n"},
		"extra after the index":   {"extra eA==\nindex 5\n", "index 5\nextra eA==\n"},
		"extra without its space": {"extra eA==", "extra"},
		"extra unpadded":          {"eA==", "eA"},
		"extra with spare bits":   {"eA==", "eB=="},
		"extra that is URL-safe":  {"eA==", "_-=="},
		"a short hash":            {first, first[4:]},
		"a hash with a space":     {first, " " + first},
		"65 hashes":               {first, strings.Repeat(first, 65)},
		"no empty line":           {"\n\nlog.example.com", "\nlog.example.com"},
		"no checkpoint":           {string(p.Checkpoint), ""},
		"an unsigned checkpoint":  {string(p.Checkpoint), "log.example.com\n7\n"},
		"a huge checkpoint":       {string(p.Checkpoint), string(p.Checkpoint) + strings.Repeat("x", maxNote)},
		"a huge extra":            {"eA==", strings.Repeat("AAAA", MaxExtra/3+1)},
	} {
		bad := strings.Replace(string(good), c.old, c.new, 1)
		if bad == string(good) {
			t.Fatalf("%s changes nothing", name)
		}
		if got, err := ParseTextProof([]byte(bad)); !errors.Is(err, ErrBadProof) {
			t.Errorf("%s is taken for %+v, %v", name, got, err)
		}
	}
	if got, err := ParseTextProof(make([]byte, MaxTextProof+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTextProofThatNobodyWouldReadIsNotWritten(t *testing.T) {
	good, _ := textProof(t, nil)
	for name, spoil := range map[string]func(p *TextProof){
		"index":      func(p *TextProof) { p.Index = MaxSize },
		"extra":      func(p *TextProof) { p.Extra = make([]byte, MaxExtra+1) },
		"hashes":     func(p *TextProof) { p.Path = make([]Hash, maxProof) },
		"checkpoint": func(p *TextProof) { p.Checkpoint = []byte("log.example.com\n") },
	} {
		p := good
		spoil(&p)
		if text, err := p.Marshal(); !errors.Is(err, ErrBadProof) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := good.Marshal(); err != nil {
		t.Error(err)
	}
}

func FuzzParseTextProof(f *testing.F) {
	for _, extra := range [][]byte{nil, {}, []byte("x")} {
		p, _ := textProof(f, extra)
		text, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseTextProof(text)
		if err != nil {
			return
		}
		again, err := p.Marshal()
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q prints as %q, %v", text, again, err)
		}
	})
}
