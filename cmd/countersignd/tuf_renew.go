package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/countersign-dev/countersign/api/tuf"
)

// How often a server looks whether the TUF timestamp has to be renewed, and how long
// before their end it begins to warn of the metadata that people have to renew.
const (
	tufInterval = time.Hour
	tufWarning  = 60 * 24 * time.Hour
)

// renewTUF keeps the repository fresh until the context is done. It may be made while
// the server runs. What fails is logged and tried again: the ledger goes on.
func (d *daemon) renewTUF(ctx context.Context, h home, log *slog.Logger) {
	tick := time.NewTicker(tufInterval)
	defer tick.Stop()
	for {
		d.refreshTUF(h, log)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *daemon) refreshTUF(h home, log *slog.Logger) {
	r := h.tuf()
	before, err := r.State()
	if errors.Is(err, tuf.ErrNone) {
		return
	}
	var key ed25519.PrivateKey
	if err == nil {
		key, err = readPKCS8[ed25519.PrivateKey](filepath.Join(h.keys, tufOnlineKeyFile))
	}
	var s tuf.State
	if err == nil {
		s, err = r.Refresh(key, d.now())
	}
	if err != nil {
		log.Error("the TUF repository is not renewed; clients refuse it when it expires", "dir", h.tufDir(), "expires", before.Timestamp.Expires, "error", err)
		return
	}
	if s != before {
		log.Info("renewed the TUF repository", "timestamp", s.Timestamp.Number, "until", s.Timestamp.Expires)
	}
	for role, v := range map[string]tuf.Version{"root": s.Root, "targets": s.Targets} {
		if v.Expires.Sub(d.now()) < tufWarning {
			log.Warn("TUF metadata expires; run countersignd trust tuf publish with its keys", "role", role, "expires", v.Expires)
		}
	}
}
