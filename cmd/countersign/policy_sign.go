package main

import (
	"reflect"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

func newPolicySign(a *app) *cobra.Command {
	var keyFile, out, with, supersedes string
	var genesis bool
	c := &cobra.Command{
		Use:   "sign DIR --key FILE --out FILE",
		Short: "Sign a policy set as one of its owners",
		Long: `Sign the policy set of DIR. Every owner signs the same bytes: the first signs as is,
the others give the first one's file with --with. The signed files of version 1 become the
genesis of a log: countersignd create --genesis FILE --genesis FILE. A later version names
the set that it supersedes (its digest is shown by: countersign policy history), and is sent
with: countersign policy publish FILE.`,
		Example: `  countersign policy sign policy --key alice.pem --out genesis-alice.json
  countersign policy sign policy --key bob.pem --with genesis-alice.json --out genesis-bob.json
  countersign policy sign next --supersedes 1cda646e… --key alice.pem --out next-alice.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.policySign(args[0], keyFile, with, supersedes, out, genesis)
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "the owner's private key")
	c.Flags().StringVar(&out, "out", "", "file for the signed policy")
	c.Flags().BoolVar(&genesis, "genesis", false, "sign a later version as the first of a new log (countersignd rotate)")
	c.Flags().StringVar(&supersedes, "supersedes", "", "digest of the set before, for a version after the first")
	c.Flags().StringVar(&with, "with", "", "what another owner has signed")
	return c
}

func (a *app) policySign(dir, keyFile, with, supersedes, out string, genesis bool) error {
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
	if supersedes == "" && with == "" && set.Version > 1 && !genesis {
		return wrong("--supersedes is needed: the digest of version %d (or --genesis, for a new log)", set.Version-1)
	}
	if (set.Version == 1 || genesis) && (!ok || owner.Kind != roster.Person) { // later, the set before says who
		return refused("%s is no person's key in %s/people.yaml", keyFile, dir)
	}
	who := "key " + key.Public().ID().String()[:12]
	if ok {
		who = owner.ID
	}
	at := attest.At(a.now())
	if with != "" {
		_, p, err := readPolicyStatement(with)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(p.Files, set.Files()) {
			return refused("%s signs another policy set than this folder holds", with)
		}
		at, supersedes = p.PublishedAt, p.Supersedes
	}
	b, err := attest.Sign(set.Statement(supersedes, at), key)
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
	a.printf("%s  %s version %d, signed by %s\n", out, set.Name, set.Version, who)
	return nil
}

// readPolicyStatement reads what an owner has signed.
func readPolicyStatement(path string) ([]byte, *attest.Policy, error) {
	text, err := readFile(path, attest.MaxBundle)
	if err != nil {
		return nil, nil, err
	}
	b, err := attest.ParseBundle(text)
	if err != nil {
		return nil, nil, wrong("%s: %v", path, err)
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return nil, nil, wrong("%s: %v", path, err)
	}
	p, ok := st.Predicate.(*attest.Policy)
	if !ok {
		return nil, nil, refused("%s holds a %s, not a policy", path, st.Predicate.Type())
	}
	return text, p, nil
}
