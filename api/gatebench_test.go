package api_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// bigRelease is one of 20 changes with 60 attestations, and the statement of what
// the artifact was built from.
func bigRelease() string {
	var b strings.Builder
	parent := "base"
	for i := range 20 {
		fmt.Fprintf(&b, "commit h%d alice src/a%d.go docs/b%d.md parent=%s\nsquash m%d of=h%d\n", i, i, i, parent, i, i)
		parent = fmt.Sprint("m", i)
	}
	for i := range 20 {
		fmt.Fprintf(&b, "change h%d\nauthorship alice h%d human\napprove bob h%d\n", i, i, i)
	}
	for i := range 20 {
		fmt.Fprintf(&b, "admit m%d\n", i)
	}
	return b.String() + "release m19\n"
}

// publish logs n policy sets, one a day, each over the one before. Each loosens and
// tightens in turn, so each waits or does not.
func (f *fixture) publish(n int) {
	over := f.set
	for i := range n {
		set, st := f.next(over, fmt.Sprint(i+2), fmt.Sprint(1+(i+1)%2))
		f.append(f.sign("dave", st), f.sign("erin", st))
		f.clock.add(25 * time.Hour)
		over = set
	}
}

// BenchmarkGateRelease decides about a release of 20 changes and 60 attestations
// (and 20 admissions) in a log of other entries: with every signature verified
// again (cold), and with what was opened before remembered (warm). The times are
// of one verdict in process, without logging it. The third run has fifty policy sets in
// the log before the release.
func BenchmarkGateRelease(b *testing.B) {
	for _, shape := range []struct{ size, sets int }{{10_000, 0}, {1_000_000, 0}, {10_000, 50}} {
		size := shape.size
		b.Run(fmt.Sprintf("entries=%d/sets=%d", size, 1+shape.sets), func(b *testing.B) {
			fill := &filler{}
			f := start(b, setup{story: bigRelease(), ledger: func(c *ledger.Config) { fill.Stamper, c.Stamper = c.Stamper, fill }})
			defer f.stop()
			fill.fill(f, size)
			f.publish(shape.sets)
			f.tell()
			h, err := policy.ReadHistory(b.Context(), api.NewSource(f.ledger), f.trust, true)
			if err != nil {
				b.Fatal(err)
			}
			in := policy.Input{
				History: h, Now: f.clock.now(), MaxViewAge: time.Hour,
				Request: policy.Request{Artifact: &artifact, Repository: scenario.Repository, Environment: "production"},
			}
			judge := func(v *verify.Verifier) {
				d, _, err := policy.Judge(b.Context(), api.NewSource(f.ledger), v, in)
				if err != nil || d.Core.Verdict != policy.Allow || len(d.Core.Changes) != 20 {
					b.Fatalf("%+v, %v", d.Core, err)
				}
			}
			fresh := func() *verify.Verifier {
				v, err := verify.New(verify.Config{Trust: f.trust, Roster: f.set.Roster, Roll: h, OwnLog: true})
				if err != nil {
					b.Fatal(err)
				}
				return v
			}
			b.Run("cold", func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					v := fresh()
					b.StartTimer()
					judge(v)
				}
			})
			b.Run("warm", func(b *testing.B) {
				v := fresh()
				judge(v)
				for b.Loop() {
					judge(v)
				}
			})
		})
	}
}

// BenchmarkGateLearning is the warm gate of BenchmarkGateRelease with rules that ask what
// happened, over 2,000 incidents of which half are within the window.
func BenchmarkGateLearning(b *testing.B) {
	for _, size := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			fill := &filler{}
			f := start(b, setup{story: bigRelease(), rules: learningRules, ledger: func(c *ledger.Config) { fill.Stamper, c.Stamper = c.Stamper, fill }})
			defer f.stop()
			fill.fill(f, size)
			f.tell()
			f.happen(2000)
			h, err := policy.ReadHistory(b.Context(), api.NewSource(f.ledger), f.trust, true)
			if err != nil {
				b.Fatal(err)
			}
			v, err := verify.New(verify.Config{Trust: f.trust, Roster: f.set.Roster, Roll: h, OwnLog: true})
			if err != nil {
				b.Fatal(err)
			}
			in := policy.Input{
				History: h, Now: f.clock.now(), MaxViewAge: 10_000 * time.Hour,
				Request: policy.Request{Artifact: &artifact, Repository: scenario.Repository, Environment: "production"},
			}
			judge := func() {
				d, g, err := policy.Judge(b.Context(), api.NewSource(f.ledger), v, in)
				if err != nil || d.Core.Verdict != policy.Allow || len(d.Core.Changes) != 20 || len(g.Incidents) != 2000 {
					b.Fatalf("%+v, %v", d.Core, err)
				}
			}
			judge()
			for b.Loop() {
				judge()
			}
		})
	}
}

const learningRules = `
  - id: reviewed
    title: Somebody else approves every change
    require:
      approvals: [{count: 1}]
  - id: after-an-incident
    title: Two people approve after a Sev1
    when: incidents.sev1("7d") > 0 || incidents.any("core", "30d") > 5000
    require:
      approvals: [{count: 2}]
  - id: deep-dives
    title: Reviews are owed
    when: change.aiAssisted || change.tier >= tiers.medium
    require:
      deepDives: sev1
`

// happen logs incidents of another domain than the release touches.
func (f *fixture) happen(n int) {
	f.t.Helper()
	for from := 0; from < n; from += 100 {
		var batch [][]byte
		for i := from; i < min(n, from+100); i++ {
			at := attest.At(f.clock.now().Add(-time.Hour))
			batch = append(batch, f.sign("pager", (&attest.Incident{
				ID: fmt.Sprintf("INC-%d", i), Severity: attest.Severities()[i%4], StartedAt: at, DetectedAt: at, ResolvedAt: &at, Domains: []string{"core"}, ReportedAt: at,
			}).Statement()))
		}
		f.append(batch...)
	}
}

// A filler makes a log long: its entries are nobody's, and while it fills, the
// timestamps are not made.
type filler struct {
	ledger.Stamper
	filling atomic.Bool
}

func (s *filler) Stamp(message []byte, at time.Time) ([]byte, error) {
	if s.filling.Load() {
		return []byte("none"), nil
	}
	return s.Stamper.Stamp(message, at)
}

func (s *filler) fill(f *fixture, size int) {
	f.t.Helper()
	s.filling.Store(true)
	defer s.filling.Store(false)
	const batch = 1000
	for from := 0; from < size; from += batch {
		entries := make([]ledger.Entry, batch)
		for i := range entries {
			sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(from+i)))
			keys := []string{fmt.Sprintf("subject:gitCommit:%x", sum[:20]), fmt.Sprintf("signer:%x", sum[:1]), "repository:example.com/org/other"}
			slices.Sort(keys)
			entries[i] = ledger.Entry{Leaf: slices.Concat(sum[:], make([]byte, 400)), Body: make([]byte, 1500), Keys: keys, Stamp: sum[:]}
		}
		if _, err := f.ledger.Append(f.t.Context(), entries); err != nil {
			f.t.Fatal(err)
		}
	}
}
