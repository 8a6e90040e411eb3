package forge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// maxSwept bounds how many commits of a branch one push is looked through for.
const maxSwept = 1_000

// sweep looks through what is new on a branch, from where it was looked at last. A commit
// that a change became is admitted as that, though its delivery was lost; one that no
// change became was pushed, and is admitted as unreviewed. Only a forge that can be asked
// knows which it is: what a commit's message says about changes is its author's word. It
// looks no further than what was pushed: what came later has a push of its own, and the
// forge may not know yet what it merged.
func (w *work) sweep(ctx context.Context, branch string, pushed gitfacts.ID) error {
	if err := w.clone.fetch(ctx, branch, ""); err != nil {
		return err
	}
	if w.reader == nil {
		return nil // the next delivery says what was merged
	}
	if err := w.read(ctx); err != nil {
		return err
	}
	tip, err := w.repo.Resolve(ctx, branch)
	if err != nil {
		return err
	}
	from, err := w.swept(branch)
	if err != nil {
		return err
	}
	if pushed != "" && pushed != tip && w.descends(ctx, pushed, tip) {
		if from != "" && w.descends(ctx, pushed, from) && w.descends(ctx, from, tip) {
			return nil // it was looked at with a later push
		}
		tip = pushed
	}
	if from == "" || !w.descends(ctx, from, tip) { // the first look, or the branch was set back
		return w.sweepTo(branch, tip)
	}
	line, err := w.repo.Range(ctx, from, tip)
	if err != nil {
		return err
	}
	if len(line) > maxSwept {
		line = line[len(line)-maxSwept:]
	}
	for _, id := range line {
		if err := w.landed(ctx, branch, id); err != nil {
			return err
		}
	}
	return w.sweepTo(branch, tip)
}

func (w *work) descends(ctx context.Context, from, tip gitfacts.ID) bool {
	base, err := w.repo.MergeBase(ctx, from, tip)
	return err == nil && base == from
}

// landed says how one commit came to the branch.
func (w *work) landed(ctx context.Context, branch string, id gitfacts.ID) error {
	numbers, err := w.reader.pullsOf(ctx, w.path, string(id))
	if err != nil {
		return fmt.Errorf("ask which change became %.12s: %w", id, err)
	}
	for _, n := range numbers {
		p, err := w.reader.pull(ctx, w.path, n)
		if err != nil {
			return err
		}
		if p.Merge == string(id) && p.Target == branch {
			if err := w.pull(ctx, &Event{Kind: Merged, Pull: p}); err != nil {
				return err
			}
			return w.read(ctx)
		}
	}
	if len(numbers) > 0 { // one of several commits of a change, or of a change to another branch
		w.pass("part-of-a-change")
		return nil
	}
	if known, err := w.ledger.Admitted(ctx, w.repository.ID, string(id), w.Key.Public().ID()); err != nil || known {
		return err // what was said of it before must not be contradicted
	}
	merged, err := w.repo.Commit(ctx, id)
	if err != nil {
		return err
	}
	st, _, err := w.repo.AdmissionStatement(ctx, attest.Admission{
		Repository: w.repository.ID, Change: attest.ChangeRef{ID: string(id)}, TargetRef: branch, AdmittedAt: attest.At(w.now()),
	}, merged, "", "")
	if err != nil {
		return err
	}
	return w.say(ctx, st)
}

// mark is the file that says how far a branch was looked at.
func (w *work) mark(branch string) string {
	return filepath.Join(w.clone.dir, "countersign-swept-"+attest.DigestOf([]byte(branch)).String()[:16])
}

func (w *work) swept(branch string) (gitfacts.ID, error) {
	text, err := os.ReadFile(w.mark(branch))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if id := strings.TrimSpace(string(text)); err == nil && isCommit(id) {
		return gitfacts.ID(id), nil
	}
	return "", err
}

func (w *work) sweepTo(branch string, tip gitfacts.ID) error {
	return writeWhole(w.mark(branch), []byte(string(tip)+"\n"))
}
