package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// attestAuthorship states what notes and traces record about commits, under the
// subject that they were reviewed or merged as. The time is that commit's own, as it is
// in admissions.
func (r *rangeRun) attestAuthorship(ctx context.Context, x *ranged, commits []gitfacts.Commit, subject attest.Subject) error {
	if r.flags.noAuthorship || len(commits) == 0 {
		return nil
	}
	report, err := r.reader.Read(ctx, commits)
	if err != nil {
		return fmt.Errorf("read who wrote change %s: %w", x.Change, err)
	}
	x.Unreadable = append(x.Unreadable, report.Unreadable...)
	var when gitfacts.Commit
	for _, c := range commits {
		if string(c.ID) == subject.Digest["gitCommit"] {
			when = c
		}
	}
	statements := report.Statements(subject, attest.Authorship{
		Repository: r.flags.repository, Change: attest.ChangeRef{ID: x.Change}, DeclaredAt: attest.At(gitfacts.Told(when, r.now())),
	})
	for i, st := range statements {
		p := st.Predicate.(*attest.Authorship)
		if p.DeclaredBy, err = r.whoSigns(ctx); err != nil {
			return err
		}
		if i == 0 {
			x.Sessions += len(p.Evidence)
			if x.Lines == nil {
				x.Lines = p.Lines
			}
		}
		for _, a := range p.Agents {
			x.Tools = addTools(x.Tools, a.Tool)
		}
		l, err := r.enclose(st)
		if err != nil {
			return err
		}
		x.authorships = append(x.authorships, l)
	}
	return nil
}

// whoSigns is the roster's id of the signer: the one that --as gives, or else the one
// that the ledger's roster has for the key.
func (r *rangeRun) whoSigns(ctx context.Context) (string, error) {
	if r.flags.as != "" {
		return r.flags.as, nil
	}
	if r.flags.offline {
		return "", wrong("notes record sessions, and what is said of them names its signer: add --as ID, the roster's id of the key, or --no-authorship")
	}
	l, err := r.connect()
	if err != nil {
		return "", err
	}
	set, err := r.policySet(ctx, l, "")
	if err != nil {
		return "", err
	}
	me, err := signer(set.Roster, r.box.key.Public().ID(), r.flags.key)
	if err != nil {
		return "", err
	}
	r.flags.as = me.ID
	return me.ID, nil
}

// warn tells people of what could not be read. It stops nothing: a note that says
// nothing leaves a change as it is without one.
func (r *rangeRun) warn() {
	for _, x := range r.commits {
		for _, u := range x.Unreadable {
			r.notef("%.12s: %s cannot be read, and says nothing: %s\n", u.Commit, u.Where, printable(u.Why, 200))
		}
	}
}

// toolsOf lists the AI tools that commits name, sorted.
func toolsOf(commits []gitfacts.Commit) []string {
	tools := []string{}
	for _, s := range gitfacts.DefaultSigns().Signs(commits) {
		tools = append(tools, s.Tool)
	}
	return addTools(tools)
}

// addTools adds to a sorted list of distinct tools.
func addTools(tools []string, more ...string) []string {
	tools = slices.Concat(tools, more)
	slices.Sort(tools)
	return slices.Compact(tools)
}
