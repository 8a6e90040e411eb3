package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

func newPolicyInit(a *app) *cobra.Command {
	var owners, people, agents, services []string
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a policy set to start from",
		Long: `Write policy.yaml and domains.yaml (the built-in blueprint) and people.yaml into DIR.
Files that are there already are kept, so rules of your own can be put there first.

--person, --agent and --service describe who there is, as comma-separated words:
the id, then level=, teams= (joined by +), email=, operator=, may= (joined by +),
key=FILE of a public key, ssh=FILE, account=HOST/ID on a forge, and the word forge for the
account that merges, or that says what it saw (host=, for whose accounts).`,
		Example: `  countersign policy init policy --owner alice,bob \
    --person alice,level=staff,email=alice@example.com,key=alice.pub \
    --person bob,level=senior,email=bob@example.com,key=bob.pub \
    --agent claude,operator=bob,email=noreply@anthropic.com,key=claude.pub \
    --service ci,may=change+admission,key=ci.pub --service builder,may=release,key=builder.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var all []roster.Principal
			for _, group := range []struct {
				kind  roster.Kind
				specs []string
			}{{roster.Person, people}, {roster.Agent, agents}, {roster.Service, services}} {
				for _, spec := range group.specs {
					p, err := parsePrincipal(group.kind, spec)
					if err != nil {
						return err
					}
					all = append(all, p)
				}
			}
			return a.policyInit(args[0], owners, all)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&owners, "owner", nil, "ids of the people who own the policy (two at least)")
	f.StringArrayVar(&people, "person", nil, "a person")
	f.StringArrayVar(&agents, "agent", nil, "an agent")
	f.StringArrayVar(&services, "service", nil, "a service")
	return c
}

func parsePrincipal(kind roster.Kind, spec string) (roster.Principal, error) {
	words := strings.Split(spec, ",")
	p := roster.Principal{Kind: kind, ID: words[0]}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "level":
			p.Level = value
		case "teams":
			p.Teams = strings.Split(value, "+")
		case "email":
			p.Emails = append(p.Emails, value)
		case "operator":
			p.Operator = value
		case "may":
			p.May = strings.Split(value, "+")
		case "forge":
			p.Forge = true
		case "host":
			p.Hosts = append(p.Hosts, value)
		case "account":
			host, id, ok := strings.Cut(value, "/")
			if !ok {
				return p, wrong("%q: write account=HOST/ID, with the immutable id", spec)
			}
			p.Accounts = append(p.Accounts, roster.Account{Forge: host, ID: id})
		case "key":
			text, err := readFile(value, 64<<10)
			if err != nil {
				return p, err
			}
			pub, err := attest.ParsePublicKeyPEM(text)
			if err != nil {
				return p, wrong("%s: %v", value, err)
			}
			name := strings.TrimSuffix(filepath.Base(value), ".pub")
			p.Keys = append(p.Keys, roster.Key{SPKI: pub.SPKI(), Name: name})
		case "ssh":
			text, err := readFile(value, 64<<10)
			if err != nil {
				return p, err
			}
			k, _, err := credential.ParseSSHLine(strings.TrimSpace(string(text)))
			if err != nil {
				return p, wrong("%s: %v", value, err)
			}
			key := roster.Key{SSH: k, Name: strings.TrimSuffix(filepath.Base(value), ".pub"), Assurance: roster.ByKey}
			if k.Hardware() {
				key.Assurance = roster.Present
			}
			p.Keys = append(p.Keys, key)
		default:
			return p, wrong("%q: %q is none of level=, teams=, email=, operator=, may=, key=, ssh=, account=, host=, forge", spec, w)
		}
	}
	return p, nil
}

func (a *app) policyInit(dir string, owners []string, all []roster.Principal) error {
	if len(owners) == 0 || len(all) == 0 {
		return wrong("--owner and --person are needed: who owns the policy, and who is there?")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return wrong("%v", err)
	}
	// Keys hold from today on, by the day, so that the file is easy to read.
	people, err := policy.NewPeople(owners, all, a.now().UTC().Truncate(24*time.Hour))
	if err != nil {
		return wrong("%v", err)
	}
	blueprint := policy.Blueprint()
	var said strings.Builder
	var written []string
	for _, f := range []struct{ name, text string }{
		{"policy.yaml", blueprint.Policy}, {"domains.yaml", blueprint.Domains}, {"people.yaml", people},
	} {
		path := filepath.Join(dir, f.name)
		if _, err := os.Stat(path); err == nil {
			fmt.Fprintf(&said, "%s  kept\n", path)
			continue
		}
		if err := writeNew(path, []byte(f.text), 0o644); err != nil {
			return err
		}
		written = append(written, path)
		fmt.Fprintf(&said, "%s  written\n", path)
	}
	set, err := policy.ReadFolder(dir)
	if err != nil { // nothing half written: what was kept is the person's own
		for _, path := range written {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	a.printf("%s", said.String())
	a.printf("policy set %s version %d, sha256:%s\n", set.Name, set.Version, set.Digest())
	a.noteBeginning(set)
	return nil
}

// noteBeginning says what a first set had better have: what is added once it is in force
// waits for the policy's delay.
func (a *app) noteBeginning(set *policy.Set) {
	if set.Version != 1 {
		return
	}
	if len(set.Baselines) == 0 {
		a.notef("no baselines: nothing is allowed anywhere until one says at which commit the record of a repository begins\n")
	}
	for _, e := range set.Environments {
		if len(e.Gates) == 0 {
			a.notef("no gates of %s: verdicts about it are dry runs, which the log does not keep\n", e.Name)
		}
	}
}
