package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
)

// A verdict is a decision that was made, and what was logged of it.
type verdict struct {
	decision *policy.Decision
	size     uint64 // of the log when it was known to hold
	asOf     time.Time
	policy   attest.Digest     // of the set that it was made with
	same     [sha256.Size]byte // two verdicts with this in common say the same

	bundle, summary []byte // with receipts; nil when it was not logged
}

// denyHolds is how long a verdict that is no allow is given again without being
// made again: what it says may change with time alone.
const denyHolds = 5 * time.Second

// holds says whether a verdict may be given again at this time, for a log of
// this size under this policy set. An allow keeps the end that it had.
func (v *verdict) holds(size uint64, set attest.Digest, now time.Time) bool {
	return v.size == size && v.policy == set && v.lasts(now)
}

func (v *verdict) lasts(now time.Time) bool {
	if v.decision.Core.Verdict.Opens() {
		return now.Before(v.decision.Core.ExpiresAt.Time) && !now.Before(v.asOf)
	}
	return now.Sub(v.asOf) < denyHolds && !now.Before(v.asOf)
}

var stripe = maphash.MakeSeed()

// decide answers a question. One that was just answered about the same log is
// answered alike; a nonce gets a decision of its own.
//
// When a gate asks, allows and changed verdicts are logged before they are given.
// One that repeats the last is not logged again: the logged one is given, while it
// lasts.
func (s *Server) decide(ctx context.Context, q question, nonce string) (*verdict, error) {
	if len(nonce) > 128 {
		return nil, malformed("nonce: has %d bytes; the limit is 128", len(nonce))
	}
	// Whoever asks the same thing at the same time waits, and gets the same answer.
	lock := &s.asking[maphash.Comparable(stripe, q)%uint64(len(s.asking))]
	lock.Lock()
	defer lock.Unlock()
	last, known := s.verdicts.Get(q)
	src := NewSource(s.ledger)
	r, err := s.regimeOf(ctx, src)
	if err != nil {
		return nil, err
	}
	now := s.config.Now()
	if known && nonce == "" && last.holds(src.head.Size, r.set(now).Digest(), now) {
		s.metrics.decided(last.decision, q.dryRun, "remembered")
		return last, nil
	}
	v, err := s.judge(ctx, src, r, q, nonce)
	if err != nil {
		return nil, err
	}
	switch {
	case q.dryRun:
	case known && nonce == "" && last.repeats(v):
		s.metrics.decided(v.decision, q.dryRun, "repeated")
		if v.decision.Core.Verdict.Opens() {
			again := *last // the logged one, which is as true of the log as it is now
			again.size = v.size
			v = &again
		}
		s.verdicts.Add(q, v)
		return v, nil
	case v.decision.Core.Verdict == policy.AllowBreakGlass:
		if v, err = s.recordUse(ctx, q, nonce); err != nil {
			return nil, err
		}
	default:
		if err := s.record(ctx, v); err != nil {
			return nil, err
		}
	}
	s.metrics.decided(v.decision, q.dryRun, "made")
	if nonce == "" && (q.dryRun || v.bundle != nil || v.decision.Core.To == "" && v.decision.Core.Plan == "") {
		s.verdicts.Add(q, v)
	}
	return v, nil
}

// repeats says whether next says nothing that the last logged verdict did not.
func (v *verdict) repeats(next *verdict) bool {
	if v.same != next.same {
		return false
	}
	return !v.decision.Core.Verdict.Opens() || v.lasts(next.asOf)
}

// judge makes a verdict about the log as a source shows it.
func (s *Server) judge(ctx context.Context, src *Source, r *regime, q question, nonce string) (*verdict, error) {
	in := s.input(r, q, nonce)
	d, _, err := policy.Judge(ctx, src, r.verifier, in)
	if err != nil {
		// There may be a decision even so, but no honest log gives cause for it:
		// only too much evidence is something to tell a gate.
		var limit *verify.LimitError
		if d == nil || !errors.As(err, &limit) {
			return nil, fmt.Errorf("judge %s for %s: %w", q.repository, q.environment, err)
		}
	}
	v := &verdict{decision: d, size: src.head.Size, asOf: in.Now, policy: in.Set.Digest()}
	v.same, err = sameness(d)
	return v, err
}

// sameness is a digest of what a decision says apart from when and of which state
// of the log it says it.
func sameness(d *policy.Decision) ([sha256.Size]byte, error) {
	c := *d
	c.Core.Log, c.Core.DecidedAt, c.Core.ExpiresAt, c.Core.Nonce = policy.LogRef{}, attest.Time{}, attest.Time{}, ""
	b, err := c.CoreBytes()
	return sha256.Sum256(b), err
}

// recordUse judges again and logs, one use of broken glass at a time: two gates that ask
// at once must not both have the last one.
func (s *Server) recordUse(ctx context.Context, q question, nonce string) (*verdict, error) {
	s.using.Lock()
	defer s.using.Unlock()
	if err := s.ledger.Settle(ctx); err != nil { // what waits for witnesses cannot be counted
		return nil, err
	}
	src := NewSource(s.ledger)
	r, err := s.regimeOf(ctx, src)
	if err != nil {
		return nil, err
	}
	v, err := s.judge(ctx, src, r, q, nonce)
	if err != nil {
		return nil, err
	}
	return v, s.record(ctx, v)
}

// record signs a decision and a summary that refers to it, and logs both in one
// batch. A decision that names neither a commit nor a plan cannot be logged, and is no allow.
func (s *Server) record(ctx context.Context, v *verdict) error {
	allowed := v.decision.Core.Verdict.Opens()
	if v.decision.Core.To == "" && v.decision.Core.Plan == "" && !allowed {
		return nil
	}
	statement, err := v.decision.Statement()
	if err != nil {
		return err
	}
	decision, err := attest.Sign(statement, s.config.Service)
	if err != nil {
		return fmt.Errorf("sign decision: %w", err)
	}
	if statement, err = v.decision.Summary("https://"+s.config.Trust.Log.Origin(), decision.Digest()); err != nil {
		return err
	}
	summary, err := attest.Sign(statement, s.config.Service)
	if err != nil {
		return fmt.Errorf("sign summary: %w", err)
	}
	appended, err := s.logOwn(ctx, decision, summary)
	if err != nil && !allowed {
		// A deny is a deny, whether or not the log can take it.
		s.log.ErrorContext(ctx, "deny not logged", "request", requestID(ctx), "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("log decision: %w", err)
	}
	if v.bundle, err = withReceipt(decision, appended[0]); err != nil {
		return err
	}
	if v.summary, err = withReceipt(summary, appended[1]); err != nil {
		return err
	}
	// When nothing came between, all that is new in the log is this verdict.
	if appended[0].Record.Index == v.size {
		v.size = appended[1].Record.Index + 1
	}
	return nil
}

func (s *Server) logOwn(ctx context.Context, bundles ...*attest.Bundle) ([]ledger.Appended, error) {
	r, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	entries := make([]ledger.Entry, len(bundles))
	for i, b := range bundles {
		text, err := b.Marshal()
		if err != nil {
			return nil, err
		}
		// The same checks as for everybody: what a verifier would refuse is not logged.
		a, refusal := r.verifier.Accept(ctx, text, s.config.Now())
		if refusal != nil {
			return nil, fmt.Errorf("own statement: %w", refusal)
		}
		entries[i] = entryOf(a.Logged)
	}
	return s.ledger.Append(ctx, entries)
}
