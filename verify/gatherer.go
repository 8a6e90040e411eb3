package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// A LimitError says that there is more than one gathering may hold.
type LimitError struct {
	What  string
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s; the limit is %d", TooLarge, e.What, e.Limit)
}

// Kind is TooLarge.
func (e *LimitError) Kind() Kind { return TooLarge }

// A CorruptError says where a log or a pack contradicts itself.
type CorruptError struct {
	Kind  Kind
	Entry int64 // index of the entry; -1 when it is about none
	Check string
	Why   string
}

func (e *CorruptError) Error() string {
	if e.Entry < 0 {
		return fmt.Sprintf("%s: %s: %s", e.Check, e.Kind, e.Why)
	}
	return fmt.Sprintf("entry %d: %s: %s: %s", e.Entry, e.Check, e.Kind, e.Why)
}

func corruptAt(index uint64, k Kind, check, format string, args ...any) error {
	return &CorruptError{Kind: k, Entry: int64(index), Check: check, Why: fmt.Sprintf(format, args...)}
}

// A gatherer asks a source each question once.
type gatherer struct {
	ctx     context.Context
	src     Source
	v       *Verifier
	view    *LogView
	answers map[string][]uint64
	opened  map[uint64]outcome
	used    map[uint64]bool
	heads   []string // keys of the reviewed heads of the range, and
	changes []string // of its changes, or that of the plan
	pending []string // those of both that were not asked yet
	out     *Gathered
}

// An outcome is evidence, or why there is none.
type outcome struct {
	evidence *Evidence
	refusal  *Refusal
}

// find asks for keys, opens every entry under them that is not open yet, and
// learns the commits that they prove.
func (g *gatherer) find(keys ...string) error {
	var ask []string
	for _, k := range keys {
		if _, asked := g.answers[k]; !asked {
			ask = append(ask, k)
		}
	}
	slices.Sort(ask)
	ask = slices.Compact(ask)
	found := make([][]uint64, len(ask))
	err := parallel(g.v.workers, len(ask), func(i int) (err error) {
		found[i], err = g.src.Find(g.ctx, ask[i])
		if err != nil {
			return fmt.Errorf("find %s: %w", ask[i], err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var all []uint64
	for i, k := range ask {
		if err := g.checkAnswer(k, found[i]); err != nil {
			return err
		}
		g.answers[k] = found[i]
		all = append(all, found[i]...)
	}
	slices.Sort(all)
	return g.open(slices.Compact(all))
}

func (g *gatherer) checkAnswer(key string, indexes []uint64) error {
	if limit := FindLimit(key); len(indexes) > limit || len(indexes) > MaxEvidence {
		return &LimitError{fmt.Sprintf("%d entries under %.200s", len(indexes), key), min(limit, MaxEvidence)}
	}
	for i, index := range indexes {
		if index >= g.view.Size || i > 0 && indexes[i-1] >= index {
			return corruptAt(index, BadProof, "search", "the answer for %.200s is not in log order below %d entries", key, g.view.Size)
		}
	}
	return nil
}

// open opens entries with all workers; order plays no part in the result.
func (g *gatherer) open(indexes []uint64) error {
	var missing []uint64
	for _, i := range indexes {
		if _, ok := g.opened[i]; ok {
			continue
		}
		if e, ok := g.v.remembered(i); ok {
			g.learn(i, outcome{evidence: e})
			continue
		}
		missing = append(missing, i)
	}
	if n := len(g.opened) + len(missing); n > MaxEvidence {
		return &LimitError{fmt.Sprintf("%d entries speak of this request", n), MaxEvidence}
	}
	outcomes := make([]outcome, len(missing))
	err := parallel(g.v.workers, len(missing), func(i int) (err error) {
		outcomes[i], err = g.v.fetch(g.ctx, g.src, g.view, missing[i])
		return err
	})
	if err != nil {
		return err
	}
	for i, index := range missing {
		g.learn(index, outcomes[i])
	}
	return nil
}

// fetch reads one entry from a source and opens it.
func (v *Verifier) fetch(ctx context.Context, src Source, view *LogView, index uint64) (outcome, error) {
	sealed, err := src.Entry(ctx, index)
	if err != nil {
		return outcome{}, fmt.Errorf("read entry %d: %w", index, err)
	}
	if sealed.Index != index {
		return outcome{}, corruptAt(index, BadProof, "search", "the source gave entry %d instead", sealed.Index)
	}
	e, r := v.Open(ctx, view, sealed)
	return outcome{e, r}, nil
}

func (g *gatherer) learn(index uint64, o outcome) {
	g.opened[index] = o
	if o.evidence == nil || o.evidence.facts == nil {
		return
	}
	for _, list := range [][]gitfacts.Commit{o.evidence.facts.Commits, o.evidence.facts.Ancestors} {
		for i := range list {
			g.out.commits[list[i].ID] = &list[i]
		}
	}
}

// of returns the evidence under a key that was asked for, in log order.
func (g *gatherer) of(key string) []*Evidence {
	var all []*Evidence
	for _, i := range g.answers[key] {
		if e := g.opened[i].evidence; e != nil {
			all = append(all, e)
		}
	}
	return all
}

// about marks what is under a key as used, and returns the evidence that really
// has this digest in a subject: an index may err, a signed statement says what it says.
func (g *gatherer) about(key, alg, hex string) []*Evidence {
	g.use(key)
	return slices.DeleteFunc(g.of(key), func(e *Evidence) bool {
		return !slices.ContainsFunc(e.statement.Subjects, func(s attest.Subject) bool { return s.Digest[alg] == hex })
	})
}

// use makes what is under a key part of the result.
func (g *gatherer) use(key string) {
	for _, i := range g.answers[key] {
		g.used[i] = true
	}
}

// parallel calls do for 0..n-1 with several goroutines, waits for them, and
// returns the error of the least i that has one.
func parallel(workers, n int, do func(i int) error) error {
	workers = min(workers, n)
	if workers <= 1 {
		for i := range n {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, n)
	var next atomic.Int64
	var wait sync.WaitGroup
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			if errs[i] = do(i); errs[i] != nil {
				next.Store(int64(n)) // the rest may stay undone
			}
		}
	}
	for range workers - 1 {
		wait.Go(work)
	}
	work()
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
