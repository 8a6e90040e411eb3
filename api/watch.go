package api

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// Watch sends entries as they come, each with a receipt, until the caller hangs
// up or the server stops. Whoever falls behind gets them later: they are read
// from the log, and nothing is queued.
func (s *ledgerService) Watch(ctx context.Context, req *connect.Request[countersignv1.WatchRequest], stream *connect.ServerStream[countersignv1.WatchResponse]) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.draining, stop)()
	var keys []string
	if t := req.Msg.PredicateType; t != "" {
		if full, ok := attest.ShortTypes[t]; ok {
			t = full
		}
		keys = append(keys, attest.TypeKey(t))
	}
	if r := req.Msg.Repository; r != "" {
		if err := attest.ParseRepository(r); err != nil {
			return s.fail(ctx, err)
		}
		keys = append(keys, attest.RepositoryKey(r))
	}
	// The headers tell the caller that the watch has begun.
	if err := stream.Send(nil); err != nil {
		return err
	}
	for index := req.Msg.FromIndex; ; {
		if err := s.ledger.Wait(ctx, index); err != nil {
			return s.ended(ctx, err)
		}
		for size := s.ledger.Head().Size; index < size; index++ {
			if err := s.send(ctx, index, keys, stream); err != nil {
				return s.ended(ctx, err)
			}
		}
	}
}

// ended says why a watch ends: when the server stops it is not the caller who
// hung up, though the context looks the same.
func (s *ledgerService) ended(ctx context.Context, err error) error {
	if s.draining.Err() != nil {
		err = errStopping
	}
	return s.fail(ctx, err)
}

func (s *ledgerService) send(ctx context.Context, index uint64, keys []string, stream *connect.ServerStream[countersignv1.WatchResponse]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(keys) > 0 {
		r, err := s.ledger.Record(ctx, index)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, ok := slices.BinarySearch(r.Keys, key); !ok {
				return nil
			}
		}
	}
	entry, err := s.proven(ctx, index)
	if err != nil {
		return err
	}
	return stream.Send(&countersignv1.WatchResponse{Entry: entry})
}
