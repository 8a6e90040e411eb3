package main

import (
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

func newAttestRevocation(a *app) *cobra.Command {
	var f signing
	var statements, keys, people []string
	var reason, by, comment string
	c := &cobra.Command{
		Use:   "revocation --reason REASON",
		Short: "Take back a statement, a key or a person's word",
		Example: `  countersign attest revocation --statement DIGEST --reason mistake --by alice --key alice.pem
  countersign attest revocation --revoke-key KEYID --reason compromise --by alice --key alice-2.pem`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rev := &attest.Revocation{Reason: reason, By: by, Comment: comment}
			st := &attest.Statement{Predicate: rev}
			add := func(kind attest.RevokedKind, digest, person string) {
				rev.Revokes = append(rev.Revokes, attest.Revoked{Kind: kind, Digest: digest, Person: person})
				if digest == "" {
					digest = attest.DigestOf([]byte("person:" + person)).String()
				}
				st.Subjects = append(st.Subjects, attest.Subject{Digest: map[string]string{"sha256": digest}})
			}
			for _, d := range statements {
				add(attest.RevokedStatement, d, "")
			}
			for _, d := range keys {
				add(attest.RevokedKey, d, "")
			}
			for _, p := range people {
				add(attest.RevokedPerson, "", p)
			}
			return a.logStatement(c.Context(), st, "revocation: "+reason, f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringArrayVar(&statements, "statement", nil, "payload digest of a statement")
	fl.StringArrayVar(&keys, "revoke-key", nil, "id of a key")
	fl.StringArrayVar(&people, "person", nil, "roster id of a person")
	fl.StringVar(&reason, "reason", "", "mistake, compromise, departed or superseded (needed)")
	fl.StringVar(&by, "by", "", "roster id of the signer (needed)")
	fl.StringVar(&comment, "comment", "", "what happened")
	return c
}

func newAttestStatement(a *app) *cobra.Command {
	var f signing
	c := &cobra.Command{
		Use:   "statement FILE",
		Short: "Sign an in-toto statement that another tool wrote",
		Long: `Sign the in-toto Statement v1 in FILE as it stands, byte for byte. SLSA provenance of
a builder comes into the ledger this way.`,
		Example: `  countersign attest statement provenance.json --key builder.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := readFile(args[0], attest.MaxPayload)
			if err != nil {
				return err
			}
			st, err := attest.ParseStatement(payload)
			if err != nil {
				return wrong("%s: %v", args[0], err)
			}
			key, err := a.key(f.key)
			if err != nil {
				return err
			}
			b, err := attest.SignPayload(payload, key)
			if err != nil {
				return err
			}
			return a.logBundle(c.Context(), b, shortType(st.Predicate.Type()), f)
		},
	}
	f.flags(c)
	return c
}
