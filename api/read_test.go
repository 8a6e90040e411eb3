package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
)

// get reads a plain path.
func (f *fixture) get(path, token string) (int, http.Header, []byte) {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodGet, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body
}

func TestEntryByIndexAndByLeaf(t *testing.T) {
	f := start(t, setup{})
	answers := f.tell()
	want, err := attest.ParseBundle(answers[2].Bundle)
	if err != nil {
		t.Fatal(err)
	}
	leaf := tlog.LeafHash(want.Leaf)
	for _, req := range []*countersignv1.EntryRequest{
		{At: &countersignv1.EntryRequest_Index{Index: answers[2].Index}},
		{At: &countersignv1.EntryRequest_LeafHash{LeafHash: leaf[:]}},
	} {
		resp, err := f.Entry(t.Context(), connect.NewRequest(req))
		if err != nil {
			t.Fatal(err)
		}
		e := resp.Msg.Entry
		if e.Index != answers[2].Index || e.Person != "bob" || e.PredicateType != attest.TypeApproval || e.Repository != scenario.Repository ||
			e.StatementDigest != want.Digest().String() || !slices.Contains(e.Subjects, "gitCommit:"+string(f.told.IDs["h1"])) {
			t.Errorf("%v", e)
		}
		b, err := attest.ParseBundle(e.Bundle)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tlog.VerifyReceipt(f.trust.Log, tlog.LeafHash(b.Leaf), b.Receipt); err != nil {
			t.Error(err)
		}
	}
}

func TestProofsHold(t *testing.T) {
	f := start(t, setup{})
	small := f.ledger.Head()
	f.tell()
	cp, err := f.Checkpoint(t.Context(), connect.NewRequest(&countersignv1.CheckpointRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	now, err := f.trust.Log.Open(cp.Msg.Note)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := f.trust.Stamp(cp.Msg.Token, cp.Msg.Note); err != nil || at.After(cp.Msg.Time.AsTime()) {
		t.Errorf("checkpoint of %v is stamped %v: %v", cp.Msg.Time.AsTime(), at, err)
	}
	in, err := f.Inclusion(t.Context(), connect.NewRequest(&countersignv1.InclusionRequest{Index: 3}))
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.VerifyInclusion(tlog.Hash(in.Msg.LeafHash), 3, path(in.Msg.Hashes), now); err != nil || !bytes.Equal(in.Msg.Checkpoint, cp.Msg.Note) {
		t.Errorf("inclusion: %v", err)
	}
	con, err := f.Consistency(t.Context(), connect.NewRequest(&countersignv1.ConsistencyRequest{FromSize: small.Size}))
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.VerifyConsistency(small.Checkpoint, now, path(con.Msg.Hashes)); err != nil {
		t.Errorf("consistency: %v", err)
	}
}

func path(hashes [][]byte) []tlog.Hash {
	var out []tlog.Hash
	for _, h := range hashes {
		out = append(out, tlog.Hash(h))
	}
	return out
}

func TestReadsOfWhatIsNotThere(t *testing.T) {
	f := start(t, setup{})
	const service = "/countersign.v1.LedgerService/"
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{service + "Entry", `{"index":"99"}`, 404},
		{service + "Entry", `{"leafHash":"` + strings.Repeat("A", 43) + `="}`, 404},
		{service + "Entry", `{"leafHash":"QUFB"}`, 400},
		{service + "Entry", `{}`, 400},
		{service + "Entry", `{"index":"-1"}`, 400},
		{service + "Entry", `{"index":"18446744073709551616"}`, 400},
		{service + "Inclusion", `{"index":"2"}`, 404},
		{service + "Inclusion", `{"index":"0","treeSize":"3"}`, 404},
		{service + "Consistency", `{"fromSize":"2","toSize":"1"}`, 400},
		{service + "Consistency", `{"fromSize":"1","toSize":"9223372036854775807"}`, 404},
		{service + "Checkpoint", `{"size":"3"}`, 404},
		{service + "Search", `{}`, 400},
		{service + "Search", `{"subject":"sha256"}`, 400},
		{service + "Search", `{"person":"nobody"}`, 404},
		{service + "Search", `{"change":"1"}`, 400},
		{service + "Search", `{"subject":"sha256:` + strings.Repeat("a", 2000) + `"}`, 400},
		{service + "Search", `{"signer":"ABC"}`, 400},
		{service + "Search", `{"person":"bob","pageSize":1001}`, 400},
		{service + "Search", `{"person":"bob","pageToken":"AAAA"}`, 400},
		{service + "Search", `{"person":"bob","pageToken":"%"}`, 400},
		{"/nowhere", `{}`, 404},
	} {
		if status, _, answer := f.post(c.path, "", c.body); status != c.status {
			t.Errorf("%s %s: status %d, want %d: %v", c.path, c.body, status, c.status, answer)
		}
	}
}

// pages reads a whole search, a few entries at a time.
func (f *fixture) pages(q *countersignv1.SearchRequest, between func()) (indexes []uint64) {
	f.t.Helper()
	for {
		resp, err := f.Search(context.Background(), connect.NewRequest(q))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range resp.Msg.Entries {
			indexes = append(indexes, e.Index)
		}
		if resp.Msg.NextPageToken == "" {
			return indexes
		}
		if between != nil {
			between()
		}
		q.PageToken = resp.Msg.NextPageToken
	}
}

func TestSearch(t *testing.T) {
	f := start(t, setup{})
	f.tell() // change 2, authorship 3, approval 4, admission 5, release 6
	noon := f.clock.now().Add(time.Hour)
	f.clock.add(2 * time.Hour)
	var bobs, all []uint64
	for i := range 9 {
		who := []string{"bob", "carol", "alice/phone"}[i%3]
		st := f.approves(strings.TrimSuffix(who, "/phone"), fmt.Sprint(i))
		r := f.append(f.sign(who, st))
		if all = append(all, r[0].Index); who == "bob" {
			bobs = append(bobs, r[0].Index)
		}
	}
	h1 := "gitCommit:" + string(f.told.IDs["h1"])
	for _, c := range []struct {
		name string
		q    *countersignv1.SearchRequest
		want []uint64
	}{
		{"subject", &countersignv1.SearchRequest{Subject: h1, PredicateType: attest.TypeApproval}, append([]uint64{4}, all...)},
		{"short type", &countersignv1.SearchRequest{PredicateType: "release"}, []uint64{6}},
		{"signer", &countersignv1.SearchRequest{Signer: scenario.Key("bob").Public().ID().String()}, append([]uint64{4}, bobs...)},
		{"person with two keys", &countersignv1.SearchRequest{Person: "alice"}, []uint64{3, all[2], all[5], all[8]}},
		{"repository", &countersignv1.SearchRequest{Repository: scenario.Repository, PredicateType: "change"}, []uint64{2}},
		{"another repository", &countersignv1.SearchRequest{Repository: "example.com/org/other"}, nil},
		{"since", &countersignv1.SearchRequest{Since: timestamppb.New(noon)}, all},
		{"until", &countersignv1.SearchRequest{Until: timestamppb.New(noon)}, []uint64{0, 1, 2, 3, 4, 5, 6}},
		{"person since", &countersignv1.SearchRequest{Person: "bob", Since: timestamppb.New(noon)}, bobs},
	} {
		for _, size := range []uint32{0, 1, 2} {
			c.q.PageSize, c.q.PageToken = size, ""
			if got := f.pages(c.q, nil); !slices.Equal(got, c.want) {
				t.Errorf("%s, %d a page: %v, want %v", c.name, size, got, c.want)
			}
		}
	}
}

func TestVerdictsAreFoundByTheirSubject(t *testing.T) {
	f := start(t, setup{})
	f.tell() // the release is 6
	f.verify(gateToken, "")
	subject := "sha256:" + artifact.String()
	for typ, want := range map[string][]uint64{"": {6, 7, 8}, "decision": {7}, "vsa": {8}, "release": {6}} {
		if got := f.pages(&countersignv1.SearchRequest{Subject: subject, PredicateType: typ}, nil); !slices.Equal(got, want) {
			t.Errorf("type %q: %v, want %v", typ, got, want)
		}
	}
	resp, err := f.Entry(t.Context(), connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: 7}}))
	if err != nil || !slices.Contains(resp.Msg.Entry.Subjects, subject) {
		t.Errorf("subjects %v, %v", resp.Msg.Entry.Subjects, err)
	}
}

func TestPagesDoNotMoveWhileTheLogGrows(t *testing.T) {
	f := start(t, setup{})
	for i := range 5 {
		f.append(f.approval("bob", fmt.Sprint(i)))
	}
	more := 5
	got := f.pages(&countersignv1.SearchRequest{Person: "bob", PageSize: 2}, func() {
		f.append(f.approval("bob", fmt.Sprint(more)))
		more++
	})
	if want := []uint64{2, 3, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	first, err := f.Search(t.Context(), connect.NewRequest(&countersignv1.SearchRequest{Person: "bob", PageSize: 2}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Search(t.Context(), connect.NewRequest(&countersignv1.SearchRequest{Person: "carol", PageToken: first.Msg.NextPageToken}))
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("the token of another search: %v", err)
	}
}

func TestWatchSeesWhatComes(t *testing.T) {
	f := start(t, setup{})
	f.append(f.approval("bob", "0"))
	stream, err := f.Watch(t.Context(), connect.NewRequest(&countersignv1.WatchRequest{FromIndex: 1, PredicateType: "approval"}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		e := stream.Msg().Entry
		if e.Index != uint64(2+i) || len(e.Bundle) == 0 {
			t.Errorf("entry %d, want %d", e.Index, 2+i)
		}
		f.append(f.approval("bob", fmt.Sprint(i+1)))
	}
	f.stop()
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("when the server stops, a watch ends with %v", stream.Err())
	}
}

func TestTiles(t *testing.T) {
	f := start(t, setup{})
	var bundles [][]byte
	for i := range 300 {
		bundles = append(bundles, f.approval("bob", fmt.Sprint(i)))
	}
	f.append(bundles...)
	const year = "public, max-age=31536000, immutable"
	for _, c := range []struct {
		path    string
		status  int
		size    int
		control string
	}{
		{"/tile/0/000", 200, 256 * 32, year},
		{"/tile/0/001.p/46", 200, 46 * 32, "public, max-age=3600"},
		{"/tile/1/000.p/1", 200, 32, "public, max-age=3600"},
		{"/tile/entries/000", 200, -1, year},
		{"/tile/0/001", 404, -1, "no-store"},
		{"/tile/0/001.p/47", 404, -1, "no-store"},
		{"/tile/0/0", 400, -1, "no-store"},
		{"/tile/8/000", 400, -1, "no-store"},
		{"/tile/0/000.p/0", 400, -1, "no-store"},
		{"/tile/", 400, -1, "no-store"},
	} {
		for _, prefix := range []string{"", "/api/v2"} {
			status, header, body := f.get(prefix+c.path, "")
			if status != c.status || header.Get("Cache-Control") != c.control || c.size >= 0 && len(body) != c.size {
				t.Errorf("%s%s: status %d, %d bytes, %q", prefix, c.path, status, len(body), header.Get("Cache-Control"))
			}
		}
	}
	status, header, note := f.get("/checkpoint", "")
	cp, err := f.trust.Log.Open(note)
	if status != 200 || err != nil || cp.Size != 302 || header.Get("Cache-Control") != "no-cache" {
		t.Errorf("checkpoint: status %d, size %d, %v, %q", status, cp.Size, err, header.Get("Cache-Control"))
	}
}

func TestEveryProtocolOnOnePort(t *testing.T) {
	f := start(t, setup{})
	h2c := &http.Client{Transport: &http.Transport{Protocols: func() *http.Protocols {
		var p http.Protocols
		p.SetUnencryptedHTTP2(true)
		return &p
	}()}}
	for _, c := range []struct {
		name   string
		client *http.Client
		opts   []connect.ClientOption
	}{
		{"connect", http.DefaultClient, nil},
		{"connect over h2c", h2c, nil},
		{"json", http.DefaultClient, []connect.ClientOption{connect.WithProtoJSON()}},
		{"get", http.DefaultClient, []connect.ClientOption{connect.WithHTTPGet()}},
		{"grpc", h2c, []connect.ClientOption{connect.WithGRPC()}},
		{"grpc-web", http.DefaultClient, []connect.ClientOption{connect.WithGRPCWeb()}},
	} {
		client := countersignv1connect.NewLedgerServiceClient(c.client, f.url, c.opts...)
		if resp, err := client.Checkpoint(t.Context(), connect.NewRequest(&countersignv1.CheckpointRequest{})); err != nil || resp.Msg.Size != 2 {
			t.Errorf("%s: %v", c.name, err)
		}
		_, err := client.Entry(t.Context(), connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: 9}}))
		var wire *connect.Error
		if !errors.As(err, &wire) || wire.Code() != connect.CodeNotFound || len(wire.Details()) != 1 {
			t.Errorf("%s: of what is not there: %v", c.name, err)
		}
	}
	for _, service := range []string{"", countersignv1connect.LedgerServiceName, countersignv1connect.VerifierServiceName} {
		resp, err := grpchealth.NewClient(h2c, f.url, connect.WithGRPC()).Check(t.Context(), &grpchealth.CheckRequest{Service: service})
		if err != nil || resp.Status != grpchealth.StatusServing {
			t.Errorf("health of %q: %v", service, err)
		}
	}
}

func TestReadsNeedATokenElsewhere(t *testing.T) {
	f := start(t, setup{api: func(c *api.Config) { c.OpenReads = false }})
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/1", "/metrics", "/api/v2/checkpoint"} {
		for token, want := range map[string]int{"": 401, "guessed": 401, readerToken: 200, gateToken: 200} {
			if status, _, _ := f.get(path, token); status != want {
				t.Errorf("%s with %q: status %d, want %d", path, token, status, want)
			}
		}
	}
	_, err := f.Checkpoint(t.Context(), connect.NewRequest(&countersignv1.CheckpointRequest{}))
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("without a token: %v", err)
	}
	if status, _, _ := f.get("/healthz", ""); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	f.append(f.approval("bob", "")) // its signature is enough
}

func TestRequestIDs(t *testing.T) {
	f := start(t, setup{})
	for given, kept := range map[string]bool{"abc-123": true, "with space": false, strings.Repeat("x", 65): false, "": false} {
		req, err := http.NewRequest(http.MethodGet, f.url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-Id", given)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("X-Request-Id"); (got == given) != kept || got == "" {
			t.Errorf("given %q, got %q", given, got)
		}
	}
}

func TestMetrics(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	f.tell()
	f.verify(gateToken, "")
	f.verify(gateToken, "")
	f.post(countersignv1connect.LedgerServiceAppendProcedure, "", appendJSON(f.sign("stranger", f.approves("bob", ""))))
	_, _, body := f.get("/metrics", "")
	for _, line := range []string{
		`countersign_entries_total{outcome="new"} 5`,
		`countersign_entries_total{outcome="duplicate"} 5`,
		`countersign_refused_total{kind="UNTRUSTED_KEY"} 1`,
		`countersign_verdicts_total{dry_run="false",source="made",verdict="allow"} 1`,
		`countersign_verdicts_total{dry_run="false",source="remembered",verdict="allow"} 1`,
		`countersign_tree_size 9`,
		`countersign_batches_total 4`,
		`countersign_append_seconds_count 2`,
		`countersign_rss_anon_bytes `,
	} {
		if !strings.Contains(string(body), "\n"+line) {
			t.Errorf("no line %q", line)
		}
	}
}
