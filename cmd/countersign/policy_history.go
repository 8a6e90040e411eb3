package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// policyHistory reads the policy sets of the ledger, believing only the trust folder.
func (a *app) policyHistory(ctx context.Context, trustDir string) (*policy.History, error) {
	trust, err := needTrust(trustDir)
	if err != nil {
		return nil, err
	}
	l, err := a.connect()
	if err != nil {
		return nil, err
	}
	pack, err := a.fetchEvidence(ctx, l, &countersignv1.EvidenceRequest{})
	if err != nil {
		return nil, err
	}
	src, err := verify.OpenPack(bytes.NewReader(pack), trust)
	if err != nil {
		return nil, classifyEvidence(err)
	}
	h, err := policy.ReadHistory(ctx, src, trust, false)
	if err != nil {
		return nil, classifyEvidence(err)
	}
	return h, nil
}

// asOfPlace reads INDEX or TIME. For an index the time is that of the entry.
func (a *app) asOfPlace(ctx context.Context, text string) (uint64, time.Time, error) {
	if index, err := strconv.ParseUint(text, 10, 64); err == nil {
		l, err := a.connect()
		if err != nil {
			return 0, time.Time{}, err
		}
		e, err := a.entry(ctx, l, index)
		if err != nil {
			return 0, time.Time{}, err
		}
		return index, e.LoggedAt.AsTime(), nil
	}
	at, err := parseWhen("--as-of", text)
	if err != nil {
		return 0, time.Time{}, wrong("--as-of %q is neither the index of an entry nor a time such as 2026-03-01T12:00:00Z", text)
	}
	return math.MaxUint64, at.AsTime(), nil
}

// oneSet is the set of a folder, or the one in force in the ledger.
func (a *app) oneSet(ctx context.Context, args []string, trust, asOf string) (*policy.Set, error) {
	if len(args) == 1 {
		if asOf != "" {
			return nil, wrong("--as-of is about the ledger: leave %s out, and give --trust", args[0])
		}
		return policy.ReadFolder(args[0])
	}
	h, err := a.policyHistory(ctx, trust)
	if err != nil {
		return nil, err
	}
	if asOf == "" {
		return h.InForce(a.now()), nil
	}
	index, at, err := a.asOfPlace(ctx, asOf)
	if err != nil {
		return nil, err
	}
	return h.At(index, at).Set, nil
}

// writeSet writes the files into a folder that has none of them.
func (a *app) writeSet(set *policy.Set, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return wrong("--out: %v", err)
	}
	f := set.Files()
	for _, file := range []struct{ name, text string }{{"policy.yaml", f.Policy}, {"people.yaml", f.People}, {"domains.yaml", f.Domains}} {
		if err := writeNew(filepath.Join(dir, file.name), []byte(file.text), 0o644); err != nil {
			return err
		}
	}
	if len(f.Layouts) > 0 {
		if err := os.MkdirAll(filepath.Join(dir, "layouts"), 0o755); err != nil {
			return wrong("--out: %v", err)
		}
	}
	for name, text := range f.Layouts {
		if err := writeNew(filepath.Join(dir, "layouts", name+".yaml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	a.printf("%s  %s version %d, sha256:%s\n", dir, set.Name, set.Version, set.Digest())
	return nil
}

func newPolicyHistory(a *app) *cobra.Command {
	var trust string
	c := &cobra.Command{
		Use:   "history --trust DIR",
		Short: "List the policy sets of the ledger, and who put them in force",
		Long: `List every policy set that was published: which are and were in force and since when, which
wait for their time or for signatures, and what was refused. It is found out here, from the
genesis that the trust folder pins.`,
		Example: `  countersign policy history --trust trust`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := a.policyHistory(c.Context(), trust)
			if err != nil {
				return err
			}
			return a.showHistory(h)
		},
	}
	trustFlag(c, &trust)
	return c
}

// stateOf says in a word what has become of a set.
func stateOf(h *policy.History, e *policy.Epoch, now time.Time) string {
	switch {
	case e.Set == h.InForce(now):
		return "in force"
	case e.Replaced:
		return "replaced before its time"
	case now.Before(e.From):
		return "waits"
	}
	return "was in force"
}

func signers(list []policy.Signature) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%s #%d", s.Person, s.Index)
	}
	return strings.Join(out, ", ")
}

func (a *app) showHistory(h *policy.History) error {
	now := a.now()
	if a.json() {
		return a.historyJSON(h, now)
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tSET\tSTATE\tFROM\tSIGNED BY")
	for i := range h.Epochs() {
		e := &h.Epochs()[i]
		fmt.Fprintf(w, "%d\tsha256:%.12s…\t%s\t%s\t%s\n", e.Set.Version, e.Set.Digest(), stateOf(h, e, now), e.From.Format(time.RFC3339), signers(e.Signed))
	}
	for _, p := range h.Pending() {
		fmt.Fprintf(w, "%d\tsha256:%.12s…\tneeds %d owners\t\t%s\n", p.Set.Version, p.Set.Digest(), p.Need, signers(p.Signed))
	}
	if err := w.Flush(); err != nil {
		return broken("write output: %v", err)
	}
	for _, r := range h.Refused() {
		a.printf("refused  #%d by %s: %s: %s\n", r.Index, printable(r.Signer, 64), r.Kind, r.Why)
	}
	return nil
}

func (a *app) historyJSON(h *policy.History, now time.Time) error {
	sets := []map[string]any{}
	for i := range h.Epochs() {
		e := &h.Epochs()[i]
		sets = append(sets, map[string]any{
			"name": e.Set.Name, "version": e.Set.Version, "digest": e.Set.Digest().String(), "state": stateOf(h, e, now), "from": e.From,
			"completedBy": e.Index, "completedAt": e.Time, "signed": e.Signed, "changes": append([]policy.Difference{}, e.Changes...),
		})
	}
	pending := []map[string]any{}
	for _, p := range h.Pending() {
		pending = append(pending, map[string]any{"name": p.Set.Name, "version": p.Set.Version, "digest": p.Set.Digest().String(), "signed": p.Signed, "need": p.Need})
	}
	return a.writeJSON(map[string]any{"sets": sets, "pending": pending, "refused": append([]policy.RefusedSet{}, h.Refused()...)})
}

// fetchEvidence reads a whole pack from the ledger. Nothing in it is checked here.
func (a *app) fetchEvidence(ctx context.Context, l *ledger, msg *countersignv1.EvidenceRequest) ([]byte, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	stream, err := l.verifier.Evidence(ctx, connect.NewRequest(msg))
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var out bytes.Buffer
	for stream.Receive() {
		chunk := stream.Msg().Chunk
		if out.Len()+len(chunk) > maxPack {
			return nil, broken("the ledger sends a pack of more than %d MiB", maxPack>>20)
		}
		out.Write(chunk)
	}
	if err := stream.Err(); err != nil {
		return nil, fmt.Errorf("fetch evidence: %w", err)
	}
	return out.Bytes(), nil
}
