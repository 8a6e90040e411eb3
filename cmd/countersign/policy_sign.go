package main

import (
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

func newPolicySign(a *app) *cobra.Command {
	var keyFile, out, with string
	c := &cobra.Command{
		Use:   "sign DIR --key FILE --out FILE",
		Short: "Sign a policy set as one of its owners",
		Long: `Sign the policy set of DIR. Every owner signs the same bytes: the first signs as is,
the others give the first one's file with --with. The signed files become the
genesis of a log: countersignd create --genesis FILE --genesis FILE.`,
		Example: `  countersign policy sign policy --key alice.pem --out genesis-alice.json
  countersign policy sign policy --key bob.pem --with genesis-alice.json --out genesis-bob.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.policySign(args[0], keyFile, with, out) },
	}
	c.Flags().StringVar(&keyFile, "key", "", "the owner's private key")
	c.Flags().StringVar(&out, "out", "", "file for the signed policy")
	c.Flags().StringVar(&with, "with", "", "what another owner has signed")
	return c
}

func (a *app) policySign(dir, keyFile, with, out string) error {
	set, err := policy.ReadFolder(dir)
	if err != nil {
		return err
	}
	key, err := a.key(keyFile)
	if err != nil {
		return err
	}
	if out == "" {
		return wrong("--out is needed: the file for the signed policy")
	}
	owner, _, ok := set.Roster.ByKey(roster.KeyID(key.Public().ID()))
	if !ok || owner.Kind != roster.Person {
		return refused("%s is no person's key in %s/people.yaml", keyFile, dir)
	}
	at := attest.At(a.now())
	if with != "" {
		if at, err = publishedAt(with, set); err != nil {
			return err
		}
	}
	st := &attest.Statement{
		Subjects:  []attest.Subject{{Name: set.Name, Digest: map[string]string{"sha256": set.Digest().String()}}},
		Predicate: &attest.Policy{Name: set.Name, Version: set.Version, Files: set.Files(), PublishedAt: at},
	}
	b, err := attest.Sign(st, key)
	if err != nil {
		return err
	}
	text, err := b.Marshal()
	if err != nil {
		return err
	}
	if err := writeNew(out, text, 0o644); err != nil {
		return err
	}
	a.printf("%s  %s version %d, signed by %s\n", out, set.Name, set.Version, owner.ID)
	return nil
}

func publishedAt(path string, set *policy.Set) (attest.Time, error) {
	text, err := readFile(path, attest.MaxBundle)
	if err != nil {
		return attest.Time{}, err
	}
	b, err := attest.ParseBundle(text)
	if err != nil {
		return attest.Time{}, wrong("%s: %v", path, err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return attest.Time{}, wrong("%s: %v", path, err)
	}
	p, ok := st.Predicate.(*attest.Policy)
	if !ok || p.Files != set.Files() {
		return attest.Time{}, refused("%s signs another policy set than this folder holds", path)
	}
	return p.PublishedAt, nil
}
