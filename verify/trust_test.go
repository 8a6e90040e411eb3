package verify_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/verify"
)

func TestATrustFolderReadsAsItWasWritten(t *testing.T) {
	w := newWorld(t)
	w.trust.LogValid.Until = start.AddDate(10, 0, 0)
	w.trust.Owners, w.trust.UnsafeSingleOwner = []string{"olga"}, true
	dir := filepath.Join(t.TempDir(), "trust")
	must(t, verify.WriteTrust(dir, w.trust))
	got, err := verify.LoadTrust(dir)
	must(t, err)
	again := t.TempDir()
	must(t, verify.WriteTrust(again, got))
	for _, name := range []string{verify.TrustFile, verify.TimestampFile} {
		a, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(again, name))
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s reads as\n%s\nand was\n%s", name, b, a)
		}
	}
	if got.MaxCheckpointAge != w.trust.MaxCheckpointAge || got.Genesis != w.trust.Genesis || !got.UnsafeSingleOwner {
		t.Errorf("read as %+v", got)
	}
	if err := verify.WriteTrust(dir, w.trust); err == nil {
		t.Error("a trust folder was replaced")
	}
}

// Rows G12 and H13, INV9: each refusal names the file and the field.
func TestTrustFoldersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	must(t, verify.WriteTrust(dir, w.trust))
	good, err := os.ReadFile(filepath.Join(dir, verify.TrustFile))
	must(t, err)
	pem, err := os.ReadFile(filepath.Join(dir, verify.TimestampFile))
	must(t, err)
	certificate := string(pem[:bytes.Index(pem[1:], []byte("-----BEGIN"))+1])
	other := newWorld(t)
	from := "  from: " + epoch.Format("2006-01-02T15:04:05Z07:00") + "\n"
	vkey := w.trust.Log.VKey()
	for _, c := range []struct {
		name, file, old, new string
		names                []string
	}{
		{"G12 no start of the log's key", verify.TrustFile, vkey + "\n" + from, vkey + "\n", []string{"trust.yaml", "log", "from"}},
		{"G12 no start of the service's key", verify.TrustFile, from + "timestamps", "timestamps", []string{"trust.yaml", "service", "from"}},
		{"an unknown field", verify.TrustFile, "genesis:", "genesys:", []string{"trust.yaml:", "genesys", "genesis"}},
		{"a field twice", verify.TrustFile, "genesis:", "owners: [x, y]\ngenesis:", []string{"trust.yaml:", "owners"}},
		{"no log", verify.TrustFile, "  key: " + vkey + "\n", "", []string{"trust.yaml", "log", "key"}},
		{"another origin", verify.TrustFile, "origin: log.example", "origin: other.example", []string{"trust.yaml:", "origin"}},
		{"a key that is not its hash", verify.TrustFile, vkey, strings.Replace(vkey, "+", "+0", 1), []string{"trust.yaml:", "log key"}},
		{"one owner", verify.TrustFile, "  - \"oscar\"\n", "", []string{"trust.yaml", "owners", "unsafeSingleOwner"}},
		{"an owner twice", verify.TrustFile, `"oscar"`, `"olga"`, []string{"trust.yaml:", "olga"}},
		{"a short genesis", verify.TrustFile, "genesis: ", "genesis: 0", []string{"trust.yaml:", "genesis"}},
		{"no service", verify.TrustFile, "publicKey: |", "publicKey: nonsense #", []string{"trust.yaml:"}},
		{"no age", verify.TrustFile, "maxCheckpointAge: 1h0m0s", "maxCheckpointAge: 0s", []string{"trust.yaml:", "0s"}},
		{"a file elsewhere", verify.TrustFile, "tsa.pem", "../tsa.pem", []string{"trust.yaml:", "certificates"}},
		{"a file that is not there", verify.TrustFile, "tsa.pem", "none.pem", []string{"trust.yaml:", "none.pem"}},
		{"no certificate", verify.TimestampFile, string(pem), "", []string{"trust.yaml", "timestamps"}},
		{"only the root", verify.TimestampFile, certificate, "", []string{"trust.yaml", "timestamps", "CA"}},
		{"a chain that is none", verify.TimestampFile, certificate, certificatesOf(t, other)[0], []string{"trust.yaml", "timestamps", "signed"}},
		{"words between certificates", verify.TimestampFile, certificate, certificate + "words\n", []string{"tsa.pem", "block 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{verify.TrustFile: string(good), verify.TimestampFile: string(pem)}
			files[c.file] = strings.Replace(files[c.file], c.old, c.new, 1)
			if files[verify.TrustFile]+files[verify.TimestampFile] == string(good)+string(pem) {
				t.Fatalf("the case edits nothing:\n%s", good)
			}
			dir := t.TempDir()
			for name, text := range files {
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			}
			_, err := verify.LoadTrust(dir)
			if err == nil {
				t.Fatal("the folder was believed")
			}
			for _, part := range c.names {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
		})
	}
	if _, err := verify.LoadTrust(t.TempDir()); err == nil || !strings.Contains(err.Error(), verify.TrustFile) {
		t.Errorf("an empty folder: %v", err)
	}
}

func certificatesOf(t *testing.T, w *world) []string {
	t.Helper()
	dir := t.TempDir()
	must(t, verify.WriteTrust(dir, w.trust))
	pem, err := os.ReadFile(filepath.Join(dir, verify.TimestampFile))
	must(t, err)
	return strings.SplitAfter(string(pem), "-----END CERTIFICATE-----\n")
}

// One key, one voice (TRUST T7).
func TestOneKeyInTwoRolesIsRefused(t *testing.T) {
	w := newWorld(t)
	w.trust.Service = w.key("bob").Public()
	if _, err := verify.New(verify.Config{Trust: w.trust, Roster: w.roster}); err == nil || !strings.Contains(err.Error(), "bob") {
		t.Errorf("a person's key signs verdicts: %v", err)
	}
}

func FuzzLoadTrust(f *testing.F) {
	w := newWorld(f)
	dir := f.TempDir()
	must(f, verify.WriteTrust(dir, w.trust))
	good, err := os.ReadFile(filepath.Join(dir, verify.TrustFile))
	must(f, err)
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		must(t, os.WriteFile(filepath.Join(dir, verify.TrustFile), text, 0o600))
		trust, err := verify.LoadTrust(dir)
		if err == nil && trust.Check() != nil {
			t.Error("what loads does not hold")
		}
	})
}
