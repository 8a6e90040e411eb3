package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"strings"

	"connectrpc.com/connect"
	"github.com/rogpeppe/go-internal/testscript"

	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
)

// A liar stands between a client and the real ledger, and tells one lie.
type liar struct {
	countersignv1connect.UnimplementedLedgerServiceHandler
	countersignv1connect.UnimplementedVerifierServiceHandler
	*ledger
	lie string
}

// cmdLiar puts a liar in front of the script's ledger: liar LIE.
func cmdLiar(ts *testscript.TestScript, _ bool, args []string) {
	url := ts.Getenv("COUNTERSIGN_SERVER")
	if honest := ts.Getenv("HONEST_SERVER"); honest != "" {
		url = honest
	}
	ts.Setenv("HONEST_SERVER", url)
	if len(args) != 1 {
		ts.Fatalf("usage: liar LIE")
	}
	l, err := (&app{server: url, token: ts.Getenv("COUNTERSIGN_TOKEN")}).connect()
	ts.Check(err)
	x := &liar{ledger: l, lie: args[0]}
	mux := http.NewServeMux()
	mux.Handle(countersignv1connect.NewLedgerServiceHandler(lyingLedger{x}))
	mux.Handle(countersignv1connect.NewVerifierServiceHandler(lyingVerifier{x}))
	honest, err := neturl.Parse(url)
	ts.Check(err)
	tiles := httputil.NewSingleHostReverseProxy(honest)
	mux.Handle("/checkpoint", tiles)
	mux.Handle("/tile/", tiles)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch x.lie {
		case "html":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<h1>it works</h1>"))
		case "silence":
			_, _ = io.Copy(io.Discard, r.Body) // until then nobody notices that the client has left
			<-r.Context().Done()
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("COUNTERSIGN_SERVER", server.URL)
}

type lyingLedger struct{ *liar }

func (l lyingLedger) Append(ctx context.Context, r *connect.Request[countersignv1.AppendRequest]) (*connect.Response[countersignv1.AppendResponse], error) {
	resp, err := l.ledger.Append(ctx, connect.NewRequest(r.Msg))
	if err == nil && l.lie == "receipt" {
		first, err := l.ledger.Entry(ctx, connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: 0}}))
		if err != nil {
			return nil, err
		}
		resp.Msg.Results[0].Bundle = first.Msg.Entry.Bundle
	}
	return resp, err
}

func (l lyingLedger) Entry(ctx context.Context, r *connect.Request[countersignv1.EntryRequest]) (*connect.Response[countersignv1.EntryResponse], error) {
	index := r.Msg.GetIndex()
	if l.lie == "mute" {
		return nil, connect.NewError(connect.CodeUnavailable, nil)
	}
	if l.lie == "entry" {
		index++
	}
	resp, err := l.ledger.Entry(ctx, connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: index}}))
	if err == nil && l.lie == "entry" {
		resp.Msg.Entry.Index = r.Msg.GetIndex()
	}
	return resp, err
}

func (l lyingLedger) Inclusion(ctx context.Context, r *connect.Request[countersignv1.InclusionRequest]) (*connect.Response[countersignv1.InclusionResponse], error) {
	resp, err := l.ledger.Inclusion(ctx, connect.NewRequest(r.Msg))
	if err == nil && l.lie == "inclusion" {
		resp.Msg.Hashes[0][0] ^= 1
	}
	return resp, err
}

func (l lyingLedger) Consistency(ctx context.Context, r *connect.Request[countersignv1.ConsistencyRequest]) (*connect.Response[countersignv1.ConsistencyResponse], error) {
	resp, err := l.ledger.Consistency(ctx, connect.NewRequest(r.Msg))
	if err == nil && l.lie == "consistency" {
		resp.Msg.Hashes[0][0] ^= 1
	}
	return resp, err
}

func (l lyingLedger) Checkpoint(ctx context.Context, r *connect.Request[countersignv1.CheckpointRequest]) (*connect.Response[countersignv1.CheckpointResponse], error) {
	resp, err := l.ledger.Checkpoint(ctx, connect.NewRequest(r.Msg))
	if err == nil && l.lie == "checkpoint" {
		resp.Msg.Note = []byte(strings.Replace(string(resp.Msg.Note), "log.example\n", "log.example\n1", 1))
	}
	return resp, err
}

func (l lyingLedger) Search(ctx context.Context, r *connect.Request[countersignv1.SearchRequest]) (*connect.Response[countersignv1.SearchResponse], error) {
	return l.ledger.Search(ctx, connect.NewRequest(r.Msg))
}

// Watch tells its lies about entry 2.
func (l lyingLedger) Watch(ctx context.Context, r *connect.Request[countersignv1.WatchRequest], out *connect.ServerStream[countersignv1.WatchResponse]) error {
	in, err := l.ledger.Watch(ctx, connect.NewRequest(r.Msg))
	if err != nil {
		return err
	}
	defer in.Close()
	var before *countersignv1.LogEntry
	for in.Receive() {
		e := in.Msg().Entry
		switch {
		case e.Index != 2:
		case l.lie == "skip":
			continue
		case l.lie == "swap": // the entry before, under this index
			e.Leaf, e.Bundle = before.Leaf, before.Bundle
		case l.lie == "body": // the right leaf, another's statement
			e.Bundle = before.Bundle
		case l.lie == "hide":
			e.Unseen, e.Bundle = true, nil
		case l.lie == "stop":
			return nil
		}
		before = e
		if err := out.Send(&countersignv1.WatchResponse{Entry: e}); err != nil {
			return err
		}
	}
	return in.Err()
}

type lyingVerifier struct{ *liar }

func (l lyingVerifier) Verify(ctx context.Context, r *connect.Request[countersignv1.VerifyRequest]) (*connect.Response[countersignv1.VerifyResponse], error) {
	if l.lie == "replay" {
		r.Msg.Nonce = "the nonce of an earlier request"
	}
	resp, err := l.verifier.Verify(ctx, connect.NewRequest(r.Msg))
	if err == nil && l.lie == "allow" {
		text := strings.Replace(string(resp.Msg.Decision), `"verdict":"deny"`, `"verdict":"allow"`, 1)
		resp.Msg.Decision, resp.Msg.Verdict = []byte(text), countersignv1.Verdict_VERDICT_ALLOW
		resp.Msg.DecisionBundle, resp.Msg.VsaBundle = nil, nil
	}
	return resp, err
}

func (l lyingVerifier) Evidence(ctx context.Context, r *connect.Request[countersignv1.EvidenceRequest], out *connect.ServerStream[countersignv1.EvidenceResponse]) error {
	in, err := l.verifier.Evidence(ctx, connect.NewRequest(r.Msg))
	if err != nil {
		return err
	}
	defer in.Close()
	for in.Receive() {
		chunk := in.Msg().Chunk
		if l.lie == "pack" {
			return out.Send(&countersignv1.EvidenceResponse{Chunk: chunk[:len(chunk)/2]})
		}
		if err := out.Send(&countersignv1.EvidenceResponse{Chunk: chunk}); err != nil {
			return err
		}
	}
	return in.Err()
}
