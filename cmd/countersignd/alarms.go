package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/alarm"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

const alarmKeyFile = "alarm.key"

func newAlarms(d *daemon) *cobra.Command {
	c := &cobra.Command{
		Use:   "alarms",
		Short: "Webhooks that tell of broken glass, freezes, rejections and changes of the policy",
	}
	var h home
	key := &cobra.Command{
		Use:   "key",
		Short: "Print the public key of alarms for receivers, and make the key where there is none",
		Long: `Print the Ed25519 public key by which receivers verify alarms (Standard Webhooks, signatures
v1a). The private key, alarm.key in the folder of the server's keys, signs nothing else.`,
		Example: `  countersignd alarms key --data data`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := h.check(); err != nil {
				return err
			}
			if _, err := h.readTrust(); err != nil {
				return err
			}
			path := filepath.Join(h.keys, alarmKeyFile)
			private, err := readPKCS8[ed25519.PrivateKey](path)
			if errors.Is(err, fs.ErrNotExist) {
				private, err = newEd25519(path)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(d.out, alarm.PublicKey(private.Public().(ed25519.PublicKey)))
			return nil
		},
	}
	h.flags(key)
	c.AddCommand(key)
	return c
}

func readAlarms(v strictyaml.Node) ([]alarm.Receiver, error) {
	var all []alarm.Receiver
	err := v.Items(func(item strictyaml.Node) error {
		var r alarm.Receiver
		err := item.Fields([]string{"name", "url", "events"}, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "name":
				r.Name, err = f.Text()
			case "url":
				r.URL, err = f.Text()
			case "events":
				r.Events, err = f.Texts()
			}
			return err
		})
		if err == nil && (r.Name == "" || r.URL == "") {
			err = item.Errorf("a receiver of alarms needs a name and a url")
		}
		all = append(all, r)
		return err
	})
	return all, err
}

// openAlarms is nil where nobody wants to be told.
func (s *settings) openAlarms(d *daemon, c *api.Config) (*alarm.Sender, error) {
	if len(s.alarms) == 0 {
		return nil, nil
	}
	path := filepath.Join(s.keys, alarmKeyFile)
	key, err := readPKCS8[ed25519.PrivateKey](path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wrong("alarms: there is no %s to sign them with; make it, and give receivers what it prints: countersignd alarms key --data %s", path, s.data)
	}
	if err != nil {
		return nil, err
	}
	sender, err := alarm.New(alarm.Config{
		Receivers: s.alarms, Key: key, Origin: c.Trust.Log.Origin(), Dir: filepath.Join(s.data, "alarms"), Now: d.now, Log: c.Log,
	})
	if err != nil {
		return nil, wrong("%v", err)
	}
	return sender, os.MkdirAll(filepath.Join(s.data, "alarms"), 0o700)
}

// sendAlarms tells receivers while the server serves. Whatever becomes of it, the server
// goes on: what was not told is in the log, and is told after the next start.
func sendAlarms(ctx context.Context, sender *alarm.Sender, c *api.Config) (stop func()) {
	if sender == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := sender.Run(ctx, c.Ledger); err != nil {
			c.Log.ErrorContext(ctx, "nobody is told of anything any more", "error", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
