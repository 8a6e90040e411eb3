package mirror

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
)

// A Source is a log to copy from. Nothing that it returns has been checked.
type Source interface {
	// Head returns the newest signed checkpoint.
	Head(ctx context.Context) (ledger.Head, error)
	// First returns the signed checkpoint of the empty log.
	First(ctx context.Context) (ledger.Head, error)
	// Batches returns batches from an entry on, not necessarily all. Of an entry it
	// gives leaf and body.
	Batches(ctx context.Context, from uint64) iter.Seq2[ledger.Batch, error]
	// Consistency returns the log's proof that one size is the beginning of another.
	Consistency(ctx context.Context, from, to uint64) ([]tlog.Hash, error)
}

// Local is a log in this process, such as another copy.
type Local struct{ *ledger.Ledger }

// Head implements Source.
func (l Local) Head(context.Context) (ledger.Head, error) { return l.Ledger.Head(), nil }

// First implements Source.
func (l Local) First(ctx context.Context) (ledger.Head, error) { return l.Checkpoint(ctx, 0) }

// Limits of what a server may send. A batch of countersignd has at most 1,024 entries
// and 16 MiB.
const (
	maxMessage      = 4 << 20
	maxBatchEntries = 16_384
	maxBatchBytes   = 64 << 20
	unaryTimeout    = 20 * time.Second
	streamTimeout   = 2 * time.Minute
)

// Remote is a log that a server keeps: its first one, or another mirror.
type Remote struct {
	client countersignv1connect.LedgerServiceClient
}

// NewRemote returns the log that is served at a URL. token is the bearer token for
// reads, empty where none is needed. Nothing is sent yet.
func NewRemote(address, token string) (*Remote, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL such as http://127.0.0.1:7391", address)
	}
	client := &http.Client{Transport: bearer{token, &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: unaryTimeout,
	}}}
	return &Remote{countersignv1connect.NewLedgerServiceClient(client, address, connect.WithReadMaxBytes(maxMessage))}, nil
}

// bearer puts a token on every request.
type bearer struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

// Head implements Source.
func (r *Remote) Head(ctx context.Context) (ledger.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	resp, err := r.client.Checkpoint(ctx, connect.NewRequest(&countersignv1.CheckpointRequest{}))
	if err != nil {
		return ledger.Head{}, err
	}
	return headOf(resp.Msg)
}

// First implements Source.
func (r *Remote) First(ctx context.Context) (ledger.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	stream, err := r.client.Records(ctx, connect.NewRequest(&countersignv1.RecordsRequest{Limit: 1}))
	if err != nil {
		return ledger.Head{}, err
	}
	defer stream.Close()
	if !stream.Receive() {
		return ledger.Head{}, errors.Join(stream.Err(), errors.New("read the first checkpoint: the stream ended"))
	}
	return headOf(stream.Msg().GetCheckpoint())
}

// Consistency implements Source.
func (r *Remote) Consistency(ctx context.Context, from, to uint64) ([]tlog.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	resp, err := r.client.Consistency(ctx, connect.NewRequest(&countersignv1.ConsistencyRequest{FromSize: from, ToSize: to}))
	if err != nil {
		return nil, err
	}
	if len(resp.Msg.Hashes) > 64*2 {
		return nil, refused("the proof", "it has %d hashes, more than any", len(resp.Msg.Hashes))
	}
	path := make([]tlog.Hash, len(resp.Msg.Hashes))
	for i, h := range resp.Msg.Hashes {
		if len(h) != tlog.HashSize {
			return nil, refused("the proof", "hash %d has %d bytes", i, len(h))
		}
		path[i] = tlog.Hash(h)
	}
	return path, nil
}

// Batches implements Source, with the batches of one answer.
func (r *Remote) Batches(ctx context.Context, from uint64) iter.Seq2[ledger.Batch, error] {
	return func(yield func(ledger.Batch, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, streamTimeout)
		defer cancel()
		stream, err := r.client.Records(ctx, connect.NewRequest(&countersignv1.RecordsRequest{FromIndex: from}))
		if err != nil {
			yield(ledger.Batch{}, err)
			return
		}
		defer stream.Close()
		if err := receive(stream, from, yield); err != nil {
			yield(ledger.Batch{}, err)
		}
	}
}

// receive puts records together to batches. It returns nil when nobody asks for more.
func receive(stream *connect.ServerStreamForClient[countersignv1.RecordsResponse], from uint64, yield func(ledger.Batch, error) bool) error {
	var b ledger.Batch
	size := 0
	for stream.Receive() {
		if m := stream.Msg().GetRecord(); m != nil {
			r, err := recordOf(m)
			if err != nil {
				return err
			}
			b.Records = append(b.Records, r)
			if size += len(r.Leaf) + len(r.Body) + len(r.Token); size > maxBatchBytes || len(b.Records) > maxBatchEntries {
				return refused("the records", "a batch has more than %d entries or %d bytes", maxBatchEntries, maxBatchBytes)
			}
			continue
		}
		head, err := headOf(stream.Msg().GetCheckpoint())
		if err != nil {
			return err
		}
		if from == 0 && head.Size == 0 && len(b.Records) == 0 {
			continue // of the empty log, which the copy began with
		}
		b.Checkpoint, b.Note, b.Token, b.Time = head.Checkpoint, head.Note, head.Token, head.Time
		if !yield(b, nil) {
			return nil
		}
		b, size = ledger.Batch{}, 0
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if len(b.Records) > 0 {
		return refused("the records", "no checkpoint closes the batch from entry %d on", b.Records[0].Index)
	}
	return nil
}

func recordOf(m *countersignv1.LogRecord) (ledger.Record, error) {
	at, err := timeOf(m.Time)
	if err != nil {
		return ledger.Record{}, &RefusedError{fmt.Sprintf("entry %d", m.Index), err}
	}
	body := m.Body
	switch {
	case m.Unseen && len(body) > 0:
		return ledger.Record{}, refused(fmt.Sprintf("entry %d", m.Index), "it has a body, and is said to have none")
	case m.Unseen:
		body = []byte{} // not nil: derive tells the two apart
	case len(body) == 0:
		body = nil
	}
	return ledger.Record{Index: m.Index, Entry: ledger.Entry{Leaf: m.Leaf, Body: body}, Time: at, Token: m.Token}, nil
}

// headOf reads a checkpoint's fields; CheckHead holds them against the note.
func headOf(m *countersignv1.CheckpointResponse) (ledger.Head, error) {
	if m == nil || len(m.Root) != tlog.HashSize {
		return ledger.Head{}, refused("the checkpoint", "it is missing, or its root has not %d bytes", tlog.HashSize)
	}
	at, err := timeOf(m.Time)
	if err != nil {
		return ledger.Head{}, &RefusedError{"the checkpoint", err}
	}
	cp := tlog.Checkpoint{Origin: m.Origin, Size: m.Size, Root: tlog.Hash(m.Root)}
	return ledger.Head{Checkpoint: cp, Note: m.Note, Token: m.Token, Time: at}, nil
}

func timeOf(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, errors.New("its time is missing")
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, err
	}
	return t.AsTime().UTC(), nil
}
