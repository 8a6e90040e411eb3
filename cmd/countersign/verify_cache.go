package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
)

// maxCached is how long an allow serves without the ledger.
const maxCached = 15 * time.Minute

// A verdictCache keeps the evidence of allows, by question. What it holds is believed as
// little as any pack: the decision is made again from it.
type verdictCache struct{ dir string }

func (c verdictCache) file(req policy.Request) string {
	h := sha256.New()
	for _, part := range []string{req.Repository, req.Environment, digestText(req.Artifact), digestText(req.Plan), string(req.Commit)} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return filepath.Join(c.dir, hex.EncodeToString(h.Sum(nil))+".pack")
}

func digestText(d *attest.Digest) string {
	if d == nil {
		return ""
	}
	return d.String()
}

// keep writes the evidence of an allow, whole or not at all.
func (c verdictCache) keep(req policy.Request, pack []byte) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return wrong("--cache: %v", err)
	}
	f, err := os.CreateTemp(c.dir, "new-*")
	if err != nil {
		return wrong("--cache: %v", err)
	}
	_, err = f.Write(pack)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.file(req))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return broken("--cache: %v", err)
	}
	return nil
}

// drop forgets an answer that is no allow any more.
func (c verdictCache) drop(req policy.Request) error {
	if err := os.Remove(c.file(req)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return broken("--cache: %v", err)
	}
	return nil
}

// isUnreachable reports whether the ledger gave no answer at all, or could not: then a
// cached verdict may serve. An answer that is wrong is none of that.
func isUnreachable(err error) bool {
	var rpc *connect.Error
	if !errors.As(err, &rpc) {
		return false
	}
	return rpc.Code() == connect.CodeUnavailable || rpc.Code() == connect.CodeDeadlineExceeded
}

// askOrCached asks the ledger, and keeps what it answered; while it cannot be reached, the
// evidence of before serves where the policy lets it.
func (a *app) askOrCached(ctx context.Context, req policy.Request, trust *verify.Trust, f verifying, j *judgement) error {
	if f.cache == "" {
		return a.askLedger(ctx, req, trust, f, j)
	}
	cache := verdictCache{f.cache}
	err := a.askLedger(ctx, req, trust, f, j)
	switch {
	case err == nil && j.here.Core.Verdict == policy.Allow && j.said.Core.Verdict == policy.Allow:
		return cache.keep(req, j.pack)
	case err == nil:
		return cache.drop(req)
	case j.said != nil && j.said.Core.Verdict != policy.Allow: // it was reached, and said no
		return errors.Join(err, cache.drop(req))
	case !isUnreachable(err):
		return err
	}
	_, why := classify(err)
	cached, refusal := a.fromCache(ctx, cache, req, trust, f)
	if refusal != nil {
		return broken("%s\nand no cached verdict serves: %v", why, refusal)
	}
	j.here, j.cached = cached, why
	return nil
}

// fromCache makes the decision again from the evidence of an allow that is at most 15
// minutes old, by the time that the log's state was signed.
func (a *app) fromCache(ctx context.Context, cache verdictCache, req policy.Request, trust *verify.Trust, f verifying) (*policy.Decision, error) {
	file, err := os.Open(cache.file(req))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is none about this")
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	src, err := verify.OpenPack(file, trust)
	if err != nil {
		return nil, err
	}
	h, err := policy.ReadHistory(ctx, src, trust, false)
	if err != nil {
		return nil, err
	}
	set := h.InForce(a.now())
	env, _ := set.Environment(req.Environment)
	if env.Mode != policy.CachedPass {
		return nil, fmt.Errorf("the policy does not let one serve in %s (mode: %s)", req.Environment, policy.CachedPass)
	}
	v, err := verify.New(verify.Config{Trust: trust, Roster: h.Latest().Set.Roster, Roll: h})
	if err != nil {
		return nil, err
	}
	age := min(maxCached, set.ValidFor, trust.MaxCheckpointAge)
	d, _, err := policy.Judge(ctx, src, v, policy.Input{History: h, Trust: trust, Request: req, Now: a.now(), MaxViewAge: age})
	if err != nil {
		return nil, err
	}
	return d, servesCached(&d.Core, set)
}

// servesCached says why a decision from the cache does not open anything.
func servesCached(c *policy.Core, set *policy.Set) error {
	highest := set.Tiers[len(set.Tiers)-1]
	switch {
	case c.Verdict != policy.Allow:
		return fmt.Errorf("made again it is %q: %s", c.Verdict, strings.TrimSuffix(string(c.Kind)+": "+c.Why, ": "))
	case slices.ContainsFunc(c.Changes, func(ch policy.ChangeResult) bool { return ch.Tier == highest }):
		return fmt.Errorf("it has the highest tier (%s), for which none ever serves", highest)
	}
	return nil
}

func (a *app) decideFetched(ctx context.Context, pack []byte, trust *verify.Trust, req policy.Request, f verifying, j *judgement) (err error) {
	j.pack = pack
	j.here, err = a.decideHere(ctx, bytes.NewReader(pack), trust, req, f.baseline, j.followed)
	return err
}
