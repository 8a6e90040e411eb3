package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
)

func newPolicyPublish(a *app) *cobra.Command {
	var key, trust string
	c := &cobra.Command{
		Use:   "publish DIR --key FILE --trust DIR",
		Short: "Sign the next policy set as one of the owners, and log it",
		Long: `Sign the policy set of DIR as an owner of the set in force, and log the signature. The
first owner publishes it, the others run the same command over the same files; when enough
have signed, it is in force after the delay that the set in force demands, or at once when it
only tightens.

DIR may also be a file that "countersign policy sign" wrote on another machine. The version
must be one more than that of the last set.`,
		Example: `  countersign policy show --trust trust --out next      # then edit next/, version too
  countersign policy diff next --trust trust
  countersign policy publish next --key alice.pem --trust trust
  countersign policy publish next --key bob.pem --trust trust`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.policyPublish(c.Context(), args[0], key, trust) },
	}
	c.Flags().StringVar(&key, "key", os.Getenv("COUNTERSIGN_KEY"), "the owner's private key (COUNTERSIGN_KEY)")
	trustFlag(c, &trust)
	return c
}

func (a *app) policyPublish(ctx context.Context, path, keyFile, trust string) error {
	h, err := a.policyHistory(ctx, trust)
	if err != nil {
		return err
	}
	text, set, err := a.signedSet(path, keyFile, h)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	results, err := a.append(ctx, l, [][]byte{text})
	if err != nil {
		return err
	}
	if h, err = a.policyHistory(ctx, trust); err != nil {
		return err
	}
	return a.sayPublished(h, set, results[0].Index)
}

// signedSet signs the set of a folder, or reads what was signed before.
func (a *app) signedSet(path, keyFile string, h *policy.History) ([]byte, *policy.Set, error) {
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		text, p, err := readPolicyStatement(path)
		if err != nil {
			return nil, nil, err
		}
		set, err := policy.ParseSet(p.Files)
		return text, set, err
	}
	set, err := policy.ReadFolder(path)
	if err != nil {
		return nil, nil, err
	}
	key, err := a.key(keyFile)
	if err != nil {
		return nil, nil, err
	}
	st, err := nextStatement(h, set, attest.At(a.now()))
	if err != nil {
		return nil, nil, err
	}
	b, err := attest.Sign(st, key)
	if err != nil {
		return nil, nil, err
	}
	text, err := b.Marshal()
	return text, set, err
}

// nextStatement is what owners sign for a set: the payload that others have signed
// already, where some have.
func nextStatement(h *policy.History, set *policy.Set, now attest.Time) (*attest.Statement, error) {
	for _, p := range h.Pending() {
		if p.Set.Digest() == set.Digest() {
			return set.Statement(p.Supersedes, p.PublishedAt), nil
		}
	}
	last := h.Latest().Set
	switch {
	case set.Digest() == last.Digest():
		return nil, refused("%s version %d is published, and enough owners have signed it", set.Name, set.Version)
	case set.Version != last.Version+1:
		return nil, wrong("POLICY_ROLLBACK: the last set is version %d, so the next is version %d, and this says %d: edit policy.yaml", last.Version, last.Version+1, set.Version)
	}
	return set.Statement(last.Digest().String(), now), nil
}

// sayPublished says what became of a set.
func (a *app) sayPublished(h *policy.History, set *policy.Set, index uint64) error {
	out := map[string]any{"index": index, "version": set.Version, "digest": set.Digest().String()}
	text := ""
	for i := range h.Epochs() {
		if e := &h.Epochs()[i]; e.Set.Digest() == set.Digest() {
			out["state"], out["from"] = stateOf(h, e, a.now()), e.From
			text = "in force since " + e.From.Format(time.RFC3339)
			if a.now().Before(e.From) {
				text = "in force from " + e.From.Format(time.RFC3339)
			}
		}
	}
	for _, p := range h.Pending() {
		if p.Set.Digest() == set.Digest() {
			out["state"], out["signed"], out["need"] = "needs signatures", p.Signed, p.Need
			text = "signed by " + signers(p.Signed) + "; " + plural(p.Need-len(p.Signed), "more owner") + " must run the same command"
		}
	}
	if a.json() {
		return a.writeJSON(out)
	}
	a.printf("#%d  %s version %d: %s\n", index, set.Name, set.Version, text)
	return nil
}
