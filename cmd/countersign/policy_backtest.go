package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
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

// tables are the tallies of a report, by what they are of.
func (b *backtest) tables() []struct {
	Name string
	Rows []policy.Tally
} {
	one := func(of func(*policy.WhatIf) string) func(*policy.WhatIf) []string {
		return func(w *policy.WhatIf) []string { return []string{of(w)} }
	}
	return []struct {
		Name string
		Rows []policy.Tally
	}{
		{"environment", policy.Tallies(b.whatifs, one(func(w *policy.WhatIf) string { return w.Environment }))},
		{"rule", policy.Tallies(b.whatifs, func(w *policy.WhatIf) []string { return w.Rules })},
		{"team", policy.Tallies(b.whatifs, func(w *policy.WhatIf) []string {
			if len(w.Teams) == 0 {
				return []string{"(none known)"}
			}
			return w.Teams
		})},
		{"tier", policy.Tallies(b.whatifs, one(func(w *policy.WhatIf) string { return orNothing(w.Tier) }))},
	}
}

// needs counts the approvals that would have been asked for where the answer differs.
func (b *backtest) needs() map[string]int {
	out := make(map[string]int)
	for _, w := range b.whatifs {
		if !w.Differs() {
			continue
		}
		for _, n := range w.Needs {
			out[n.Rule+": "+n.Text]++
		}
	}
	return out
}

// wait is a quantile of how long approvals took, from 0 to 1.
func (b *backtest) wait(q float64) time.Duration {
	if len(b.waits) == 0 {
		return 0
	}
	return b.waits[int(q*float64(len(b.waits)-1))].Round(time.Second)
}

func (b *backtest) report() error {
	denied, allowed := 0, 0
	for _, w := range b.whatifs {
		switch {
		case w.Differs() && w.Would == policy.Allow:
			allowed++
		case w.Differs():
			denied++
		}
	}
	a := b.app
	if a.json() {
		out := map[string]any{
			"policy": b.candidate.Digest().String(), "decisions": len(b.whatifs), "denied": denied, "allowed": allowed, "needs": b.needs(),
			"approvals":      map[string]any{"counted": len(b.waits), "median": b.wait(0.5).String(), "p90": b.wait(0.9).String()},
			"differ":         slices.DeleteFunc(slices.Clone(b.whatifs), func(w *policy.WhatIf) bool { return !w.Differs() }),
			"tookToDecideMs": b.took.Milliseconds(),
		}
		for _, t := range b.tables() {
			out["by"+strings.ToUpper(t.Name[:1])+t.Name[1:]] = t.Rows
		}
		return a.writeJSON(out)
	}
	a.printf("%s under %s version %d: %d would have been denied, %d allowed instead (%s)\n",
		plural(len(b.whatifs), "decision"), b.candidate.Name, b.candidate.Version, denied, allowed, b.took.Round(time.Millisecond))
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, t := range b.tables() {
		fmt.Fprintf(w, "\nBY %s\tNOW DENIED\tNOW ALLOWED\tOF\n", strings.ToUpper(t.Name))
		for _, r := range t.Rows {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", printable(r.Of, 80), r.Denied, r.Allowed, r.Total)
		}
	}
	if err := w.Flush(); err != nil {
		return broken("write output: %v", err)
	}
	b.reportDiffering()
	return nil
}

const shownDiffering = 20

func (b *backtest) reportDiffering() {
	a := b.app
	needs := b.needs()
	for i, text := range sortedByCount(needs) {
		if i == 0 {
			a.printf("\nwould have been asked for besides:\n")
		}
		a.printf("  %d × %s\n", needs[text], printable(text, 160))
	}
	if len(b.waits) > 0 {
		a.printf("approvals took %s then (median of %d; nine of ten within %s)\n", b.wait(0.5), len(b.waits), b.wait(0.9))
	}
	n := 0
	for _, w := range b.whatifs {
		if !w.Differs() {
			continue
		}
		if n++; n == 1 {
			a.printf("\n")
		}
		if n <= shownDiffering {
			a.printf("#%d  %s  %.12s to %s: was %s, would be %s  %s\n", w.Index, w.DecidedAt.Format(time.RFC3339), w.Commit, w.Environment, w.Was, w.Would, printable(w.Why, 160))
		}
	}
	if n > shownDiffering {
		a.printf("… and %d more (--csv FILE has all)\n", n-shownDiffering)
	}
}

func sortedByCount(m map[string]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(a, b)
	})
	return out
}

// writeCSV writes a line for each decision. A field that a spreadsheet would calculate is
// quoted as text.
func (b *backtest) writeCSV(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return wrong("--csv: %v", err)
	}
	w := csv.NewWriter(file)
	rows := [][]string{{"index", "decidedAt", "repository", "environment", "release", "commit", "was", "wasKind", "would", "wouldKind", "rules", "teams", "tier", "needs", "why"}}
	for _, x := range b.whatifs {
		var needs []string
		for _, n := range x.Needs {
			needs = append(needs, n.Change+": "+n.Text)
		}
		rows = append(rows, []string{
			strconv.FormatUint(x.Index, 10), x.DecidedAt.Format(time.RFC3339), x.Repository, x.Environment, x.Release, x.Commit, string(x.Was), string(x.WasKind),
			string(x.Would), string(x.WouldKind), strings.Join(x.Rules, " "), strings.Join(x.Teams, " "), x.Tier, strings.Join(needs, "; "), x.Why,
		})
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		file.Close()
		return broken("--csv: %v", err)
	}
	return file.Close()
}
