package mirror

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

// Withheld looks through a copy for statements that its source may have kept back: the
// tree commits to hashes, so a source can say of any entry that the log has only that, and
// with a revocation or a rejection the copy would forget what it takes back.
//
// It returns the entries that are known by their hash alone and that nothing is attached
// to; whether the log ever had more of them, the copy cannot tell. Every decision in the
// log names the chain of negative evidence that it saw: a copy with another chain is a
// *RefusedError.
func Withheld(ctx context.Context, t *verify.Trust, l *ledger.Ledger) (alone []uint64, err error) {
	links := l.Negative()
	decision := attest.TypeKey(attest.TypeDecision)
	for b, err := range l.Batches(ctx, 0) {
		if err != nil {
			return nil, err
		}
		for i := range b.Records {
			r := &b.Records[i]
			switch {
			case len(r.Body) > 0 && slices.Contains(r.Keys, decision):
				if err := sawChain(t, r, links); err != nil {
					return nil, err
				}
			case len(r.Body) == 0:
				attached, err := l.Search(ctx, ledger.Query{Key: attest.AttachedKey(r.Index), Limit: 1})
				if err != nil {
					return nil, err
				}
				if len(attached) == 0 {
					alone = append(alone, r.Index)
				}
			}
		}
	}
	return alone, nil
}

// sawChain holds the chain that a decision saw against that of the copy.
func sawChain(t *verify.Trust, r *ledger.Record, links []ledger.Link) error {
	b, err := attest.ParseBundle(r.Body)
	if err != nil {
		return err
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return err
	}
	d, ok := st.Predicate.(*attest.Decision)
	if !ok || !slices.Contains(r.Keys, attest.SignerKey(t.Service.ID())) {
		return nil // nobody's word but the service's
	}
	var core struct {
		Log struct {
			Length *uint64 `json:"negativeLength"`
			Head   string  `json:"negativeHead"`
		} `json:"log"`
	}
	if err := json.Unmarshal(d.Core, &core); err != nil || core.Log.Length == nil {
		return nil // it names no chain
	}
	head, n := tlog.Hash{}, *core.Log.Length
	if n > 0 && n <= uint64(len(links)) {
		head = links[n-1].Chain
	}
	if n > uint64(len(links)) || head.String() != core.Log.Head {
		return &RefusedError{fmt.Sprintf("entry %d", r.Index), fmt.Errorf(
			"the decision saw a chain of negative evidence of %d links that ends in %.64s, and the copy's differs: a revocation or a rejection was kept back", n, core.Log.Head)}
	}
	return nil
}
