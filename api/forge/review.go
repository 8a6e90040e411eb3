package forge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
)

// pull says what is to be said of a change: what is under review, what reviewers decided,
// and, last, how it was merged. With a token all of it is read from the forge; the event
// is the hint. So a delivery that never came is made good by the next one, and what
// reviewers decided is in the log before the merge is.
func (w *work) pull(ctx context.Context, e *Event) error {
	p, reviews := e.Pull, []Review(nil)
	if e.Review != nil {
		reviews = []Review{*e.Review}
	}
	if w.reader != nil {
		var err error
		if p, reviews, err = w.ask(ctx, e); err != nil {
			return err
		}
		if p == nil {
			return nil
		}
	}
	if err := w.clone.fetch(ctx, p.Target, w.headRef(p.Number)); err != nil {
		return err
	}
	if err := w.headOf(ctx, p); err != nil {
		return err
	}
	if err := w.propose(ctx, p); err != nil {
		return err
	}
	if err := w.reviewed(ctx, p, reviews); err != nil {
		return err
	}
	switch {
	case p.Merge != "":
		return w.admit(ctx, p)
	case e.Kind == Merged:
		return errUnconfirmed
	}
	return nil
}

// headOf corrects the head of a change that was merged. The forge keeps a ref of it, which
// stays from then on; its API may show where the branch has gone since (Gitea does).
func (w *work) headOf(ctx context.Context, p *Pull) error {
	if p.Merge == "" {
		return nil
	}
	if err := w.read(ctx); err != nil {
		return err
	}
	head, err := w.repo.Resolve(ctx, kept(w.headRef(p.Number)))
	if errors.Is(err, gitfacts.ErrNotFound) {
		return nil
	}
	if err == nil {
		p.Head = string(head)
	}
	return err
}

// errUnconfirmed is a merge that a delivery tells of and the forge does not know. It may
// be on its way.
var errUnconfirmed = errors.New("the forge does not say that this change was merged")

// ask reads a change and its reviews. The change is nil where it is no concern of ours.
func (w *work) ask(ctx context.Context, e *Event) (*Pull, []Review, error) {
	p, err := w.reader.pull(ctx, w.path, e.Pull.Number)
	if errors.Is(err, errNotThere) {
		w.pass("no-such-change")
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read change %s: %w", e.Pull.Number, err)
	}
	h := happening{Event: Event{Kind: e.Kind, Pull: p}}
	if kept, err := h.settle(w.repository); err != nil || kept == nil {
		return nil, nil, err
	}
	reviews, err := w.reader.reviews(ctx, w.path, p.Number)
	if err != nil {
		return nil, nil, fmt.Errorf("read the reviews of change %s: %w", p.Number, err)
	}
	return p, complete(reviews, e.Review, w.Kind), nil
}

// complete adds to the reviews that a forge lists what only a delivery says.
func complete(reviews []Review, seen *Review, kind Kind) []Review {
	for i := range reviews {
		v := &reviews[i]
		switch {
		case seen == nil || seen.By.ID != v.By.ID:
		case v.Verdict == Dismissed && v.ID != "" && v.ID == seen.ID: // who dismissed it
			v.DismissedBy = seen.DismissedBy
		case kind == GitLab && v.At.IsZero() && seen.Verdict == Approves: // when, and which head there was
			v.Head, v.At = seen.Head, seen.At
		}
	}
	if kind == GitLab && seen != nil && seen.Verdict == Dismissed {
		reviews = append(reviews, *seen) // it lists who approves, and not who no longer does
	}
	return slices.DeleteFunc(reviews, func(v Review) bool { return v.Head == "" || v.At.IsZero() })
}

// propose states what is under review: the head, on top of what it and the branch have
// in common.
func (w *work) propose(ctx context.Context, p *Pull) error {
	if err := w.clone.need(ctx, p.Head); err != nil {
		if errors.Is(err, errGone) {
			w.pass("head-gone")
			return nil
		}
		return err
	}
	if err := w.read(ctx); err != nil {
		return err
	}
	head := gitfacts.ID(p.Head)
	onto, err := w.onto(ctx, p)
	if err != nil {
		return err
	}
	base, err := w.repo.MergeBase(ctx, onto, head)
	if errors.Is(err, gitfacts.ErrNotFound) || err == nil && base == head {
		w.pass("nothing-proposed") // another history, or what the branch has
		return nil
	}
	if err != nil {
		return err
	}
	st, _, err := w.repo.ChangeStatement(ctx, attest.Change{
		Repository: w.repository.ID, Change: attest.ChangeRef{ID: p.Number}, TargetRef: p.Target, OpenedBy: w.who(p.Opener),
	}, base, head)
	if err != nil {
		return err
	}
	return w.say(ctx, st)
}

// onto is the commit that a change goes, or went, on top of.
func (w *work) onto(ctx context.Context, p *Pull) (gitfacts.ID, error) {
	if p.Merge != "" {
		if m, err := w.repo.Commit(ctx, gitfacts.ID(p.Merge)); err == nil && len(m.Parents) > 0 {
			return m.Parents[0], nil
		}
	}
	return w.repo.Resolve(ctx, p.Target)
}

// reviewed states what reviewers decided, in the order in which they did.
func (w *work) reviewed(ctx context.Context, p *Pull, reviews []Review) error {
	if len(reviews) == 0 || !w.me.MaySign(attest.TypeApproval) {
		return nil
	}
	said, err := w.ledger.Approvals(ctx, w.repository.ID, p.Number, w.Key.Public().ID())
	if err != nil {
		return err
	}
	slices.SortStableFunc(reviews, func(a, b Review) int { return a.At.Compare(b.At) })
	for i := range reviews {
		a, why := w.word(p, &reviews[i], said)
		if a == nil {
			w.pass(why)
			continue
		}
		st, err := w.about(ctx, a, reviews[i].Head)
		if errors.Is(err, errGone) {
			w.pass("head-gone")
			continue
		}
		if err != nil {
			return err
		}
		if err := w.say(ctx, st); err != nil {
			return err
		}
		said = append(said, st)
	}
	return nil
}

// about puts an approval to the commit that was looked at, and its tree.
func (w *work) about(ctx context.Context, a *attest.Approval, head string) (*attest.Statement, error) {
	if err := w.clone.need(ctx, head); err != nil {
		return nil, err
	}
	if err := w.read(ctx); err != nil {
		return nil, err
	}
	commit, err := w.repo.Commit(ctx, gitfacts.ID(head))
	if err != nil {
		return nil, err
	}
	return &attest.Statement{
		Subjects:  []attest.Subject{{Name: w.repository.ID, Digest: map[string]string{"gitCommit": head, "gitTree": string(commit.Tree)}}},
		Predicate: a,
	}, nil
}

// afterwards is how long after a review its dismissal is said to be, whose own time no
// forge tells: so that an approval that comes late is behind it.
const afterwards = time.Millisecond

// word is what to say of one review, given what was said of this change before; nil, and
// why, for nothing. It is a function of the review: said only keeps back what it would
// not change, or what must not be said.
func (w *work) word(p *Pull, v *Review, said []*attest.Statement) (*attest.Approval, string) {
	who, ok := w.people.ByAccount(w.Host, v.By.ID)
	switch {
	case !ok:
		w.log.Warn("a review by an account that nobody on the roster has", "account", v.By.ID, "login", v.By.Login, "change", p.Number)
		return nil, "unknown-account"
	case v.By.Bot && who.Kind == roster.Person:
		w.log.Warn("a review by a bot's account, which the roster gives to a person", "account", v.By.ID, "person", who.ID)
		return nil, "bot"
	}
	a := &attest.Approval{
		Reviewer: who.ID, Repository: w.repository.ID, Change: attest.ChangeRef{ID: p.Number}, TargetRef: p.Target,
		Scope: attest.Scope{Environments: w.Environments}, ApprovedAt: claimed(v.At),
		WitnessedBy: &attest.Witnessed{Forge: w.Host, Account: v.By.ID, Review: v.ID},
	}
	before, newest := wordsBefore(said, a, v.Head)
	for _, s := range before {
		if s.TargetRef != a.TargetRef {
			return nil, "another-target" // the review was of what it would do there
		}
	}
	switch v.Verdict {
	case Approves:
		a.Decision = attest.Approved
	case Objects:
		a.Decision = attest.Rejected
	case Dismissed:
		if why := w.mayDismiss(v, before); why != "" {
			return nil, why
		}
		a.Decision, a.ApprovedAt = attest.Withdrawn, claimed(v.At.Add(afterwards))
	default:
		return nil, "says-nothing"
	}
	if newest != nil && a.ApprovedAt.Before(newest.ApprovedAt.Time) {
		return nil, "older" // than what they said of this head since
	}
	return a, ""
}

// wordsBefore finds what was said of the same review, and the newest word of the same
// reviewer about the same head.
func wordsBefore(said []*attest.Statement, a *attest.Approval, head string) (before []*attest.Approval, newest *attest.Approval) {
	for _, st := range said {
		s, ok := st.Predicate.(*attest.Approval)
		if !ok || s.Reviewer != a.Reviewer || s.WitnessedBy == nil {
			continue
		}
		if s.WitnessedBy.Review == a.WitnessedBy.Review && s.WitnessedBy.Review != "" {
			before = append(before, s)
		}
		if st.Subjects[0].Digest["gitCommit"] == head && (newest == nil || newest.ApprovedAt.Before(s.ApprovedAt.Time)) {
			newest = s
		}
	}
	return before, newest
}

// mayDismiss says why a dismissal is not passed on. What was never said needs no taking
// back where reviews are read; and a request for changes stands until its reviewer says
// otherwise, whoever dismissed it.
func (w *work) mayDismiss(v *Review, before []*attest.Approval) string {
	was := v.Was
	for _, s := range before {
		switch s.Decision {
		case attest.Approved:
			was = Approves
		case attest.Rejected:
			was = Objects
		}
	}
	switch {
	case was == Objects && v.DismissedBy != v.By.ID:
		return "veto-dismissed-by-another"
	case w.reader != nil && len(before) == 0 && w.Kind != GitLab:
		return "dismissed-unsaid"
	}
	return ""
}
