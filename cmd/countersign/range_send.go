package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// letters are all of a run, changes and who wrote them before admissions: what is
// reviewed is in the log before it is said how it was merged.
func (r *rangeRun) letters() []*letter {
	var changes, admissions []*letter
	for _, x := range r.commits {
		if x.change != nil && !slices.Contains(changes, x.change) {
			changes = append(changes, x.change)
		}
		for _, l := range x.authorships {
			if !slices.Contains(changes, l) {
				changes = append(changes, l)
			}
		}
		if x.admission != nil {
			admissions = append(admissions, x.admission)
		}
	}
	return append(changes, admissions...)
}

// send puts into the log what it does not hold yet.
func (r *rangeRun) send(ctx context.Context) error {
	if r.flags.offline {
		return nil
	}
	l, err := r.connect()
	if err != nil {
		return err
	}
	letters := r.letters()
	if err := r.doubt(ctx, l, letters); err != nil {
		return err
	}
	if err := r.recognise(ctx, l); err != nil {
		return err
	}
	bar := r.progress(len(letters), "submitting")
	defer bar.done()
	carry := func(ctx context.Context, bundles [][]byte) ([]*countersignv1.AppendResult, error) {
		return r.append(ctx, l, bundles)
	}
	err = r.box.send(ctx, carry, letters, bar.add)
	for _, x := range r.commits {
		x.ChangeIndex, x.AdmissionIndex = x.change.place(), x.admission.place()
	}
	return r.explainRefusal(err)
}

// attestReviewed attests one head of a change that is under review, and what notes and
// traces record about its commits. target is a revision of the branch that it goes to.
func (a *app) attestReviewed(ctx context.Context, id, head, target string, f ranging) error {
	began := a.now()
	r, err := a.openRange(ctx, f)
	if err != nil {
		return err
	}
	defer r.repo.Close()
	tip, err := r.repo.Resolve(ctx, head)
	if err != nil {
		return wrong("%v", err)
	}
	onto, err := r.repo.Resolve(ctx, target)
	if err != nil {
		return wrong("%v", err)
	}
	base, err := r.repo.MergeBase(ctx, onto, tip)
	if err != nil {
		return withFetch(err)
	}
	if base == tip {
		if !a.json() {
			a.printf("change %s is merged: %.12s is in %s\n", id, tip, target)
		}
		return nil
	}
	commit, err := r.repo.Commit(ctx, tip)
	if err != nil {
		return withFetch(err)
	}
	x := &ranged{Change: id, Title: commit.Title(), Head: string(tip), Base: string(base), Tools: []string{}}
	if err := r.attestChange(ctx, x); err != nil {
		return withFetch(err)
	}
	r.commits = []*ranged{x}
	if err := r.send(ctx); err != nil {
		return err
	}
	return r.report("change "+id, a.now().Sub(began))
}

// doubt holds receipts in the outbox against the ledger: of each log that gave some, the newest.
// What a log has that was made anew, restored from before, or is another one, is sent again.
func (r *rangeRun) doubt(ctx context.Context, l *ledger, letters []*letter) error {
	newest := make(map[string]*letter)
	for _, x := range letters {
		if x.logged && (newest[x.log] == nil || x.index > newest[x.log].index) {
			newest[x.log] = x
		}
	}
	for log, x := range newest {
		e, err := r.entry(ctx, l, x.index)
		if err == nil && e.StatementDigest == x.digest.String() {
			continue
		}
		if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
			return err
		}
		r.notef("the ledger does not hold what the outbox says was logged (#%d): it is sent again\n", x.index)
		for _, y := range letters {
			if y.logged && y.log == log {
				y.logged, y.duplicate = false, false
			}
		}
	}
	return nil
}

// recognise asks the log for the statements that this run signed anew: another
// run, with an outbox that is gone, may have logged them already. Changes with
// nothing new are not asked for.
func (r *rangeRun) recognise(ctx context.Context, l *ledger) error {
	fresh := make(map[string]*letter)
	for _, f := range r.fresh {
		fresh[f.digest.String()] = f
	}
	asked := make(map[string]bool)
	for _, x := range r.commits {
		isFresh := func(l *letter) bool { return slices.Contains(r.fresh, l) }
		if asked[x.Change] || !isFresh(x.change) && !isFresh(x.admission) && !slices.ContainsFunc(x.authorships, isFresh) {
			continue
		}
		asked[x.Change] = true
		entries, err := r.search(ctx, l, &countersignv1.SearchRequest{
			Repository: r.flags.repository, Change: x.Change, Signer: r.box.key.Public().ID().String(), PageSize: 1000,
		}, 10_000)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if f := fresh[e.StatementDigest]; f != nil && !f.logged {
				if err := r.fetch(ctx, l, f, e.Index); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// fetch settles a letter with the entry that the log has of its statement.
func (r *rangeRun) fetch(ctx context.Context, l *ledger, f *letter, index uint64) error {
	call, cancel := r.within(ctx)
	defer cancel()
	resp, err := l.Entry(call, connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: index}}))
	if err != nil {
		return err
	}
	b, err := attest.ParseBundle(resp.Msg.GetEntry().GetBundle())
	if err != nil || r.box.checkOwn(b) != nil {
		return lied("the ledger says that entry %d is this key's, and the key did not sign it (%v)", index, err)
	}
	return r.box.settle(f, resp.Msg.Entry.Bundle, true)
}

// place is a letter's index, when the log has it.
func (l *letter) place() *uint64 {
	if l == nil || !l.logged {
		return nil
	}
	return &l.index
}

// explainRefusal adds what to do about the refusals that a CI job meets.
func (r *rangeRun) explainRefusal(err error) error {
	var rpc *connect.Error
	if errors.As(err, &rpc) && rpc.Code() == connect.CodePermissionDenied {
		may, otherwise := "change, admission", ""
		if slices.ContainsFunc(r.commits, func(x *ranged) bool { return len(x.authorships) > 0 }) {
			may, otherwise = "change, admission, authorship", ", or with --no-authorship"
		}
		return refused("%s\nThe signed bundles wait in the outbox; once an owner has put the key into people.yaml with may: [%s], run the same command again%s", rpc.Message(), may, otherwise)
	}
	return err
}

// report says what was done.
func (r *rangeRun) report(arg string, took time.Duration) error {
	r.warn()
	letters := r.letters()
	logged, already := 0, 0
	for _, l := range letters {
		if l.logged {
			logged++
		}
		if l.duplicate {
			already++
		}
	}
	if r.json() {
		return r.writeJSON(struct {
			Repository string    `json:"repository"`
			Range      string    `json:"range"`
			Commits    []*ranged `json:"commits"`
			Statements int       `json:"statements"`
			Logged     int       `json:"logged"`
			Already    int       `json:"already"` // of those logged, before this run
		}{r.flags.repository, arg, r.commits, len(letters), logged, already})
	}
	r.printf("%s\n", r.faint(fmt.Sprintf(rangeColumns, "CHANGE", "HEAD", "BOUND", "PATHS", "AI", "TITLE")))
	for _, x := range r.commits {
		r.printf("%s\n", r.line(x))
	}
	r.printf("\n%s %s: %s, %s, ", r.flags.repository, arg, plural(len(r.commits), "commit"), plural(len(letters), "statement"))
	if r.flags.offline {
		r.printf("signed into %s\n", r.flags.outbox)
		return nil
	}
	r.printf("%d logged", logged)
	if already > 0 {
		r.printf(" (%d of them before)", already)
	}
	r.printf("  %s\n", r.faint(took.Round(10*time.Millisecond).String()))
	return nil
}

const rangeColumns = "%-12s  %-12s  %-12s  %-9s  %-8s  %s"

// line is one commit for people.
func (r *rangeRun) line(x *ranged) string {
	id, head, paths := x.Change, "unreviewed", plural(x.Paths, "path")
	if id == x.Commit {
		id = id[:12]
	}
	if x.Head != "" {
		head = x.Head[:12]
	}
	bound := x.Binding
	if x.admission == nil {
		bound = "-"
	}
	if x.Claimed {
		paths += ", claimed: too large to prove"
	}
	return fmt.Sprintf(rangeColumns, id, head, bound, paths, strings.Join(x.Tools, ","), r.faint(printable(x.Title, 60)))
}

// bar shows progress to a person at a terminal, and nothing to anybody else.
type bar struct{ *progressbar.ProgressBar }

func (a *app) progress(total int, what string) bar {
	w := a.err
	if f, ok := a.err.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		w = io.Discard
	}
	return bar{progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionThrottle(50*time.Millisecond),
		progressbar.OptionClearOnFinish())}
}

// A bar that cannot be drawn is no reason to stop.
func (b bar) add(n int) { _ = b.Add(n) }
func (b bar) done()     { _ = b.Finish() }

// printable is text from elsewhere, such as a commit's title, made safe for a
// terminal and cut to some letters.
func printable(s string, letters int) string {
	var out []rune
	for _, r := range s {
		if len(out) == letters {
			return string(append(out[:letters-1], '…'))
		}
		if !unicode.IsPrint(r) {
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	return string(out)
}
