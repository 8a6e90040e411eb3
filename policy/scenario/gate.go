package scenario

import (
	"context"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
)

// Gated is what a gate said on the way of a story, and what became of it.
type Gated struct {
	What     string           `json:"what"` // artifact or plan
	Plan     bool             `json:"plan"`
	At       time.Time        `json:"at"`
	Decision *policy.Decision `json:"decision"` // nil where nobody asked
	Went     bool             `json:"went"`     // to production
	Index    uint64           `json:"index"`    // of the deployment's statement, where it went
}

// gate enacts "gate ARTIFACT" and "gate PLAN plan=yes": the gate decides, what it says is
// logged, and what it allows goes to production, which the gate attests. In a world where
// nobody asks, everything goes.
func (t *teller) gate(s *step) error {
	g := Gated{What: s.arg(0), Plan: s.has("plan"), Went: true}
	d := &attest.Deployment{Environment: "production", Actor: "gate"}
	if !t.story.Unasked {
		decided, digest, err := t.askGate(&g)
		if err != nil {
			return err
		}
		g.Decision, d.Decision, g.Went = decided, digest, decided.Core.Verdict == policy.Allow
	}
	d.DeployedAt = attest.At(t.log.Clock.Add(time.Minute))
	if g.At = d.DeployedAt.Time; g.Decision != nil {
		g.At = g.Decision.Core.DecidedAt.Time
	}
	if g.Went && (!g.Plan || t.story.Unasked) {
		g.Index = uint64(len(t.log.entries))
		if err := t.sign(s, "gate", plan(g.What), d); err != nil {
			return err
		}
	}
	t.gated = append(t.gated, g)
	return nil
}

// askGate decides as of now, and logs the decision.
func (t *teller) askGate(g *Gated) (*policy.Decision, string, error) {
	opts := map[string]string{"artifact": g.What}
	if g.Plan {
		opts = map[string]string{"plan": g.What}
	}
	was := t.ask
	t.ask = step{verb: "ask", opts: opts, raw: true}
	defer func() { t.ask = was }()
	if err := t.readPolicies(); err != nil {
		return nil, "", err
	}
	told, err := t.judge()
	if err != nil {
		return nil, "", err
	}
	if told.Err != nil {
		return nil, "", told.Err
	}
	d := policy.Decide(told.Input)
	st, err := d.Statement()
	if err != nil {
		return nil, "", err
	}
	payload, err := st.Marshal()
	if err != nil {
		return nil, "", err
	}
	_, err = t.log.Append(st, Key("service"))
	return d, attest.DigestOf(payload).String(), err
}

// wentOn reports whether an artifact or plan went to production on the way.
func (t *teller) wentOn(what string) bool {
	return slices.ContainsFunc(t.gated, func(g Gated) bool { return g.What == what && g.Went })
}

// Each opens every entry of the log that was told.
func (told *Told) Each(ctx context.Context, do func(*verify.Evidence, *verify.Refusal)) error {
	view, err := told.Log.View(ctx)
	if err != nil {
		return err
	}
	for i := range view.Size {
		sealed, err := told.Log.Entry(ctx, i)
		if err != nil {
			return err
		}
		do(told.Verifier.Open(ctx, &view, sealed))
	}
	return nil
}
