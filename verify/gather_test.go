package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// A line is a target branch: a start, and changes that were reviewed and
// squashed onto it.
type line struct {
	*history
	w       *world
	base    gitfacts.ID
	heads   []gitfacts.ID // reviewed, by change
	merged  []gitfacts.ID
	indexes map[string]uint64
}

func newLine(w *world, changes int) *line {
	l := &line{history: newHistory(), w: w, indexes: map[string]uint64{}}
	files := map[string]string{"a": "0"}
	below := l.commit("below the start", files)
	l.base = l.commit("the start", files, below)
	target := l.base
	for i := range changes {
		files = map[string]string{"a": fmt.Sprint(i + 1)}
		head := l.commit(fmt.Sprintf("work on %d", i), files, target)
		target = l.commit(fmt.Sprintf("change (#%d)", i), files, target)
		l.heads, l.merged = append(l.heads, head), append(l.merged, target)
	}
	return l
}

func (l *line) to() gitfacts.ID { return l.merged[len(l.merged)-1] }

// parent is the commit below the i-th merged one.
func (l *line) parent(i int) gitfacts.ID { return l.commits[l.merged[i]].parents[0] }

// log says everything about the changes but those that skip names, such as
// "admission 1", and about the artifact.
func (l *line) log(file attest.Subject, skip ...string) {
	say := func(name, who string, p attest.Predicate, about attest.Subject) {
		if !slices.Contains(skip, name) {
			l.indexes[name] = l.w.say(who, p, about)
		}
	}
	for i := range l.merged {
		id := fmt.Sprint(i)
		say("change "+id, "ci", l.w.change(l.history, id, l.parent(i), l.heads[i]), l.subject(l.heads[i]))
		say("approval "+id, "bob", l.w.approval("bob", id, attest.Approved), l.subject(l.heads[i]))
		say("admission "+id, "ci", l.w.admission(l.history, id, l.merged[i], l.heads[i], l.parent(i)), l.subject(l.merged[i]))
	}
	say("release", "builder", l.w.release(l.to()), file)
}

func (w *world) gather(req verify.Request) (*verify.Gathered, error) {
	return verify.Gather(w.t.Context(), w.source(), w.verifier(), req)
}

func (l *line) request(d attest.Digest, baselines ...gitfacts.ID) verify.Request {
	return verify.Request{Artifact: &d, Repository: repository, Environment: environment, Baselines: baselines}
}

func rangeOf(g *verify.Gathered) (ids []gitfacts.ID) {
	for _, s := range g.Range {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestARangeBeginsAtItsBaseline(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 3)
	d, file := artifact("app")
	l.log(file)
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	if g.To != l.to() || g.From != l.base || g.FromBecause != "baseline" {
		t.Errorf("range %s..%s because %q", g.From, g.To, g.FromBecause)
	}
	if diff := cmp.Diff(l.merged, rangeOf(g)); diff != "" {
		t.Error(diff)
	}
	if len(g.Evidence) != 10 || len(g.Refusals) != 0 || len(g.Releases) != 1 {
		t.Errorf("%d pieces of evidence, %d refusals, %d releases", len(g.Evidence), len(g.Refusals), len(g.Releases))
	}
	if !slices.IsSortedFunc(g.Evidence, func(a, b *verify.Evidence) int { return int(a.Index()) - int(b.Index()) }) {
		t.Error("evidence is not in log order")
	}
}

// Row D18: nobody's word shortens a range.
func TestARangeHasEveryCommitBelowItsEnd(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 3)
	d, file := artifact("app")
	l.log(file, "admission 1", "change 1", "approval 1")
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	// The admission of the next commit proves the parents of the one that nobody admitted.
	if diff := cmp.Diff(l.merged, rangeOf(g)); diff != "" || g.From != l.base {
		t.Errorf("from %s: %s", g.From, diff)
	}
	if n := len(g.Range[1].Evidence); n != 0 {
		t.Errorf("%d pieces of evidence about a commit that nobody spoke of", n)
	}
}

func TestAWalkEndsWhereNothingIsProven(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 3)
	d, file := artifact("app")
	l.log(file, "admission 0", "admission 1", "change 0", "change 1", "change 2")
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	// The last admission proves itself and its parent, and no more.
	if g.From != "" || len(g.Range) != 3 || g.Range[0].Commit != nil {
		t.Errorf("from %q, %d commits", g.From, len(g.Range))
	}
	if _, ok := g.Commit(l.merged[1]); !ok {
		t.Error("the first parent is proven, and not known")
	}
	if _, ok := g.Commit(l.heads[0]); ok {
		t.Error("a commit is known that nothing proves")
	}
}

func TestARangeWithoutAStartEndsAtTheRoot(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	root := h.commit("root", map[string]string{"a": "0"})
	a := w.admission(h, "1", h.commit("next (#1)", map[string]string{"a": "1"}, root), "", root)
	a.ReviewedHead, a.Binding, a.ReplayClean = "", attest.BindingUnverifiable, false
	w.say("ci", a, h.subject(gitfacts.ID(a.Merged)))
	g, err := w.gather(verify.Request{Commit: gitfacts.ID(a.Merged), Repository: repository, Environment: environment})
	must(t, err)
	if g.From != "" || len(g.Range) != 2 || g.Range[0].ID != root || g.Range[0].Commit == nil {
		t.Errorf("from %q, range %v", g.From, rangeOf(g))
	}
}

func (w *world) allow(to gitfacts.ID, edit func(*attest.Decision)) *attest.Decision {
	d := &attest.Decision{
		Repository: repository, Environment: environment, Verdict: "allow", To: string(to), DecidedAt: w.now(), ExpiresAt: w.now(),
		Core: []byte(`{}`), Annex: []byte(`{}`),
	}
	if edit != nil {
		edit(d)
	}
	return d
}

// The last allowed release is a start, if it is just that.
func TestARangeBeginsAtTheLastAllowedRelease(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*attest.Decision)
		revoke string
		who    string
		counts bool
	}{
		"allowed":                    {counts: true},
		"denied":                     {edit: func(d *attest.Decision) { d.Verdict = "deny" }},
		"for another environment":    {edit: func(d *attest.Decision) { d.Environment = "staging" }},
		"for another repository":     {edit: func(d *attest.Decision) { d.Repository = "git.example/shop/other" }},
		"said by CI":                 {who: "ci"},
		"taken back by an owner":     {revoke: "olga"},
		"taken back by nobody's say": {revoke: "bob", counts: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := newLine(w, 3)
			d, file := artifact("app")
			l.log(file)
			if c.who == "" {
				c.who = "service"
			}
			index := w.say(c.who, w.allow(l.merged[0], c.edit), l.subject(l.merged[0]))
			if c.revoke != "" {
				view, s := w.sealed(index)
				e, r := w.verifier().Open(t.Context(), view, s)
				wantEvidence(t, e, r)
				w.say(c.revoke, revocation(c.revoke, attest.Revoked{Kind: attest.RevokedStatement, Digest: e.Digest().String()}), digestSubject(e.Digest().String()))
			}
			g, err := w.gather(l.request(d, l.base))
			must(t, err)
			want, because := l.base, "baseline"
			if c.counts {
				want, because = l.merged[0], fmt.Sprintf("allowed #%d", index)
			}
			if g.From != want || g.FromBecause != because || (g.Allowed != nil) != c.counts {
				t.Errorf("from %s because %q; want %s because %q", g.From, g.FromBecause, want, because)
			}
		})
	}
}

func TestAnAllowOfTheEndItselfIsNoStart(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 2)
	d, file := artifact("app")
	l.log(file)
	w.say("service", w.allow(l.to(), nil), l.subject(l.to()))
	g, err := w.gather(l.request(d, l.base, l.to()))
	must(t, err)
	if g.From != l.base {
		t.Errorf("from %s: a release vouches for itself", g.From)
	}
}

func revocation(by string, what ...attest.Revoked) *attest.Revocation {
	return &attest.Revocation{Revokes: what, Reason: "mistake", By: by}
}

func digestSubject(hex string) attest.Subject {
	return attest.Subject{Digest: map[string]string{"sha256": hex}}
}

// One artifact, one source.
func TestAnArtifactHasOneSource(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 2)
	d, file := artifact("app")
	l.log(file)
	elsewhere := w.release(l.merged[0])
	elsewhere.Repository = "git.example/shop/other"
	w.say("builder", elsewhere, file)
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	if g.To != l.to() || len(g.Releases) != 2 {
		t.Errorf("to %q of %d releases; another repository's does not count", g.To, len(g.Releases))
	}
	w.say("builder", w.release(l.merged[0]), file)
	g, err = w.gather(l.request(d, l.base))
	must(t, err)
	if g.To != "" || len(g.Sources) != 2 || len(g.Range) != 0 {
		t.Errorf("to %q of the sources %v", g.To, g.Sources)
	}
}

// Reviews of older heads and under the change's id are seen, to be explained.
func TestReviewsOfOlderHeadsAreSeen(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	d, file := artifact("app")
	l.log(file)
	older := l.commit("older", map[string]string{"a": "x"}, l.base)
	index := w.say("alice", w.approval("alice", "0", attest.Approved), l.subject(older))
	unrelated := w.say("alice", w.approval("alice", "99", attest.Approved), l.subject(l.commit("other", map[string]string{"a": "y"})))
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	if !has(g, index) || has(g, unrelated) {
		t.Errorf("the older head's approval is seen: %v; an unrelated one: %v", has(g, index), has(g, unrelated))
	}
}

func has(g *verify.Gathered, index uint64) bool {
	return slices.ContainsFunc(g.Evidence, func(e *verify.Evidence) bool { return e.Index() == index })
}

// Junk gives no credit and stands in nobody's way (INV4); it is listed.
func TestJunkIsListedAndIgnored(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	d, file := artifact("app")
	l.log(file)
	key := attest.SubjectKey("gitCommit", string(l.heads[0]))
	junk := w.logPayload("bob", `{"not":"a statement"}`, key)
	stranger := w.say("mallory", w.approval("mallory", "0", attest.Approved), l.subject(l.heads[0]))
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	var got []uint64
	for _, r := range g.Refusals {
		got = append(got, r.Index)
	}
	if diff := cmp.Diff([]uint64{junk, stranger}, got); diff != "" || len(g.Evidence) != 4 {
		t.Errorf("%d pieces of evidence; refused: %s", len(g.Evidence), diff)
	}
}

// An index that invents an entry's key gives it no other meaning.
func TestAnInventedKeyGivesNoMeaning(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	d, file := artifact("app")
	l.log(file)
	_, other := artifact("other")
	b := w.sign("builder", w.release(l.merged[0]), other)
	w.logBundle(b, w.key("builder").Public(), "", attest.SubjectKey("sha256", d.String()))
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	if len(g.Releases) != 1 {
		t.Error("a release of another artifact counts as this one's")
	}
}

// Rows J21 and T10: negative evidence is whole, in its place, and never ignored
// for being unreadable.
func TestTheWholeChainIsGathered(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	d, file := artifact("app")
	l.log(file)
	veto := w.say("alice", w.approval("alice", "0", attest.Rejected), l.subject(l.heads[0]))
	older := w.say("alice", w.approval("alice", "0", attest.Withdrawn), l.subject(l.commit("an older head", nil)))
	w.say("alice", w.approval("alice", "44", attest.Rejected), l.subject(l.commit("another change", nil)))
	b := &attest.Bundle{Payload: []byte("garbage")}
	var err error
	b.Signature, err = w.key("alice").Sign(b.PAE())
	must(t, err)
	garbage := w.logBundle(b, w.key("alice").Public(), attest.Everything)
	stranger := w.say("mallory", revocation("mallory", attest.Revoked{Kind: attest.RevokedPerson, Person: "bob"}), digestSubject(strings.Repeat("a", 64)))
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	type seen struct {
		Index      uint64
		Opened     bool
		Unreadable bool
	}
	var got []seen
	for _, n := range g.Negative {
		got = append(got, seen{n.Link.Index, n.Evidence != nil, n.Unreadable()})
	}
	want := []seen{{veto, true, false}, {older, true, false}, {garbage, false, true}, {stranger, false, false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A source that is asked through a liar.
type liar struct {
	*source
	view  func(*verify.LogView)
	links func([]verify.Link) []verify.Link
	entry func(*verify.Sealed)
	find  func([]uint64) []uint64
}

func (l *liar) View(ctx context.Context) (verify.LogView, error) {
	v, err := l.source.View(ctx)
	if l.view != nil {
		l.view(&v)
	}
	return v, err
}

func (l *liar) Negative(ctx context.Context) ([]verify.Link, error) {
	links, err := l.source.Negative(ctx)
	if l.links != nil {
		links = l.links(links)
	}
	return links, err
}

func (l *liar) Entry(ctx context.Context, index uint64) (verify.Sealed, error) {
	s, err := l.source.Entry(ctx, index)
	if l.entry != nil {
		l.entry(&s)
	}
	return s, err
}

func (l *liar) Find(ctx context.Context, key string) ([]uint64, error) {
	found, err := l.source.Find(ctx, key)
	if l.find != nil {
		found = l.find(found)
	}
	return found, err
}

func TestALogThatContradictsItselfIsAnError(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	d, file := artifact("app")
	l.log(file)
	veto := w.say("alice", w.approval("alice", "0", attest.Rejected), l.subject(l.heads[0]))
	w.say("alice", revocation("alice", attest.Revoked{Kind: attest.RevokedPerson, Person: "alice"}), digestSubject(strings.Repeat("a", 64)))
	var sawTwo = w.allow(l.base, func(d *attest.Decision) {
		view, _ := w.source().View(t.Context())
		d.Core = fmt.Appendf(nil, `{"log":{"negativeLength":%d,"negativeHead":"%s"}}`, view.ChainLength, view.Chain)
	})
	w.say("service", sawTwo, l.subject(l.base))
	honest, err := w.source().Negative(t.Context())
	must(t, err)
	head := honest[0].Chain
	elsewhere := []verify.Link{tlog.NextLink(tlog.Hash{}, honest[0].Index, honest[0].Leaf, tlog.ScopeOf("change:elsewhere#1"))}
	elsewhere = append(elsewhere, tlog.NextLink(elsewhere[0].Chain, honest[1].Index, honest[1].Leaf, honest[1].Scope))
	for name, src := range map[string]*liar{
		"a shorter chain":          {links: func(l []verify.Link) []verify.Link { return l[:1] }},
		"a chain without its head": {view: func(v *verify.LogView) { v.Chain = hashOf(1) }},
		"a veto that the chain leaves out, and a decision saw": {
			view:  func(v *verify.LogView) { v.ChainLength, v.Chain = 1, head },
			links: func(l []verify.Link) []verify.Link { return l[:1] },
		},
		"a chain that is not linked":        {links: func(l []verify.Link) []verify.Link { l[0].Leaf[0] ^= 1; return l }},
		"a veto that the search leaves out": {find: func(f []uint64) []uint64 { return slices.DeleteFunc(f, func(i uint64) bool { return i == veto }) }},
		"a veto that is said to be of another change": {
			links: func([]verify.Link) []verify.Link { return elsewhere },
			view:  func(v *verify.LogView) { v.Chain = elsewhere[1].Chain },
		},
		"another entry in a link's place": {entry: func(s *verify.Sealed) {
			if s.Index == veto {
				s.Leaf = append([]byte{' '}, s.Leaf...)
			}
		}},
		"an answer out of order":   {find: func(f []uint64) []uint64 { slices.Reverse(f); return append(f, f...) }},
		"an answer beyond the log": {find: func(f []uint64) []uint64 { return append(f, 1<<40) }},
		"an entry for another":     {entry: func(s *verify.Sealed) { s.Index++ }},
	} {
		t.Run(name, func(t *testing.T) {
			src.source = w.source()
			_, err := verify.Gather(t.Context(), src, w.verifier(), l.request(d))
			var corrupt *verify.CorruptError
			if !errors.As(err, &corrupt) {
				t.Errorf("error %v; want a *CorruptError", err)
			}
		})
	}
	if _, err := w.gather(l.request(d)); err != nil {
		t.Errorf("the twin: %v", err)
	}
}

// What others take from other changes costs this one a link, and nothing else.
func TestVetoesOfOtherChangesAreNotRead(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	d, file := artifact("app")
	l.log(file)
	elsewhere := make(map[uint64]bool)
	head := l.subject(l.commit("another change", nil))
	for i := range 300 {
		elsewhere[w.say("alice", w.approval("alice", fmt.Sprint(100+i), attest.Rejected), head)] = true
	}
	src := &liar{source: w.source(), entry: func(s *verify.Sealed) {
		if elsewhere[s.Index] {
			t.Errorf("entry %d is read", s.Index)
		}
	}}
	rec := verify.NewRecorder(src)
	g, err := verify.Gather(t.Context(), rec, w.verifier(), l.request(d, l.base))
	must(t, err)
	if len(g.Negative) != 0 || g.View.ChainLength != 300 {
		t.Errorf("%d of %d pieces of negative evidence concern the release", len(g.Negative), g.View.ChainLength)
	}
	var text bytes.Buffer
	must(t, verify.WritePack(t.Context(), &text, rec, w.trust, l.request(d, l.base)))
	p, err := w.openPack(text.Bytes())
	must(t, err)
	again, err := verify.Gather(t.Context(), p, w.verifier(), l.request(d, l.base))
	must(t, err)
	if diff := cmp.Diff(summary(g), summary(again)); diff != "" {
		t.Error(diff)
	}
}

// Row L08: a limit, and not a slow answer.
func TestMoreThanTheLimitIsAnError(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 1)
	d, file := artifact("app")
	l.log(file)
	many := make([]uint64, verify.MaxEvidence+1)
	for i := range many {
		many[i] = uint64(i)
	}
	_, err := verify.Gather(t.Context(), &liar{source: w.source(), find: func([]uint64) []uint64 { return many }}, w.verifier(), l.request(d))
	var limit *verify.LimitError
	if !errors.As(err, &limit) || limit.Kind() != verify.TooLarge {
		t.Errorf("error %v; want a *LimitError", err)
	}
}

// A gate that asks often fills no limit: verdicts are found as verdicts, and no
// number of them hides where a range begins.
func TestManyVerdictsAboutOneRelease(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 2)
	d, file := artifact("app")
	l.log(file)
	first := w.say("service", w.allow(l.merged[0], nil), l.subject(l.merged[0]))
	denied := w.allow(l.to(), func(d *attest.Decision) { d.Verdict = "deny" })
	for i := range verify.MaxEvidence + 100 {
		denied.Nonce = fmt.Sprint(i)
		w.say("service", denied, file, l.subject(l.to()))
		if i%20 == 0 { // an allow of the end itself is no start, and hides none
			w.say("service", w.allow(l.to(), func(a *attest.Decision) { a.Nonce = denied.Nonce }), file, l.subject(l.to()))
		}
	}
	g, err := w.gather(l.request(d, l.base))
	must(t, err)
	if g.From != l.merged[0] || g.FromBecause != fmt.Sprintf("allowed #%d", first) || len(g.Range) != 1 {
		t.Errorf("from %s because %q", g.From, g.FromBecause)
	}
}

// The log's own process and everybody else gather the same.
func TestTheLogItselfGathersWhatOthersDo(t *testing.T) {
	w := newWorld(t)
	l := newLine(w, 3)
	d, file := artifact("app")
	l.log(file)
	w.say("alice", w.approval("alice", "0", attest.Rejected), l.subject(l.heads[0]))
	own := w.newVerifier(true)
	theirs, err := w.gather(l.request(d))
	must(t, err)
	for range 2 { // cold and warm
		ours, err := verify.Gather(t.Context(), w.source(), own, l.request(d))
		must(t, err)
		if diff := cmp.Diff(summary(theirs), summary(ours)); diff != "" {
			t.Error(diff)
		}
	}
	// A longer log, an earlier view: what is remembered from the one is not shown in the other.
	before := w.source()
	w.say("alice", w.approval("alice", "0", attest.Withdrawn), l.subject(l.heads[0]))
	for src, want := range map[*source]int{w.source(): 2, before: 1} {
		g, err := verify.Gather(t.Context(), src, own, l.request(d))
		must(t, err)
		if len(g.Negative) != want {
			t.Errorf("%d pieces of negative evidence; want %d", len(g.Negative), want)
		}
	}
}

func summary(g *verify.Gathered) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s..%s %s as of %d %s\n", g.From, g.To, g.FromBecause, g.View.Size, g.View.Time)
	for _, e := range g.Evidence {
		fmt.Fprintf(&b, "%d %s %s %s %s\n", e.Index(), e.Leaf(), e.Digest(), e.Time(), e.Statement().Predicate.Type())
	}
	for _, r := range g.Refusals {
		fmt.Fprintf(&b, "%d %v\n", r.Index, r)
	}
	for _, n := range g.Negative {
		fmt.Fprintf(&b, "negative %d %v\n", n.Link.Index, n.Refusal)
	}
	for _, s := range g.Range {
		fmt.Fprintf(&b, "%s %d\n", s.ID, len(s.Evidence))
	}
	return b.String()
}
