package main

import (
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

func newTrust(d *daemon) *cobra.Command {
	c := &cobra.Command{
		Use:   "trust",
		Short: "Tell clients what to trust",
		Long: `The trust folder of a ledger is what its own clients are given. These commands tell it
to clients of Sigstore as well, and change it.`,
	}
	tufs := &cobra.Command{
		Use:   "tuf",
		Short: "Publish what Sigstore's clients trust, as a TUF repository",
		Long: `A TUF repository in trust/tuf, which serve has at /tuf: with it, cosign needs one
"cosign initialize" and then no flag to know this log, its timestamps and its URL.`,
	}
	tufs.AddCommand(newTUFInit(d), newTUFPublish(d))
	c.AddCommand(tufs, newRotate(d))
	return c
}

// services are flags that set what sigstore.yaml of the trust folder says.
type services struct{ url, operator, fulcio, oidc string }

func (s *services) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.url, "url", "", "URL of the ledger, as clients reach it")
	f.StringVar(&s.operator, "operator", "", "who runs the services (default: the log's origin)")
	f.StringVar(&s.fulcio, "fulcio", "", "URL of the Fulcio that clients get certificates from; whose count, trust.yaml says")
	f.StringVar(&s.oidc, "oidc", "", "URL of the identity provider that goes with it")
}

// read takes the services of the trust folder, with what the flags change, and says
// whether they do.
func (s *services) read(dir string, t *verify.Trust) (out sigstoreroot.Services, changed bool, err error) {
	if out, err = sigstoreroot.LoadOr(dir, t.Log.Origin()); err != nil {
		return out, false, wrong("%v", err)
	}
	for _, f := range []struct {
		flag string
		set  func()
	}{
		{s.url, func() { out.URL = s.url }},
		{s.operator, func() { out.Operator = s.operator }},
		{s.fulcio, func() { out.Fulcio = []string{s.fulcio} }},
		{s.oidc, func() { out.OIDC = []string{s.oidc} }},
	} {
		if f.flag != "" {
			f.set()
			changed = true
		}
	}
	return out, changed, nil
}

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
