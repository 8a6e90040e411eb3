package api

import (
	"cmp"
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/ledger"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// Limits of one Records call, in entries.
const (
	maxRecords     = 10_000
	defaultRecords = 1_000
)

// Records sends whole batches as the log committed them, for a mirror to commit
// again.
func (s *ledgerService) Records(ctx context.Context, req *connect.Request[countersignv1.RecordsRequest], stream *connect.ServerStream[countersignv1.RecordsResponse]) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.draining, stop)()
	if err := s.records(ctx, req.Msg, stream); err != nil {
		return s.ended(ctx, err)
	}
	return nil
}

func (s *ledgerService) records(ctx context.Context, req *countersignv1.RecordsRequest, stream *connect.ServerStream[countersignv1.RecordsResponse]) error {
	limit := uint64(cmp.Or(req.Limit, defaultRecords))
	if limit > maxRecords {
		return malformed("limit: %d is more than %d", req.Limit, maxRecords)
	}
	if size := s.ledger.Head().Size; req.FromIndex > size {
		return notFound("fromIndex: %d is more than the log has, which is %d", req.FromIndex, size)
	}
	if req.FromIndex == 0 {
		head, err := s.ledger.Checkpoint(ctx, 0)
		if err != nil {
			return err
		}
		if err := sendCheckpoint(stream, &head); err != nil {
			return err
		}
	}
	for b, err := range s.ledger.Batches(ctx, req.FromIndex) {
		if err != nil {
			return err
		}
		if err := sendBatch(stream, &b); err != nil {
			return err
		}
		if b.Checkpoint.Size-req.FromIndex >= limit {
			break
		}
	}
	return nil
}

func sendBatch(stream *connect.ServerStream[countersignv1.RecordsResponse], b *ledger.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		err := stream.Send(&countersignv1.RecordsResponse{Step: &countersignv1.RecordsResponse_Record{Record: &countersignv1.LogRecord{
			Index: r.Index, Leaf: r.Leaf, Body: r.Body, Token: r.Token, Time: timestamppb.New(r.Time), Unseen: len(r.Body) == 0,
		}}})
		if err != nil {
			return err
		}
	}
	return sendCheckpoint(stream, &ledger.Head{Checkpoint: b.Checkpoint, Note: b.Note, Token: b.Token, Time: b.Time})
}

func sendCheckpoint(stream *connect.ServerStream[countersignv1.RecordsResponse], h *ledger.Head) error {
	return stream.Send(&countersignv1.RecordsResponse{Step: &countersignv1.RecordsResponse_Checkpoint{Checkpoint: wireCheckpoint(h)}})
}

func wireCheckpoint(h *ledger.Head) *countersignv1.CheckpointResponse {
	return &countersignv1.CheckpointResponse{
		Note: h.Note, Token: h.Token, Origin: h.Origin, Size: h.Size, Root: h.Root[:], Time: timestamppb.New(h.Time),
	}
}
