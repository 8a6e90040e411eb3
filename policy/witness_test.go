package policy_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
)

// witnessed is the input of the plain story, whose view was cosigned as of now
// less some ages, by w0, w1 and w2 in turn.
func witnessed(t *testing.T, quorum string, ages ...time.Duration) policy.Input {
	t.Helper()
	in := tell(t, scenario.Story{Text: plain}, scenario.Harmless).Input
	text := "log " + in.Trust.Log.VKey() + "\n"
	for _, n := range []string{"w0", "w1", "w2"} {
		seed := sha256.Sum256([]byte(n))
		c, err := tlog.NewCosigner(n, ed25519.NewKeyFromSeed(seed[:]))
		if err != nil {
			t.Fatal(err)
		}
		text += "witness " + n + " " + c.Witness().VKey() + "\n"
	}
	p, err := tlog.ParsePolicy([]byte(text + quorum))
	if err != nil {
		t.Fatal(err)
	}
	trust, gathered := *in.Trust, *in.Gathered
	trust.Witnesses, gathered.View.Cosignatures = p, nil
	for i, age := range ages {
		gathered.View.Cosignatures = append(gathered.View.Cosignatures, tlog.Cosignature{Witness: []string{"w0", "w1", "w2"}[i], Time: in.Now.Add(-age)})
	}
	in.Trust, in.Gathered = &trust, &gathered
	return in
}

// Rows H22 and H24: the quorum counts by cosignatures that are neither too old nor
// of the future, and then the times are witnessed.
func TestWitnessesOfTheView(t *testing.T) {
	const two = "group g 2 w0 w1 w2\nquorum g\n"
	const limit, skew = 24 * time.Hour, 5 * time.Minute // the trust's, and policy.MaxSkew
	for _, c := range []struct {
		name, quorum string
		ages         []time.Duration
		kind         policy.Kind
		time         string
	}{
		{"two", two, []time.Duration{0, time.Minute}, "", "witnessed"},
		{"three, one too old", two, []time.Duration{0, time.Minute, 30 * time.Hour}, "", "witnessed"},
		{"three, one of the future", two, []time.Duration{0, time.Minute, -time.Hour}, "", "witnessed"},
		{"H24 at the limit", two, []time.Duration{limit, -skew}, "", "witnessed"},
		{"H24 beyond the limit", two, []time.Duration{0, limit + time.Second}, policy.StaleView, "operator"},
		{"H24 of the future", two, []time.Duration{0, -skew - time.Second}, policy.StaleView, "operator"},
		{"one", two, []time.Duration{0}, verify.WitnessQuorum, "operator"},
		{"nobody", two, nil, verify.WitnessQuorum, "operator"},
		{"none wanted", "quorum none\n", nil, "", "operator"},
		{"none wanted, one there", "quorum none\n", []time.Duration{0}, "", "operator"},
	} {
		in := witnessed(t, c.quorum, c.ages...)
		d := policy.Decide(in)
		want := policy.Allow
		if c.kind != "" {
			want = policy.Deny
		}
		if d.Core.Verdict != want || d.Core.Kind != c.kind || d.Core.Time != c.time || d.Core.Completeness != "operator" {
			t.Errorf("%s: %s %s %q, time %s; want %s %s, %s", c.name, d.Core.Verdict, d.Core.Kind, d.Core.Why, d.Core.Time, want, c.kind, c.time)
		}
		if n := len(d.Annex.Witnesses); n != len(c.ages) {
			t.Errorf("%s: the annex names %d witnesses", c.name, n)
		}
		text, err := d.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.ParseDecision(text); err != nil || strings.Contains(string(text), `"witnesses"`) != (len(c.ages) > 0) {
			t.Errorf("%s: %v\n%s", c.name, err, text)
		}
		// INV3: the order of the cosignatures, and who made the quorum, decide nothing.
		slices.Reverse(in.Gathered.View.Cosignatures)
		if again := policy.Decide(in); coreBytes(t, again) != coreBytes(t, d) {
			t.Errorf("%s: in another order the core differs", c.name)
		}
	}
	plainly := policy.Decide(tell(t, scenario.Story{Text: plain}, scenario.Harmless).Input)
	if plainly.Core.Time != "operator" || plainly.Core.Verdict != policy.Allow {
		t.Errorf("without a witness policy: %s, time %s", plainly.Core.Verdict, plainly.Core.Time)
	}
}
