package mirror

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/policy/scenario"
)

// decision is a verdict that saw the log as it is.
func (p *primary) decision() ledger.Entry {
	t, links := p.w.t, p.Negative()
	t.Helper()
	var core struct {
		Log struct {
			Length int    `json:"negativeLength"`
			Head   string `json:"negativeHead"`
		} `json:"log"`
	}
	core.Log.Length, core.Log.Head = len(links), links[len(links)-1].Chain.String()
	text, err := json.Marshal(core)
	if err != nil {
		t.Fatal(err)
	}
	commit, at := strings.Repeat("a", 40), attest.At(ledgertest.Start)
	st := &attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"gitCommit": commit}}},
		Predicate: &attest.Decision{Repository: scenario.Repository, Environment: "production", Verdict: "deny", To: commit,
			DecidedAt: at, ExpiresAt: at, Core: jsontext.Value(text), Annex: jsontext.Value("{}")},
	}
	b, err := attest.Sign(st, scenario.Key("service"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := attest.Log(b, st, scenario.Key("service").Public())
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Entry{Leaf: l.Leaf, Body: l.Body, Keys: l.Keys, Negative: l.Negative, Stamp: l.Stamp}
}

// A source that says of a rejection that the log has only its hash is caught by the next
// decision; without one, the entry is named.
func TestARejectionThatIsKeptBack(t *testing.T) {
	const rejection = 5 // of the story
	w := newWorld(t)
	p := w.primary()
	p.add(0, 1, 2, 3, 4)
	p.add(rejection)
	silent := &liar{Source: Local{p.Ledger}, batch: func(b *ledger.Batch) {
		for i := range b.Records {
			if b.Records[i].Index == rejection {
				b.Records[i].Body = []byte{}
			}
		}
	}}
	copied := func(source Source) *ledger.Ledger {
		c, _ := w.copier(t, source)
		w.catchUp(c)
		return c.Mirror.Ledger()
	}
	if alone, err := Withheld(t.Context(), w.trust, copied(silent)); err != nil || !slices.Equal(alone, []uint64{rejection}) {
		t.Errorf("%v, %v", alone, err)
	}
	if _, err := p.Append(t.Context(), []ledger.Entry{p.decision()}); err != nil {
		t.Fatal(err)
	}
	if alone, err := Withheld(t.Context(), w.trust, copied(Local{p.Ledger})); err != nil || len(alone) > 0 {
		t.Errorf("an honest source: %v, %v", alone, err)
	}
	var refused *RefusedError
	if _, err := Withheld(t.Context(), w.trust, copied(silent)); !errors.As(err, &refused) || !strings.Contains(err.Error(), "kept back") {
		t.Errorf("%v", err)
	}
}
