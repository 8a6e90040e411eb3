package verify_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

const (
	repository  = "git.example/shop/checkout"
	environment = "production"
)

var (
	start = ledgertest.Start
	epoch = start.Add(-24 * time.Hour) // since when keys hold
)

// A world is a real ledger, in memory, with a real timestamp authority, people
// with keys and somebody who trusts them.
type world struct {
	t         testing.TB
	clock     *ledgertest.Clock
	keys      map[string]*attest.PrivateKey
	until     map[string]time.Time // of keys, when they end
	authority *tsa.Authority
	ledger    *ledger.Ledger
	trust     *verify.Trust
	roster    *roster.Roster
	nonce     int
}

func newWorld(t testing.TB, options ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, clock: &ledgertest.Clock{}, keys: map[string]*attest.PrivateKey{}, until: map[string]time.Time{}}
	for _, o := range options {
		o(w)
	}
	key, chain, err := tsa.Create(ledgertest.Origin, epoch)
	must(t, err)
	w.authority, err = tsa.Parse(key, chain)
	must(t, err)
	w.trust = &verify.Trust{
		Log: ledgertest.Signer().Verifier(), LogValid: roster.Validity{From: epoch},
		Service: w.key("service").Public(), ServiceValid: roster.Validity{From: epoch},
		Timestamps: w.authority.Chain(), Genesis: attest.DigestOf([]byte("policy")),
		Owners: []string{"olga", "oscar"}, MaxCheckpointAge: time.Hour,
	}
	must(t, w.trust.Check())
	w.roster = w.parseRoster()
	head, err := ledger.EmptyHead(ledgertest.Signer(), w.authority, start)
	must(t, err)
	w.ledger, err = ledger.New(t.Context(), ledger.Config{
		Store: ledgertest.NewMemory(head), Signer: ledgertest.Signer(), Stamper: w.authority, Now: w.clock.Now,
	})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.ledger.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) key(id string) *attest.PrivateKey {
	if w.keys[id] == nil {
		k, err := attest.GenerateKey()
		must(w.t, err)
		w.keys[id] = k
	}
	return w.keys[id]
}

func (w *world) parseRoster() *roster.Roster {
	var b strings.Builder
	entry := func(id, more string) {
		until := ""
		if u := w.until[id]; !u.IsZero() {
			until = fmt.Sprintf("\n        until: %s", u.Format(time.RFC3339))
		}
		pem := strings.ReplaceAll(strings.TrimSpace(string(w.key(id).Public().PEM())), "\n", "\n          ")
		fmt.Fprintf(&b, "  - id: %s\n    from: %s\n%s    keys:\n      - name: key\n        from: %s%s\n        publicKey: |\n          %s\n",
			id, epoch.Format(time.RFC3339), more, epoch.Format(time.RFC3339), until, pem)
	}
	b.WriteString("owners: [olga, oscar]\npeople:\n")
	for _, id := range []string{"olga", "oscar", "alice", "bob"} {
		entry(id, "    level: senior\n")
	}
	b.WriteString("agents:\n")
	entry("robot", "    operator: alice\n")
	b.WriteString("services:\n")
	entry("ci", "    may: [change, admission, risk, authorship]\n")
	entry("pager", "    may: [incident]\n")
	entry("builder", "    may: [release, slsa-provenance]\n")
	r, err := roster.Parse("people.yaml", []byte(b.String()), roster.Terms{
		Levels: []string{"junior", "senior"}, Types: attest.ShortTypes, Reserved: []string{attest.TypeDecision, attest.TypeVSA},
	})
	must(w.t, err)
	return r
}

// verifier is somebody else's than the log's.
func (w *world) verifier() *verify.Verifier { return w.newVerifier(false) }

func (w *world) newVerifier(ownLog bool) *verify.Verifier {
	w.t.Helper()
	v, err := verify.New(verify.Config{Trust: w.trust, Roster: w.roster, OwnLog: ownLog})
	must(w.t, err)
	return v
}

// say signs and logs a statement, whatever it says, and returns its index.
func (w *world) say(who string, p attest.Predicate, subjects ...attest.Subject) uint64 {
	w.t.Helper()
	return w.log(w.sign(who, p, subjects...), w.key(who).Public())
}

func (w *world) sign(who string, p attest.Predicate, subjects ...attest.Subject) *attest.Bundle {
	w.t.Helper()
	b, err := attest.Sign(&attest.Statement{Subjects: subjects, Predicate: p}, w.key(who))
	must(w.t, err)
	return b
}

func (w *world) log(b *attest.Bundle, key *attest.PublicKey) uint64 {
	w.t.Helper()
	st, err := attest.ParseStatement(b.Payload)
	must(w.t, err)
	logged, err := attest.Log(b, st, key)
	must(w.t, err)
	return w.append(ledger.Entry{Leaf: logged.Leaf, Body: logged.Body, Keys: logged.Keys, Negative: logged.Negative, Stamp: logged.Stamp})
}

// logPayload logs any bytes as a signed payload, as no honest log would.
func (w *world) logPayload(who, payload string, keys ...string) uint64 {
	w.t.Helper()
	b := &attest.Bundle{Payload: []byte(payload)}
	var err error
	b.Signature, err = w.key(who).Sign(b.PAE())
	must(w.t, err)
	return w.logBundle(b, w.key(who).Public(), "", keys...)
}

func (w *world) logBundle(b *attest.Bundle, key *attest.PublicKey, negative string, keys ...string) uint64 {
	w.t.Helper()
	body, err := b.Marshal()
	must(w.t, err)
	return w.append(ledger.Entry{Leaf: attest.Leaf(b, key), Body: body, Keys: append(keys, "all"), Negative: negative, Stamp: b.Signature})
}

func (w *world) append(e ledger.Entry) uint64 {
	w.t.Helper()
	slices.Sort(e.Keys)
	e.Keys = slices.Compact(e.Keys)
	done, err := w.ledger.Append(w.t.Context(), []ledger.Entry{e})
	must(w.t, err)
	return done[0].Record.Index
}

// sealed returns an entry and the newest view.
func (w *world) sealed(index uint64) (*verify.LogView, verify.Sealed) {
	w.t.Helper()
	src := w.source()
	view, err := src.View(w.t.Context())
	must(w.t, err)
	checked, err := w.verifier().OpenView(view.Note, view.Token, time.Time{})
	must(w.t, err)
	checked.ChainLength, checked.Chain = view.ChainLength, view.Chain
	s, err := src.Entry(w.t.Context(), index)
	must(w.t, err)
	return &checked, s
}

func (w *world) open(index uint64) (*verify.Evidence, *verify.Refusal) {
	w.t.Helper()
	view, s := w.sealed(index)
	return w.verifier().Open(w.t.Context(), view, s)
}

// source is the ledger at its newest state.
func (w *world) source() *source {
	return &source{w.ledger, w.ledger.Head()}
}

type source struct {
	ledger *ledger.Ledger
	head   ledger.Head
}

func (s *source) View(context.Context) (verify.LogView, error) {
	view := verify.LogView{Checkpoint: s.head.Checkpoint, Note: s.head.Note, Token: s.head.Token, Time: s.head.Time}
	for _, l := range s.ledger.Negative() {
		if l.Index < s.head.Size {
			view.ChainLength, view.Chain = view.ChainLength+1, l.Chain
		}
	}
	return view, nil
}

func (s *source) Find(ctx context.Context, key string) ([]uint64, error) {
	return s.ledger.Search(ctx, ledger.Query{Key: key, Until: s.head.Size, Limit: verify.FindLimit(key)})
}

func (s *source) Entry(ctx context.Context, index uint64) (verify.Sealed, error) {
	r, err := s.ledger.Record(ctx, index)
	if err != nil {
		return verify.Sealed{}, err
	}
	proof, err := s.ledger.Inclusion(ctx, index, s.head.Size)
	return verify.Sealed{Index: index, Leaf: r.Leaf, Body: r.Body, Token: r.Token, Proof: proof, Time: r.Time}, err
}

func (s *source) Negative(context.Context) ([]verify.Link, error) {
	var links []verify.Link
	for _, l := range s.ledger.Negative() {
		if l.Index < s.head.Size {
			links = append(links, l)
		}
	}
	return links, nil
}

// A history is git objects, made by hand.
type history struct {
	objects map[gitfacts.ID]gitfacts.Object
	commits map[gitfacts.ID]commit
}

type commit struct {
	parents []gitfacts.ID
	tree    gitfacts.ID
	files   map[string]string
}

func newHistory() *history {
	return &history{map[gitfacts.ID]gitfacts.Object{}, map[gitfacts.ID]commit{}}
}

func (h *history) put(typ string, body []byte) gitfacts.ID {
	sum := sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", typ, len(body)), body...))
	id := gitfacts.ID(hex.EncodeToString(sum[:]))
	h.objects[id] = gitfacts.Object{Type: typ, Body: body}
	return id
}

// commit makes a commit with these files in its one folder.
func (h *history) commit(title string, files map[string]string, parents ...gitfacts.ID) gitfacts.ID {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var tree []byte
	for _, name := range names {
		blob := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(files[name]), files[name]))
		tree = append(fmt.Appendf(tree, "100644 %s\x00", name), blob[:]...)
	}
	c := commit{parents: parents, tree: h.put("tree", tree), files: files}
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", c.tree)
	for _, p := range parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author A <alice@example.com> 1767225600 +0000\ncommitter A <alice@example.com> 1767225600 +0000\n\n%s\n", title)
	id := h.put("commit", []byte(b.String()))
	h.commits[id] = c
	return id
}

// blob packs what proves base..head, and the first parents from base down to reach.
func (h *history) blob(t testing.TB, base, head, reach gitfacts.ID) []byte {
	t.Helper()
	var objects []gitfacts.Object
	for id := head; id != base; id = h.commits[id].parents[0] {
		objects = append(objects, h.objects[id])
		if len(h.commits[id].parents) == 0 {
			break
		}
	}
	for id := base; id != ""; id = h.commits[id].parents[0] {
		objects = append(objects, h.objects[id])
		if id == reach || reach == "" || len(h.commits[id].parents) == 0 {
			break
		}
	}
	if a, b := h.commits[base].tree, h.commits[head].tree; a != b {
		objects = append(objects, h.objects[b])
		if base != "" {
			objects = append(objects, h.objects[a])
		}
	}
	blob, err := gitfacts.Encode(objects)
	must(t, err)
	return blob
}

// paths are the files that differ between two commits.
func (h *history) paths(base, head gitfacts.ID) []string {
	a, b := h.commits[base].files, h.commits[head].files
	paths := []string{}
	for name, text := range b {
		if old, ok := a[name]; !ok || old != text {
			paths = append(paths, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			paths = append(paths, name)
		}
	}
	slices.Sort(paths)
	return paths
}

func (h *history) subject(id gitfacts.ID) attest.Subject {
	return attest.Subject{Digest: map[string]string{"gitCommit": string(id), "gitTree": string(h.commits[id].tree)}}
}

func (w *world) now() attest.Time { return attest.At(start) }

func (w *world) change(h *history, id string, base, head gitfacts.ID) *attest.Change {
	return &attest.Change{
		Repository: repository, Change: attest.ChangeRef{ID: id}, TargetRef: "main", Base: string(base), Head: string(head),
		Objects: h.blob(w.t, base, head, ""), Paths: h.paths(base, head),
	}
}

func (w *world) admission(h *history, id string, merged, head, reach gitfacts.ID) *attest.Admission {
	base := h.commits[merged].parents[0]
	a := &attest.Admission{
		Repository: repository, Change: attest.ChangeRef{ID: id}, TargetRef: "main", Merged: string(merged), ReviewedHead: string(head),
		Parents: []string{string(base)}, Objects: h.blob(w.t, base, merged, reach), Paths: h.paths(base, merged),
		Binding: attest.BindingReplay, ReplayClean: true, GitVersion: "2.50.0", AdmittedAt: w.now(),
	}
	return a
}

func (w *world) approval(who, id string, decision attest.ApprovalDecision) *attest.Approval {
	w.nonce++
	return &attest.Approval{
		Decision: decision, Reviewer: who, Repository: repository, Change: attest.ChangeRef{ID: id}, TargetRef: "main",
		Scope: attest.Scope{Environments: []string{environment}}, ApprovedAt: w.now(), Nonce: fmt.Sprint(w.nonce),
	}
}

func artifact(text string) (attest.Digest, attest.Subject) {
	d := attest.DigestOf([]byte(text))
	return d, attest.Subject{Name: "app.tar.gz", Digest: map[string]string{"sha256": d.String()}}
}

func (w *world) release(to gitfacts.ID) *attest.Release {
	return &attest.Release{Repository: repository, Name: "v1", To: string(to), ReleasedAt: w.now()}
}

func hashOf(n byte) (h tlog.Hash) { h[0] = n; return h }

// gitfactsEncode packs exactly these objects.
func gitfactsEncode(h *history, ids ...gitfacts.ID) ([]byte, error) {
	var objects []gitfacts.Object
	for _, id := range ids {
		objects = append(objects, h.objects[id])
	}
	return gitfacts.Encode(objects)
}
