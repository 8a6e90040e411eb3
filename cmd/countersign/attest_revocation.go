package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
)

func newAttestRevocation(a *app) *cobra.Command {
	var f signing
	var statements, keys, people, sessions []string
	var reason, by, comment, since string
	c := &cobra.Command{
		Use:   "revocation --reason REASON",
		Short: "Take back a statement, a key, a person's word or an agent's session",
		Long: `Take back what is one's own (a statement, a key, one's whole word), what an agent signed that
one runs, or a session of it; owners of the policy take back anything. A release is taken back by
the digest of its statement. It counts from the next verdict on, and cannot be left out of any.`,
		Example: `  countersign attest revocation --statement DIGEST --reason mistake --by alice --key alice.pem
  countersign attest revocation --revoke-key KEYID --reason compromise --by alice --key alice-2.pem
  countersign attest revocation --revoke-key KEYID --since 2026-03-01T12:00:00Z --reason compromise --by alice --key alice-2.pem
  countersign attest revocation --session 5f2c… --reason mistake --by alice --comment 'it read a poisoned issue' --key alice.pem`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case len(statements)+len(keys)+len(people)+len(sessions) == 0:
				return wrong("what is taken back? --statement, --revoke-key, --person or --session names it")
			case reason == "":
				return wrong("--reason is needed: mistake, compromise, departed or superseded")
			case by == "":
				var err error
				if by, err = a.holder(c.Context(), f); err != nil {
					return err
				}
			}
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
			for _, id := range sessions {
				rev.Revokes = append(rev.Revokes, attest.Revoked{Kind: attest.RevokedSession, Session: id})
				st.Subjects = append(st.Subjects, attest.Subject{Digest: map[string]string{"sha256": attest.DigestOf([]byte("session:" + id)).String()}})
			}
			if since != "" {
				at, err := time.Parse(time.RFC3339, since)
				if err != nil {
					return wrong("--since %q is not a time such as 2026-03-01T12:00:00Z", since)
				}
				from := attest.At(at)
				rev.EffectiveFrom = &from
			}
			return a.logStatement(c.Context(), st, "revocation: "+reason, f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringArrayVar(&statements, "statement", nil, "payload digest of a statement")
	fl.StringArrayVar(&keys, "revoke-key", nil, "id of a key")
	fl.StringArrayVar(&people, "person", nil, "roster id of a person")
	fl.StringArrayVar(&sessions, "session", nil, "id of an agent's session, as authorship names it: what was made in it does not go")
	fl.StringVar(&since, "since", "", "of keys and people: what was logged before this time still counts, such as before a compromise (default: nothing does)")
	fl.StringVar(&reason, "reason", "", "mistake, compromise, departed or superseded (needed)")
	fl.StringVar(&by, "by", "", "roster id of the signer (default: whose --key is, as the ledger's policy says)")
	fl.StringVar(&comment, "comment", "", "what happened")
	return c
}

// holder is the roster id of whose key signs, asked of the ledger.
func (a *app) holder(ctx context.Context, f signing) (string, error) {
	if f.offline || f.print {
		return "", wrong("--by is needed where nobody is asked: the roster id of the signer")
	}
	me, _, err := a.speaker(ctx, f.key, "")
	if err != nil {
		return "", err
	}
	return me.ID, nil
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
