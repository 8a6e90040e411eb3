package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// MaxPolicies bounds the statements that change the policy of one log.
const MaxPolicies = 2_000

// policyChecks are genesisChecks for the sets that came later.
var policyChecks = []check{
	{"format", (*Verifier).checkFormat},
	{"subject", (*Verifier).checkSubject},
	{"signature", (*Verifier).checkSignature},
	{"signer", (*Verifier).checkPolicySigner},
	{"time", (*Verifier).checkTime},
	{"inclusion", (*Verifier).checkInclusion},
}

// A PolicyLog is every statement about the policy of a log: what each of them does is
// for package policy to say.
type PolicyLog struct {
	View    LogView
	Genesis []*Evidence // as Genesis returns them
	// Changes are the later ones, in log order: all that there are up to View, because
	// they are in the chain of negative evidence.
	Changes []NegativeItem
}

// Policies reads the first policy set of a log and every statement that changes it.
// Everything is checked but who the signers are: only the sets themselves say that.
// ownLog is as in Config. The error is as of Genesis, or a *LimitError.
func Policies(ctx context.Context, src Source, t *Trust, ownLog bool) (*PolicyLog, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	v := &Verifier{trust: t, roster: &roster.Roster{}, ownLog: ownLog, workers: 1}
	var p PolicyLog
	var err error
	if p.View, err = v.view(ctx, src); err != nil {
		return nil, err
	}
	if p.Genesis, err = v.genesis(ctx, src, &p.View); err != nil {
		return nil, err
	}
	links, err := src.Negative(ctx)
	if err != nil {
		return nil, fmt.Errorf("read negative evidence: %w", err)
	}
	if err := wholeChain(links, &p.View); err != nil {
		return nil, err
	}
	links = slices.DeleteFunc(slices.Clone(links), func(l Link) bool { return l.Scope != policies })
	if len(links) > MaxPolicies {
		return nil, &LimitError{fmt.Sprintf("%d statements change the policy", len(links)), MaxPolicies}
	}
	for _, l := range links {
		it, err := v.openPolicy(ctx, src, &p.View, l)
		if err != nil {
			return nil, err
		}
		p.Changes = append(p.Changes, it)
	}
	return &p, nil
}

// wholeChain checks that links are the chain that a view names.
func wholeChain(links []Link, view *LogView) error {
	if len(links) > MaxLinks {
		return &LimitError{fmt.Sprintf("%d pieces of negative evidence", len(links)), MaxLinks}
	}
	if err := continues(links, 0); err != nil {
		return err
	}
	c := chain{links: links}
	if n := uint64(len(links)); n != view.ChainLength || c.headAfter(len(links)) != view.Chain {
		return &CorruptError{BadProof, -1, "negative", fmt.Sprintf("the chain has %d links and ends in %s; the log's state says %d and %s", n, c.headAfter(len(links)), view.ChainLength, view.Chain)}
	}
	return nil
}

func (v *Verifier) openPolicy(ctx context.Context, src Source, view *LogView, link Link) (NegativeItem, error) {
	opened := NegativeItem{Link: link}
	sealed, err := linked(ctx, src, view, link)
	if err != nil {
		return opened, err
	}
	it := &item{view: view, sealed: sealed, place: placeOf(sealed)}
	if opened.Refusal = v.run(policyChecks, it); opened.Refusal != nil {
		return opened, nil
	}
	opened.Evidence = it.evidence()
	if scopeOf(opened.Evidence) != link.Scope {
		return opened, corruptAt(link.Index, WrongType, "negative", "the chain says that the entry changes the policy, and it does not")
	}
	return opened, nil
}

// checkPolicySigner lets policy statements through: who their signers are is judged
// by the set in force there.
func (v *Verifier) checkPolicySigner(it *item) *Refusal {
	if _, ok := it.statement.Predicate.(*attest.Policy); !ok {
		return refuse(WrongType, "the chain says that this changes the policy, and it is %s", it.statement.Predicate.Type())
	}
	return nil
}
