package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Limits on an evidence pack. It is not compressed: its size is what it costs.
const (
	MaxPack      = 256 << 20                 // bytes
	MaxPackItems = 20_000                    // entries, and search keys
	maxPackLine  = attest.MaxBundle + 64<<10 // bytes
)

// An evidence pack is JSON Lines, each line in its one spelling: the head, the
// entries in log order, the search keys that were asked in order, the links of
// the chain of negative evidence, and the end. docs/formats.md shows one.
//
// An entry is a Sigstore bundle v0.3 with its receipt, which other tools can
// verify too. One whose body is no bundle stands as packRaw.
type (
	packHead struct {
		Version    int          `json:"countersignPack"` // 1
		Request    packRequest  `json:"request"`
		Checkpoint string       `json:"checkpoint"` // the signed note
		Token      []byte       `json:"token"`      // RFC 3161 response over it
		Negative   packNegative `json:"negative"`
	}
	packRequest struct {
		Artifact    string `json:"artifact,omitempty"`
		Plan        string `json:"plan,omitempty"`
		Commit      string `json:"commit,omitempty"`
		Repository  string `json:"repository"`
		Environment string `json:"environment"`
	}
	packNegative struct {
		Length uint64 `json:"length"`
		Head   string `json:"head"`
	}
	packRaw struct {
		Raw rawEntry `json:"raw"`
	}
	rawEntry struct {
		Index uint64   `json:"index"`
		Leaf  []byte   `json:"leaf"`
		Body  []byte   `json:"body"`
		Token []byte   `json:"token"`
		Proof [][]byte `json:"proof"`
	}
	packKey struct {
		Key     string   `json:"key"`
		Indexes []uint64 `json:"indexes"`
	}
	packLink struct {
		Link  uint64 `json:"link"`  // index of the entry
		Leaf  string `json:"leaf"`  // its leaf hash
		Scope string `json:"scope"` // SHA-256 of what it takes credit from
	}
	packEnd struct {
		Lines  int    `json:"end"`    // before this one
		SHA256 string `json:"sha256"` // of their bytes
	}
)

const packVersion = 1

func compareText(a, b string) int { return strings.Compare(a, b) }

// WritePack writes everything that was asked of a recorder: the answers, the
// entries behind them, the whole chain of negative evidence, and the entries of
// those links that concern what was asked. The request is
// noted for people; a verifier brings its own. The error is a *LimitError where a
// pack would exceed its limits, and the source's or the writer's otherwise.
func WritePack(ctx context.Context, w io.Writer, rec *Recorder, t *Trust, req Request) error {
	view, err := rec.View(ctx)
	if err != nil {
		return fmt.Errorf("read the state of the log: %w", err)
	}
	links, err := rec.Negative(ctx)
	if err != nil {
		return fmt.Errorf("read negative evidence: %w", err)
	}
	keys, entries, err := rec.answers(links)
	if err != nil {
		return err
	}
	p := &packWriter{w: w, sum: sha256.New()}
	p.line(headOf(view, req))
	for _, index := range entries {
		sealed, err := rec.Entry(ctx, index)
		if err != nil {
			return fmt.Errorf("read entry %d: %w", index, err)
		}
		p.entry(sealed, &view, t.Log)
	}
	for _, k := range keys {
		p.line(k)
	}
	for _, l := range links {
		p.line(packLink{Link: l.Index, Leaf: l.Leaf.String(), Scope: l.Scope.String()})
	}
	p.line(packEnd{Lines: p.lines, SHA256: fmt.Sprintf("%x", p.sum.Sum(nil))})
	if p.err != nil {
		return fmt.Errorf("write evidence pack: %w", p.err)
	}
	return nil
}

func headOf(view LogView, req Request) packHead {
	h := packHead{
		Version: packVersion, Checkpoint: string(view.Note), Token: view.Token,
		Request:  packRequest{Commit: string(req.Commit), Repository: req.Repository, Environment: req.Environment},
		Negative: packNegative{Length: view.ChainLength, Head: view.Chain.String()},
	}
	if req.Artifact != nil {
		h.Request.Artifact = req.Artifact.String()
	}
	if req.Plan != nil {
		h.Request.Plan = req.Plan.String()
	}
	return h
}

// A packWriter counts and hashes what it writes; its first error stays.
type packWriter struct {
	w     io.Writer
	sum   hash.Hash
	lines int
	bytes int
	err   error
}

func (p *packWriter) line(v any) {
	text, err := marshalLine(v)
	if err != nil {
		p.err = errors.Join(p.err, err)
		return
	}
	p.text(text)
}

func (p *packWriter) text(text []byte) {
	if p.err != nil {
		return
	}
	text = append(text, '\n')
	if p.bytes += len(text); p.bytes > MaxPack {
		p.err = &LimitError{"the pack has more bytes", MaxPack}
		return
	}
	p.lines++
	p.sum.Write(text)
	_, p.err = p.w.Write(text)
}

func (p *packWriter) entry(s Sealed, view *LogView, log *tlog.Verifier) {
	if text, ok := sealedBundle(s, view, log); ok {
		p.text(text)
		return
	}
	raw := rawEntry{Index: s.Index, Leaf: s.Leaf, Body: s.Body, Token: s.Token, Proof: [][]byte{}}
	for _, h := range s.Proof {
		raw.Proof = append(raw.Proof, h[:])
	}
	p.line(packRaw{raw})
}

// sealedBundle is an entry as a bundle with its receipt; false when that would
// not give the entry's bytes back.
func sealedBundle(s Sealed, view *LogView, log *tlog.Verifier) ([]byte, bool) {
	b, err := attest.ParseBundle(s.Body)
	if err != nil || b.Receipt != nil || s.Token == nil {
		return nil, false
	}
	if body, err := b.Marshal(); err != nil || string(body) != string(s.Body) {
		return nil, false
	}
	b.Leaf = s.Leaf
	b.Receipt = &tlog.Receipt{LogID: log.LogID(), Index: s.Index, Checkpoint: view.Note, Proof: s.Proof, Token: s.Token}
	text, err := b.Marshal()
	if err != nil || len(text) > attest.MaxBundle {
		return nil, false
	}
	if again, err := attest.ParseBundle(text); err != nil || again.Receipt == nil || string(again.Leaf) != string(s.Leaf) {
		return nil, false
	}
	return text, true
}

func marshalLine(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(false))
}

// A Pack is an evidence pack that was read: a Source that answers the questions
// that it was made for, and no others. OpenPack says what has been checked.
type Pack struct {
	view    LogView
	request Request
	entries map[uint64]Sealed
	answers map[string][]uint64
	links   []Link
}

// ErrNotInPack says that a pack was not made for a question.
var ErrNotInPack = errors.New("the evidence pack was not made for this")

// Request is what whoever made the pack says that it is for. It is a hint: a
// verifier judges what it was asked itself.
func (p *Pack) Request() Request { return p.request }

// Entries is how many entries the pack holds.
func (p *Pack) Entries() int { return len(p.entries) }

// View implements Source. What the pack says holds as of this state of the log:
// entries that came later are not in it, and that an entry is absent from the
// log nothing in a pack can prove.
func (p *Pack) View(context.Context) (LogView, error) { return p.view, nil }

// Find implements Source. A key that the pack was not made for is an error, and
// not an empty answer.
func (p *Pack) Find(_ context.Context, key string) ([]uint64, error) {
	indexes, ok := p.answers[key]
	if !ok {
		return nil, ErrNotInPack
	}
	return indexes, nil
}

// Entry implements Source.
func (p *Pack) Entry(_ context.Context, index uint64) (Sealed, error) {
	s, ok := p.entries[index]
	if !ok {
		return Sealed{}, ErrNotInPack
	}
	return s, nil
}

// Negative implements Source.
func (p *Pack) Negative(context.Context) ([]Link, error) { return p.links, nil }

func (r packRequest) request() (Request, error) {
	req := Request{Commit: gitfacts.ID(r.Commit), Repository: r.Repository, Environment: r.Environment}
	if r.Artifact != "" {
		d, err := attest.ParseDigest(r.Artifact)
		if err != nil {
			return Request{}, err
		}
		req.Artifact = &d
	}
	if r.Plan != "" {
		d, err := attest.ParseDigest(r.Plan)
		if err != nil {
			return Request{}, err
		}
		req.Plan = &d
	}
	return req, nil
}
