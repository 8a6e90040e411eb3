package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/cohort"
)

// cohortSuggest proposes rules, each with what it would have changed in the past.
func (a *app) cohortSuggest(ctx context.Context, f *cohortFlags) error {
	if err := f.prepare(a, "text", "json"); err != nil {
		return err
	}
	src, history, err := a.openLogAndPolicy(ctx, f.trust)
	if err != nil {
		return err
	}
	set := history.InForce(a.now())
	l, err := src.read(ctx, history, set)
	if err != nil {
		return err
	}
	var backtester cohort.Backtester
	if !f.quick {
		t := *src.trust
		t.Witnesses = nil // who cosigned the states of the past is kept nowhere
		b := &backtest{app: a, ledger: src.ledger, trust: &t, from: backtesting{environment: f.query.Environment, repository: f.query.Repository}}
		backtester = func(rule string) (*cohort.Backtest, error) { return b.rule(ctx, f, set, rule) }
	}
	s, err := l.Suggest(f.query, backtester)
	if err != nil {
		return err
	}
	return a.into(f.out, func(a *app) error {
		if a.json() {
			return a.writeJSON(s)
		}
		return a.showSuggestions(s)
	})
}

// rule runs the set in force with one rule more, which enforces, over the decisions of
// the past, and counts what that rule would have denied of what was allowed.
func (b *backtest) rule(ctx context.Context, f *cohortFlags, set *policy.Set, rule string) (*cohort.Backtest, error) {
	var err error
	if b.candidate, err = set.With(strings.Replace(rule, "\n  mode: audit\n", "\n", 1)); err != nil {
		return nil, broken("%v", err)
	}
	if b.replica == nil {
		if err := b.read(ctx); err != nil {
			return nil, err
		}
		if err := b.choose(ctx, stampOf(f.query.Since), stampOf(f.query.Until)); err != nil && len(b.past) > 0 {
			return nil, err
		}
	}
	if len(b.past) == 0 { // what was deployed was never asked about
		return &cohort.Backtest{Entries: []uint64{}}, nil
	}
	if err := b.judge(ctx); err != nil {
		return nil, err
	}
	out := &cohort.Backtest{Decisions: len(b.whatifs), Entries: []uint64{}}
	added := b.candidate.Rules[len(b.candidate.Rules)-1].ID
	for _, w := range b.whatifs {
		if w.Was.Opens() && slices.Contains(w.Rules, added) {
			out.WouldDeny++
			out.Entries = append(out.Entries, w.Index)
		}
	}
	return out, nil
}

// stampOf is a bound as a backtest takes it; nil for none.
func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
