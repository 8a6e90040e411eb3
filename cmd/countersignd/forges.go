package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/forge"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// connecting is one forge of the configuration file, with files where it has secrets.
type connecting struct {
	forge.Config
	secretFile, keyFile, tokenFile string
}

var forgeKeys = []string{"id", "kind", "host", "secretFile", "keyFile", "tokenFile", "api", "environments", "settle", "repositories"}

func readForges(v strictyaml.Node) ([]connecting, error) {
	var all []connecting
	err := v.Items(func(item strictyaml.Node) error {
		var c connecting
		err := item.Fields(forgeKeys, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "kind":
				var kind string
				kind, err = f.OneOf("kind of forge", forge.Kinds)
				c.Kind = forge.Kind(kind)
			case "settle":
				c.Settle, err = f.Duration(time.Hour)
			case "environments":
				c.Environments, err = f.Texts()
			case "repositories":
				c.Repositories, err = readForgeRepositories(f)
			default:
				text := map[string]*string{
					"id": &c.ID, "host": &c.Host, "api": &c.API, "secretFile": &c.secretFile, "keyFile": &c.keyFile, "tokenFile": &c.tokenFile,
				}[key]
				*text, err = f.Text()
			}
			return err
		})
		if err == nil && (c.ID == "" || c.Kind == "" || c.secretFile == "" || c.keyFile == "") {
			err = item.Errorf("a forge needs an id, a kind, a secretFile and a keyFile")
		}
		all = append(all, c)
		return err
	})
	return all, err
}

func readForgeRepositories(v strictyaml.Node) ([]forge.Repository, error) {
	var all []forge.Repository
	err := v.Items(func(item strictyaml.Node) error {
		var r forge.Repository
		err := item.Fields([]string{"id", "clone", "branches"}, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "id":
				r.ID, err = f.Text()
			case "clone":
				r.Clone, err = f.Text()
			case "branches":
				r.Branches, err = f.Texts()
			}
			return err
		})
		for i, b := range r.Branches {
			if !strings.HasPrefix(b, "refs/") {
				r.Branches[i] = "refs/heads/" + b
			}
		}
		all = append(all, r)
		return err
	})
	return all, err
}

// openForges reads the secrets of the forges, and opens what they keep in --data. It is
// nil where there are none.
func (s *settings) openForges(d *daemon, log *slog.Logger) (*forge.Desk, error) {
	if len(s.forges) == 0 {
		return nil, nil
	}
	configs := make([]forge.Config, len(s.forges))
	for i := range s.forges {
		c := &s.forges[i]
		c.Dir = filepath.Join(s.data, "forges", c.ID)
		if err := c.readSecrets(); err != nil {
			return nil, err
		}
		configs[i] = c.Config
	}
	desk, err := forge.Open(configs, d.now, log)
	if err != nil {
		return nil, wrong("%v", err)
	}
	return desk, nil
}

func (c *connecting) readSecrets() error {
	secret, err := attest.ReadSecret(c.secretFile)
	if err != nil {
		return wrong("forge %s: secretFile: %v", c.ID, err)
	}
	c.Secret = bytes.TrimSpace(secret)
	nobody := func() ([]byte, error) {
		return nil, errors.New("it is encrypted, and a server cannot ask for a password")
	}
	if c.Key, err = attest.ReadKeyFile(c.keyFile, nobody); err != nil {
		return wrong("forge %s: keyFile: %v", c.ID, err)
	}
	if c.tokenFile == "" {
		return nil
	}
	token, err := attest.ReadSecret(c.tokenFile)
	if err != nil {
		return wrong("forge %s: tokenFile: %v", c.ID, err)
	}
	c.Token = string(bytes.TrimSpace(token))
	return nil
}

// serveForges looks at what forges deliver, until stop is called.
func serveForges(ctx context.Context, desk *forge.Desk, server *api.Server) (stop func()) {
	if desk == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		desk.Run(ctx, server.Forges())
	}()
	return func() {
		cancel()
		<-done
	}
}
