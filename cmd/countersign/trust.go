package main

import (
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/verify"
)

func newTrust(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "trust",
		Short: "Look at a trust folder",
		Long: `A trust folder pins what a verifier believes before it looks at anything: the log's
key, the timestamp authority, the service that signs verdicts, the digest of the
genesis policy and its owners. countersignd create writes one. Take it over a way
that you trust, and compare its digests with the policy's owners.`,
	}
	c.AddCommand(newTrustExport(a), &cobra.Command{
		Use:     "show DIR",
		Short:   "Show what a trust folder pins",
		Example: `  countersign trust show trust`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := loadTrust(args[0])
			if err != nil {
				return err
			}
			if a.json() {
				frozen := []string{}
				for _, f := range t.Frozen {
					frozen = append(frozen, f.Log.VKey())
				}
				out := map[string]any{
					"frozen": frozen, "origin": t.Log.Origin(), "logKey": t.Log.VKey(), "serviceKey": t.Service.ID().String(),
					"genesis": t.Genesis.String(), "owners": t.Owners, "unsafeSingleOwner": t.UnsafeSingleOwner,
				}
				if t.Witnesses != nil {
					out["witnesses"] = t.Witnesses.String()
				}
				return a.writeJSON(out)
			}
			a.printf("log        %s\nlog key    %s\nservice    %s\ngenesis    sha256:%s\n", t.Log.Origin(), t.Log.VKey(), t.Service.ID(), t.Genesis)
			for _, o := range t.Owners {
				a.printf("owner      %s\n", o)
			}
			if t.UnsafeSingleOwner {
				a.printf("%s\n", a.red("unsafe: one owner is enough"))
			}
			for _, f := range t.Frozen {
				a.printf("frozen     %s, until %s at %d entries\n", f.Log.Origin(), f.Until.UTC().Format("2006-01-02"), f.Size)
			}
			for _, c := range t.Timestamps {
				a.printf("timestamps %s, until %s\n", c.Subject.CommonName, c.NotAfter.UTC().Format("2006-01-02"))
			}
			if t.Witnesses != nil {
				for _, w := range t.Witnesses.Witnesses() {
					a.printf("witness    %s %s\n", w.Alias, w.VKey())
				}
				a.printf("quorum     %s\n", t.Witnesses.Need())
			}
			return nil
		},
	})
	return c
}

func loadTrust(dir string) (*verify.Trust, error) {
	t, err := verify.LoadTrust(dir)
	if err != nil {
		return nil, wrong("--trust: %v", err)
	}
	return t, nil
}
