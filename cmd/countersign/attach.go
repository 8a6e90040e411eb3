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
	var from notesSource
	c := &cobra.Command{
		Use:   "import BUNDLE… | --notes REF [COMMIT…] | --gittuf",
		Short: "Log bundles that another log vouches for",
		Long: `Log Sigstore bundles that another transparency log holds: Sigstore's public instance,
GitHub's, another team's. The ledger takes them when its trust folder names that
instance (foreignLogs) and the roster the identity of the certificate; every verifier
checks both again, with the trust folder of its own. They count from where they are
logged here.

--notes reads the attestations of a notes ref of git, as slsa-source tools write them,
and --gittuf those that gittuf keeps. Everything that is found is shown; what a ledger
can take is tried. A bare envelope is submitted when a key for statements signed it. An
SSH signature over it (gittuf's, in namespace git) is none: it is reported, and left.`,
		Example: `  countersign import provenance.sigstore.json
  countersign import --notes refs/notes/commits --repo .
  countersign import --gittuf --repo . --dry-run`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case from.ref != "":
				return a.importNotes(c.Context(), from, args)
			case len(args) == 0:
				return wrong("import needs bundles, --notes REF or --gittuf; see: countersign import --help")
			}
			return a.eachBundle(c.Context(), args, attest.MaxCarried, a.importBundle)
		},
		PreRun: func(*cobra.Command, []string) {
			if from.gittuf {
				from.ref = gittufRef
			}
		},
	}
	f := c.Flags()
	f.StringVar(&from.ref, "notes", "", "notes ref of git, such as refs/notes/commits; COMMITs limit it")
	f.BoolVar(&from.gittuf, "gittuf", false, "gittuf's attestations ("+gittufRef+")")
	f.StringVar(&from.repo, "repo", ".", "git repository")
	f.BoolVar(&from.dry, "dry-run", false, "show what is there, and send nothing")
	c.MarkFlagsMutuallyExclusive("notes", "gittuf")
	return c
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
	done, err := a.sendImport(ctx, l, text)
	if err != nil {
		return err
	}
	return a.sayLogged(fmt.Sprintf("%s, vouched for by %s", path, done.VouchedBy), done.Result)
}

func (a *app) sendImport(ctx context.Context, l *ledger, text []byte) (done *countersignv1.ImportResponse, err error) {
	err = a.patiently(ctx, func(ctx context.Context) error {
		resp, err := l.Import(ctx, connect.NewRequest(&countersignv1.ImportRequest{Bundle: text}))
		if err == nil {
			done = resp.Msg
		}
		return err
	})
	return done, err
}
