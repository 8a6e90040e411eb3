package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
	"github.com/countersign-dev/countersign/verify"
)

// ledger is the connection to a server.
type ledger struct {
	countersignv1connect.LedgerServiceClient
	verifier countersignv1connect.VerifierServiceClient
}

// connect makes the connection; nothing is sent yet.
func (a *app) connect() (*ledger, error) {
	if a.link != nil {
		return a.link, nil
	}
	u, err := url.Parse(a.server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, wrong("--server %q is not a URL such as http://127.0.0.1:7391", a.server)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
	}}
	opts := []connect.ClientOption{
		connect.WithReadMaxBytes(64 << 20),
		connect.WithInterceptors(bearer(a.bearer())),
	}
	a.link = &ledger{
		LedgerServiceClient: countersignv1connect.NewLedgerServiceClient(client, a.server, opts...),
		verifier:            countersignv1connect.NewVerifierServiceClient(client, a.server, opts...),
	}
	return a.link, nil
}

func (a *app) bearer() string {
	if a.token != "" {
		return a.token
	}
	return os.Getenv("COUNTERSIGN_TOKEN")
}

// bearer puts a token on every call.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		b.set(req.Header())
		return next(ctx, req)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		b.set(conn.RequestHeader())
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (b bearer) set(h http.Header) {
	if b != "" {
		h.Set("Authorization", "Bearer "+string(b))
	}
}

// within bounds one call.
func (a *app) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// append logs bundles.
func (a *app) append(ctx context.Context, l *ledger, bundles [][]byte) ([]*countersignv1.AppendResult, error) {
	var results []*countersignv1.AppendResult
	err := a.patiently(ctx, func(ctx context.Context) error {
		resp, err := l.Append(ctx, connect.NewRequest(&countersignv1.AppendRequest{Bundles: bundles}))
		if err == nil {
			results = resp.Msg.Results
		}
		return err
	})
	if err == nil && len(results) != len(bundles) {
		return nil, broken("the ledger answered %d of %d bundles", len(results), len(bundles))
	}
	return results, err
}

// patiently makes a call, and again while the ledger says that it cannot now. That is
// safe for all that we send: what is there already gets its first index.
func (a *app) patiently(ctx context.Context, do func(context.Context) error) error {
	wait := 100 * time.Millisecond
	for attempt := 0; ; attempt++ {
		call, cancel := a.within(ctx)
		err := do(call)
		cancel()
		if err == nil || connect.CodeOf(err) != connect.CodeUnavailable || attempt == 5 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// search reads all pages of a question.
func (a *app) search(ctx context.Context, l *ledger, q *countersignv1.SearchRequest, limit int) ([]*countersignv1.LogEntry, error) {
	var out []*countersignv1.LogEntry
	for {
		call, cancel := a.within(ctx)
		resp, err := l.Search(call, connect.NewRequest(q))
		cancel()
		if err != nil {
			return nil, err
		}
		out = append(out, resp.Msg.Entries...)
		if resp.Msg.NextPageToken == "" || len(out) >= limit {
			return out, nil
		}
		q.PageToken = resp.Msg.NextPageToken
	}
}

// statement reads the statement of an entry. Its signature is checked against
// the key that the roster names; that is for showing, verdicts check everything.
func statement(e *countersignv1.LogEntry) (*attest.Bundle, *attest.Statement, error) {
	b, err := attest.ParseBundle(e.Bundle)
	if err != nil {
		return nil, nil, broken("entry %d: %v", e.Index, err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return nil, nil, broken("entry %d: %v", e.Index, err)
	}
	if c := attest.CarriedBy(st.Predicate); c != nil {
		return c.Bundle, c.Statement, nil
	}
	return b, st, nil
}

// policySet reads the policy set in force. With a trust folder it is found from the
// genesis on, as for a verdict; without, the newest that two keys have signed serves for
// showing only.
func (a *app) policySet(ctx context.Context, l *ledger, trustDir string) (*policy.Set, error) {
	if trustDir != "" {
		h, err := a.policyHistory(ctx, trustDir)
		if err != nil {
			return nil, err
		}
		return h.InForce(a.now()), nil
	}
	entries, err := a.search(ctx, l, &countersignv1.SearchRequest{PredicateType: attest.TypePolicy, PageSize: 100, WithBundles: true}, verify.MaxPolicies)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, broken("the log holds no policy")
	}
	var newest *attest.Policy
	signers := make(map[string]map[string]bool) // by statement
	for _, e := range entries {
		_, st, err := statement(e)
		if err != nil {
			return nil, err
		}
		p, ok := st.Predicate.(*attest.Policy)
		if !ok {
			return nil, lied("the log calls entry %d a policy, and it is a %s", e.Index, st.Predicate.Type())
		}
		if signers[e.StatementDigest] == nil {
			signers[e.StatementDigest] = make(map[string]bool)
		}
		signers[e.StatementDigest][e.Signer] = true
		if newest == nil || p.Version > newest.Version && len(signers[e.StatementDigest]) > 1 {
			newest = p
		}
	}
	return policy.ParseSet(newest.Files)
}

var errNoChange = errors.New("no such change")
