package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
)

// The variables in which CIs hand over a token, or where to ask for one.
const (
	tokenItself = "SIGSTORE_ID_TOKEN"
	tokenURL    = "ACTIONS_ID_TOKEN_REQUEST_URL"
	tokenBearer = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// tokenAudience is whom tokens are for, as Sigstore has it.
const tokenAudience = "sigstore"

// maxAnswer bounds what is read of an identity provider and of an authority, in bytes.
const maxAnswer = 1 << 20

// identifyKeyless makes a key for this run and has the authority say whose it is: the
// job's, by the token that the CI gives. The key never leaves this process.
func (r *ciRun) identifyKeyless(ctx context.Context, from string) error {
	source, err := tokenSource()
	if err != nil {
		return err
	}
	fulcio, err := secureURL("--fulcio", r.flags.fulcio)
	if err != nil {
		return err
	}
	if r.flags.dry {
		r.job.Note("signs", "whom "+fulcio.Host+" certifies", from+", "+source)
		return nil
	}
	token, err := r.idToken(ctx)
	if err != nil {
		return err
	}
	key, err := r.certified(ctx, fulcio, token)
	if err != nil {
		return err
	}
	r.keep("", key)
	id := key.Public().Identity()
	r.job.Note("signs", id.Subject, from+", "+source)
	r.job.Note("issuer", id.Issuer, "the certificate")
	return nil
}

// tokenSource names the variable that will give a token.
func tokenSource() (string, error) {
	switch {
	case os.Getenv(tokenItself) != "":
		return tokenItself, nil
	case os.Getenv(tokenURL) != "" && os.Getenv(tokenBearer) != "":
		return tokenURL, nil
	}
	return "", wrong("there is neither a key nor a token to sign without one\nOn GitHub the job needs permissions: {id-token: write}; on GitLab id_tokens: {%s: {aud: %s}}", tokenItself, tokenAudience)
}

// secureURL wants https, or a host on this machine.
func secureURL(what, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, wrong("%s is not a URL such as https://fulcio.example.com", what)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, wrong("%s is plain http, and tokens are not sent over it", what)
	}
	return u, nil
}

// idToken is the CI's word for who this job is.
func (a *app) idToken(ctx context.Context) (string, error) {
	if token := os.Getenv(tokenItself); token != "" {
		return token, nil
	}
	u, err := secureURL(tokenURL, os.Getenv(tokenURL))
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("audience", tokenAudience)
	u.RawQuery = q.Encode()
	var answer struct {
		Value string `json:"value"`
	}
	if err := a.exchange(ctx, http.MethodGet, u, os.Getenv(tokenBearer), nil, &answer); err != nil {
		return "", broken("ask the CI for a token: %v", err)
	}
	if answer.Value == "" {
		return "", broken("ask the CI for a token: there is none in its answer")
	}
	return answer.Value, nil
}

// certified makes a key, and has the authority certify it for whom the token names.
func (a *app) certified(ctx context.Context, fulcio *url.URL, token string) (*attest.PrivateKey, error) {
	key, err := attest.GenerateKey()
	if err != nil {
		return nil, broken("%v", err)
	}
	request, err := key.Request()
	if err != nil {
		return nil, broken("%v", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})
	body, err := json.Marshal(map[string]any{
		"credentials":               map[string]string{"oidcIdentityToken": token},
		"certificateSigningRequest": base64.StdEncoding.EncodeToString(text),
	})
	if err != nil {
		return nil, broken("%v", err)
	}
	type chain struct {
		Chain struct {
			Certificates []string `json:"certificates"`
		} `json:"chain"`
	}
	var answer struct {
		Embedded chain `json:"signedCertificateEmbeddedSct"`
		Detached chain `json:"signedCertificateDetachedSct"`
	}
	if err := a.exchange(ctx, http.MethodPost, fulcio.JoinPath("api/v2/signingCert"), "", body, &answer); err != nil {
		return nil, broken("ask %s for a certificate: %v", fulcio.Host, err)
	}
	all := append(answer.Embedded.Chain.Certificates, answer.Detached.Chain.Certificates...)
	if len(all) == 0 {
		return nil, broken("ask %s for a certificate: there is none in its answer", fulcio.Host)
	}
	block, _ := pem.Decode([]byte(all[0]))
	if block == nil {
		return nil, broken("the certificate of %s is not PEM", fulcio.Host)
	}
	named, err := key.Named(block.Bytes)
	if err != nil {
		return nil, broken("the certificate of %s: %v", fulcio.Host, err)
	}
	return named, nil
}

// exchange makes a request and reads the JSON that answers it. Errors hold nothing of what
// was sent. A redirect is none: tokens go where they were meant to.
func (a *app) exchange(ctx context.Context, method string, u *url.URL, bearer string, body []byte, answer any) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s cannot be reached", u.Host)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s did not finish its answer", u.Host)
	}
	if resp.StatusCode/100 != 2 {
		var problem struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(text, &problem) // what is no JSON has no message
		return fmt.Errorf("%s %s", resp.Status, printable(strings.TrimSpace(problem.Message), 200))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s answered with no JSON", u.Host)
	}
	return nil
}
