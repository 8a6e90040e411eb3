package api

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// Attach logs the statement of an entry of which the log has only the hash.
func (s *ledgerService) Attach(ctx context.Context, req *connect.Request[countersignv1.AttachRequest]) (*connect.Response[countersignv1.AttachResponse], error) {
	answer, err := s.attach(ctx, req.Msg.Bundle)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(answer), nil
}

func (s *ledgerService) attach(ctx context.Context, text []byte) (*countersignv1.AttachResponse, error) {
	b, err := attest.ParseBundle(text)
	if err != nil {
		return nil, err
	}
	r, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	key, refusal := r.verifier.KeyOf(b)
	if refusal != nil {
		return nil, &refusedBundle{0, 1, refusal}
	}
	leaf := attest.Leaf(b, key)
	index, known, err := s.ledger.Lookup(ctx, tlog.LeafHash(leaf))
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, notFound("bundle: its hash is not in this log; log it whole (countersign submit)")
	}
	record, err := s.ledger.Record(ctx, index)
	if err != nil {
		return nil, err
	}
	answer := &countersignv1.AttachResponse{Entry: index}
	if len(record.Body) > 0 { // it was logged whole
		answer.Result, err = s.again(ctx, index)
		return answer, err
	}
	if found, err := s.ledger.Search(ctx, ledger.Query{Key: attest.AttachedKey(index), Limit: 1}); err != nil {
		return nil, err
	} else if len(found) > 0 {
		answer.Result, err = s.again(ctx, found[0])
		return answer, err
	}
	b = attest.Normal(b, key)
	b.Leaf = leaf
	if b.Receipt, err = s.ledger.Receipt(ctx, index); err != nil {
		return nil, err
	}
	st, err := attest.NewAttachment(b)
	if err != nil {
		return nil, err
	}
	answer.Result, err = s.carry(ctx, st)
	return answer, err
}

// Import logs a bundle that another log vouches for.
func (s *ledgerService) Import(ctx context.Context, req *connect.Request[countersignv1.ImportRequest]) (*connect.Response[countersignv1.ImportResponse], error) {
	answer, err := s.importBundle(ctx, req.Msg.Bundle)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(answer), nil
}

func (s *ledgerService) importBundle(ctx context.Context, text []byte) (*countersignv1.ImportResponse, error) {
	st, err := attest.NewImport(text)
	if err != nil {
		return nil, err
	}
	r, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	name, refusal := r.verifier.VouchedBy(text)
	if refusal != nil {
		return nil, &refusedBundle{0, 1, refusal}
	}
	answer := &countersignv1.ImportResponse{VouchedBy: name}
	c := attest.CarriedBy(st.Predicate)
	index, known, err := s.imported(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case known:
		answer.Result, err = s.again(ctx, index)
	default:
		answer.Result, err = s.carry(ctx, st)
	}
	return answer, err
}

// imported finds the entry that brought in a statement of the same signer before.
func (s *Server) imported(ctx context.Context, c *attest.Carried) (uint64, bool, error) {
	found, err := s.ledger.Search(ctx, ledger.Query{Key: attest.StatementKey(c.Bundle.Digest()), Limit: 100})
	if err != nil {
		return 0, false, err
	}
	for _, index := range found {
		r, err := s.ledger.Record(ctx, index)
		if err != nil {
			return 0, false, err
		}
		if slices.Contains(r.Keys, attest.TypeKey(attest.TypeImport)) && slices.Contains(r.Keys, attest.SignerKey(c.Key.ID())) {
			return index, true, nil
		}
	}
	return 0, false, nil
}

// carry signs what carries a bundle, and logs it as if somebody had sent it: every
// check of what is inside is made there.
func (s *ledgerService) carry(ctx context.Context, st *attest.Statement) (*countersignv1.AppendResult, error) {
	b, err := attest.Sign(st, s.config.Service)
	if err != nil {
		return nil, err
	}
	text, err := b.Marshal()
	if err != nil {
		return nil, err
	}
	results, err := s.append(ctx, [][]byte{text})
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

// again answers with an entry that the log has already.
func (s *Server) again(ctx context.Context, index uint64) (*countersignv1.AppendResult, error) {
	e, err := s.proven(ctx, index)
	if err != nil {
		return nil, err
	}
	return &countersignv1.AppendResult{Index: index, Duplicate: true, Bundle: e.Bundle}, nil
}
