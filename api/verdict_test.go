package api_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// artifact is the one that stories release.
var artifact = attest.DigestOf([]byte("a"))

// verify asks whether the story's artifact may go to production.
func (f *fixture) verify(token, nonce string) *countersignv1.VerifyResponse {
	f.t.Helper()
	req := connect.NewRequest(&countersignv1.VerifyRequest{
		Subject:    &countersignv1.VerifyRequest_ArtifactSha256{ArtifactSha256: artifact.String()},
		Repository: scenario.Repository, Environment: "production", Nonce: nonce,
	})
	if token != "" {
		req.Header().Set("Authorization", "Bearer "+token)
	}
	resp, err := f.verifier.Verify(context.Background(), req)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Msg
}

func (f *fixture) decision(r *countersignv1.VerifyResponse) *policy.Decision {
	f.t.Helper()
	d, err := policy.ParseDecision(r.Decision)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

func TestOnlyGatesAreLogged(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	before := f.ledger.Head().Size
	for _, token := range []string{"", readerToken} {
		r := f.verify(token, "")
		if r.Verdict != countersignv1.Verdict_VERDICT_ALLOW || !r.DryRun || r.DecisionBundle != nil || !f.decision(r).Annex.Posture.DryRun {
			t.Errorf("verdict %v, dry run %t, %d bytes of bundle", r.Verdict, r.DryRun, len(r.DecisionBundle))
		}
	}
	if after := f.ledger.Head().Size; after != before {
		t.Errorf("a dry run grew the log from %d to %d", before, after)
	}
	r := f.verify(gateToken, "")
	if r.Verdict != countersignv1.Verdict_VERDICT_ALLOW || r.DryRun {
		t.Fatalf("verdict %v, dry run %t: %s", r.Verdict, r.DryRun, r.Decision)
	}
	decision, err := attest.ParseBundle(r.DecisionBundle)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := attest.ParseBundle(r.VsaBundle)
	if err != nil {
		t.Fatal(err)
	}
	if decision.Receipt.Index != before || summary.Receipt.Index != before+1 {
		t.Errorf("logged at %d and %d, want %d and the next", decision.Receipt.Index, summary.Receipt.Index, before)
	}
	st, err := attest.ParseStatement(summary.Payload)
	if err != nil {
		t.Fatal(err)
	}
	vsa := st.Predicate.(*attest.VSA)
	if vsa.VerificationResult != "PASSED" || vsa.InputAttestations[0].Digest["sha256"] != decision.Digest().String() {
		t.Errorf("the summary says %s about %v", vsa.VerificationResult, vsa.InputAttestations)
	}
	service := scenario.Key("service").Public()
	if service.Verify(decision.PAE(), decision.Signature) != nil || service.Verify(summary.PAE(), summary.Signature) != nil {
		t.Error("they are not signed by the service")
	}
}

func TestRepetitionsAreNotLogged(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	first := f.verify(gateToken, "")
	size := f.ledger.Head().Size
	if again := f.verify(gateToken, ""); !bytes.Equal(again.DecisionBundle, first.DecisionBundle) {
		t.Error("asked again, another decision was made")
	}
	f.append(f.approval("frank", "")) // says nothing new about the verdict but its inputs
	f.append(f.sign("ci", &attest.Statement{
		Subjects:  []attest.Subject{{Digest: map[string]string{"gitCommit": string(f.told.IDs["base"])}}},
		Predicate: &attest.Risk{Repository: scenario.Repository, Change: attest.ChangeRef{ID: "77"}, Tier: "low", Classifier: attest.Classifier{ID: "x"}, AssessedAt: attest.At(f.clock.now())},
	}))
	if f.ledger.Head().Size != size+2 {
		t.Fatalf("size %d, want %d", f.ledger.Head().Size, size+2)
	}
	last := f.verify(gateToken, "")
	if last.Verdict != countersignv1.Verdict_VERDICT_ALLOW || last.DecisionBundle == nil {
		t.Errorf("verdict %v without what was logged", last.Verdict)
	}
	size = f.ledger.Head().Size
	if f.verify(gateToken, "n-1"); f.ledger.Head().Size != size+2 {
		t.Error("a nonce did not get a decision of its own")
	}
	f.clock.add(16 * time.Minute) // validFor is 15
	if late := f.verify(gateToken, ""); f.ledger.Head().Size != size+4 || bytes.Equal(late.DecisionBundle, last.DecisionBundle) {
		t.Error("an allow outlived its end")
	}
}

func TestRevocationTurnsTheNextVerdict(t *testing.T) {
	f := start(t, setup{})
	told := f.tell()
	if r := f.verify(gateToken, ""); r.Verdict != countersignv1.Verdict_VERDICT_ALLOW {
		t.Fatalf("%s", r.Decision)
	}
	approval, err := attest.ParseBundle(told[2].Bundle)
	if err != nil {
		t.Fatal(err)
	}
	f.append(f.sign("bob", &attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"sha256": approval.Digest().String()}}},
		Predicate: &attest.Revocation{
			Revokes: []attest.Revoked{{Kind: attest.RevokedStatement, Digest: approval.Digest().String()}}, By: "bob", Reason: "mistake",
		},
	}))
	size := f.ledger.Head().Size
	r := f.verify(gateToken, "")
	if r.Verdict != countersignv1.Verdict_VERDICT_DENY || r.DecisionBundle == nil || f.ledger.Head().Size != size+2 {
		t.Errorf("after a revocation: %v, logged %t", r.Verdict, r.DecisionBundle != nil)
	}
}

func TestQuestionsThatCannotBe(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	hex := artifact.String()
	for _, c := range []struct {
		name, body, token string
		status            int
		verdict, kind     string
	}{
		{"allow", `{"artifact":"sha256:` + hex + `","repository":"example.com/org/repo","environment":"production"}`, gateToken, 200, "allow", ""},
		{"without a prefix", `{"artifact":"` + hex + `","repository":"example.com/org/repo","environment":"production"}`, "", 200, "allow", ""},
		{"unknown artifact", `{"artifact":"` + attest.DigestOf([]byte("b")).String() + `","repository":"example.com/org/repo","environment":"production"}`, gateToken, 403, "deny", "NO_RELEASE"},
		{"unknown environment", `{"artifact":"` + hex + `","repository":"example.com/org/repo","environment":"moon"}`, gateToken, 403, "deny", "UNKNOWN_ENVIRONMENT"},
		{"upper-case digest", `{"artifact":"` + fmt.Sprintf("%X", artifact[:]) + `","repository":"example.com/org/repo","environment":"production"}`, "", 400, "", "MALFORMED"},
		{"nothing to judge", `{"repository":"example.com/org/repo","environment":"production"}`, "", 400, "", "MALFORMED"},
		{"two things", `{"artifact":"` + hex + `","commit":"` + string(f.told.IDs["m1"]) + `","repository":"example.com/org/repo","environment":"production"}`, "", 400, "", "MALFORMED"},
		{"half a commit", `{"commit":"` + string(f.told.IDs["m1"])[:12] + `","repository":"example.com/org/repo","environment":"production"}`, "", 400, "", "MALFORMED"},
		{"repository with .git", `{"artifact":"` + hex + `","repository":"example.com/org/repo.git","environment":"production"}`, "", 400, "", "WRONG_SCOPE"},
		{"no environment", `{"artifact":"` + hex + `","repository":"example.com/org/repo"}`, "", 400, "", "MALFORMED"},
		{"unknown field", `{"artefact":"` + hex + `"}`, "", 400, "", "MALFORMED"},
		{"field twice", `{"artifact":"` + hex + `","artifact":"` + hex + `","repository":"example.com/org/repo","environment":"production"}`, "", 400, "", "MALFORMED"},
		{"no JSON", `allow`, "", 400, "", "MALFORMED"},
		{"long nonce", `{"artifact":"` + hex + `","repository":"example.com/org/repo","environment":"production","nonce":"` + string(bytes.Repeat([]byte("x"), 129)) + `"}`, "", 400, "", "MALFORMED"},
		{"wrong token", `{"artifact":"` + hex + `","repository":"example.com/org/repo","environment":"production"}`, "guessed", 401, "", "UNAUTHENTICATED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, answer := f.post("/gate", c.token, c.body)
			verdict, _ := answer["verdict"].(string)
			kind, _ := answer["kind"].(string)
			if status != c.status || verdict != c.verdict || kind != c.kind {
				t.Errorf("status %d, verdict %q, kind %q, want %d %q %q: %v", status, verdict, kind, c.status, c.verdict, c.kind, answer)
			}
		})
	}
}

func TestPackDecidesTheSameOffline(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	said := f.decision(f.verify("", "n"))
	stream, err := f.verifier.Evidence(t.Context(), connect.NewRequest(&countersignv1.EvidenceRequest{
		Subject:    &countersignv1.EvidenceRequest_ArtifactSha256{ArtifactSha256: artifact.String()},
		Repository: scenario.Repository, Environment: "production",
	}))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	for stream.Receive() {
		packed.Write(stream.Msg().Chunk)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	pack, err := verify.OpenPack(&packed, f.trust)
	if err != nil {
		t.Fatal(err)
	}
	h, err := policy.ReadHistory(t.Context(), pack, f.trust, false)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Config{Trust: f.trust, Roster: h.Latest().Set.Roster, Roll: h})
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := policy.Judge(t.Context(), pack, v, policy.Input{
		History: h, Now: said.Core.DecidedAt.Time, Request: policy.Request{Artifact: &artifact, Repository: scenario.Repository, Environment: "production", Nonce: "n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := policy.Differences(&said.Core, &d.Core); err != nil || len(parts) > 0 {
		t.Errorf("the server and the pack differ in %v (%v)", parts, err)
	}
}
