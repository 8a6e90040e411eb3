package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign-dev/countersign/policy/scenario"
)

func TestCreateRefuses(t *testing.T) {
	g := genesisFiles(t)
	data := filepath.Join(t.TempDir(), "data")
	garbage := filepath.Join(t.TempDir(), "garbage.json")
	if err := os.WriteFile(garbage, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, says string
		args       []string
	}{
		{"no origin", "--origin", []string{"--genesis", g[0], "--genesis", g[1]}},
		{"an origin that is no host", "--origin", []string{"--origin", "https://log.example.com", "--genesis", g[0], "--genesis", g[1]}},
		{"no policy", "--genesis", []string{"--origin", "log.example.com"}},
		{"one owner", "two people", []string{"--origin", "log.example.com", "--genesis", g[0]}},
		{"one owner twice", "signed already", []string{"--origin", "log.example.com", "--genesis", g[0], "--genesis", g[0]}},
		{"no such file", "nowhere.json", []string{"--origin", "log.example.com", "--genesis", "nowhere.json"}},
		{"no bundle", "garbage.json", []string{"--origin", "log.example.com", "--genesis", garbage}},
		{"an unknown flag", "--help", []string{"--orgin", "log.example.com"}},
		{"a word too many", "nonsense", []string{"nonsense"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := runs(t, 2, append([]string{"create", "--data", data}, c.args...)...)
			if !strings.Contains(out, c.says) {
				t.Errorf("it does not speak of %q: %s", c.says, out)
			}
			if _, err := os.Stat(data); !os.IsNotExist(err) {
				t.Errorf("it left something behind: %v", err)
			}
		})
	}
	good := []string{"create", "--data", data, "--origin", "log.example.com", "--genesis", g[0], "--genesis", g[1]}
	runs(t, 0, good...)
	if out := runs(t, 2, good...); !strings.Contains(out, "already") {
		t.Errorf("a second time: %s", out)
	}
	single := []string{"create", "--data", data + "-2", "--origin", "log.example.com", "--genesis", g[0], "--unsafe-single-owner"}
	if out := runs(t, 0, single...); !strings.Contains(out, "UNSAFE") {
		t.Errorf("one owner is not called unsafe: %s", out)
	}
}

// policyFolder is the policy of newLedger as a folder.
func policyFolder(t *testing.T, more string) string {
	t.Helper()
	told, err := scenario.Tell(scenario.Story{Text: "commit h1 alice src/a.go"}, scenario.Harmless)
	if err != nil {
		t.Fatal(err)
	}
	dir, f := t.TempDir(), told.Set.Files()
	for name, text := range map[string]string{"policy.yaml": f.Policy, "people.yaml": f.People, "domains.yaml": f.Domains + more} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestServeRefuses(t *testing.T) {
	data := newLedger(t)
	same, other := policyFolder(t, ""), policyFolder(t, "# one line more\n")
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("data: data\nlisten: 127.0.0.1:0\nlisen: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open.token")
	if err := os.WriteFile(open, []byte("a token that all can read"), 0o644); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short.token")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, says string
		args       []string
	}{
		{"no folder", "create", []string{"--data", filepath.Join(t.TempDir(), "nowhere")}},
		{"an empty folder", "create", []string{"--data", t.TempDir()}},
		{"another policy", other, []string{"--data", data, "--listen", "127.0.0.1:0", "--policy", other}},
		{"an unknown field", "config.yaml:3:1", []string{"--config", config}},
		{"an exposed token", "chmod 600", []string{"--data", data, "--gate", "gate=" + open}},
		{"a short token", "guessed", []string{"--data", data, "--gate", "gate=" + short}},
		{"a bad address", "--listen", []string{"--data", data, "--listen", "nonsense"}},
		{"profiles for everybody", "loopback", []string{"--data", data, "--listen", "127.0.0.1:0", "--pprof", "0.0.0.0:0"}},
		{"half of TLS", "--tls", []string{"--data", data, "--tls-cert", "nowhere.pem"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out := runs(t, 2, append([]string{"serve"}, c.args...)...); !strings.Contains(out, c.says) {
				t.Errorf("it does not speak of %q: %s", c.says, out)
			}
		})
	}
	key := filepath.Join(data, "keys", serviceKeyFile)
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if out := runs(t, 2, "serve", "--data", data); !strings.Contains(out, "chmod 600 "+key) {
		t.Errorf("an exposed key: %s", out)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, data, "--policy", same) // the twin of all
	if out := runs(t, 3, "check", "--data", data); !strings.Contains(out, "in use") {
		t.Errorf("check beside a running server: %s", out)
	}
	s.end(syscall.SIGTERM)
}

func TestDamageIsFound(t *testing.T) {
	data := newLedger(t)
	s := serve(t, data)
	s.end(syscall.SIGTERM)
	runs(t, 0, "check", "--data", data)
	segments, err := filepath.Glob(filepath.Join(data, "log", "journal", "*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no journal: %v", err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "serve", "rebuild"} {
		out := runs(t, 3, command, "--data", data)
		if !strings.Contains(out, filepath.Base(segments[0])) || !strings.Contains(out, "offset") {
			t.Errorf("%s does not say where: %s", command, out)
		}
	}
}

func TestRebuild(t *testing.T) {
	data := newLedger(t)
	if err := os.RemoveAll(filepath.Join(data, "log", "index")); err != nil {
		t.Fatal(err)
	}
	runs(t, 0, "rebuild", "--data", data)
	runs(t, 0, "check", "--data", data)
	s := serve(t, data)
	s.end(syscall.SIGTERM)
}
