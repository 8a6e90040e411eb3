package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

const logEntries = "/api/v2/log/entries"

// hashRequest is what a client sends that keeps the statement to itself.
func hashRequest(b *attest.Bundle, key *attest.PublicKey) string {
	digest := b.PAEDigest()
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`{"hashedRekordRequestV002":{"digest":%q,"signature":{"content":%q,"verifier":{"publicKey":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}`,
		enc(digest[:]), enc(b.Signature), enc(key.SPKI()))
}

func envelopeRequest(b *attest.Bundle, key *attest.PublicKey) string {
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`{"dsseRequestV002":{"envelope":{"payload":%q,"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":%q,"keyid":""}]},"verifiers":[{"publicKey":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}]}}`,
		enc(b.Payload), enc(b.Signature), enc(key.SPKI()))
}

func (f *fixture) bundle(who, nonce string) *attest.Bundle {
	f.t.Helper()
	b, err := attest.Sign(f.approves(who, nonce), scenario.Key(who))
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// rekor posts a request, and returns the index that it got where it got one.
func (f *fixture) rekor(credential, body string) (status int, index string, answer string) {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.url+logEntries, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if user, password, ok := strings.Cut(credential, ":"); ok {
		req.SetBasicAuth(user, password)
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
	var entry struct {
		LogIndex string `json:"logIndex"`
	}
	_ = json.Unmarshal(text, &entry)
	return resp.StatusCode, entry.LogIndex, string(text)
}

// Sigstore's own library logs a bundle, and what it stores in it is our receipt.
func TestSigstoreLibraryLogs(t *testing.T) {
	f := start(t, setup{})
	b := f.bundle("bob", "library")
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var theirs protobundle.Bundle
	if err := protojson.Unmarshal(text, &theirs); err != nil {
		t.Fatal(err)
	}
	client := sign.NewRekor(&sign.RekorOptions{BaseURL: f.url, Version: 2})
	if err := client.GetTransparencyLogEntry(t.Context(), scenario.Key("bob").Public().PEM(), &theirs); err != nil {
		t.Fatal(err)
	}
	if text, err = protojson.Marshal(&theirs); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		t.Fatal(err)
	}
	logged, err := attest.ParseBundle(compact.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if logged.Receipt == nil || logged.Receipt.Index != 2 {
		t.Fatalf("%+v", logged.Receipt)
	}
	if done := f.attach(compact.Bytes()); done.Entry != 2 {
		t.Errorf("attached to %d", done.Entry)
	}
}

func (f *fixture) attach(text []byte) *countersignv1.AttachResponse {
	f.t.Helper()
	resp, err := f.Attach(context.Background(), connect.NewRequest(&countersignv1.AttachRequest{Bundle: text}))
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Msg
}

// A hash says nothing until its statement is attached; then it counts from there.
func TestAHashAndItsStatement(t *testing.T) {
	f := start(t, setup{})
	b := f.bundle("bob", "hash")
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	key := scenario.Key("bob").Public()
	status, index, answer := f.rekor("", hashRequest(b, key))
	if status != http.StatusCreated || index != "2" {
		t.Fatalf("%d %s", status, answer)
	}
	if status, index, _ := f.rekor("", hashRequest(b, key)); status != http.StatusCreated || index != "2" {
		t.Errorf("again: %d, entry %s", status, index)
	}
	entry := func(i uint64) *countersignv1.LogEntry {
		resp, err := f.Entry(t.Context(), connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: i}}))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Msg.Entry
	}
	if e := entry(2); !e.Unseen || e.Person != "bob" || e.PredicateType != "" || len(e.Bundle) > 0 {
		t.Errorf("%+v", e)
	}
	found := func() []*countersignv1.LogEntry {
		resp, err := f.Search(t.Context(), connect.NewRequest(&countersignv1.SearchRequest{Repository: scenario.Repository, PredicateType: attest.TypeApproval}))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Msg.Entries
	}
	if n := len(found()); n != 0 {
		t.Errorf("%d approvals before any was seen", n)
	}
	// Logged whole, it would count from where the hash is: it has to be attached.
	_, err = f.Append(t.Context(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{text}}))
	if err == nil || !strings.Contains(err.Error(), "UNATTACHED") {
		t.Errorf("%v", err)
	}
	if status, _, answer := f.rekor("", envelopeRequest(b, key)); status != http.StatusBadRequest || !strings.Contains(answer, "UNATTACHED") {
		t.Errorf("%d %s", status, answer)
	}
	done, again := f.attach(text), f.attach(text)
	if done.Entry != 2 || done.Result.Index != 3 || done.Result.Duplicate || again.Result.Index != 3 || !again.Result.Duplicate {
		t.Errorf("%v, %v", done, again)
	}
	if e := entry(3); e.Carrier != "attachment" || e.AttachedTo != 2 || e.PredicateType != attest.TypeApproval || e.Person != "bob" {
		t.Errorf("%+v", e)
	}
	if list := found(); len(list) != 1 || list[0].Index != 3 {
		t.Errorf("%v", list)
	}
	// What was never logged cannot be attached; what was logged whole is there already.
	other, err := f.bundle("bob", "never").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Attach(t.Context(), connect.NewRequest(&countersignv1.AttachRequest{Bundle: other})); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("%v", err)
	}
	whole := f.append(other)[0]
	if done := f.attach(other); done.Entry != whole.Index || done.Result.Index != whole.Index || !done.Result.Duplicate {
		t.Errorf("%v", done)
	}
}

// An envelope is logged whole, as by Append.
func TestAnEnvelopeIsLoggedWhole(t *testing.T) {
	f := start(t, setup{})
	b := f.bundle("bob", "envelope")
	status, index, answer := f.rekor("", envelopeRequest(b, scenario.Key("bob").Public()))
	if status != http.StatusCreated || index != "2" {
		t.Fatalf("%d %s", status, answer)
	}
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if r := f.append(text)[0]; !r.Duplicate || r.Index != 2 {
		t.Errorf("%+v", r)
	}
}

// What Rekor's route refuses, each beside the request that it takes.
func TestRekorRefuses(t *testing.T) {
	f := start(t, setup{})
	b := f.bundle("bob", "good")
	bob, stranger := scenario.Key("bob").Public(), scenario.Key("nobody").Public()
	good, whole := hashRequest(b, bob), envelopeRequest(b, bob)
	edit := func(in, old, new string) string {
		out := strings.Replace(in, old, new, 1)
		if out == in {
			t.Fatalf("%q edits nothing in %s", old, in)
		}
		return out
	}
	other := f.bundle("bob", "other")
	foreign, err := attest.Sign(f.approves("nobody", "x"), scenario.Key("nobody"))
	if err != nil {
		t.Fatal(err)
	}
	service, err := attest.Sign(f.approves("bob", "x"), scenario.Key("service"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body, says string
		status     int
	}{
		"a signature over something else": {hashRequest(&attest.Bundle{Payload: other.Payload, Signature: b.Signature}, bob), "BAD_SIGNATURE", 400},
		"another's key":                   {hashRequest(b, stranger), "BAD_SIGNATURE", 400},
		"a stranger":                      {hashRequest(foreign, stranger), "UNTRUSTED_KEY", 403},
		"the service's key":               {hashRequest(service, scenario.Key("service").Public()), "UNTRUSTED_KEY", 403},
		"an unknown field":                {edit(good, `{"digest"`, `{"tenant":"x","digest"`), "tenant", 400},
		"a field twice":                   {edit(good, `{"digest"`, `{"digest":"AA==","digest"`), "duplicate", 400},
		"another algorithm":               {edit(good, "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519"), "UNSUPPORTED", 400},
		"no key":                          {edit(good, `"publicKey"`, `"x509Certificate"`), "certificate", 400},
		"half a digest":                   {edit(good, `"digest":"`, `"digest":"AA==","x":"`), "", 400},
		"nothing":                         {`{}`, "exactly one", 400},
		"both":                            {edit(good, `{"hashed`, edit(whole, `"PKIX_ECDSA_P256_SHA_256"}]}}`, `"PKIX_ECDSA_P256_SHA_256"}]},`)+`"hashed`), "exactly one", 400},
		"no JSON":                         {`log this`, "MALFORMED", 400},
		"another payload type":            {edit(whole, "vnd.in-toto+json", "json"), "WRONG_TYPE", 400},
		"two signatures":                  {edit(whole, `"signatures":[`, `"signatures":[{"sig":"AA==","keyid":""},`), "exactly one", 400},
		"two verifiers":                   {edit(whole, `"verifiers":[`, `"verifiers":[{},`), "exactly one", 400},
		"a payload that is no statement":  {envelopeRequest(&attest.Bundle{Payload: []byte("[]"), Signature: b.Signature}, bob), "MALFORMED", 400},
		"more than is read":               {strings.Repeat(" ", attest.MaxRequest+1), "TOO_LARGE", 413},
	} {
		if status, _, answer := f.rekor("", c.body); status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%s: %d %.300s", name, status, answer)
		}
	}
	if size := f.ledger.Head().Size; size != 2 {
		t.Errorf("something of it was logged: %d entries", size)
	}
	if status, _, answer := f.rekor("", good); status != http.StatusCreated {
		t.Errorf("the twin: %d %s", status, answer)
	}
}

const writerToken = "a token of a writer in these tests"

// Where the operator asks for a credential, no way of writing does without.
func TestWriteCredentials(t *testing.T) {
	f := start(t, setup{api: func(c *api.Config) { c.Writers = []attest.Digest{attest.DigestOf([]byte(writerToken))} }})
	b := f.bundle("bob", "credential")
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	body := hashRequest(b, scenario.Key("bob").Public())
	for credential, want := range map[string]int{
		"": 401, "ci:guess": 401, "ci:" + gateToken: 401, "ci:" + readerToken: 401, "ci:" + writerToken: 201,
	} {
		if status, _, answer := f.rekor(credential, body); status != want {
			t.Errorf("with %q: %d %s", credential, status, answer)
		}
	}
	calls := map[string]func() error{
		"append": func() error {
			_, err := f.Append(t.Context(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{text}}))
			return err
		},
		"attach": func() error {
			_, err := f.Attach(t.Context(), connect.NewRequest(&countersignv1.AttachRequest{Bundle: text}))
			return err
		},
		"import": func() error {
			_, err := f.Import(t.Context(), connect.NewRequest(&countersignv1.ImportRequest{Bundle: text}))
			return err
		},
	}
	for name, call := range calls {
		if err := call(); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("%s without a credential: %v", name, err)
		}
	}
	req := connect.NewRequest(&countersignv1.AttachRequest{Bundle: text})
	req.Header().Set("Authorization", "Bearer "+writerToken)
	if _, err := f.Attach(t.Context(), req); err != nil {
		t.Errorf("with one: %v", err)
	}
}

// A log that takes no entries says so as Rekor does.
func TestRekorReadOnly(t *testing.T) {
	full := &fullStore{}
	f := start(t, setup{wrap: func(s ledger.Store) ledger.Store { full.Store = s; return full }})
	full.on = true
	status, _, answer := f.rekor("", hashRequest(f.bundle("bob", "full"), scenario.Key("bob").Public()))
	if status != http.StatusMethodNotAllowed || !strings.Contains(answer, "READ_ONLY") {
		t.Errorf("%d %s", status, answer)
	}
	full.on = false
	if status, _, answer := f.rekor("", hashRequest(f.bundle("bob", "full"), scenario.Key("bob").Public())); status != http.StatusCreated {
		t.Errorf("the twin: %d %s", status, answer)
	}
}

// fullStore refuses commits while it is on.
type fullStore struct {
	ledger.Store
	on bool
}

func (s *fullStore) Commit(ctx context.Context, b ledger.Batch) error {
	if s.on {
		return ledger.ErrReadOnly
	}
	return s.Store.Commit(ctx, b)
}
