package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstoretuf "github.com/sigstore/sigstore-go/pkg/tuf"

	"github.com/countersign-dev/countersign/verify"
)

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A folder that was made long ago gets a repository while its server runs, and
// Sigstore's own client finds in it this log, its timestamps and its URL.
func TestSigstoreClientsLearnOfTheLog(t *testing.T) {
	data := newLedger(t)
	trust, err := verify.LoadTrust(filepath.Join(data, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, data)
	if status, text := fetch(t, s.url+"/signing_config.v0.2.json"); status != http.StatusOK || !strings.Contains(text, "https://log.example.com") {
		t.Errorf("before there is a repository: %d %s", status, text)
	}
	if status, _ := fetch(t, s.url+"/tuf/timestamp.json"); status != http.StatusNotFound {
		t.Errorf("before there is a repository: %d", status)
	}
	offline := t.TempDir()
	out := runs(t, 0, "trust", "tuf", "init", "--data", data, "--url", s.url, "--offline-keys", offline)
	if !strings.Contains(out, "cosign initialize --mirror "+s.url+"/tuf --root 1.root.json") {
		t.Errorf("it does not say how to go on: %s", out)
	}
	first, err := os.ReadFile(filepath.Join(data, "trust", "tuf", "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	client := func() (*root.TrustedRoot, *root.SigningConfig) {
		t.Helper()
		opts := &sigstoretuf.Options{Root: first, RepositoryBaseURL: s.url + "/tuf", CachePath: cache}
		tr, err := root.FetchTrustedRootWithOptions(opts)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := root.FetchSigningConfigWithOptions(opts)
		if err != nil {
			t.Fatal(err)
		}
		return tr, sc
	}
	tr, sc := client()
	id := trust.Log.LogID()
	if log, ok := tr.RekorLogs()[hex.EncodeToString(id[:])]; !ok || !trust.Log.PublicKey().Equal(log.PublicKey) {
		t.Errorf("the client does not know the log: %v", tr.RekorLogs())
	}
	if logs := sc.RekorLogURLs(); len(logs) != 1 || logs[0].URL != s.url || logs[0].MajorAPIVersion != 2 {
		t.Errorf("the client writes to %v", logs)
	}

	// What is published later, the client sees, and so does who asks without TUF.
	runs(t, 0, "trust", "tuf", "publish", "--data", data, "--offline-keys", offline, "--operator", "somebody else")
	if _, sc = client(); sc.RekorLogURLs()[0].Operator != "somebody else" {
		t.Errorf("after publishing: %v", sc.RekorLogURLs())
	}
	published, err := sc.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	_, text := fetch(t, s.url+"/signing_config.v0.2.json")
	if plain, err := root.NewSigningConfigFromJSON([]byte(text)); err != nil {
		t.Error(err)
	} else if same, _ := plain.MarshalJSON(); !bytes.Equal(squeeze(same), squeeze(published)) {
		t.Errorf("/signing_config.v0.2.json says %s; TUF says %s", same, published)
	}
	if said := s.end(syscall.SIGTERM); s.cmd.ProcessState.ExitCode() != 0 {
		t.Error(said)
	}
}

// squeeze takes out the spaces that protojson puts in at random.
func squeeze(text []byte) []byte { return bytes.ReplaceAll(text, []byte(" "), nil) }

func TestTUFCommandsRefuse(t *testing.T) {
	data := newLedger(t)
	init := []string{"trust", "tuf", "init", "--data", data}
	publish := []string{"trust", "tuf", "publish", "--data", data}
	refuse := func(says string, args ...string) {
		t.Helper()
		if out := runs(t, 2, args...); !strings.Contains(out, says) {
			t.Errorf("%v does not speak of %q: %s", args, says, out)
		}
	}
	refuse("--url is needed", init...)
	refuse("url:", append(init, "--url", "log.example.com")...)
	refuse("credentials", append(init, "--url", "https://a:b@log.example.com")...)
	refuse("fulcio:", append(init, "--url", "https://log.example.com", "--fulcio", "fulcio.example.com")...)
	refuse("tuf-targets.key", publish...)
	if _, err := os.Stat(filepath.Join(data, "trust", "tuf")); !os.IsNotExist(err) {
		t.Errorf("a refusal left something behind: %v", err)
	}
	runs(t, 0, append(init, "--url", "https://log.example.com")...) // the twin
	refuse("there already", append(init, "--url", "https://log.example.com")...)
	runs(t, 0, publish...)
	if err := os.Remove(filepath.Join(data, "keys", "tuf-root.key")); err != nil {
		t.Fatal(err)
	}
	runs(t, 0, publish...) // the root's key is needed only to renew the root
	if err := os.Remove(filepath.Join(data, "keys", "tuf-targets.key")); err != nil {
		t.Fatal(err)
	}
	refuse("tuf-targets.key", publish...)
}
