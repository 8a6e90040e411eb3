package scenario

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// A Log is a real transparency log in memory: real leaves, tree, checkpoints,
// proofs and timestamps, with a clock that the story sets. It is a verify.Source.
type Log struct {
	Clock   time.Time
	signer  *tlog.Signer
	tree    *tlog.Tree
	tiles   map[[2]uint64][]byte
	entries []entry
	keys    map[string][]uint64
	links   []verify.Link
	chain   tlog.Hash
	view    *verify.LogView // of the present size; nil when it must be made again
	viewAt  time.Time
}

type entry struct {
	attest.Logged
	token []byte
	at    time.Time
}

// authority is one for all logs, so that tokens can be remembered.
var authority = sync.OnceValues(func() (*tsa.Authority, error) {
	// A token also holds the wall clock of its signing, so the certificate must
	// cover both that and the story's time.
	key, chain, err := tsa.Create("log.example.com", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, err
	}
	return tsa.Parse(key, chain)
})

var logKey = sync.OnceValue(newLogKey)

func newLogKey() ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// NewLog returns an empty log whose clock stands at Start.
func NewLog() *Log { return logOf(tlog.NewSigner("log.example.com", logKey())) }

// newLog is another log than that of the story.
func newLog(origin string) *Log { return logOf(tlog.NewSigner(origin, newLogKey())) }

func logOf(signer *tlog.Signer) *Log {
	l := &Log{Clock: Start, tiles: make(map[[2]uint64][]byte), keys: make(map[string][]uint64), signer: signer}
	tree, err := tlog.OpenTree(context.Background(), tlog.Checkpoint{Origin: signer.Origin(), Root: tlog.EmptyRoot()}, 16, l.tile)
	if err != nil {
		panic(err)
	}
	l.tree = tree
	return l
}

func (l *Log) tile(_ context.Context, level int, index uint64) ([]byte, error) {
	t, ok := l.tiles[[2]uint64{uint64(level), index}]
	if !ok {
		return nil, fmt.Errorf("no tile %d/%d", level, index)
	}
	return t, nil
}

// Trust pins this log, with the owners of the cast.
func (l *Log) Trust(genesis attest.Digest) (*verify.Trust, error) {
	a, err := authority()
	if err != nil {
		return nil, err
	}
	from := roster.Validity{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	return &verify.Trust{
		Log: l.signer.Verifier(), LogValid: from, Service: Key("service").Public(), ServiceValid: from,
		Timestamps: a.Chain(), Genesis: genesis, Owners: []string{"dave", "erin"}, MaxCheckpointAge: 24 * time.Hour,
	}, nil
}

// Append signs a statement and logs it. It asks nobody whether it may.
func (l *Log) Append(st *attest.Statement, key *attest.PrivateKey) (uint64, error) {
	b, err := attest.Sign(st, key)
	if err != nil {
		return 0, err
	}
	logged, err := attest.Log(b, st, key.Public())
	if err != nil {
		return 0, err
	}
	return l.Put(logged)
}

// Put logs an entry as it is.
func (l *Log) Put(logged attest.Logged) (uint64, error) {
	a, err := authority()
	if err != nil {
		return 0, err
	}
	l.Clock = l.Clock.Add(time.Minute)
	token, err := a.Stamp(logged.Stamp, l.Clock)
	if err != nil {
		return 0, err
	}
	index := uint64(len(l.entries))
	leaf := tlog.LeafHash(logged.Leaf)
	next, full := l.tree.Edge().Append([]tlog.Hash{leaf})
	for _, t := range full {
		l.tiles[[2]uint64{uint64(t.Level), t.Index}] = t.Hashes()
	}
	l.tree.Advance(next, full)
	l.entries = append(l.entries, entry{logged, token, l.Clock})
	for _, k := range logged.Keys {
		l.keys[k] = append(l.keys[k], index)
	}
	if logged.Negative != "" {
		link := tlog.NextLink(l.chain, index, leaf, tlog.ScopeOf(logged.Negative))
		l.links, l.chain = append(l.links, link), link.Chain
	}
	l.view = nil
	return index, nil
}

// View implements verify.Source.
func (l *Log) View(context.Context) (verify.LogView, error) {
	if l.view != nil && l.viewAt.Equal(l.Clock) {
		return *l.view, nil
	}
	a, err := authority()
	if err != nil {
		return verify.LogView{}, err
	}
	edge := l.tree.Edge()
	cp := tlog.Checkpoint{Origin: l.signer.Origin(), Size: edge.Size(), Root: edge.Root()}
	note, err := l.signer.Sign(cp)
	if err != nil {
		return verify.LogView{}, err
	}
	token, err := a.Stamp(note, l.Clock)
	if err != nil {
		return verify.LogView{}, err
	}
	l.view = &verify.LogView{Checkpoint: cp, Note: note, Token: token, Time: l.Clock, ChainLength: uint64(len(l.links)), Chain: l.chain}
	l.viewAt = l.Clock
	return *l.view, nil
}

// Find implements verify.Source.
func (l *Log) Find(_ context.Context, key string) ([]uint64, error) {
	indexes := l.keys[key]
	return indexes[:min(len(indexes), verify.FindLimit(key))], nil
}

// Entry implements verify.Source.
func (l *Log) Entry(ctx context.Context, index uint64) (verify.Sealed, error) {
	if index >= uint64(len(l.entries)) {
		return verify.Sealed{}, fmt.Errorf("no entry %d", index)
	}
	e := &l.entries[index]
	proof, err := l.tree.Inclusion(ctx, index, uint64(len(l.entries)))
	if err != nil {
		return verify.Sealed{}, err
	}
	return verify.Sealed{Index: index, Leaf: e.Leaf, Body: e.Body, Token: e.token, Proof: proof, Time: e.at}, nil
}

// Negative implements verify.Source.
func (l *Log) Negative(context.Context) ([]verify.Link, error) { return l.links, nil }
