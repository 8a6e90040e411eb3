package verify_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := scenario.Clean(); err != nil {
		code = 1
	}
	os.Exit(code)
}

const corpus = "../testdata/corpus"

// Every attack and its twin get the same decision, to the byte, from somebody who
// reads the log, from the log's own process cold and warm with one worker and with
// many (INV3, K16), and from an evidence pack.
func TestEveryDriverDecidesTheSame(t *testing.T) {
	folders, err := os.ReadDir(corpus)
	must(t, err)
	for i, f := range folders {
		if !f.IsDir() || testing.Short() && i%8 != 0 {
			continue
		}
		story, err := scenario.ReadStory(filepath.Join(corpus, f.Name()))
		must(t, err)
		for name, twin := range map[string]scenario.Twin{"attack": scenario.Attack, "twin": scenario.Harmless} {
			t.Run(f.Name()+"/"+name, func(t *testing.T) {
				told, err := scenario.Tell(story, twin)
				must(t, err)
				sameByEveryDriver(t, told)
			})
		}
	}
}

func sameByEveryDriver(t *testing.T, told *scenario.Told) {
	want := decide(t, told, told.Log, told.Verifier)
	for _, workers := range []int{1, 16} {
		own, err := verify.New(verify.Config{Trust: told.Verifier.Trust(), Roster: told.Verifier.Roster(), Roll: told.Roll, OwnLog: true, Workers: workers})
		must(t, err)
		for _, how := range []string{"cold", "warm"} {
			if diff := cmp.Diff(want, decide(t, told, told.Log, own)); diff != "" {
				t.Errorf("the log itself, %s, %d workers: %s", how, workers, diff)
			}
		}
	}
	rec := verify.NewRecorder(told.Log)
	decide(t, told, rec, told.Verifier)
	_, err := policy.ReadHistory(t.Context(), rec, told.Verifier.Trust(), false)
	must(t, err)
	var pack bytes.Buffer
	must(t, verify.WritePack(t.Context(), &pack, rec, told.Verifier.Trust(), verify.Request{}))
	p, err := verify.OpenPack(&pack, told.Verifier.Trust())
	must(t, err)
	if told.Input.History != nil { // offline, the sets come from the pack too
		told.Input.History, err = policy.ReadHistory(t.Context(), p, told.Verifier.Trust(), false)
		must(t, err)
		told.Input.Set = nil
	}
	if diff := cmp.Diff(want, decide(t, told, p, told.Verifier)); diff != "" {
		t.Errorf("from a pack: %s", diff)
	}
}

// decide returns the decision as text, core and annex.
func decide(t *testing.T, told *scenario.Told, src verify.Source, v *verify.Verifier) string {
	t.Helper()
	in := told.Input
	in.Gathered = nil
	d, _, err := policy.Judge(t.Context(), src, v, in)
	if d == nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(d, "", " ")
	must(t, err)
	return string(text)
}
