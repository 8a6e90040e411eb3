package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// A regime is the policy sets of the log as far as they are known, and the verifier that
// knows their people. A log that changes the policy gets the next one.
type regime struct {
	history  *policy.History
	verifier *verify.Verifier
	links    int // of the chain of negative evidence, all looked at for policy sets; guarded by Server.reading
}

var policyScope = tlog.ScopeOf(attest.PolicyChanges)

// regimeOf returns the regime for a state of the log. It is read anew only when there is
// a policy statement that it does not know; a set that waits for its time is known.
func (s *Server) regimeOf(ctx context.Context, src *Source) (*regime, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	now := s.regime
	if now != nil && len(src.negative) >= now.links && !changes(src.negative, now.links) {
		now.links = len(src.negative)
		return now, nil
	}
	h, err := policy.ReadHistory(ctx, src, s.config.Trust, true)
	if err != nil {
		return nil, fmt.Errorf("find the policy in force: %w", err)
	}
	v, err := verify.New(verify.Config{Trust: s.config.Trust, Roster: h.Latest().Set.Roster, Roll: h, OwnLog: true})
	if err != nil {
		return nil, err
	}
	r := &regime{history: h, verifier: v, links: len(src.negative)}
	if now == nil || now.links < r.links {
		s.regime = r
		if now != nil {
			set := h.InForce(s.config.Now())
			s.log.InfoContext(ctx, "the log changes the policy", "inForce", set.Name, "version", set.Version, "latest", h.Latest().Set.Version)
		}
	}
	return r, nil
}

// changes reports whether a link from a place on changes the policy.
func changes(links []ledger.Link, from int) bool {
	for _, l := range links[min(from, len(links)):] {
		if l.Scope == policyScope {
			return true
		}
	}
	return false
}

// now is the regime of the log as it is.
func (s *Server) now(ctx context.Context) (*regime, error) {
	return s.regimeOf(ctx, NewSource(s.ledger))
}

// set is the policy set in force for a decision at a time.
func (r *regime) set(at time.Time) *policy.Set { return r.history.InForce(at) }

// rosters are those of all policy sets that are known, the newest first.
func (s *Server) rosters() []*roster.Roster {
	s.reading.Lock()
	defer s.reading.Unlock()
	all := slices.Clone(s.regime.history.Rosters())
	slices.Reverse(all)
	return all
}

// person is whose key it is, or was.
func (s *Server) person(id roster.KeyID) (string, bool) {
	for _, r := range s.rosters() {
		if p, _, ok := r.ByKey(id); ok {
			return p.ID, true
		}
	}
	return "", false
}

// keysOf lists the keys that somebody has, or had; false where nobody is called so.
func (s *Server) keysOf(id string) (keys []roster.KeyID, known bool) {
	for _, r := range s.rosters() {
		p, ok := r.Principal(id)
		if !ok {
			continue
		}
		known = true
		for _, k := range p.Keys {
			if !slices.Contains(keys, k.ID) {
				keys = append(keys, k.ID)
			}
		}
		for _, a := range p.Accounts { // what forges say in their name
			if id := roster.KeyID(attest.AccountID(a.Forge, a.ID)); !slices.Contains(keys, id) {
				keys = append(keys, id)
			}
		}
	}
	return keys, known
}

// mayPublish refuses a policy set that would put nothing in force: every verifier would
// ignore it, and whoever publishes it should know. Server.negative is held.
func (s *ledgerService) mayPublish(ctx context.Context, accepted []*verify.Accepted) error {
	var before []policy.Offered
	for i, a := range accepted {
		if a.Negative != attest.PolicyChanges {
			continue
		}
		if _, known, err := s.ledger.Lookup(ctx, tlog.LeafHash(a.Leaf)); err != nil {
			return err
		} else if known { // a retry adds nothing
			continue
		}
		r, err := s.now(ctx)
		if err != nil {
			return err
		}
		if refusal := r.history.Offer(s.config.Now(), a.Signer, a.Statement, a.Digest, before...); refusal != nil {
			return &refusedBundle{i, len(accepted), refusal}
		}
		before = append(before, policy.Offered{Signer: a.Signer, Statement: a.Statement, Digest: a.Digest})
	}
	return nil
}
