package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/cohort"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/follow"
)

// readLog reads a whole log, every entry of it in its order, and verifies each under the
// trust folder. Nothing can be left out unseen: the entries are those of the tree that
// the checkpoint signs, from the first to the last.
func (a *app) readLog(ctx context.Context, trustDir string) (*cohort.Log, error) {
	src, history, err := a.openLogAndPolicy(ctx, trustDir)
	if err != nil {
		return nil, err
	}
	return src.read(ctx, history, history.InForce(a.now()))
}

// openLogAndPolicy opens a log, and reads every set that it had.
func (a *app) openLogAndPolicy(ctx context.Context, trustDir string) (*wholeLog, *policy.History, error) {
	trust, err := needTrust(trustDir)
	if err != nil {
		return nil, nil, err
	}
	src, err := a.openLog(ctx, trust)
	if err != nil {
		return nil, nil, err
	}
	history, err := a.policyHistory(ctx, trustDir)
	return src, history, err
}

// read verifies what is to be read of a log, and reduces it under the people of a set.
func (s *wholeLog) read(ctx context.Context, history *policy.History, set *policy.Set) (*cohort.Log, error) {
	v, err := verify.New(verify.Config{Trust: s.trust, Roster: set.Roster, Roll: history})
	if err != nil {
		return nil, broken("%v", err)
	}
	c := cohort.NewCollector(set)
	if err := s.each(ctx, func(ctx context.Context, e *countersignv1.LogEntry) error { return s.collect(ctx, v, c, e) }); err != nil {
		return nil, err
	}
	view := s.view
	view.Size, view.Time = s.until, s.asOf
	return c.Finish(view), nil
}

// A wholeLog is one state of a log, read entry by entry.
type wholeLog struct {
	app    *app
	ledger *ledger
	view   verify.LogView
	tree   *tlog.Tree
	trust  *verify.Trust
	until  uint64    // how many of its entries are read
	asOf   time.Time // when that many were signed

	mu   sync.Mutex // guards last
	last time.Time  // when the log took the newest entry of those that were read
}

// openLog checks the newest checkpoint, and that the tiles lead to its root.
func (a *app) openLog(ctx context.Context, trust *verify.Trust) (*wholeLog, error) {
	l, err := a.connect()
	if err != nil {
		return nil, err
	}
	resp, err := a.checkpoint(ctx, l, 0)
	if err != nil {
		return nil, err
	}
	view, err := trust.OpenView(resp.Note, resp.Token)
	if err != nil {
		return nil, broken("%v\nIs %s the trust folder of this ledger?", err, trust.Log.Origin())
	}
	remote, err := follow.NewRemote(a.server, a.bearer(), a.timeout)
	if err != nil {
		return nil, wrong("%v", err)
	}
	tree, err := tlog.OpenTree(ctx, view.Checkpoint, tlog.DefaultTiles, func(ctx context.Context, level int, index uint64) ([]byte, error) {
		return remote.Tile(ctx, tlog.TileAt(view.Size, level, index))
	})
	if err != nil {
		return nil, followErr(trust.Log, err)
	}
	return &wholeLog{app: a, ledger: l, view: view, tree: tree, trust: trust, until: view.Size, asOf: view.Time}, nil
}

// each reads all entries, and hands them to as many workers as there are processors.
func (s *wholeLog) each(ctx context.Context, do func(context.Context, *countersignv1.LogEntry) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stream, err := s.ledger.Watch(ctx, connect.NewRequest(&countersignv1.WatchRequest{}))
	if err != nil {
		return err
	}
	defer stream.Close()
	bar := s.app.progress(int(s.until), "verifying the log")
	defer bar.done()
	work := make(chan *countersignv1.LogEntry, 64)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for e := range work {
				if err := do(ctx, e); err != nil {
					stop(err)
				}
				bar.add(1)
			}
		})
	}
	err = s.receive(ctx, stream, work)
	close(work)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// receive passes on exactly the entries of the view, and demands them in their order.
func (s *wholeLog) receive(ctx context.Context, stream *connect.ServerStreamForClient[countersignv1.WatchResponse], work chan<- *countersignv1.LogEntry) error {
	for next := uint64(0); next < s.until; next++ {
		if !stream.Receive() {
			if err := stream.Err(); err != nil {
				return err
			}
			return broken("the ledger stopped sending at entry %d of %d", next, s.until)
		}
		e := stream.Msg().GetEntry()
		if e.GetIndex() != next {
			return lied("the ledger sent entry %d where entry %d was to come", e.GetIndex(), next)
		}
		select {
		case work <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// collect verifies one entry, and adds what it says.
func (s *wholeLog) collect(ctx context.Context, v *verify.Verifier, c *cohort.Collector, e *countersignv1.LogEntry) error {
	sealed, err := s.seal(ctx, e)
	if errors.Is(err, errUnseen) {
		c.Unseen(e.Index)
		return nil
	}
	if err != nil {
		return err
	}
	evidence, refusal := v.Open(ctx, &s.view, sealed)
	switch {
	case refusal == nil:
		s.mu.Lock()
		if evidence.Time().After(s.last) {
			s.last = evidence.Time()
		}
		s.mu.Unlock()
		c.Add(evidence)
	case refusal.Corrupt:
		return lied("entry %d: %v", e.Index, refusal)
	default:
		c.Refuse(e.Index, refusal)
	}
	return nil
}

var errUnseen = errors.New("the log has the hash alone")

// seal adds the proof of an entry's place, which is computed here from the tiles. What
// is there as a hash alone must be the leaf of the tree all the same.
func (s *wholeLog) seal(ctx context.Context, e *countersignv1.LogEntry) (verify.Sealed, error) {
	proof, err := s.tree.Inclusion(ctx, e.Index, s.view.Size)
	if err != nil {
		return verify.Sealed{}, broken("prove entry %d: %v", e.Index, err)
	}
	sealed := verify.Sealed{Index: e.Index, Leaf: e.Leaf, Body: e.Bundle, Proof: proof}
	if e.Unseen {
		if err := tlog.VerifyInclusion(tlog.LeafHash(e.Leaf), e.Index, proof, s.view.Checkpoint); err != nil {
			return sealed, lied("entry %d: %v", e.Index, err)
		}
		return sealed, errUnseen
	}
	b, err := attest.ParseBundle(e.Bundle)
	if err != nil {
		return sealed, broken("entry %d: %v", e.Index, err)
	}
	if b.Receipt != nil {
		sealed.Token = b.Receipt.Token
	}
	return sealed, nil
}
