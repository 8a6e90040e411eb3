package verify_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/verify"
)

// benchmarkRelease is a release of 20 changes with an approval each (60
// attestations and the release), in folders of 150 files: about 12 KiB of raw
// objects a change, as the median of real histories has.
func benchmarkRelease(b *testing.B) (*world, verify.Request) {
	b.Helper()
	w := newWorld(b)
	l := &line{history: newHistory(), w: w, indexes: map[string]uint64{}}
	files := func(version int) map[string]string {
		f := map[string]string{}
		for i := range 150 {
			f[fmt.Sprintf("folder-file-%03d.go", i)] = fmt.Sprint(i)
		}
		f["folder-file-007.go"] = fmt.Sprint("version ", version)
		return f
	}
	l.base = l.commit("base", files(0))
	target := l.base
	for i := range 20 {
		head := l.commit(fmt.Sprintf("work on %d", i), files(i+1), target)
		target = l.commit(fmt.Sprintf("change (#%d)", i), files(i+1), target)
		l.heads, l.merged = append(l.heads, head), append(l.merged, target)
	}
	d, file := artifact("app")
	l.log(file)
	return w, l.request(d, l.base)
}

func gatherOnce(b *testing.B, src verify.Source, v *verify.Verifier, req verify.Request) {
	g, err := verify.Gather(b.Context(), src, v, req)
	if err != nil || len(g.Range) != 20 || len(g.Evidence) != 61 {
		b.Fatalf("gathered %+v: %v", g, err)
	}
}

// Every signature and all git facts again; the log's own times.
func BenchmarkGatherCold(b *testing.B) {
	w, req := benchmarkRelease(b)
	src := w.source()
	for b.Loop() {
		gatherOnce(b, src, w.newVerifier(true), req)
	}
}

// With everything opened before.
func BenchmarkGatherWarm(b *testing.B) {
	w, req := benchmarkRelease(b)
	src, v := w.source(), w.newVerifier(true)
	for b.Loop() {
		gatherOnce(b, src, v, req)
	}
}

// From a pack, as somebody offline does: with every timestamp.
func BenchmarkGatherFromPack(b *testing.B) {
	w, req := benchmarkRelease(b)
	text := w.pack(req)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		p, err := verify.OpenPack(bytes.NewReader(text), w.trust)
		if err != nil {
			b.Fatal(err)
		}
		gatherOnce(b, p, w.verifier(), req)
	}
}

func BenchmarkOpen(b *testing.B) {
	w, _ := benchmarkRelease(b)
	src := w.source()
	for i, name := range []string{"change", "approval", "admission"} {
		s, err := src.Entry(b.Context(), uint64(i))
		must(b, err)
		view, _ := w.sealed(0)
		v := w.newVerifier(true)
		b.Run(name+"/own log, warm", func(b *testing.B) { openOften(b, v, view, s) })
		b.Run(name+"/with token", func(b *testing.B) { openOften(b, w.verifier(), view, s) })
	}
}

func openOften(b *testing.B, v *verify.Verifier, view *verify.LogView, s verify.Sealed) {
	for b.Loop() {
		if _, r := v.Open(b.Context(), view, s); r != nil {
			b.Fatal(r)
		}
	}
}

func BenchmarkAccept(b *testing.B) {
	w := newWorld(b)
	h := newHistory()
	v := w.verifier()
	text, err := w.sign("bob", w.approval("bob", "7", attest.Approved), h.subject(h.commit("work", nil))).Marshal()
	must(b, err)
	for b.Loop() {
		if _, r := v.Accept(b.Context(), text, start); r != nil {
			b.Fatal(r)
		}
	}
}
