package verify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// packed is a world with a release, and the pack of what was gathered for it.
func packed(t testing.TB) (*world, *line, verify.Request, []byte) {
	t.Helper()
	w := newWorld(t)
	l := newLine(w, 2)
	d, file := artifact("app")
	l.log(file)
	w.say("alice", w.approval("alice", "0", attest.Rejected), l.subject(l.heads[0]))
	w.say("alice", revocation("alice", attest.Revoked{Kind: attest.RevokedPerson, Person: "alice"}), digestSubject(strings.Repeat("a", 64)))
	req := l.request(d, l.base)
	return w, l, req, w.pack(req)
}

func (w *world) pack(req verify.Request) []byte {
	w.t.Helper()
	rec := verify.NewRecorder(w.source())
	_, err := verify.Gather(w.t.Context(), rec, w.newVerifier(true), req)
	must(w.t, err)
	var b bytes.Buffer
	must(w.t, verify.WritePack(w.t.Context(), &b, rec, w.trust, req))
	return b.Bytes()
}

func (w *world) openPack(pack []byte) (*verify.Pack, error) {
	return verify.OpenPack(bytes.NewReader(pack), w.trust)
}

// The server, and somebody with nothing but a pack, gather the same.
func TestAPackReplaysExactly(t *testing.T) {
	w, l, req, text := packed(t)
	online, err := w.gather(req)
	must(t, err)
	p, err := w.openPack(text)
	must(t, err)
	offline, err := verify.Gather(t.Context(), p, w.verifier(), req)
	must(t, err)
	if diff := cmp.Diff(summary(online), summary(offline)); diff != "" {
		t.Error(diff)
	}
	if got := p.Request(); *got.Artifact != *req.Artifact || got.Repository != repository {
		t.Errorf("the pack says that it is for %+v", got)
	}
	if again := w.pack(req); !bytes.Equal(text, again) {
		t.Error("the same questions at the same state gave other bytes")
	}
	other := attest.DigestOf([]byte("other"))
	if _, err := verify.Gather(t.Context(), p, w.verifier(), l.request(other, l.base)); !errors.Is(err, verify.ErrNotInPack) {
		t.Errorf("a pack that was made for something else answered: %v", err)
	}
}

// One flipped byte anywhere is caught, and where it is in an entry, that entry is named.
func TestOneFlippedByteIsCaught(t *testing.T) {
	w, _, _, text := packed(t)
	lines := bytes.SplitAfter(text, []byte("\n"))
	offset := 0
	for n, line := range lines {
		step := max(len(line)/40, 1)
		for i := 0; i < len(line); i += step {
			for _, bit := range []byte{0x01, 0x80} {
				bad := bytes.Clone(text)
				bad[offset+i] ^= bit
				_, err := w.openPack(bad)
				if err == nil {
					t.Fatalf("line %d, byte %d, bit %#x: not noticed", n+1, i, bit)
				}
				if msg := err.Error(); !strings.Contains(msg, "line ") && !strings.Contains(msg, "entry ") {
					t.Fatalf("line %d, byte %d: %q names no place", n+1, i, msg)
				}
			}
		}
		offset += len(line)
	}
}

// The damage is named even where whoever did it wrote the digest at the end anew,
// or else it becomes a refusal that is listed.
func TestAnEntryThatWasEditedIsNamed(t *testing.T) {
	w, l, req, text := packed(t)
	view, s := w.sealed(l.indexes["approval 0"])
	_ = view
	b, err := attest.ParseBundle(s.Body)
	must(t, err)
	other, err := w.key("bob").Sign(b.PAE())
	must(t, err)
	enc := func(sig []byte) string {
		c := &attest.Bundle{Payload: []byte("{}"), Signature: sig}
		m, _ := c.Marshal()
		_, m, _ = bytes.Cut(m, []byte(`"sig":"`))
		m, _, _ = bytes.Cut(m, []byte(`"`))
		return string(m)
	}
	bad := strings.Replace(string(text), `"sig":"`+enc(b.Signature), `"sig":"`+enc(other), 1)
	if bad == string(text) {
		t.Fatal("nothing was edited")
	}
	_, err = w.openPack([]byte(bad))
	var corrupt *verify.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Entry != int64(s.Index) || corrupt.Check != "format" {
		t.Errorf("error %v; want entry %d, format", err, s.Index)
	}
	p, err := w.openPack(sealPack(bad))
	must(t, err)
	g, err := verify.Gather(t.Context(), p, w.verifier(), req)
	must(t, err)
	if len(g.Refusals) != 1 || g.Refusals[0].Index != s.Index || g.Refusals[0].Kind != verify.NotLogged {
		t.Errorf("refusals %v", g.Refusals)
	}
}

// sealPack writes the last line anew.
func sealPack(text string) []byte {
	if len(text) == 0 {
		return nil
	}
	body := text[:strings.LastIndex(text[:len(text)-1], "\n")+1]
	return fmt.Appendf([]byte(body), `{"end":%d,"sha256":"%x"}`+"\n", strings.Count(body, "\n"), sha256.Sum256([]byte(body)))
}

// Rows H21 and H31: whoever makes a pack can leave the log's
// entries out of it, and cannot make the pack say two things.
func TestPacksThatAreRefused(t *testing.T) {
	w, l, req, text := packed(t)
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	first := func(prefix string) int {
		for i, line := range lines {
			if strings.HasPrefix(line, prefix) {
				return i
			}
		}
		t.Fatalf("no line begins with %s", prefix)
		return 0
	}
	w.say("bob", w.approval("bob", "9", attest.Approved), l.subject(l.heads[1]))
	later := strings.SplitAfter(strings.TrimSuffix(string(w.pack(req)), "\n"), "\n")
	edit := func(i int, old, new string) func([]string) []string {
		return func(lines []string) []string {
			if !strings.Contains(lines[i], old) {
				t.Fatalf("line %d has no %s: %.200s", i+1, old, lines[i])
			}
			lines[i] = strings.Replace(lines[i], old, new, 1)
			return lines
		}
	}
	drop := func(i int) func([]string) []string {
		return func(lines []string) []string { return append(lines[:i], lines[i+1:]...) }
	}
	chained, err := w.source().Negative(t.Context())
	must(t, err)
	veto := chained[0].Index
	head, key, link := first(`{"mediaType"`), first(`{"key":"change:`), first(`{"link"`)
	cases := map[string]struct {
		edit func([]string) []string
		kind verify.Kind
	}{
		"H21 a receipt for another checkpoint": {func(l []string) []string { l[head] = later[head]; return l }, verify.BadProof},
		"an answer that hides an entry":        {edit(key, "[0,", "["), verify.BadProof},
		"an answer that invents an entry":      {edit(first(`{"key":"subject:sha256:`), `"indexes":[`, `"indexes":[0,`), verify.BadProof},
		"an answer that the pack has not":      {edit(key, `"indexes":[`, `"indexes":[`+"999999,"), verify.BadProof},
		"an entry left out":                    {drop(head), verify.BadProof},
		"a link left out":                      {drop(link), verify.BadProof},
		"a link that concerns something else":  {edit(link, `"scope":"`+tlog.ScopeOf(attest.ChangeKey(repository, "0")).String(), `"scope":"`+hashOf(1).String()), verify.BadProof},
		"a veto that is not in the pack": {func(l []string) []string {
			for i, line := range l { // and in no answer either
				if strings.HasPrefix(line, `{"key":`) {
					line = strings.Replace(line, fmt.Sprint(",", veto, "]"), "]", 1)
					l[i] = strings.Replace(line, fmt.Sprint("[", veto, "]"), "[]", 1)
				}
			}
			return slices.DeleteFunc(l, func(line string) bool { return strings.Contains(line, fmt.Sprintf(`"logIndex":"%d"`, veto)) })
		}, verify.BadProof},
		"links out of order":          {func(l []string) []string { l[link], l[link+1] = l[link+1], l[link]; return l }, verify.BadProof},
		"an entry twice":              {func(l []string) []string { l[head+1] = l[head]; return l }, verify.Malformed},
		"no head":                     {drop(0), verify.Malformed},
		"another version":             {edit(0, `"countersignPack":1`, `"countersignPack":2`), verify.Unsupported},
		"an unknown field":            {edit(0, `{"countersignPack":1`, `{"countersignPack":1,"trust":"me"`), verify.Malformed},
		"a space":                     {edit(key, `,"indexes"`, `, "indexes"`), verify.Malformed},
		"another checkpoint":          {edit(0, `"checkpoint":"log.example\n`, `"checkpoint":"log.example\n1`), verify.BadCheckpoint},
		"a shorter chain in the head": {edit(0, `"length":2`, `"length":1`), verify.BadProof},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bad := c.edit(append([]string(nil), lines...))
			_, err := w.openPack(sealPack(strings.Join(bad, "") + "\n"))
			var corrupt *verify.CorruptError
			var refusal *verify.Refusal
			switch {
			case errors.As(err, &corrupt) && corrupt.Kind == c.kind:
			case errors.As(err, &refusal) && refusal.Kind == c.kind:
			default:
				t.Errorf("error %v; want %s", err, c.kind)
			}
		})
	}
	if _, err := w.openPack(sealPack(strings.Join(lines, "") + "\n")); err != nil {
		t.Errorf("the twin: %v", err)
	}
	for n := range lines {
		if _, err := w.openPack([]byte(strings.Join(lines[:n], ""))); err == nil {
			t.Errorf("a pack that was cut after line %d was opened", n)
		}
	}
}

// Of the decisions that allowed a commit the first few are enough, and a pack may
// hold more of them for another reason.
func TestAPackMayHoldMoreThanAnAnswer(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 2)
	d, file := artifact("app")
	l.log(file)
	first := uint64(0)
	for i := range 20 {
		index := w.say("service", w.allow(l.merged[0], func(d *attest.Decision) { d.Nonce = fmt.Sprint(i) }), l.subject(l.merged[0]))
		if i == 0 {
			first = index
		}
	}
	req := l.request(d, l.base)
	rec := verify.NewRecorder(w.source())
	_, err := verify.Gather(t.Context(), rec, w.verifier(), req)
	must(t, err)
	_, err = rec.Find(t.Context(), attest.VerdictKey("gitCommit", string(l.merged[0])))
	must(t, err)
	var b bytes.Buffer
	must(t, verify.WritePack(t.Context(), &b, rec, w.trust, req))
	p, err := w.openPack(b.Bytes())
	must(t, err)
	g, err := verify.Gather(t.Context(), p, w.verifier(), req)
	must(t, err)
	if g.Allowed == nil || g.Allowed.Index() != first || p.Entries() != 5+20 {
		t.Errorf("from %s because %q; %d entries", g.From, g.FromBecause, p.Entries())
	}
}

// INV9 and row K11: a pack of another log, or under another trust, is no pack.
func TestAPackOfAnotherLogIsRefused(t *testing.T) {
	_, _, _, text := packed(t)
	if _, err := newWorld(t).openPack(text); err == nil {
		t.Error("a timestamp authority was believed that nobody trusts")
	}
}

// Row K10: what is read is bounded.
func TestAPackThatNeverEndsIsRefused(t *testing.T) {
	w, _, _, text := packed(t)
	var limit *verify.LimitError
	head, _, _ := bytes.Cut(text, []byte("\n"))
	long := append(append(head, '\n'), bytes.Repeat([]byte{'x'}, 4<<20)...)
	if _, err := w.openPack(long); !errors.As(err, &limit) {
		t.Errorf("error %v; want a *LimitError", err)
	}
}

// What is no bundle at all stays readable in a pack, so that it denies there too.
func TestAPackKeepsWhatNobodyCanRead(t *testing.T) {
	w, l, req, _ := packed(t)
	b := w.sign("alice", revocation("alice", attest.Revoked{Kind: attest.RevokedPerson, Person: "bob"}), digestSubject(strings.Repeat("b", 64)))
	index := w.append(ledger.Entry{Leaf: attest.Leaf(b, w.key("alice").Public()), Body: []byte("garbage"), Keys: []string{"all"}, Negative: attest.Everything, Stamp: b.Signature})
	p, err := w.openPack(w.pack(req))
	must(t, err)
	g, err := verify.Gather(context.Background(), p, w.verifier(), l.request(*req.Artifact, l.base))
	must(t, err)
	last := g.Negative[len(g.Negative)-1]
	if last.Link.Index != index || !last.Unreadable() || !last.Refusal.Corrupt {
		t.Errorf("the last link is %+v", last)
	}
}

var update = flag.Bool("update", false, "write testdata anew")

const kept = "testdata/pack" // a trust folder and a pack that an earlier version wrote

// What was written once opens for ever.
func TestAPackOfAnEarlierVersionOpens(t *testing.T) {
	if *update {
		w, _, _, text := packed(t)
		must(t, os.RemoveAll(kept))
		must(t, verify.WriteTrust(kept, w.trust))
		must(t, os.WriteFile(filepath.Join(kept, "pack.jsonl"), text, 0o644))
	}
	trust, err := verify.LoadTrust(kept)
	must(t, err)
	f, err := os.Open(filepath.Join(kept, "pack.jsonl"))
	must(t, err)
	defer f.Close()
	p, err := verify.OpenPack(f, trust)
	must(t, err)
	view, err := p.View(t.Context())
	must(t, err)
	if view.Size != 9 || view.ChainLength != 2 || p.Entries() != 9 {
		t.Errorf("as of %d entries: %d in the pack, %d negative", view.Size, p.Entries(), view.ChainLength)
	}
}

// Whatever opens can be asked, and never hides what it holds.
func FuzzOpenPack(f *testing.F) {
	trust, err := verify.LoadTrust(kept)
	must(f, err)
	text, err := os.ReadFile(filepath.Join(kept, "pack.jsonl"))
	must(f, err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	for i := range lines {
		f.Add(i, lines[i])
	}
	f.Fuzz(func(t *testing.T, i int, line []byte) {
		if i < 0 || i >= len(lines) {
			return
		}
		edited := slices.Concat(slices.Concat(lines[:i]...), line, slices.Concat(lines[i+1:]...))
		for _, pack := range [][]byte{edited, sealPack(string(edited))} {
			p, err := verify.OpenPack(bytes.NewReader(pack), trust)
			if err != nil {
				continue
			}
			links, _ := p.Negative(t.Context())
			for _, l := range links {
				if _, err := p.Entry(t.Context(), l.Index); err != nil {
					t.Errorf("link %d: %v", l.Index, err)
				}
			}
		}
	})
}
