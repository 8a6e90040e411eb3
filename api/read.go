package api

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// Entry returns one entry with a receipt under the current checkpoint.
func (s *ledgerService) Entry(ctx context.Context, req *connect.Request[countersignv1.EntryRequest]) (*connect.Response[countersignv1.EntryResponse], error) {
	entry, err := s.entry(ctx, req.Msg)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(&countersignv1.EntryResponse{Entry: entry}), nil
}

func (s *ledgerService) entry(ctx context.Context, req *countersignv1.EntryRequest) (*countersignv1.LogEntry, error) {
	var index uint64
	switch at := req.At.(type) {
	case *countersignv1.EntryRequest_Index:
		index = at.Index
	case *countersignv1.EntryRequest_LeafHash:
		if len(at.LeafHash) != tlog.HashSize {
			return nil, malformed("leafHash: has %d bytes; it must have %d", len(at.LeafHash), tlog.HashSize)
		}
		found, ok, err := s.ledger.Lookup(ctx, tlog.Hash(at.LeafHash))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, notFound("leafHash: the log has no entry with the leaf hash %x", at.LeafHash)
		}
		index = found
	default:
		return nil, malformed("one of index and leafHash is needed")
	}
	if size := s.ledger.Head().Size; index >= size {
		return nil, notFound("index: the log has no entry %d; it has %d entries", index, size)
	}
	return s.proven(ctx, index)
}

// proven is an entry with its bundle and receipt.
func (s *Server) proven(ctx context.Context, index uint64) (*countersignv1.LogEntry, error) {
	receipt, err := s.ledger.Receipt(ctx, index)
	if err != nil {
		return nil, err
	}
	r, err := s.ledger.Record(ctx, index)
	if err != nil {
		return nil, err
	}
	e := s.describeEntry(&r)
	if e.Unseen {
		return e, nil
	}
	bundle, err := attest.ParseBundle(r.Body)
	if err != nil {
		return nil, errors.Join(ledger.ErrCorrupt, err)
	}
	bundle.Leaf, bundle.Receipt = r.Leaf, receipt
	e.Bundle, err = bundle.Marshal()
	return e, err
}

// describeEntry says what an entry's search keys say: they were derived from the
// bundle when it was logged, so nothing needs to be parsed.
func (s *Server) describeEntry(r *ledger.Record) *countersignv1.LogEntry {
	e := &countersignv1.LogEntry{Index: r.Index, LoggedAt: timestamppb.New(r.Time), Negative: r.Negative != "", Leaf: r.Leaf, Unseen: len(r.Body) == 0}
	for _, key := range r.Keys {
		name, value, _ := strings.Cut(key, ":")
		switch name {
		case "type":
			switch value {
			case attest.TypeAttachment:
				e.Carrier = "attachment"
			case attest.TypeImport:
				e.Carrier = "import"
			default:
				e.PredicateType = value
			}
		case "attached":
			e.AttachedTo, _ = strconv.ParseUint(value, 10, 64)
		case "signer":
			e.Signer = value
		case "statement":
			e.StatementDigest = value
		case "subject", "verdict":
			e.Subjects = append(e.Subjects, value)
		case "repository":
			e.Repository = value
		case "change":
			_, e.Change, _ = strings.Cut(value, "#")
		}
	}
	if id, err := attest.ParseDigest(e.Signer); err == nil {
		e.Person, _ = s.person(roster.KeyID(id))
	}
	return e
}

// Inclusion proves an entry in the log of a size.
func (s *ledgerService) Inclusion(ctx context.Context, req *connect.Request[countersignv1.InclusionRequest]) (*connect.Response[countersignv1.InclusionResponse], error) {
	answer, err := s.inclusion(ctx, req.Msg)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(answer), nil
}

func (s *ledgerService) inclusion(ctx context.Context, req *countersignv1.InclusionRequest) (*countersignv1.InclusionResponse, error) {
	size, err := s.size("treeSize", req.TreeSize)
	if err != nil {
		return nil, err
	}
	if req.Index >= size {
		return nil, notFound("index: %d is not in a log of %d entries", req.Index, size)
	}
	path, err := s.ledger.Inclusion(ctx, req.Index, size)
	if err != nil {
		return nil, err
	}
	leaf, err := s.leafHash(ctx, req.Index)
	if err != nil {
		return nil, err
	}
	note, err := s.noteOf(ctx, size)
	return &countersignv1.InclusionResponse{Index: req.Index, TreeSize: size, LeafHash: leaf, Hashes: hashes(path), Checkpoint: note}, err
}

// leafHash reads an entry's leaf hash from its tile.
func (s *Server) leafHash(ctx context.Context, index uint64) ([]byte, error) {
	at := int(index % tlog.TileWidth)
	tile, err := s.ledger.Tile(ctx, tlog.Tile{Level: 0, Index: index / tlog.TileWidth, Width: at + 1})
	if err != nil {
		return nil, err
	}
	return tile[at*tlog.HashSize:], nil
}

// Consistency proves that the log only grew.
func (s *ledgerService) Consistency(ctx context.Context, req *connect.Request[countersignv1.ConsistencyRequest]) (*connect.Response[countersignv1.ConsistencyResponse], error) {
	answer, err := s.consistency(ctx, req.Msg)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(answer), nil
}

func (s *ledgerService) consistency(ctx context.Context, req *countersignv1.ConsistencyRequest) (*countersignv1.ConsistencyResponse, error) {
	to, err := s.size("toSize", req.ToSize)
	if err != nil {
		return nil, err
	}
	if req.FromSize > to {
		return nil, malformed("fromSize: %d is more than toSize, which is %d", req.FromSize, to)
	}
	path, err := s.ledger.Consistency(ctx, req.FromSize, to)
	if err != nil {
		return nil, err
	}
	note, err := s.noteOf(ctx, to)
	return &countersignv1.ConsistencyResponse{FromSize: req.FromSize, ToSize: to, Hashes: hashes(path), Checkpoint: note}, err
}

// Checkpoint returns a signed checkpoint.
func (s *ledgerService) Checkpoint(ctx context.Context, req *connect.Request[countersignv1.CheckpointRequest]) (*connect.Response[countersignv1.CheckpointResponse], error) {
	head := s.ledger.Head()
	if size := req.Msg.Size; size != 0 {
		var err error
		if head, err = s.ledger.Checkpoint(ctx, size); errors.Is(err, ledger.ErrNotFound) {
			err = notFound("size: no checkpoint of %d entries was signed", size)
		}
		if err != nil {
			return nil, s.fail(ctx, err)
		}
	}
	return connect.NewResponse(wireCheckpoint(&head)), nil
}

// size reads a size of the log, where zero means the current one.
func (s *Server) size(field string, size uint64) (uint64, error) {
	now := s.ledger.Head().Size
	if size > now {
		return 0, notFound("%s: %d is more than the log has, which is %d", field, size, now)
	}
	if size == 0 {
		return now, nil
	}
	return size, nil
}

// noteOf returns the signed checkpoint of a size, or nothing where none was signed.
func (s *Server) noteOf(ctx context.Context, size uint64) ([]byte, error) {
	head, err := s.ledger.Checkpoint(ctx, size)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	return head.Note, err
}

func hashes(path []tlog.Hash) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}
