package sigstoreroot

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/countersign-dev/countersign/verify"
)

// Limits of Services.
const (
	maxServices = 16      // of each kind
	maxURL      = 1 << 10 // bytes
	maxOperator = 256     // bytes
)

// Services are where clients find what they sign with. They are no trust: whose word
// counts, the trust folder's other file says. A trust folder may have them in
// sigstore.yaml.
type Services struct {
	URL      string   // of the ledger: http or https, without a slash at its end
	Operator string   // who runs the services; the log's origin when empty
	Fulcio   []string // URLs of certificate authorities
	OIDC     []string // URLs of the identity providers that go with them
}

func (s Services) operator(t *verify.Trust) string {
	if s.Operator != "" {
		return s.Operator
	}
	return t.Log.Origin()
}

// fulcioURL is that of the authority, when there is no doubt which.
func (s Services) fulcioURL(authorities int) string {
	if authorities == 1 && len(s.Fulcio) == 1 {
		return s.Fulcio[0]
	}
	return ""
}

// urls are all of them, with the name of the setting.
func (s Services) urls(each func(setting, url string) error) error {
	if err := each("url", s.URL); err != nil {
		return err
	}
	for _, u := range s.Fulcio {
		if err := each("fulcio", u); err != nil {
			return err
		}
	}
	for _, u := range s.OIDC {
		if err := each("oidc", u); err != nil {
			return err
		}
	}
	return nil
}

// check names the setting that does not hold.
func (s Services) check() error {
	if len(s.Operator) > maxOperator || strings.ContainsFunc(s.Operator, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return fmt.Errorf("operator: %.100q is not printable ASCII without quotes, of at most %d bytes", s.Operator, maxOperator)
	}
	if len(s.Fulcio) > maxServices || len(s.OIDC) > maxServices {
		return fmt.Errorf("fulcio, oidc: more than %d of one kind", maxServices)
	}
	return s.urls(func(setting, url string) error {
		if err := checkURL(url); err != nil {
			return fmt.Errorf("%s: %w", setting, err)
		}
		return nil
	})
}

// checkURL wants an absolute URL that clients can append a path to.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL {
		return fmt.Errorf("%.100q is not a URL of at most %d bytes", text, maxURL)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		return fmt.Errorf("%.100q is not http://HOST or https://HOST", text)
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "/") || strings.HasSuffix(text, "#") {
		return fmt.Errorf("%.100q has a query, a fragment or a slash at its end", text)
	}
	return nil
}

// checkPublic wants no credentials in what everybody gets to read.
func (s Services) checkPublic() error {
	return s.urls(func(setting, text string) error {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			return fmt.Errorf("%s: it has credentials, and everybody reads %s", setting, File)
		}
		return nil
	})
}
