package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/verify"
)

func cosigner(name string) *tlog.Cosigner {
	seed := sha256.Sum256([]byte(name))
	c, err := tlog.NewCosigner(name, ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err)
	}
	return c
}

// witnesses is a policy of three, and the lines that define the quorum.
func witnesses(t testing.TB, quorum string) *tlog.Policy {
	t.Helper()
	text := "log " + ledgertest.Signer().Verifier().VKey() + "\n"
	for _, n := range []string{"w1", "w2", "w3"} {
		text += "witness " + n + " " + cosigner(n+".example").Witness().VKey() + "\n"
	}
	p, err := tlog.ParsePolicy([]byte(text + quorum))
	must(t, err)
	return p
}

const twoOfThree = "group ours 2 w1 w2 w3\nquorum ours\n"

// cosigned is the world's source with lines added to its checkpoint.
func (w *world) cosigned(lines ...string) *source {
	w.t.Helper()
	src := w.source()
	src.head.Note = append(bytes.Clone(src.head.Note), strings.Join(lines, "")...)
	var err error
	src.head.Token, err = w.authority.Stamp(src.head.Note, src.head.Time)
	must(w.t, err)
	return src
}

func (w *world) line(name string, cp tlog.Checkpoint) string {
	w.t.Helper()
	line, err := cosigner(name).Cosign(cp, w.clock.Now())
	must(w.t, err)
	return string(line)
}

// packOf makes a pack of a source, which nobody's trust is asked about.
func (w *world) packOf(src verify.Source, req verify.Request) []byte {
	w.t.Helper()
	plain := *w.trust
	plain.Witnesses = nil
	v, err := verify.New(verify.Config{Trust: &plain, Roster: w.roster})
	must(w.t, err)
	rec := verify.NewRecorder(src)
	_, err = verify.Gather(w.t.Context(), rec, v, req)
	must(w.t, err)
	var b bytes.Buffer
	must(w.t, verify.WritePack(w.t.Context(), &b, rec, &plain, req))
	return b.Bytes()
}

// Rows H12, H15 and H22: what trust wants of witnesses, a pack and a source must show.
func TestTheViewMustHaveTheQuorumThatTrustWants(t *testing.T) {
	w, _, req, _ := packed(t)
	cp := w.ledger.Head().Checkpoint
	other := tlog.Checkpoint{Origin: cp.Origin, Root: tlog.EmptyRoot()}
	one, two, wrong := w.line("w1.example", cp), w.line("w2.example", cp), w.line("w3.example", other)
	stranger := w.line("stranger.example", other)
	var many []string
	for i := range 65 {
		many = append(many, w.line(fmt.Sprintf("s%d.example", i), cp))
	}
	for _, c := range []struct {
		name, quorum string
		lines        []string
		kind         verify.Kind // of the refusal; empty when it is taken
		who          int
	}{
		{"two of three", twoOfThree, []string{one, two}, "", 2},
		{"two and a stranger", twoOfThree, []string{two, stranger, one}, "", 2},
		{"nobody", twoOfThree, nil, verify.WitnessQuorum, 0},
		{"one", twoOfThree, []string{one}, verify.WitnessQuorum, 0},
		{"H22: one and a stranger", twoOfThree, []string{one, stranger}, verify.WitnessQuorum, 0},
		{"H22: one witness twice", twoOfThree, []string{one, one}, verify.BadCheckpoint, 0},
		{"H12: a wrong one beside two good", twoOfThree, []string{one, two, wrong}, verify.BadCheckpoint, 0},
		{"H15: too many lines", twoOfThree, append(many, one, two), verify.BadCheckpoint, 0},
		{"none wanted, none there", "quorum none\n", nil, "", 0},
		{"none wanted, a wrong one", "quorum none\n", []string{wrong}, verify.BadCheckpoint, 0},
		{"no policy, a wrong one and a stranger", "", []string{wrong, stranger}, "", 0},
		{"no policy, many", "", many, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.trust.Witnesses = nil
			src := w.cosigned(c.lines...)
			text := w.packOf(src, req)
			if c.quorum != "" {
				w.trust.Witnesses = witnesses(t, c.quorum)
			}
			p, packErr := w.openPack(text)
			g, err := verify.Gather(t.Context(), src, w.verifier(), req)
			own, ownErr := verify.Gather(t.Context(), src, w.newVerifier(true), req) // the log's own process
			for _, err := range []error{packErr, err, ownErr} {
				var r *verify.Refusal
				if c.kind == "" && err != nil || c.kind != "" && (!errors.As(err, &r) || r.Kind != c.kind) {
					t.Errorf("%v, want %q", err, c.kind)
				}
			}
			if c.kind != "" || t.Failed() {
				return
			}
			offline, err := verify.Gather(t.Context(), p, w.verifier(), req)
			must(t, err)
			for _, got := range []*verify.Gathered{g, own, offline} {
				if n := len(got.View.Cosignatures); n != c.who {
					t.Errorf("%d witnesses cosigned, want %d: %v", n, c.who, got.View.Cosignatures)
				}
			}
		})
	}
}

func TestATrustFolderNamesWitnesses(t *testing.T) {
	w := newWorld(t)
	w.trust.Witnesses = witnesses(t, twoOfThree)
	dir := t.TempDir()
	must(t, verify.WriteTrust(dir, w.trust))
	got, err := verify.LoadTrust(dir)
	must(t, err)
	if got.Witnesses.String() != w.trust.Witnesses.String() {
		t.Errorf("read as\n%s", got.Witnesses)
	}
	good := w.trust.Witnesses.String()
	yaml, err := os.ReadFile(filepath.Join(dir, verify.TrustFile))
	must(t, err)
	foreign := tlog.NewSigner("other.example", ed25519.NewKeyFromSeed(make([]byte, 32))).Verifier().VKey()
	for name, c := range map[string]struct{ policy, yaml, says string }{
		"H25 a quorum of 0":    {strings.Replace(good, "ours 2", "ours 0", 1), string(yaml), "impossible quorum"},
		"H25 a quorum above":   {strings.Replace(good, "ours 2", "ours 4", 1), string(yaml), "impossible quorum"},
		"H22 a witness twice":  {strings.Replace(good, "w1 w2 w3", "w1 w2 w1", 1), string(yaml), "twice"},
		"another log's policy": {strings.Replace(good, ledgertest.Signer().Verifier().VKey(), foreign, 1), string(yaml), "does not name the log"},
		"no policy":            {"", string(yaml), "no quorum"},
		"a file elsewhere":     {good, strings.Replace(string(yaml), verify.WitnessFile, "../"+verify.WitnessFile, 1), "not a file of this folder"},
		"a file that is not":   {good, strings.Replace(string(yaml), verify.WitnessFile, "none", 1), "none"},
		"too large":            {strings.Repeat("#\n", tlog.MaxPolicy), string(yaml), "at most"},
	} {
		must(t, os.WriteFile(filepath.Join(dir, verify.WitnessFile), []byte(c.policy), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, verify.TrustFile), []byte(c.yaml), 0o600))
		if _, err := verify.LoadTrust(dir); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "trust.yaml:") {
			t.Errorf("%s: %v, want a word of %q", name, err, c.says)
		}
	}
}
