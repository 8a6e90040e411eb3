package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

type backtesting struct {
	policy, trust, since, until, environment, repository, csv string
}

func newPolicyBacktest(a *app) *cobra.Command {
	var f backtesting
	c := &cobra.Command{
		Use:   "backtest --policy DIR --trust DIR",
		Short: "Run a policy set over every decision of the past",
		Long: `Judge every decision in the ledger again with the policy set of a folder, each as of its own
moment: the evidence, the negative evidence and the time of then. It says what would have been
denied or allowed instead: by rule, by team of the authors, by tier, and which approvals would
have been asked for; and how long approvals took then.

The whole log is read, and its tree is held against the signed checkpoints. Times are the
log's word, and the people of the candidate are taken for those of all times. Nothing is
logged.`,
		Example: `  countersign policy backtest --policy next --trust trust --since 2026-01-01
  countersign policy backtest --policy next --trust trust --csv decisions.csv --format json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.backtest(c.Context(), f) },
	}
	trustFlag(c, &f.trust)
	fl := c.Flags()
	fl.StringVar(&f.policy, "policy", "", "folder of the candidate (needed)")
	fl.StringVar(&f.since, "since", "", "only decisions that were logged at this time or later")
	fl.StringVar(&f.until, "until", "", "only decisions that were logged before this time")
	fl.StringVar(&f.environment, "environment", "", "only decisions for this environment")
	fl.StringVar(&f.repository, "repository", "", "only decisions about this repository")
	fl.StringVar(&f.csv, "csv", "", "also write a line for each decision to this file")
	return c
}

func (a *app) backtest(ctx context.Context, f backtesting) error {
	if f.policy == "" {
		return wrong("--policy is needed: the folder of the candidate")
	}
	candidate, err := policy.ReadFolder(f.policy)
	if err != nil {
		return err
	}
	trust, err := needTrust(f.trust)
	if err != nil {
		return err
	}
	since, err := parseWhen("--since", f.since)
	if err != nil {
		return err
	}
	until, err := parseWhen("--until", f.until)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	t := *trust
	t.Witnesses = nil // who cosigned the states of the past is kept nowhere
	b := &backtest{app: a, ledger: l, trust: &t, candidate: candidate, from: f}
	if err := b.read(ctx); err != nil {
		return err
	}
	if err := b.choose(ctx, since, until); err != nil {
		return err
	}
	if err := b.judge(ctx); err != nil {
		return err
	}
	if f.csv != "" {
		if err := b.writeCSV(f.csv); err != nil {
			return err
		}
	}
	return b.report()
}

// backtest is one run.
type backtest struct {
	app       *app
	ledger    *ledger
	trust     *verify.Trust // without witnesses
	candidate *policy.Set
	from      backtesting

	replica *verify.Replica
	found   []uint64 // entries that are decisions
	past    []*policy.Past
	whatifs []*policy.WhatIf
	waits   []time.Duration
	took    time.Duration
}

// read copies the log into memory.
func (b *backtest) read(ctx context.Context) error {
	now, err := b.app.checkpoint(ctx, b.ledger, 0)
	if err != nil {
		return err
	}
	cp, err := openNote(b.trust, now.Note)
	if err != nil {
		return err
	}
	if b.replica, err = verify.NewReplica(ctx, cp.Origin); err != nil {
		return err
	}
	progress := b.app.progress(int(cp.Size), "reading the log")
	defer progress.done()
	q := &countersignv1.SearchRequest{Since: timestamppb.New(time.Unix(0, 0)), PageSize: 1000, WithBundles: true}
	for b.replica.Size() < cp.Size {
		var page *countersignv1.SearchResponse
		err := b.app.patiently(ctx, func(ctx context.Context) error {
			resp, err := b.ledger.Search(ctx, connect.NewRequest(q))
			if err == nil {
				page = resp.Msg
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := b.take(page.Entries); err != nil {
			return classifyEvidence(err)
		}
		progress.add(len(page.Entries))
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			break
		}
	}
	if b.replica.Size() < cp.Size {
		return lied("the log shows %d of %d entries", b.replica.Size(), cp.Size)
	}
	if _, err := b.replica.At(ctx, b.trust, now.Note, now.Time.AsTime()); err != nil {
		return classifyEvidence(err)
	}
	return nil
}

func (b *backtest) take(entries []*countersignv1.LogEntry) error {
	next := make([]verify.Sealed, len(entries))
	for i, e := range entries {
		next[i] = verify.Sealed{Index: e.Index, Leaf: e.Leaf, Body: e.Bundle, Time: e.LoggedAt.AsTime()}
		if e.PredicateType == attest.TypeDecision {
			b.found = append(b.found, e.Index)
		}
	}
	return b.replica.Add(next)
}

// choose reads the decisions that are asked for, and fetches the checkpoints that they name.
func (b *backtest) choose(ctx context.Context, since, until *timestamppb.Timestamp) error {
	for _, index := range b.found {
		at := b.replica.TimeOf(index)
		if since != nil && at.Before(since.AsTime()) || until != nil && !at.Before(until.AsTime()) {
			continue
		}
		d, err := b.recorded(index)
		if err != nil {
			return err
		}
		if b.from.environment != "" && d.Core.Environment != b.from.environment || b.from.repository != "" && d.Core.Repository != b.from.repository {
			continue
		}
		b.past = append(b.past, &policy.Past{Index: index, Recorded: d})
	}
	if len(b.past) == 0 {
		return refused("the log holds no such decision")
	}
	return b.each(ctx, "reading checkpoints", func(ctx context.Context, i int) error {
		p := b.past[i]
		cp, err := b.app.checkpoint(ctx, b.ledger, p.Recorded.Core.Log.Size)
		if err != nil {
			return err
		}
		p.Source, err = b.replica.At(ctx, b.trust, cp.Note, p.Recorded.Core.Log.Time.Time)
		return err
	})
}

// recorded reads a decision out of the replica. Whether the service signed it is looked
// at: what others call decisions is none.
func (b *backtest) recorded(index uint64) (*policy.Decision, error) {
	bundle, err := attest.ParseBundle(b.replica.Body(index))
	if err != nil {
		return nil, broken("entry %d: %v", index, err)
	}
	if err := b.trust.Service.Verify(bundle.PAE(), bundle.Signature); err != nil {
		return nil, lied("decision #%d is not signed by the service that the trust folder pins: %v", index, err)
	}
	st, err := attest.ParseStatement(bundle.Payload)
	if err != nil {
		return nil, broken("entry %d: %v", index, err)
	}
	p, ok := st.Predicate.(*attest.Decision)
	if !ok {
		return nil, lied("the log calls entry %d a decision, and it is a %s", index, st.Predicate.Type())
	}
	d, err := policy.Recorded(p)
	if err != nil {
		return nil, broken("entry %d: %v", index, err)
	}
	return d, nil
}

// judge makes every decision again.
func (b *backtest) judge(ctx context.Context) error {
	last := b.past[len(b.past)-1]
	h, err := policy.ReadHistory(ctx, last.Source, b.trust, true)
	if err != nil {
		return classifyEvidence(err)
	}
	v, err := verify.New(verify.Config{Trust: b.trust, Roster: h.Latest().Set.Roster, Roll: h, OwnLog: true, Workers: 1, CacheSize: 1 << 20})
	if err != nil {
		return broken("%v", err)
	}
	b.whatifs = make([]*policy.WhatIf, len(b.past))
	begun := b.app.now()
	// The last one knows all negative evidence: the others find it read.
	if _, err := policy.Again(ctx, v, last, b.candidate); err != nil {
		return classifyEvidence(err)
	}
	err = b.each(ctx, "deciding again", func(ctx context.Context, i int) (err error) {
		b.whatifs[i], err = policy.Again(ctx, v, b.past[i], b.candidate)
		return err
	})
	b.took = b.app.now().Sub(begun)
	for _, p := range b.past {
		b.waits = append(b.waits, p.Recorded.Waits(b.replica.TimeOf)...)
	}
	slices.Sort(b.waits)
	if err != nil {
		return classifyEvidence(err)
	}
	return nil
}

// each does something for every past decision, on all cores.
func (b *backtest) each(ctx context.Context, what string, do func(context.Context, int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	progress := b.app.progress(len(b.past), what)
	defer progress.done()
	var next atomic.Int64
	var bar sync.Mutex
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(b.past) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					stop(fmt.Errorf("decision #%d: %w", b.past[i].Index, err))
				}
				bar.Lock()
				progress.add(1)
				bar.Unlock()
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}
