package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/proto/gen/countersign/v1/countersignv1connect"
)

const primaryURL = "https://log.example.com"

// mirror copies the fixture's ledger, and serves the copy.
func (f *fixture) mirror() (*fixture, *ledger.Mirror) {
	f.t.Helper()
	first, err := f.ledger.Checkpoint(f.t.Context(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := ledger.NewMirror(f.t.Context(), ledger.MirrorConfig{Store: ledgertest.NewMemory(first), Verifier: f.trust.Log})
	if err != nil {
		f.t.Fatal(err)
	}
	for b, err := range f.ledger.Batches(f.t.Context(), 0) {
		if err == nil {
			err = m.Take(f.t.Context(), b)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	server, err := api.New(f.t.Context(), api.Config{
		Ledger: m.Ledger(), Trust: f.trust, Mirrors: primaryURL, Now: f.clock.now, OpenReads: true,
		Gates: map[string]attest.Digest{"gate": attest.DigestOf([]byte(gateToken))},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	f.t.Cleanup(h.Close)
	copied := *f
	copied.url, copied.ledger = h.URL, m.Ledger()
	copied.LedgerServiceClient = countersignv1connect.NewLedgerServiceClient(http.DefaultClient, h.URL)
	copied.verifier = countersignv1connect.NewVerifierServiceClient(http.DefaultClient, h.URL)
	return &copied, m
}

// A mirror gives the primary's verdicts as dry runs, to gates as well, as long as its
// view is not too old; and it takes nothing.
func TestMirrorServes(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	m, _ := f.mirror()
	size := m.ledger.Head().Size
	for _, token := range []string{"", gateToken} {
		r := m.verify(token, "")
		if r.Verdict != countersignv1.Verdict_VERDICT_ALLOW || !r.DryRun || r.DecisionBundle != nil || !m.decision(r).Annex.Posture.DryRun {
			t.Errorf("verdict %v, dry run %t, %d bytes of bundle", r.Verdict, r.DryRun, len(r.DecisionBundle))
		}
	}
	if r := f.verify("", ""); f.decision(r).Core.To != m.decision(m.verify("", "")).Core.To {
		t.Error("the primary says something else")
	}

	_, err := m.Append(t.Context(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{m.approval("carol", "1")}}))
	var wire *connect.Error
	if !errors.As(err, &wire) || wire.Code() != connect.CodeUnavailable || !strings.Contains(wire.Message(), primaryURL) {
		t.Fatalf("append: %v", err)
	}
	detail, err := wire.Details()[0].Value()
	if refusal, ok := detail.(*countersignv1.Refusal); err != nil || !ok || refusal.Kind != "READ_ONLY" {
		t.Errorf("append: %v, %v", detail, err)
	}
	if status, _, _ := m.post("/api/v1/timestamp", "", ""); status != http.StatusNotFound {
		t.Errorf("a mirror has no timestamp authority: %d", status)
	}
	if now := m.ledger.Head().Size; now != size {
		t.Errorf("the mirror grew to %d", now)
	}

	f.clock.add(2 * time.Hour)
	if r := m.verify("", "late"); r.Verdict == countersignv1.Verdict_VERDICT_ALLOW || m.decision(r).Core.Kind != "STALE_VIEW" {
		t.Errorf("two hours later: %v %s", r.Verdict, m.decision(r).Core.Kind)
	}
	if r := f.verify("", "late"); r.Verdict != countersignv1.Verdict_VERDICT_ALLOW {
		t.Errorf("the primary, two hours later: %v", r.Verdict)
	}
}

// A mirror that is given a key is a mistake, as is a server without one.
func TestMirrorHasNoKey(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	_, m := f.mirror()
	for name, c := range map[string]api.Config{
		"a mirror with a service key": {Ledger: m.Ledger(), Trust: f.trust, Mirrors: primaryURL, Service: scenario.Key("service"), Now: f.clock.now},
		"a server without one":        {Ledger: m.Ledger(), Trust: f.trust, Now: f.clock.now},
	} {
		if _, err := api.New(t.Context(), c); err == nil {
			t.Errorf("%s is made", name)
		}
	}
}

// Records are whole batches, from any entry on, up to the limit.
func TestRecords(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	f.append(f.approval("bob", "1"))
	size := f.ledger.Head().Size
	read := func(from uint64, limit uint32) (steps []string, err error) {
		stream, err := f.Records(context.Background(), connect.NewRequest(&countersignv1.RecordsRequest{FromIndex: from, Limit: limit}))
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		next := from
		for stream.Receive() {
			if r := stream.Msg().GetRecord(); r != nil {
				if r.Index != next || len(r.Leaf) == 0 || len(r.Body) == 0 || len(r.Token) == 0 || r.Time == nil {
					t.Errorf("record %d where %d is due, or not whole", r.Index, next)
				}
				next++
				steps = append(steps, "e")
				continue
			}
			if c := stream.Msg().GetCheckpoint(); c.Size != next {
				t.Errorf("a checkpoint of %d after %d entries", c.Size, next)
			}
			steps = append(steps, "c")
		}
		return steps, stream.Err()
	}
	whole := "c" + "ec" + "ec" + strings.Repeat("e", int(size)-3) + "c" + "ec"
	for _, c := range []struct {
		from  uint64
		limit uint32
		want  string
	}{
		{0, 0, whole}, {0, 1, "cec"}, {0, 2, "cecec"}, {1, 1, "ec"}, {size - 1, 10_000, "ec"}, {size, 0, ""},
		{3, 1, strings.Repeat("e", int(size)-4) + "c"}, // the rest of a batch
	} {
		steps, err := read(c.from, c.limit)
		if got := strings.Join(steps, ""); err != nil || got != c.want {
			t.Errorf("from %d, at most %d: %q, want %q (%v)", c.from, c.limit, got, c.want, err)
		}
	}
	if _, err := read(size+1, 0); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("beyond the head: %v", err)
	}
	if _, err := read(0, 10_001); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("too many: %v", err)
	}
}

// Nothing that is not the log's next batch gets into a copy.
func TestTakeRefuses(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	_, m := f.mirror()
	f.append(f.approval("bob", "1"))
	var next ledger.Batch
	for b, err := range f.ledger.Batches(t.Context(), m.Ledger().Head().Size) {
		if err != nil {
			t.Fatal(err)
		}
		next = b
	}
	for name, spoil := range map[string]func(*ledger.Batch){
		"no records":      func(b *ledger.Batch) { b.Records = nil },
		"another index":   func(b *ledger.Batch) { b.Records[0].Index++ },
		"no stamp":        func(b *ledger.Batch) { b.Records[0].Stamp = nil },
		"no token":        func(b *ledger.Batch) { b.Records[0].Token = nil },
		"another leaf":    func(b *ledger.Batch) { b.Records[0].Leaf = []byte("leaf") },
		"unsorted keys":   func(b *ledger.Batch) { b.Records[0].Keys = []string{"b", "a"} },
		"an earlier time": func(b *ledger.Batch) { b.Records[0].Time = b.Records[0].Time.Add(-time.Hour) },
		"a later time":    func(b *ledger.Batch) { b.Records[0].Time = b.Records[0].Time.Add(time.Hour) },
		"microseconds":    func(b *ledger.Batch) { b.Time = b.Time.Add(time.Microsecond) },
		"no signature":    func(b *ledger.Batch) { b.Note = b.Note[:len(b.Note)-10] },
		"another root":    func(b *ledger.Batch) { b.Checkpoint.Root[0] ^= 1 },
		"a leaf from before": func(b *ledger.Batch) {
			old, err := f.ledger.Record(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			b.Records[0].Leaf = old.Leaf
		},
	} {
		b := next
		b.Records = append([]ledger.Record(nil), next.Records...)
		spoil(&b)
		if err := m.Take(t.Context(), b); !errors.Is(err, ledger.ErrInvalid) && !errors.Is(err, ledger.ErrNotInTree) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Take(t.Context(), next); err != nil {
		t.Errorf("the honest twin: %v", err)
	}
	if err := m.Take(t.Context(), next); !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("a second time: %v", err)
	}
}
