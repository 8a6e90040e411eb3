package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/ledger/witness"
	"github.com/countersign-dev/countersign/verify"
)

// publishedFile is beside the head: the last checkpoint that a quorum of witnesses
// has cosigned, and that readers were shown.
const publishedFile = "published"

// firstQuorum is how long a start waits for witnesses, where no published
// checkpoint is remembered that satisfies the policy.
const firstQuorum = 30 * time.Second

func (s *settings) published() witness.File {
	dir := s.head
	if dir == "" {
		dir = s.log()
	}
	return witness.File{Path: filepath.Join(dir, publishedFile)}
}

// forgetPublished removes the published note where none will be kept: what is
// published from now on goes beyond it, and after a later start with a quorum it
// would take the log back. The store is open, so that nobody else has it.
func (s *settings) forgetPublished(w *ledger.Witnessing) error {
	if w != nil && w.Policy.Required() {
		return nil
	}
	return s.published().Forget()
}

// witnessing is what --witness-policy asks for; nil without it.
func (s *settings) witnessing(t *verify.Trust, log *slog.Logger) (*ledger.Witnessing, error) {
	var p *tlog.Policy
	if s.witnessPolicy != "" {
		var err error
		if p, err = readWitnessPolicy(s.witnessPolicy, t.Log); err != nil {
			return nil, err
		}
	}
	if t.Witnesses != nil && t.Witnesses.Required() && (p == nil || !p.Required()) {
		return nil, wrong("the trust folder wants checkpoints that are cosigned by %s, and nobody is asked: serve with --witness-policy FILE, with a quorum and the witnesses' URLs", t.Witnesses.Need())
	}
	if p == nil {
		return nil, nil
	}
	feed, err := witness.NewFeed(witness.Config{Policy: p, Report: func(name string, err error) {
		if err != nil {
			log.Warn("a witness does not cosign", "witness", name, "error", err)
			return
		}
		log.Info("a witness cosigns again", "witness", name)
	}})
	if err != nil {
		return nil, wrong("--witness-policy: %s: %v", s.witnessPolicy, err)
	}
	return &ledger.Witnessing{
		Policy: p, Witnesses: feed, Keeper: s.published(),
		Report: func(err error) { log.Error("checkpoint not published", "error", err) },
	}, nil
}

func readWitnessPolicy(path string, own *tlog.Verifier) (*tlog.Policy, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, wrong("--witness-policy: %v", err)
	}
	if !st.Mode().IsRegular() || st.Size() > tlog.MaxPolicy {
		return nil, wrong("--witness-policy: %s is no file of at most %d bytes", path, tlog.MaxPolicy)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, wrong("--witness-policy: %v", err)
	}
	p, err := tlog.ParsePolicy(text)
	if err != nil {
		return nil, wrong("--witness-policy: %s: %v", path, err)
	}
	if !p.Names(own) {
		return nil, wrong("--witness-policy: %s does not name this log; add the line: log %s", path, own.VKey())
	}
	return p, nil
}

// awaitFirst waits until the log shows something: at once, unless a quorum of
// witnesses is new, or its memory is lost.
func awaitFirst(ctx context.Context, l *ledger.Ledger, log *slog.Logger) error {
	if l.Head().Size > 0 {
		return nil
	}
	log.Info("waiting for witnesses", "unpublished", l.Unpublished(), "atMost", firstQuorum.String())
	first, cancel := context.WithTimeout(ctx, firstQuorum)
	defer cancel()
	err := l.Wait(first, 0)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("too few witnesses cosigned the log within %s, and it shows nothing without: see the lines above for what they answered (do they know the log's key?): %w", firstQuorum, ledger.ErrWitnessQuorum)
	}
	return err
}
