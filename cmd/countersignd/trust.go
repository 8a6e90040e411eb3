package main

import (
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

func newTrust(d *daemon) *cobra.Command {
	c := &cobra.Command{
		Use:   "trust",
		Short: "Tell clients what to trust",
		Long: `The trust folder of a ledger is what its own clients are given. These commands tell it
to clients of Sigstore as well.`,
	}
	tufs := &cobra.Command{
		Use:   "tuf",
		Short: "Publish what Sigstore's clients trust, as a TUF repository",
		Long: `A TUF repository in trust/tuf, which serve has at /tuf: with it, cosign needs one
"cosign initialize" and then no flag to know this log, its timestamps and its URL.`,
	}
	tufs.AddCommand(newTUFInit(d), newTUFPublish(d))
	c.AddCommand(tufs)
	return c
}

// services are flags that set what sigstore.yaml of the trust folder says.
type services struct {
	url, operator       string
	fulcio, fulcioChain string
	oidc                string
}

func (s *services) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.url, "url", "", "URL of the ledger, as clients reach it")
	f.StringVar(&s.operator, "operator", "", "who runs the services (default: the log's origin)")
	f.StringVar(&s.fulcio, "fulcio", "", "URL of a Fulcio whose certificates count")
	f.StringVar(&s.fulcioChain, "fulcio-chain", "", "its certificates, PEM, the root last")
	f.StringVar(&s.oidc, "oidc", "", "URL of the identity provider that goes with it")
}

// read takes the services of the trust folder, with what the flags change, and says
// whether they do.
func (s *services) read(dir string, t *verify.Trust) (out sigstoreroot.Services, changed bool, err error) {
	if out, err = sigstoreroot.LoadOr(dir, t.Log.Origin()); err != nil {
		return out, false, wrong("%v", err)
	}
	before := out.URL + "\n" + out.Operator
	if s.url != "" {
		out.URL = s.url
	}
	if s.operator != "" {
		out.Operator = s.operator
	}
	changed = out.URL+"\n"+out.Operator != before
	if (s.fulcio == "") != (s.fulcioChain == "") {
		return out, false, wrong("--fulcio and --fulcio-chain go together: where it is, and which certificates it has")
	}
	if s.fulcio != "" {
		text, err := readLimited(s.fulcioChain, maxChainFile)
		if err != nil {
			return out, false, wrong("--fulcio-chain: %v", err)
		}
		chain, err := sigstoreroot.ParseChain(text)
		if err != nil {
			return out, false, wrong("--fulcio-chain: %v", err)
		}
		root := chain[len(chain)-1]
		out.Fulcio = []sigstoreroot.Authority{{URL: s.fulcio, Chain: chain, Valid: roster.Validity{From: root.NotBefore, Until: root.NotAfter}}}
		changed = true
	}
	if s.oidc != "" {
		out.OIDC, changed = []string{s.oidc}, true
	}
	return out, changed, nil
}

// maxChainFile bounds a file of certificates, in bytes.
const maxChainFile = 64 << 10

// targets are the documents that are published, by their names.
func targets(t *verify.Trust, s sigstoreroot.Services) (map[string][]byte, error) {
	root, err := sigstoreroot.TrustedRoot(t, s)
	if err != nil {
		return nil, wrong("%v", err)
	}
	config, err := sigstoreroot.SigningConfig(t, s)
	if err != nil {
		return nil, wrong("%v", err)
	}
	return map[string][]byte{sigstoreroot.TrustedRootFile: root, sigstoreroot.SigningConfigFile: config}, nil
}
