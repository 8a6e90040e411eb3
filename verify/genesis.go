package verify

import (
	"context"
	"fmt"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// maxOwners bounds the copies of the first policy statement.
const maxOwners = 100

// genesisChecks are entryChecks but the roster's: the roster is in what they prove.
var genesisChecks = []check{
	{"format", (*Verifier).checkFormat},
	{"subject", (*Verifier).checkSubject},
	{"signature", (*Verifier).checkSignature},
	{"signer", (*Verifier).checkGenesisSigner},
	{"time", (*Verifier).checkTime},
	{"inclusion", (*Verifier).checkInclusion},
}

// Genesis returns the statements of the first policy set: those about the digest
// that the trust pins, at the log's first entries, one for each owner over the
// same payload. Everything is checked but who the signers are, which only the set
// itself says; the caller must find the owners among them. ownLog is as in Config.
//
// The error is a *Refusal, or a *CorruptError, or the source's.
func Genesis(ctx context.Context, src Source, t *Trust, ownLog bool) ([]*Evidence, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	v := &Verifier{trust: t, roster: &roster.Roster{}, ownLog: ownLog}
	view, err := v.view(ctx, src)
	if err != nil {
		return nil, err
	}
	return v.genesis(ctx, src, &view)
}

// view reads the state of the log that a source answers for, and checks it.
func (v *Verifier) view(ctx context.Context, src Source) (LogView, error) {
	view, err := src.View(ctx)
	if err != nil {
		return view, fmt.Errorf("read the state of the log: %w", err)
	}
	checked, err := v.OpenView(view.Note, view.Token, view.Time)
	view.Checkpoint, view.Time, view.Cosignatures = checked.Checkpoint, checked.Time, checked.Cosignatures
	return view, err
}

func (v *Verifier) genesis(ctx context.Context, src Source, view *LogView) ([]*Evidence, error) {
	t := v.trust
	indexes, err := src.Find(ctx, attest.SubjectKey("sha256", t.Genesis.String()))
	if err != nil {
		return nil, fmt.Errorf("find the first policy: %w", err)
	}
	var all []*Evidence
	for i, index := range indexes {
		if index != uint64(i) || i >= maxOwners {
			break // later statements about the same set are not the genesis
		}
		e, err := v.openGenesis(ctx, src, view, index)
		if err != nil {
			return nil, err
		}
		if i > 0 && e.digest != all[0].digest {
			break
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		r := refuse(UntrustedKey, "the log does not begin with the policy set %s that the trust folder names", t.Genesis)
		r.Check = "signer"
		return nil, r
	}
	return all, nil
}

func (v *Verifier) openGenesis(ctx context.Context, src Source, view *LogView, index uint64) (*Evidence, error) {
	sealed, err := src.Entry(ctx, index)
	if err != nil {
		return nil, fmt.Errorf("read entry %d: %w", index, err)
	}
	if sealed.Index != index {
		return nil, corruptAt(index, BadProof, "search", "the source gave entry %d instead", sealed.Index)
	}
	it := &item{view: view, sealed: sealed, place: placeOf(sealed)}
	if r := v.run(genesisChecks, it); r != nil {
		return nil, r
	}
	return it.evidence(), nil
}

// checkGenesisSigner wants a policy statement about the pinned digest; its signer
// and the times in it are judged by the caller, who has the roster then.
func (v *Verifier) checkGenesisSigner(it *item) *Refusal {
	p, ok := it.statement.Predicate.(*attest.Policy)
	if !ok {
		return refuse(WrongType, "the log's first entries are policy statements, and this is %s", it.statement.Predicate.Type())
	}
	if got := it.statement.Subjects[0].Digest["sha256"]; got != v.trust.Genesis.String() || p.Supersedes != "" {
		return refuse(SubjectMismatch, "the statement is about the set %.64s", got)
	}
	return nil
}
