package forge

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// errNotThereYet is a merge that the branch does not have. It may be on its way; a forge
// that says so of a commit that never comes has said nothing.
var errNotThereYet = errors.New("the branch does not have the merged commit")

// admit states how the head of a change became a commit of the branch, after merging it
// again. The forge only says which two commits belong together: what the merge holds
// besides the review, and whether it is on the branch at all, the clone says.
func (w *work) admit(ctx context.Context, p *Pull) error {
	if !w.me.MaySign(attest.TypeAdmission) {
		w.pass("may-not-admission")
		return nil
	}
	if known, err := w.ledger.Admitted(ctx, w.repository.ID, p.Merge, w.Key.Public().ID()); err != nil || known {
		return err // once: another reading would contradict the first, and then none is believed
	}
	if err := w.read(ctx); err != nil {
		return err
	}
	merged, err := w.onBranch(ctx, p)
	if err != nil {
		return err
	}
	base, head := gitfacts.ID(""), gitfacts.ID(p.Head)
	if _, err := w.repo.Commit(ctx, head); err != nil {
		return fmt.Errorf("the head of change %s: %w", p.Number, err)
	}
	if len(merged.Parents) > 0 {
		base, err = w.repo.MergeBase(ctx, merged.Parents[0], head)
		if err != nil && !errors.Is(err, gitfacts.ErrNotFound) {
			return err
		}
	}
	st, _, err := w.repo.AdmissionStatement(ctx, attest.Admission{
		Repository: w.repository.ID, Change: attest.ChangeRef{ID: p.Number}, TargetRef: p.Target, MergedBy: p.MergedBy.ID, AdmittedAt: attest.At(w.now()),
	}, merged, base, head)
	if err != nil {
		return err
	}
	return w.say(ctx, st)
}

// onBranch looks that a merged commit is on the branch's line of first parents.
func (w *work) onBranch(ctx context.Context, p *Pull) (gitfacts.Commit, error) {
	merged, err := w.repo.Commit(ctx, gitfacts.ID(p.Merge))
	if err != nil {
		return merged, fmt.Errorf("%w: %.12s of change %s (%w)", errNotThereYet, p.Merge, p.Number, err)
	}
	tip, err := w.repo.Resolve(ctx, p.Target)
	if err != nil {
		return merged, err
	}
	var below gitfacts.ID
	if len(merged.Parents) > 0 {
		below = merged.Parents[0]
	}
	line, err := w.repo.Range(ctx, below, tip)
	if err != nil || len(line) == 0 || line[0] != merged.ID {
		return merged, fmt.Errorf("%w: %.12s of change %s is not on %s", errNotThereYet, p.Merge, p.Number, p.Target)
	}
	return merged, nil
}
