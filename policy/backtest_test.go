package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// replicaOf copies a story's log.
func replicaOf(t testing.TB, l *scenario.Log, size uint64) *verify.Replica {
	t.Helper()
	r, err := verify.NewReplica(t.Context(), "log.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for i := range size {
		s, err := l.Entry(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Add([]verify.Sealed{s}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func setOf(t testing.TB, told *scenario.Told, from, to string) *policy.Set {
	t.Helper()
	f := told.Set.Files()
	f.Policy = strings.Replace(f.Policy, from, to, 1)
	s, err := policy.ParseSet(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A past decision comes out the same from a replica of the log, and another set says
// what it would have said then, whatever was logged since.
func TestABacktestJudgesAsOfTheMoment(t *testing.T) {
	told, err := scenario.Tell(scenario.Story{Text: plain}, scenario.Attack)
	if err != nil {
		t.Fatal(err)
	}
	d := policy.Decide(told.Input)
	then := told.Input.Gathered.View
	// What comes later: bob takes his approval back.
	_, err = told.Log.Append(&attest.Statement{
		Subjects:  []attest.Subject{{Digest: map[string]string{"sha256": attest.DigestOf([]byte("person:bob")).String()}}},
		Predicate: &attest.Revocation{Revokes: []attest.Revoked{{Kind: attest.RevokedPerson, Person: "bob"}}, Reason: "departed", By: "dave"},
	}, scenario.Key("dave"))
	if err != nil {
		t.Fatal(err)
	}
	now, err := told.Log.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := replicaOf(t, told.Log, now.Size)
	v, err := verify.New(verify.Config{Trust: told.Input.Trust, Roster: told.Set.Roster, OwnLog: true})
	if err != nil {
		t.Fatal(err)
	}
	src, err := r.At(t.Context(), told.Input.Trust, then.Note, then.Time)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := policy.Judge(t.Context(), src, v, policy.Input{Set: told.Set, Request: told.Input.Request, Now: told.Input.Now})
	if err != nil {
		t.Fatal(err)
	}
	if diff, err := policy.Differences(&d.Core, &again.Core); err != nil || len(diff) > 0 {
		t.Errorf("differs in %v, %v", diff, err)
	}
	for _, c := range []struct {
		to    string
		would policy.Verdict
		needs int
	}{{"[{count: 1}]", policy.Allow, 0}, {"[{count: 2}]", policy.Deny, 1}} {
		w, err := policy.Again(t.Context(), v, &policy.Past{Index: 9, Recorded: d, Source: src}, setOf(t, told, "[{count: 1}]", c.to))
		if err != nil {
			t.Fatal(err)
		}
		if w.Was != policy.Allow || w.Would != c.would || len(w.Needs) != c.needs || w.Tier != "medium" || w.Differs() != (c.would == policy.Deny) || len(w.Teams) != 1 {
			t.Errorf("%+v", w)
		}
	}
	waits := d.Waits(r.TimeOf)
	if len(waits) != 1 || waits[0] != 2*time.Minute {
		t.Errorf("approvals took %v", waits)
	}
}

func TestAReplicaThatIsNotTheLogIsRefused(t *testing.T) {
	told := tell(t, scenario.Story{Text: plain}, scenario.Harmless)
	view := told.Input.Gathered.View
	r := replicaOf(t, told.Log, view.Size)
	if _, err := r.At(t.Context(), told.Input.Trust, view.Note, view.Time); err != nil {
		t.Error(err)
	}
	short := replicaOf(t, told.Log, view.Size-1)
	if _, err := short.At(t.Context(), told.Input.Trust, view.Note, view.Time); err == nil {
		t.Error("a replica with an entry less is taken")
	}
	s, err := told.Log.Entry(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Index = view.Size - 1
	if err := short.Add([]verify.Sealed{s}); err != nil {
		t.Fatal(err)
	}
	if _, err := short.At(t.Context(), told.Input.Trust, view.Note, view.Time); err == nil {
		t.Error("a replica with another entry is taken")
	}
	if err := short.Add([]verify.Sealed{s}); err == nil {
		t.Error("an entry is taken out of order")
	}
}

// BenchmarkBacktest judges decisions about 25 releases of 1 to 25 changes with another
// set, each as of its own state of the log, with one core.
func BenchmarkBacktest(b *testing.B) {
	const judged = 1000
	var text strings.Builder
	parent := "base"
	for i := range 25 {
		fmt.Fprintf(&text, "commit h%d alice src/a%d.go parent=%s\nsquash m%d of=h%d\n", i, i, parent, i, i)
		parent = fmt.Sprint("m", i)
	}
	for i := range 25 {
		fmt.Fprintf(&text, "change h%d\nauthorship alice h%d human\napprove bob h%d\nadmit m%d\nrelease m%d artifact=a%d\n", i, i, i, i, i, i)
	}
	told, err := scenario.Tell(scenario.Story{Text: text.String() + "ask artifact=a24"}, scenario.Harmless)
	if err != nil {
		b.Fatal(err)
	}
	var past []*policy.Past
	var views []verify.LogView
	for i := range judged {
		in := told.Input
		art := attest.DigestOf([]byte(fmt.Sprint("a", i%25)))
		in.Request.Artifact, in.Now = &art, told.Log.Clock.Add(time.Second)
		view, err := told.Log.View(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		d := &policy.Decision{Core: policy.Core{Verdict: policy.Allow, Artifact: art.String(), Repository: scenario.Repository, Environment: "production", DecidedAt: attest.At(in.Now)}}
		st := &attest.Statement{Subjects: []attest.Subject{{Digest: map[string]string{"sha256": attest.DigestOf([]byte(fmt.Sprint("other ", i))).String()}}}, Predicate: &attest.Foreign{PredicateType: "https://example.com/past/v1", Raw: []byte("{}")}}
		if _, err := told.Log.Append(st, scenario.Key("ci")); err != nil {
			b.Fatal(err)
		}
		past, views = append(past, &policy.Past{Index: uint64(i), Recorded: d}), append(views, view)
	}
	now, err := told.Log.View(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	r := replicaOf(b, told.Log, now.Size)
	candidate := setOf(b, told, "[{count: 1}]", "[{count: 2}]")
	for b.Loop() {
		v, err := verify.New(verify.Config{Trust: told.Input.Trust, Roster: told.Set.Roster, OwnLog: true, Workers: 1})
		if err != nil {
			b.Fatal(err)
		}
		for i, p := range past {
			if p.Source, err = r.At(b.Context(), told.Input.Trust, views[i].Note, views[i].Time); err != nil {
				b.Fatal(err)
			}
			if _, err := policy.Again(b.Context(), v, p, candidate); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*10_000/judged, "s/10000decisions")
}
