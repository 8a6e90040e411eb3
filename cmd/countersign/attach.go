package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

func newAttach(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "attach BUNDLE…",
		Short: "Give the ledger the statement of a hash that it logged",
		Long: `cosign and other Sigstore clients send the ledger a hash, a signature and a key, and
keep the attestation. Until it is attached, the entry counts for nothing. attach sends
the Sigstore bundle that the client wrote; its statement counts from the entry that
records this, so that nobody can log a hash early and show later what it was.`,
		Example: `  cosign attest-blob --key cosign.key --signing-config signing_config.json --statement st.json --bundle b.json --yes
  countersign attach b.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachBundle(c.Context(), args, attest.MaxBundle, a.attach)
		},
	}
}

func newImport(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "import BUNDLE…",
		Short: "Log bundles that another log vouches for",
		Long: `Log Sigstore bundles that another transparency log holds: Sigstore's public instance,
GitHub's, another team's. The ledger takes them when its trust folder names that
instance (foreignLogs) and the roster the identity of the certificate; every verifier
checks both again, with the trust folder of its own. They count from where they are
logged here.`,
		Example: `  countersign import provenance.sigstore.json`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachBundle(c.Context(), args, attest.MaxCarried, a.importBundle)
		},
	}
}

// eachBundle reads files and sends each.
func (a *app) eachBundle(ctx context.Context, paths []string, limit int64, send func(context.Context, *ledger, string, []byte) error) error {
	l, err := a.connect()
	if err != nil {
		return err
	}
	for _, path := range paths {
		text, err := readFile(path, limit)
		if err != nil {
			return err
		}
		if err := send(ctx, l, path, text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (a *app) attach(ctx context.Context, l *ledger, path string, text []byte) error {
	if _, err := attest.ParseBundle(text); err != nil {
		return wrong("%v", err)
	}
	var done *countersignv1.AttachResponse
	err := a.patiently(ctx, func(ctx context.Context) error {
		resp, err := l.Attach(ctx, connect.NewRequest(&countersignv1.AttachRequest{Bundle: text}))
		if err == nil {
			done = resp.Msg
		}
		return err
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s, the statement of entry %d", path, done.Entry)
	if done.Entry == done.Result.GetIndex() {
		what = path + ", which was logged whole"
	}
	return a.sayLogged(what, done.Result)
}

func (a *app) importBundle(ctx context.Context, l *ledger, path string, text []byte) error {
	if _, err := attest.ParseForeignBundle(text); err != nil {
		return wrong("%v", err)
	}
	var done *countersignv1.ImportResponse
	err := a.patiently(ctx, func(ctx context.Context) error {
		resp, err := l.Import(ctx, connect.NewRequest(&countersignv1.ImportRequest{Bundle: text}))
		if err == nil {
			done = resp.Msg
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.sayLogged(fmt.Sprintf("%s, vouched for by %s", path, done.VouchedBy), done.Result)
}
