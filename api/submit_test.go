package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/badgerstore"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
)

func TestAppendAnswersWithReceipts(t *testing.T) {
	f := start(t, setup{})
	first := f.tell()
	for i, r := range first {
		b, err := attest.ParseBundle(r.Bundle)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if want := uint64(i + 2); r.Index != want || b.Receipt.Index != want || r.Duplicate {
			t.Errorf("answer %d has index %d, receipt %d, duplicate %t", i, r.Index, b.Receipt.Index, r.Duplicate)
		}
		if _, err := tlog.VerifyReceipt(f.trust.Log, tlog.LeafHash(b.Leaf), b.Receipt); err != nil {
			t.Errorf("answer %d: %v", i, err)
		}
		if _, err := f.trust.Stamp(b.Receipt.Token, b.Signature); err != nil {
			t.Errorf("answer %d: %v", i, err)
		}
	}
	for i, r := range f.tell() {
		if !r.Duplicate || r.Index != first[i].Index {
			t.Errorf("again, answer %d has index %d, duplicate %t", i, r.Index, r.Duplicate)
		}
	}
}

// post sends JSON, as curl would.
func (f *fixture) post(path, token, body string) (status int, header http.Header, answer map[string]any) {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		f.t.Fatalf("%s answers %d with %.200q", path, resp.StatusCode, text)
	}
	return resp.StatusCode, resp.Header, answer
}

func appendJSON(bundles ...[]byte) string {
	b, err := json.Marshal(map[string][][]byte{"bundles": bundles})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// kindOf is the kind among the details of a Connect error in JSON.
func kindOf(t *testing.T, answer map[string]any) *countersignv1.Refusal {
	t.Helper()
	r := &countersignv1.Refusal{}
	details, _ := answer["details"].([]any)
	if len(details) == 0 {
		return r
	}
	value, _ := details[0].(map[string]any)["value"].(string)
	b, err := base64.RawStdEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRefusedBundlesAreNotStored(t *testing.T) {
	f := start(t, setup{})
	good := f.approval("bob", "")
	swap := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	byOther := func() []byte { // carol's signature under bob's name
		b, err := attest.Sign(f.approves("bob", ""), scenario.Key("carol"))
		if err != nil {
			t.Fatal(err)
		}
		b.Hint = scenario.Key("bob").Public().ID().String()
		text, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	change := func(who string, mutate func(*attest.Change)) []byte {
		b, err := attest.ParseBundle(f.story()[0])
		if err != nil {
			t.Fatal(err)
		}
		st, err := attest.ParseStatement(b.Payload)
		if err != nil {
			t.Fatal(err)
		}
		mutate(st.Predicate.(*attest.Change))
		return f.sign(who, st)
	}
	honest := func(*attest.Change) {}
	lies := func(c *attest.Change) { c.Paths = nil }
	for _, c := range []struct {
		name   string
		bundle []byte
		status int
		kind   string
		check  string
	}{
		{"no JSON", []byte("approve it"), 400, "MALFORMED", "format"},
		{"a name twice", swap(`{"mediaType"`, `{"mediaType":"x","mediaType"`), 400, "MALFORMED", "format"},
		{"an unknown field", swap(`{"mediaType"`, `{"media":"x","mediaType"`), 400, "MALFORMED", "format"},
		{"another payload type", swap("vnd.in-toto", "vnd.not-toto"), 400, "WRONG_TYPE", "format"},
		{"bundle too large", append(bytes.Clone(good), bytes.Repeat([]byte(" "), attest.MaxBundle)...), 413, "TOO_LARGE", "format"},
		{"a stranger's key", f.sign("stranger", f.approves("bob", "")), 403, "UNTRUSTED_KEY", "signature"},
		{"a wrong signature", byOther(), 400, "BAD_SIGNATURE", "signature"},
		{"in another's name", f.sign("carol", f.approves("bob", "")), 403, "UNTRUSTED_KEY", "signer"},
		{"a service approves", f.sign("ci", f.approves("ci", "")), 403, "WRONG_SCOPE", "signer"},
		{"an agent makes a change", change("claude", honest), 403, "WRONG_SCOPE", "signer"},
		{"a person who has left", f.sign("gone", f.approves("gone", "")), 403, "KEY_TIME", "time"},
		{"a key that has ended", f.sign("oldkey", f.approves("oldkey", "")), 403, "KEY_TIME", "time"},
		{"a path left out", change("ci", lies), 400, "BAD_FACTS", "facts"},
		{"another policy", f.body(0), 403, "WRONG_SCOPE", "signer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.kind == "KEY_TIME" {
				f.clock.add(31 * time.Minute) // past the end of who may end
				defer f.clock.add(-31 * time.Minute)
			}
			before := f.ledger.Head().Size
			status, _, answer := f.post(countersignv1connect.LedgerServiceAppendProcedure, "", appendJSON(good, c.bundle))
			r := kindOf(t, answer)
			if status != c.status || r.Kind != c.kind || r.Check != c.check || r.Item != 1 {
				t.Errorf("status %d, item %d, kind %s at %s (%s), want %d %s at %s", status, r.Item, r.Kind, r.Check, r.Message, c.status, c.kind, c.check)
			}
			if !strings.HasPrefix(r.Message, "bundle 2 of 2: ") {
				t.Errorf("the message does not name the bundle: %q", r.Message)
			}
			if after := f.ledger.Head().Size; after != before {
				t.Errorf("the log grew from %d to %d", before, after)
			}
		})
	}
	f.append(good) // the twin of all
}

func TestAgentsApprovalIsStored(t *testing.T) {
	f := start(t, setup{})
	if r := f.append(f.approval("claude", "")); r[0].Duplicate || r[0].Index != 2 {
		t.Errorf("index %d, duplicate %t", r[0].Index, r[0].Duplicate)
	}
}

func TestRequestsThatCannotBe(t *testing.T) {
	f := start(t, setup{})
	const path = countersignv1connect.LedgerServiceAppendProcedure
	many := slices.Repeat([][]byte{{}}, 1001)
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"no bundles", `{}`, 400},
		{"too many bundles", appendJSON(many...), 413},
		{"more than 4 MiB", `{"bundles":["` + strings.Repeat("A", attest.MaxRequest) + `"]}`, 413},
		{"an unknown field", `{"bundle":[]}`, 400},
		{"no JSON", `bundles`, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, header, answer := f.post(path, "", c.body)
			if status != c.status {
				t.Errorf("status %d, want %d: %v", status, c.status, answer)
			}
			if header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
		})
	}
	// The same without a length that tells in advance.
	body := io.MultiReader(strings.NewReader(`{"bundles":["`), strings.NewReader(strings.Repeat("A", attest.MaxRequest)), strings.NewReader(`"]}`))
	resp, err := http.Post(f.url+path, "application/json", struct{ io.Reader }{body})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("a stream of more than 4 MiB: status %d", resp.StatusCode)
	}
}

// held is a store whose commits wait until they may.
type held struct {
	ledger.Store
	from    uint64        // commits of entries before it do not wait
	waiting chan struct{} // closed when the first one does
	gate    chan struct{}
}

func (h *held) Commit(ctx context.Context, b ledger.Batch) error {
	if b.Records[0].Index == h.from {
		close(h.waiting)
		<-h.gate
	}
	return h.Store.Commit(ctx, b)
}

func TestFullPoolAnswersOverloaded(t *testing.T) {
	h := &held{from: 2, waiting: make(chan struct{}), gate: make(chan struct{})}
	f := start(t, setup{
		wrap:   func(s ledger.Store) ledger.Store { h.Store = s; return h },
		ledger: func(c *ledger.Config) { c.PoolEntries, c.BatchEntries = 4, 4 },
	})
	accepted := make(chan error, 1)
	bundle := f.approval("bob", "")
	go func() {
		_, err := f.Append(context.Background(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{bundle}}))
		accepted <- err
	}()
	<-h.waiting // one of four places is taken
	var four [][]byte
	for i := range 4 {
		four = append(four, f.approval("carol", fmt.Sprint(i)))
	}
	const path = countersignv1connect.LedgerServiceAppendProcedure
	status, header, answer := f.post(path, "", appendJSON(four...))
	if status != 503 || header.Get("Retry-After") == "" || kindOf(t, answer).Kind != "OVERLOADED" {
		t.Errorf("status %d, Retry-After %q, %v", status, header.Get("Retry-After"), answer)
	}
	close(h.gate)
	if err := <-accepted; err != nil {
		t.Errorf("what was accepted: %v", err)
	}
	f.append(four...)
}

func TestFullDiskIsReadOnly(t *testing.T) {
	var full bool
	f := start(t, setup{store: func(o *badgerstore.Options) {
		o.Free = func(string) (uint64, error) {
			if full {
				return 0, nil
			}
			return 1 << 40, nil
		}
	}})
	f.append(f.approval("bob", "before"))
	full = true
	status, header, answer := 0, http.Header{}, map[string]any{}
	for i := range 3000 { // the free space is not asked for at every commit
		f.clock.add(1e9)
		status, header, answer = f.post(countersignv1connect.LedgerServiceAppendProcedure, "", appendJSON(f.approval("bob", fmt.Sprint(i))))
		if status != 200 {
			break
		}
	}
	if status != 503 || header.Get("Retry-After") == "" || kindOf(t, answer).Kind != "READ_ONLY" {
		t.Errorf("status %d, Retry-After %q, %v", status, header.Get("Retry-After"), answer)
	}
	if _, err := f.Checkpoint(context.Background(), connect.NewRequest(&countersignv1.CheckpointRequest{})); err != nil {
		t.Errorf("reads go on, and this one did not: %v", err)
	}
}

// No key can fill the chain of negative evidence, which all verdicts rest on.
func TestOneKeyTakesBackOnlySoMuch(t *testing.T) {
	f := start(t, setup{})
	revokes := func(who string, i int) []byte {
		what := fmt.Sprintf("%064x", i)
		return f.sign(who, &attest.Statement{
			Subjects: []attest.Subject{{Digest: map[string]string{"sha256": what}}},
			Predicate: &attest.Revocation{
				Revokes: []attest.Revoked{{Kind: attest.RevokedStatement, Digest: what}}, Reason: "mistake", By: who,
			},
		})
	}
	var most [][]byte
	for i := range 500 {
		most = append(most, revokes("bob", i))
	}
	f.append(most[:300]...)
	f.append(most...) // the first are known, and not counted again
	size := f.ledger.Head().Size
	status, _, answer := f.post("/countersign.v1.LedgerService/Append", "", appendJSON(f.approval("bob", "x"), revokes("bob", 500)))
	if r := kindOf(t, answer); status != http.StatusRequestEntityTooLarge || r.Kind != "TOO_LARGE" || f.ledger.Head().Size != size {
		t.Errorf("one more: %d %v", status, answer)
	}
	if r := f.append(most[7]); !r[0].Duplicate {
		t.Error("a retry is refused")
	}
	f.append(f.approval("bob", "y"), revokes("carol", 500))
}
