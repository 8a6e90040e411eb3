package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// found is a change as the log knows it, and what its objects prove.
type found struct {
	index  uint64
	change *attest.Change
	facts  *gitfacts.Facts // nil where they are only claimed
	tree   string
}

// findChange returns the newest attested head of a change, or the one that head names.
func (a *app) findChange(ctx context.Context, l *ledger, repository, id, head string) (*found, error) {
	if err := attest.ParseRepository(repository); err != nil {
		return nil, wrong("--repository: %v", err)
	}
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{
		Repository: repository, Change: id, PredicateType: attest.TypeChange, PageSize: 1000, WithBundles: true,
	}, 1000)
	if err != nil {
		return nil, err
	}
	for i := len(entries) - 1; i >= 0; i-- {
		_, st, err := statement(entries[i])
		if err != nil {
			return nil, err
		}
		c, ok := st.Predicate.(*attest.Change)
		if !ok || c.Repository != repository || c.Change.ID != id {
			return nil, lied("the log gave entry %d for change %s of %s, and it is none", entries[i].Index, id, repository)
		}
		if head != "" && !strings.HasPrefix(c.Head, head) {
			continue
		}
		f := &found{index: entries[i].Index, change: c, tree: st.Subjects[0].Digest["gitTree"]}
		if len(c.Objects) == 0 {
			return f, nil
		}
		if f.facts, err = gitfacts.Derive(gitfacts.ID(c.Base), gitfacts.ID(c.Head), c.Objects); err != nil {
			return nil, refused("change %s (#%d) does not prove what it says: %v", id, f.index, err)
		}
		f.tree = string(f.facts.HeadTree)
		return f, nil
	}
	what := "change " + id
	if head != "" {
		what += " with head " + head
	}
	return nil, refused("%v: %s of %s is not in the log; CI attests it with: countersign attest range, or attest change", errNoChange, what, repository)
}

// signer is the roster entry of a key.
func signer(r *roster.Roster, id attest.KeyID, name string) (*roster.Principal, error) {
	p, _, ok := r.ByKey(roster.KeyID(id))
	if !ok {
		return nil, refused("%s is nobody's key in the roster of this log (key id %s); an owner adds it to people.yaml", name, id)
	}
	return p, nil
}

// speaker is who holds a key file, by the policy set in force, and that set. Without a trust
// folder the ledger is believed about it; what is signed is judged by those who have one.
func (a *app) speaker(ctx context.Context, keyFile, trust string) (*roster.Principal, *policy.Set, error) {
	key, err := a.key(keyFile)
	if err != nil {
		return nil, nil, err
	}
	l, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	set, err := a.policySet(ctx, l, trust)
	if err != nil {
		return nil, nil, err
	}
	me, err := signer(set.Roster, key.Public().ID(), keyFile)
	return me, set, err
}

// parseSubject reads what a command line names: a file, "sha256:hex" or a commit.
func parseSubject(arg string) (artifact *attest.Digest, commit gitfacts.ID, err error) {
	if alg, hex, ok := strings.Cut(arg, ":"); ok && !strings.ContainsAny(alg, "/.") {
		if alg != "sha256" {
			return nil, "", wrong("%q: artifacts are named as sha256: and 64 lower-case hex digits", arg)
		}
		d, err := attest.ParseDigest(hex)
		if err != nil {
			return nil, "", wrong("%v", err)
		}
		return &d, "", nil
	}
	if isCommit(arg) {
		return nil, gitfacts.ID(arg), nil
	}
	d, err := digestFile(arg)
	if err != nil {
		return nil, "", wrong("%v (name a file, sha256:DIGEST or a full commit id)", err)
	}
	return d, "", nil
}

func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

func describeSubject(artifact *attest.Digest, commit gitfacts.ID) string {
	if artifact != nil {
		return "sha256:" + artifact.String()[:16] + "…"
	}
	return fmt.Sprintf("commit %.12s", commit)
}
