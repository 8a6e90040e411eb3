package api

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// maxBundles is how many bundles one Append may hold.
const maxBundles = 1000

// ledgerService implements countersignv1connect.LedgerServiceHandler.
type ledgerService struct {
	*Server
	negative sync.Mutex // held from counting negative evidence until it is logged
}

// Append takes attestations into the log. Every check is made here, in the
// request's own goroutine; the sequencer gets what is ready to be written.
func (s *ledgerService) Append(ctx context.Context, req *connect.Request[countersignv1.AppendRequest]) (*connect.Response[countersignv1.AppendResponse], error) {
	start := s.config.Now()
	results, err := s.append(ctx, req.Msg.Bundles)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	s.metrics.appended(results, s.config.Now().Sub(start))
	return connect.NewResponse(&countersignv1.AppendResponse{Results: results}), nil
}

func (s *ledgerService) append(ctx context.Context, bundles [][]byte) ([]*countersignv1.AppendResult, error) {
	switch n := len(bundles); {
	case s.config.Mirrors != "":
		return nil, &mirrorError{s.config.Mirrors}
	case n == 0:
		return nil, malformed("bundles: is empty; there is nothing to append")
	case n > maxBundles:
		return nil, tooLarge("bundles: has %d items; the limit is %d", n, maxBundles)
	}
	accepted, err := s.accept(ctx, bundles)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(accepted, func(a *verify.Accepted) bool { return a.Negative != "" }) {
		// One request at a time, so that what is counted stays so until it is logged.
		s.negative.Lock()
		defer s.negative.Unlock()
		if err := s.ledger.Settle(ctx); err != nil { // what waits for witnesses cannot be counted
			return nil, err
		}
		if err := s.mayTakeBack(ctx, accepted); err != nil {
			return nil, err
		}
		if err := s.mayPublish(ctx, accepted); err != nil {
			return nil, err
		}
	}
	entries := make([]ledger.Entry, len(accepted))
	for i, a := range accepted {
		entries[i] = entryOf(a.Logged)
	}
	appended, err := s.ledger.Append(ctx, entries)
	if err != nil {
		return nil, err
	}
	results := make([]*countersignv1.AppendResult, len(appended))
	for i, a := range appended {
		if len(a.Record.Body) == 0 {
			return nil, &refusedBundle{i, len(accepted), &verify.Refusal{
				Kind: kindUnattached, Check: "inclusion", Digest: accepted[i].Digest, PredicateType: accepted[i].Statement.Predicate.Type(),
				Why: fmt.Sprintf("its hash was logged as entry %d without the statement: attach it (countersign attach)", a.Record.Index),
			}}
		}
		bundle, err := withReceipt(accepted[i].Bundle, a)
		if err != nil {
			return nil, err
		}
		results[i] = &countersignv1.AppendResult{Index: a.Record.Index, Duplicate: a.Duplicate, Bundle: bundle}
	}
	return results, nil
}

// Limits on the negative evidence that one key may log. The chain of it is finite
// (verify.MaxNegative, verify.MaxLinks): without these, one key could end all
// verdicts for good.
const (
	maxRevocations = 500
	maxRejections  = 5_000 // and withdrawals
	maxPublished   = 300   // policy sets
)

// mayTakeBack refuses the first bundle with which its signer would exceed a limit.
func (s *ledgerService) mayTakeBack(ctx context.Context, accepted []*verify.Accepted) error {
	counts := make(map[string]int)
	for i, a := range accepted {
		if a.Negative == "" {
			continue
		}
		if _, known, err := s.ledger.Lookup(ctx, tlog.LeafHash(a.Leaf)); err != nil {
			return err
		} else if known { // a retry adds nothing
			continue
		}
		key, limit := attest.NegativeKey(attest.KeyID(a.Signer), a.Negative), maxRejections
		switch a.Negative {
		case attest.Everything:
			limit = maxRevocations
		case attest.PolicyChanges:
			limit = maxPublished
		}
		if _, counted := counts[key]; !counted {
			found, err := s.ledger.Search(ctx, ledger.Query{Key: key, Limit: limit + 1})
			if err != nil {
				return err
			}
			counts[key] = len(found)
		}
		if counts[key]++; counts[key] > limit {
			return &refusedBundle{i, len(accepted), &verify.Refusal{
				Kind: verify.TooLarge, Check: "signer", Digest: a.Digest, PredicateType: a.Statement.Predicate.Type(),
				Why: fmt.Sprintf("key %x has logged %d statements of this kind, the limit for one key; an owner, or another key of the same person, can still log them", a.Signer, limit),
			}}
		}
	}
	return nil
}

func entryOf(l attest.Logged) ledger.Entry {
	return ledger.Entry{Leaf: l.Leaf, Body: l.Body, Keys: l.Keys, Negative: l.Negative, Stamp: l.Stamp}
}

// withReceipt writes a bundle that was logged, which is in the form in which the log
// keeps it, with what proves it.
func withReceipt(b *attest.Bundle, a ledger.Appended) ([]byte, error) {
	sealed := *b
	sealed.Leaf, sealed.Receipt = a.Record.Leaf, a.Receipt
	return sealed.Marshal()
}

// accept checks bundles on as many cores as there are. The first of them that is
// refused, by its place in the request, refuses all.
func (s *ledgerService) accept(ctx context.Context, bundles [][]byte) ([]*verify.Accepted, error) {
	now := s.config.Now()
	current, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	accepted := make([]*verify.Accepted, len(bundles))
	errs := make([]error, len(bundles))
	var next atomic.Int64
	var refused atomic.Bool
	work := func() {
		for !refused.Load() && ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(bundles) {
				return
			}
			a, r := current.verifier.Accept(ctx, bundles[i], now)
			if r == nil {
				r = s.mayAppend(a)
			}
			if r != nil {
				errs[i] = &refusedBundle{i, len(bundles), r}
				refused.Store(true)
			}
			accepted[i] = a
		}
	}
	var others sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(bundles)/4) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return accepted, ctx.Err()
}

// mayAppend refuses what is well signed and still does not come in this way.
func (s *ledgerService) mayAppend(a *verify.Accepted) *verify.Refusal {
	r := &verify.Refusal{Kind: verify.WrongScope, Check: "signer", Digest: a.Digest, PredicateType: a.Statement.Predicate.Type()}
	switch {
	case a.Principal == nil:
		r.Why = "verdicts are logged by the service itself, when a gate asks"
	case r.PredicateType == attest.TypePolicy && a.Negative == "":
		r.Why = "a first policy set comes into force when a log is created (countersignd create); this log has its own. A later one names the set that it supersedes"
	default:
		return nil
	}
	return r
}
