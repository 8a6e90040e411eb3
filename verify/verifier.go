package verify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Config is what a Verifier is made of.
type Config struct {
	Trust *Trust
	// Roster is who there is. Where Roll says who there was at each place of the log,
	// it is the last of them.
	Roster *roster.Roster
	Roll   Roll // nil: Roster held from the beginning
	// OwnLog is for the log's own process, over its own store, which checks each
	// entry against the tree as it reads it: the store's times are believed, so
	// timestamp tokens are not verified again, and what was opened once is
	// remembered by index. Nobody else may set it.
	OwnLog bool
	// Following confirms what is gathered, where the verifier has followed the log;
	// nil where nobody has.
	Following Following
	// Workers open entries at the same time; zero means GOMAXPROCS.
	Workers int
	// Remember keeps opened entries in memory for others than the log's own process
	// too: where many decisions are made from one log. Everything is still checked once.
	Remember bool
	// CacheSize bounds how many opened entries are remembered; zero means 16,384.
	CacheSize int
}

// A Roll says who there was at each place of a log: a statement is judged by the
// roster that was in force when the log took it.
type Roll interface {
	// RosterAt returns the roster for an entry at an index that the log took at a time.
	RosterAt(index uint64, at time.Time) *roster.Roster
	// Rosters lists all that RosterAt may return.
	Rosters() []*roster.Roster
}

// A Verifier makes evidence under one version of trust and roster. It is safe
// for concurrent use; a new version of either needs a new Verifier.
type Verifier struct {
	trust     *Trust
	roster    *roster.Roster
	roll      Roll // nil where there is only one roster
	ownLog    bool
	remember  bool
	following Following
	workers   int
	// keys are those that may have signed, parsed: the roster's and the service's.
	keys      map[roster.KeyID]*attest.PublicKey
	opened    *lru.Cache[place, *Evidence]
	negatives negatives
}

// A place is an entry at its index. In the log's own process the index alone
// tells: an append-only log never gives it another entry.
type place struct {
	index uint64
	leaf  tlog.Hash
}

func placeOf(s Sealed) place { return place{s.Index, tlog.LeafHash(s.Leaf)} }

// New checks that trust and roster fit together.
func New(c Config) (*Verifier, error) {
	if c.Trust == nil || c.Roster == nil {
		return nil, errors.New("a verifier needs trust and a roster")
	}
	if err := c.Trust.Check(); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	v := &Verifier{trust: c.Trust, roster: c.Roster, ownLog: c.OwnLog, remember: c.OwnLog || c.Remember, following: c.Following, workers: c.Workers, keys: make(map[roster.KeyID]*attest.PublicKey)}
	if v.workers <= 0 {
		v.workers = runtime.GOMAXPROCS(0)
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 16 << 10
	}
	var err error
	if v.opened, err = lru.New[place, *Evidence](c.CacheSize); err != nil {
		return nil, err
	}
	if c.Roll != nil && len(c.Roll.Rosters()) > 1 {
		v.roll = c.Roll
	}
	return v, v.readKeys()
}

func (v *Verifier) readKeys() error {
	service := roster.KeyID(v.trust.Service.ID())
	for _, r := range v.rosters() {
		for _, p := range r.Principals() {
			for _, k := range p.Keys {
				if _, known := v.keys[k.ID]; known || k.SPKI == nil {
					continue // without SPKI it signs no statements
				}
				key, err := attest.ParsePublicKey(k.SPKI)
				if err != nil {
					return fmt.Errorf("roster: key of %s: %w", p.ID, err)
				}
				if k.ID == service {
					return fmt.Errorf("roster: a key of %s is the trusted service's: one key, one voice", p.ID)
				}
				v.keys[k.ID] = key
			}
		}
	}
	v.keys[service] = v.trust.Service
	if c := v.trust.Console; c != nil {
		id := roster.KeyID(c.Key.ID())
		if v.keys[id] != nil {
			return fmt.Errorf("roster: key %s is the console's too: one key, one voice", id)
		}
		v.keys[id] = c.Key
	}
	return nil
}

// rosters are all that this verifier knows, the one that it was made with first.
func (v *Verifier) rosters() []*roster.Roster {
	all := []*roster.Roster{v.roster}
	if v.roll != nil {
		all = append(all, v.roll.Rosters()...)
	}
	return all
}

// rosterNow is the roster for what is offered to the log at a time.
func (v *Verifier) rosterNow(now time.Time) *roster.Roster {
	if v.roll == nil {
		return v.roster
	}
	return v.roll.RosterAt(math.MaxUint64, now)
}

// rosterFor is the roster in force where an item was logged. That needs the time,
// which is checked later: a token that does not verify is said then.
func (v *Verifier) rosterFor(it *item) *roster.Roster {
	switch {
	case v.roll == nil:
		return v.roster
	case it.fresh:
		return v.rosterNow(inSeconds(it.sealed.Time))
	case it.time.IsZero():
		it.untimed = v.checkToken(it)
	}
	if it.untimed != nil {
		return v.roster
	}
	return v.roll.RosterAt(it.sealed.Index, it.time)
}

// Trust is what the verifier was made with. The caller must not change it.
func (v *Verifier) Trust() *Trust { return v.trust }

// Roster is what the verifier was made with.
func (v *Verifier) Roster() *roster.Roster { return v.roster }

// Open makes evidence of a sealed entry, or says which check refused it. The
// checks run in the order of docs/formats.md, and the first that fails names
// itself. The entry's bytes must not change afterwards.
func (v *Verifier) Open(_ context.Context, view *LogView, s Sealed) (*Evidence, *Refusal) {
	at := placeOf(s)
	if v.remember {
		if e, ok := v.opened.Get(at); ok {
			return e, nil
		}
	}
	it := &item{view: view, sealed: s, place: at}
	if r := v.run(entryChecks, it); r != nil {
		return nil, r
	}
	e := it.evidence()
	if v.remember {
		v.opened.Add(at, e)
		v.opened.Add(place{index: at.index}, e)
	}
	return e, nil
}

// remembered returns an entry of the log that was opened before.
func (v *Verifier) remembered(index uint64) (*Evidence, bool) {
	if !v.remember {
		return nil, false
	}
	return v.opened.Get(place{index: index})
}
